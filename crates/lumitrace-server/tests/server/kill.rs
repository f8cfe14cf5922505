//! The promise of an acknowledgement: whatever was acknowledged is found exactly once, however
//! often and whenever the server is killed.

use super::harness::{Server, until};
use super::spans::{PROTOBUF, protobuf, span, trace_id};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Kills of a test run; `SOAK_KILLS` says how many instead.
const KILLS: u32 = 50;
const FEEDERS: u64 = 4;
const SEED: u64 = 50_317;
/// Small, so that blocks are written all the time and kills fall into that.
const MEMTABLE: [&str; 2] = ["--store-memtable-bytes", "32KiB"];

/// A batch: one trace, with spans 1 to `span_count`.
#[derive(Debug, Clone, Copy)]
struct Batch {
    trace: u64,
    span_count: u64,
}

/// Sends batches until it is told to stop, each until it is acknowledged; gives back the ledger.
async fn feed(
    feeder: u64,
    address: watch::Receiver<Option<String>>,
    acknowledged: Arc<AtomicU64>,
) -> Vec<Batch> {
    let mut random = StdRng::seed_from_u64(SEED + feeder);
    let mut ledger = Vec::new();
    let client = reqwest::Client::new();
    for number in 1.. {
        let batch = Batch {
            trace: feeder << 32 | number,
            span_count: random.random_range(1..=30),
        };
        let spans = (1..=batch.span_count).map(|id| {
            let parent = (id > 1).then_some(1);
            span(batch.trace, id, parent, "work")
        });
        let body = protobuf("feeder", spans.collect());
        loop {
            let mut address = address.clone();
            let Ok(current) = address.wait_for(Option::is_some).await.map(|a| a.clone()) else {
                return ledger;
            };
            let url = format!("http://{}/v1/traces", current.unwrap());
            let request = client
                .post(url)
                .header("content-type", PROTOBUF)
                .body(body.clone());
            match request.send().await {
                Ok(response) if response.status() == 200 => break,
                Ok(response) => assert_eq!(response.status(), 503, "only a retryable refusal"),
                // It was killed: another server will come, at another address.
                Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
        ledger.push(batch);
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    ledger
}

/// The span ids of a trace, as often as they are found.
async fn found(server: &Server, batch: Batch) -> Vec<String> {
    let (status, body) = server
        .get(&format!("/api/traces/{}", trace_id(batch.trace)))
        .await;
    assert_eq!(status, 200, "trace {:x} is lost: {body}", batch.trace);
    let spans = body["data"][0]["spans"].as_array().unwrap().iter();
    let mut ids: Vec<String> = spans
        .map(|span| span["spanID"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_nothing_that_was_acknowledged_and_double_nothing() {
    let kills = std::env::var("SOAK_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let (current, address) = watch::channel(None);
    let acknowledged = Arc::new(AtomicU64::new(0));
    let feeders: Vec<_> = (1..=FEEDERS)
        .map(|feeder| tokio::spawn(feed(feeder, address.clone(), Arc::clone(&acknowledged))))
        .collect();
    drop(address);

    let mut random = StdRng::seed_from_u64(SEED);
    for kill in 0..kills {
        let mut server = Server::start_with(dir.path(), &MEMTABLE).await;
        current.send_replace(Some(server.otlp_http.clone()));
        // Killed after a random number of acknowledgements, at a random moment between two.
        let goal = acknowledged.load(Ordering::Relaxed) + random.random_range(1..=40);
        until("acknowledgements", async || {
            (acknowledged.load(Ordering::Relaxed) >= goal).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_micros(random.random_range(0..15_000))).await;
        server.kill();
        current.send_replace(None);
        assert!(
            !server.log().contains("panicked"),
            "kill {kill}:\n{}",
            server.log()
        );
    }

    let server = Server::start_with(dir.path(), &MEMTABLE).await;
    current.send_replace(Some(server.otlp_http.clone()));
    let goal = acknowledged.load(Ordering::Relaxed) + 10;
    until("the feeders to go on", async || {
        (acknowledged.load(Ordering::Relaxed) >= goal).then_some(())
    })
    .await;
    // Feeders end when the sender of addresses is gone and they next ask for one.
    current.send_replace(None);
    drop(current);
    let mut batches = 0;
    let mut traces = BTreeSet::new();
    for feeder in feeders {
        for batch in feeder.await.unwrap() {
            let expected: Vec<String> = (1..=batch.span_count)
                .map(|id| format!("{id:016x}"))
                .collect();
            assert_eq!(
                found(&server, batch).await,
                expected,
                "trace {:x}",
                batch.trace
            );
            assert!(traces.insert(batch.trace));
            batches += 1;
        }
    }
    assert!(
        batches >= u64::from(kills),
        "only {batches} batches were acknowledged"
    );
    let (_, status): (_, Value) = server.get("/api/lumitrace/v1/status").await;
    assert_eq!(status["healthy"], true, "{status}");
    println!("{batches} acknowledged batches survived {kills} kills");
}
