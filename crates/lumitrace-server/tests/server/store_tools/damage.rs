//! Check, repair and compact.

use super::{fill, report, spans_in, store};
use crate::harness::{Server, until};
use crate::spans::{PROTOBUF, post, protobuf, span};
use std::path::{Path, PathBuf};

/// The largest data file of a block.
fn block_file(data: &Path) -> PathBuf {
    let entries = std::fs::read_dir(data.join("blocks")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let data = paths.filter(|path| path.extension().is_some_and(|it| it == "parquet"));
    data.max_by_key(|path| std::fs::metadata(path).unwrap().len())
        .unwrap()
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[offset] ^= 16;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn damage_is_found_named_and_repaired_and_the_server_starts_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let spans = fill(&data, &dir.path().join("in.pb"), "100");
    let clean = report(&data, &["check", "--quiet"]);
    assert_eq!(clean["block_records"].as_u64(), Some(spans), "{clean}");
    assert_eq!(report(&data, &["repair", "--quiet"])["needed"], false);

    let file = block_file(&data);
    let offset = std::fs::metadata(&file).unwrap().len() as usize / 3;
    flip(&file, offset);
    let output = store(&data, &["check", "--quiet"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let named = format!("damaged: {} at byte", file.display());
    assert!(text.contains(&named), "{text}");
    assert!(text.contains("repair --dry-run"), "{text}");

    let planned = store(&data, &["repair", "--quiet", "--dry-run", "--json"]);
    assert_eq!(planned.status.code(), Some(1), "{planned:?}");
    let still = store(&data, &["check", "--quiet"]);
    assert_eq!(still.status.code(), Some(1), "a dry run changes nothing");

    let repaired = store(&data, &["repair", "--quiet", "--json"]);
    assert_eq!(repaired.status.code(), Some(1), "{repaired:?}");
    let repaired: serde_json::Value = serde_json::from_slice(&repaired.stdout).unwrap();
    let lost = repaired["losses"][0]["records"].as_u64().unwrap();
    assert!(lost > 0 && lost <= spans, "{repaired}");
    let aside = Path::new(repaired["aside_dir"].as_str().unwrap());
    assert!(
        aside
            .join("blocks")
            .join(file.file_name().unwrap())
            .is_file()
    );
    let clean = report(&data, &["check", "--quiet"]);
    assert_eq!(clean["block_records"].as_u64(), Some(spans - lost));
    let server = Server::start(dir.path()).await;
    let (_, status) = server.get("/api/lumitrace/v1/status").await;
    assert_eq!(status["spans"].as_u64(), Some(spans - lost), "{status}");
}

#[tokio::test]
async fn what_is_not_damaged_is_served_and_everyone_says_what_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    for (number, traces) in ["20", "40"].into_iter().enumerate() {
        fill(&data, &dir.path().join(format!("{number}.pb")), traces);
    }
    let index = block_file(&data).with_extension("idx");
    flip(&index, 20);
    let name = index.file_name().unwrap().to_str().unwrap();

    let mut server = Server::start(dir.path()).await;
    assert!(server.log().contains(name), "{}", server.log());
    let own = |path: &str| format!("/api/lumitrace/v1{path}");
    let (status, page) = server.get(&own("/traces")).await;
    assert_eq!(status, 200);
    let trace = page["traces"][0]["trace_id"].as_str().unwrap().to_owned();
    let trace = own(&format!("/traces/{trace}"));
    let epoch = protobuf("trainer", vec![span(900, 1, None, "training_epoch")]);
    let url = format!("http://{}/v1/traces", server.otlp_http);
    assert_eq!(post(&url, PROTOBUF, epoch).await.status, 200);
    let run = until("the run to be listed", async || {
        let (_, list) = server.get(&own("/runs")).await;
        let run_id = list["runs"][0]["run_id"].as_str()?.to_owned();
        Some(own(&format!("/runs/{run_id}")))
    })
    .await;
    for path in [
        own("/traces"),
        own("/operations/statistics"),
        own("/status"),
        own("/runs"),
        format!("{run}/series"),
        run.clone(),
        trace.clone(),
    ] {
        let (_, answer) = server.get(&path).await;
        let said = answer["damaged"][0].as_str().unwrap_or_default();
        assert!(said.contains(name), "{path}: {answer}");
    }
    for kept in [run, trace] {
        let url = format!("http://{}{kept}/archive", server.ui);
        let answer = post(&url, "text/plain", "").await;
        let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer["archived"], false, "{answer}");
        assert!(answer["copied_spans"].as_u64() > Some(0), "{answer}");
        let said = answer["damaged"][0].as_str().unwrap_or_default();
        assert!(said.contains(name), "{answer}");
    }
    let unknown = own(&format!("/runs/{:016x}", 77));
    let (status, missing) = server.get(&unknown).await;
    assert_eq!(
        (status, &missing["error"]["code"]),
        (404, &"left_out".into()),
        "{missing}"
    );
    let (_, logs) = server.get(&own("/logs")).await;
    assert!(logs.get("damaged").is_none(), "{logs}");
    let (status, missing) = server.get(&own(&format!("/traces/{:032x}", 77))).await;
    let message = missing["error"]["message"].as_str().unwrap();
    assert!(status == 404 && message.contains(name), "{missing}");
    assert_eq!(server.metric("lumitrace_store_damaged_blocks").await, 1.0);
    assert!(server.metric("lumitrace_store_damaged_reads_total").await > 0.0);
    server.signal("-INT");
    server.ended().await;

    let exported = store(&data, &["export", "--to", "-", "--quiet"]);
    assert_eq!(exported.status.code(), Some(1));
    assert!(!exported.stdout.is_empty());
    for output in [exported.stderr, store(&data, &["stats"]).stdout] {
        let text = String::from_utf8(output).unwrap();
        assert!(text.contains(name), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_finds_damage_says_which_task_repairs_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fill(&data, &dir.path().join("in.pb"), "10");
    let manifest = data.join("MANIFEST");
    flip(&manifest, 3);
    let log = Server::try_start(dir.path(), &[]).await.err().unwrap();
    assert!(log.contains("lumitrace store repair"), "{log}");
    let repaired = report(&data, &["repair", "--quiet"]);
    assert_eq!(
        repaired["losses"].as_array().map(Vec::len),
        Some(0),
        "{repaired}"
    );
    Server::start(dir.path()).await;
}

#[test]
fn compacting_keeps_every_span() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    for (number, traces) in ["20", "30", "40"].into_iter().enumerate() {
        fill(&data, &dir.path().join(format!("{number}.pb")), traces);
    }
    let before = spans_in(&data);
    let done = report(&data, &["compact", "--quiet"]);
    assert!(done["blocks_before"].as_u64() > Some(1), "{done}");
    assert_eq!(done["blocks_after"], 1, "{done}");
    assert_eq!(done["records"].as_u64(), Some(before.len() as u64));
    assert_eq!(spans_in(&data), before);
    let again = report(&data, &["compact", "--quiet"]);
    assert_eq!(again["merges"], 0, "{again}");
}
