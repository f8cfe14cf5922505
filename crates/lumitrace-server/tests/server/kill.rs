//! The promise of an acknowledgement: whatever was acknowledged is found exactly once, however
//! often and whenever the server is killed, until retention may remove it.

use super::harness::{Server, until};
use super::logs::{log, log_protobuf};
use super::metrics::{gauge, metrics_protobuf};
use super::spans::{PROTOBUF, protobuf, span, trace_id};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Kills of a test run; `SOAK_KILLS` says how many instead.
const KILLS: u32 = 50;
/// What each feeder sends.
const FEEDERS: [Kind; 6] = [
    Kind::Spans,
    Kind::Spans,
    Kind::Spans,
    Kind::Spans,
    Kind::Logs,
    Kind::Points,
];
const SEED: u64 = 50_317;
/// Small, so that blocks are written and merged all the time, the log rotates, and kills fall into
/// that; and blocks are removed while the test runs.
const SETTINGS: [&str; 6] = [
    "--store-memtable-bytes",
    "32KiB",
    "--store-log-segment-bytes",
    "24KiB",
    "--store-retention-max-age",
    "4s",
];
/// The same as in the settings.
const MAX_AGE: Duration = Duration::from_secs(4);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Spans,
    Logs,
    Points,
}

/// Records 1 to `count`: spans or log records of one trace, or points of one metric.
#[derive(Debug, Clone, Copy)]
struct Batch {
    kind: Kind,
    id: u64,
    count: u64,
    /// Before it was sent for the first time.
    sent_at: Instant,
}

impl Batch {
    fn path(self) -> &'static str {
        match self.kind {
            Kind::Spans => "/v1/traces",
            Kind::Logs => "/v1/logs",
            Kind::Points => "/v1/metrics",
        }
    }

    fn body(self) -> Vec<u8> {
        let numbers = 1..=self.count;
        match self.kind {
            Kind::Spans => {
                let parent = |id| (id > 1).then_some(1);
                let spans = numbers.map(|id| span(self.id, id, parent(id), "work"));
                protobuf("feeder", spans.collect())
            }
            Kind::Logs => {
                let logs = numbers.map(|number| log(self.id, 1, 9, &number.to_string()));
                log_protobuf("feeder", logs.collect())
            }
            Kind::Points => {
                let values: Vec<f64> = numbers.map(|number| number as f64).collect();
                metrics_protobuf("feeder", vec![gauge(&self.metric(), &values)])
            }
        }
    }

    fn metric(self) -> String {
        format!("batch.{:x}", self.id)
    }

    /// Whether it is sent again if its answer got lost. Log records and points would be there twice:
    /// they have nothing to be told apart by.
    fn is_repeated(self) -> bool {
        self.kind == Kind::Spans
    }

    /// The numbers of its records that a server has, in order.
    async fn found(self, server: &Server) -> Vec<u64> {
        let mut found: Vec<u64> = match self.kind {
            Kind::Spans => {
                let path = format!("/api/traces/{}", trace_id(self.id));
                let (status, body) = server.get(&path).await;
                assert!(status == 200 || status == 404, "{body}");
                let spans = body["data"][0]["spans"].as_array();
                let ids = spans.into_iter().flatten().map(|span| {
                    let id = span["spanID"].as_str().unwrap();
                    u64::from_str_radix(id, 16).unwrap()
                });
                ids.collect()
            }
            Kind::Logs => {
                let path = format!("/api/lumitrace/v1/traces/{}/logs", trace_id(self.id));
                let (status, body) = server.get(&path).await;
                assert_eq!(status, 200, "{body}");
                let logs = body["logs"].as_array().unwrap().iter();
                let texts = logs.map(|log| log["body"]["value"].as_str().unwrap());
                texts.map(|text| text.parse().unwrap()).collect()
            }
            Kind::Points => {
                let path = format!("/api/lumitrace/v1/metrics/series?name={}", self.metric());
                let (status, body) = server.get(&path).await;
                assert_eq!(status, 200, "{body}");
                let points = body["series"][0]["curves"][0]["points"].as_array();
                let values = points.into_iter().flatten();
                let values = values.map(|point| point["last"].as_f64().unwrap() as u64);
                values.collect()
            }
        };
        found.sort_unstable();
        found
    }
}

/// What was acknowledged.
type Ledger = Arc<Mutex<Vec<Batch>>>;

/// Sends batches until it is told to stop, each until it is acknowledged or must not be sent again.
async fn feed(
    (feeder, kind): (u64, Kind),
    address: watch::Receiver<Option<String>>,
    ledger: Ledger,
) {
    let mut random = StdRng::seed_from_u64(SEED + feeder);
    let client = reqwest::Client::new();
    for number in 1.. {
        let batch = Batch {
            kind,
            id: feeder << 32 | number,
            count: random.random_range(1..=30),
            sent_at: Instant::now(),
        };
        let body = batch.body();
        let is_acknowledged = loop {
            let mut address = address.clone();
            let Ok(current) = address.wait_for(Option::is_some).await.map(|a| a.clone()) else {
                return;
            };
            let url = format!("http://{}{}", current.unwrap(), batch.path());
            let request = client
                .post(url)
                .header("content-type", PROTOBUF)
                .body(body.clone());
            match request.send().await {
                Ok(response) if response.status() == 200 => break true,
                Ok(response) => assert_eq!(response.status(), 503, "only a retryable refusal"),
                // It was killed: another server will come, at another address.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    if !batch.is_repeated() {
                        break false;
                    }
                }
            }
        };
        if is_acknowledged {
            ledger.lock().unwrap().push(batch);
        }
    }
}

/// What servers did before they were killed.
#[derive(Debug, Default)]
struct Work {
    flushes: f64,
    compactions: f64,
    expired_blocks: f64,
}

impl Work {
    async fn add(&mut self, server: &Server) {
        let count = async |name: &str| {
            server
                .metric(&format!("lumitrace_store_{name}_total"))
                .await
        };
        self.flushes += count("flushes").await;
        self.compactions += count("compactions").await;
        self.expired_blocks += count("expired_blocks").await;
    }

    /// So that each phase had kills in it.
    fn expect_every_phase(&self, dir: &Path, kills: u32) {
        let all = [self.flushes, self.compactions, self.expired_blocks];
        assert!(all.iter().all(|count| *count > 0.0), "{self:?}");
        let log = std::fs::read_dir(dir.join("data/log")).unwrap();
        let names = log.map(|entry| entry.unwrap().path());
        let ids = names.filter_map(|path| path.file_stem()?.to_str()?.parse::<u32>().ok());
        // Each start begins a segment; more were begun because others were full.
        let last = ids.max().unwrap_or(0);
        assert!(last > kills + 10, "only {last} segments");
    }
}

/// Looks for a batch: all of it must be there once, or nothing if it is so old that it may be gone.
async fn check(server: &Server, batch: Batch) {
    let found = batch.found(server).await;
    if found.is_empty() && batch.sent_at.elapsed() > MAX_AGE {
        return;
    }
    let expected: Vec<u64> = (1..=batch.count).collect();
    assert_eq!(found, expected, "{batch:x?}");
}

/// Something of every kind was acknowledged between kills.
fn expect_every_kind(batches: &[Batch], kills: u32) {
    let ids: BTreeSet<u64> = batches.iter().map(|batch| batch.id).collect();
    assert_eq!(ids.len(), batches.len());
    assert!(batches.len() >= kills as usize);
    for kind in FEEDERS {
        let acknowledged = batches.iter().filter(|batch| batch.kind == kind).count();
        assert!(
            acknowledged >= kills as usize / 2,
            "{acknowledged} {kind:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_nothing_that_was_acknowledged_and_double_nothing() {
    let kills = std::env::var("SOAK_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let (current, address) = watch::channel(None);
    let ledger = Ledger::default();
    let acknowledged = || ledger.lock().unwrap().len();
    let feeders: Vec<_> = (1..)
        .zip(FEEDERS)
        .map(|feeder| tokio::spawn(feed(feeder, address.clone(), Arc::clone(&ledger))))
        .collect();
    drop(address);

    let mut random = StdRng::seed_from_u64(SEED);
    let mut work = Work::default();
    let mut checked = 0;
    for kill in 0..kills {
        let mut server = Server::start_with(dir.path(), &SETTINGS).await;
        // All that was acknowledged since the kill before, and some of what has survived others.
        let known = ledger.lock().unwrap().clone();
        for (index, batch) in known.iter().enumerate() {
            let is_young = batch.sent_at.elapsed() < MAX_AGE;
            if index >= checked || is_young && random.random_bool(0.2) {
                check(&server, *batch).await;
            }
        }
        checked = known.len();
        current.send_replace(Some(server.otlp_http.clone()));
        // Killed after a random number of acknowledgements, at a random moment between two.
        let goal = acknowledged() + random.random_range(1..=60);
        until("acknowledgements", async || {
            (acknowledged() >= goal).then_some(())
        })
        .await;
        work.add(&server).await;
        tokio::time::sleep(Duration::from_micros(random.random_range(0..15_000))).await;
        server.kill();
        current.send_replace(None);
        assert!(
            !server.log().contains("panicked"),
            "kill {kill}:\n{}",
            server.log()
        );
    }

    let server = Server::start_with(dir.path(), &SETTINGS).await;
    current.send_replace(Some(server.otlp_http.clone()));
    let goal = acknowledged() + 10;
    until("the feeders to go on", async || {
        (acknowledged() >= goal).then_some(())
    })
    .await;
    // Feeders end when the sender of addresses is gone and they next ask for one.
    current.send_replace(None);
    drop(current);
    for feeder in feeders {
        feeder.await.unwrap();
    }
    let batches = ledger.lock().unwrap().clone();
    for batch in &batches {
        check(&server, *batch).await;
    }
    expect_every_kind(&batches, kills);
    work.expect_every_phase(dir.path(), kills);
    let (_, status): (_, Value) = server.get("/api/lumitrace/v1/status").await;
    assert_eq!(status["healthy"], true, "{status}");
    println!(
        "{} acknowledged batches survived {kills} kills; {work:?}",
        batches.len()
    );
}
