//! Export and import.

use super::random_spans::resource_spans;
use super::{comparable, fill, report, spans_in, store, store_with_input};
use crate::harness::{Server, until};
use lumitrace_model::ResourceSpans;
use lumitrace_wire::otlp::json;
use proptest::prelude::*;
use serde_json::Value;
use std::path::Path;

/// Takes everything from one folder to another through a file of this kind.
fn through(dir: &Path, from: &Path, file: &str) -> Vec<String> {
    let path = dir.join(file);
    let to = path.to_str().unwrap();
    let exported = report(from, &["export", "--quiet", "--to", to]);
    let data = dir.join(format!("data-{}", file.replace(['.', '/'], "-")));
    let imported = report(&data, &["import", "--quiet", to]);
    assert_eq!(exported["records"], imported["stored"], "{file}");
    assert_eq!(imported["problems"], 0, "{imported}");
    spans_in(&data)
}

fn import_json(data: &Path, dir: &Path, groups: &[ResourceSpans]) {
    let file = dir.join("in.jsonl");
    std::fs::write(&file, json::encode_traces(groups)).unwrap();
    report(data, &["import", "--quiet", file.to_str().unwrap()]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn random_spans_come_through_every_format_as_they_were(groups in resource_spans()) {
        let dir = tempfile::tempdir().unwrap();
        let first = dir.path().join("data");
        import_json(&first, dir.path(), &groups);
        let expected = comparable(groups);
        prop_assert_eq!(&spans_in(&first), &expected);
        for file in ["a.jsonl", "a.pb.zst", "a.parquet", "folder/"] {
            prop_assert_eq!(&through(dir.path(), &first, file), &expected, "{}", file);
        }
    }
}

#[test]
fn spans_of_every_shape_come_through_every_format_and_compression() {
    let dir = tempfile::tempdir().unwrap();
    let first = dir.path().join("data");
    let spans = fill(&first, &dir.path().join("in.pb.zst"), "80");
    let expected = spans_in(&first);
    assert_eq!(expected.len() as u64, spans);
    for file in ["a.jsonl.gz", "a.jsonl.zst", "a.pb", "a.pb.gz", "a.parquet"] {
        assert_eq!(through(dir.path(), &first, file), expected, "{file}");
    }
    // The blocks themselves are understood too.
    let blocks = first.join("blocks");
    let data = dir.path().join("data-of-blocks");
    let imported = report(&data, &["import", "--quiet", blocks.to_str().unwrap()]);
    assert_eq!(imported["stored"].as_u64(), Some(spans), "{imported}");
    assert_eq!(spans_in(&data), expected);
}

#[test]
fn importing_again_stores_nothing_again() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("in.jsonl"));
    let spans = fill(&data, &file, "20");
    let again = report(&data, &["import", "--quiet", file.to_str().unwrap()]);
    assert_eq!(again["stored"], 0, "{again}");
    assert_eq!(again["known"].as_u64(), Some(spans));
    assert_eq!(report(&data, &["stats"])["spans"].as_u64(), Some(spans));
}

#[test]
fn filters_choose_what_is_exported() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let spans = fill(&data, &dir.path().join("in.jsonl"), "60");
    let stats = report(&data, &["stats"]);
    let service = &stats["services"][0];
    let count = |arguments: &[&str]| {
        let to = ["export", "--quiet", "--to"];
        let file = dir.path().join("out.jsonl");
        let all = [&to[..], &[file.to_str().unwrap()], arguments].concat();
        report(&data, &all)["records"].as_u64().unwrap()
    };
    let name = service["name"].as_str().unwrap();
    assert_eq!(Some(count(&["--service", name])), service["spans"].as_u64());
    assert_eq!(count(&["--limit", "7"]), 7);
    let middle = "2026-03-01T08:30:00.5Z";
    let (before, after) = (count(&["--end", middle]), count(&["--start", middle]));
    assert!(before > 0 && after > 0);
    assert_eq!(before + after, spans);
    let output = store(&data, &["export", "--quiet", "--to", "-", "--limit", "1"]);
    let request: Value = serde_json::from_slice(&output.stdout).unwrap();
    let span = &request["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    let trace = span["traceId"].as_str().unwrap();
    let of_trace = spans_in(&data).into_iter().filter(|span| {
        let own = format!("Span {{ trace_id: {trace}");
        span.contains(&own)
    });
    assert_eq!(count(&["--trace", trace]), of_trace.count() as u64);
}

#[test]
fn bad_lines_are_named_and_the_rest_goes_in() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("in.jsonl"));
    let good = std::fs::read(dir.path().join("good.jsonl")).unwrap_or_else(|_| {
        fill(
            &dir.path().join("other"),
            &dir.path().join("good.jsonl"),
            "3",
        );
        std::fs::read(dir.path().join("good.jsonl")).unwrap()
    });
    let mut bytes = b"not json\n".to_vec();
    bytes.extend(&good);
    bytes.extend(
        br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"00","spanId":"01"}]}]}]}"#,
    );
    std::fs::write(&file, &bytes).unwrap();
    let output = store(
        &data,
        &["import", "--quiet", "--json", file.to_str().unwrap()],
    );
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["problems"], 2, "{report}");
    assert_eq!(report["rejected"], 1);
    let problem = |index: usize| report["first_problems"][index].as_str().unwrap().to_owned();
    assert!(
        problem(0).contains("in.jsonl: line 1: malformed JSON"),
        "{report}"
    );
    let last = 2 + good.iter().filter(|byte| **byte == b'\n').count();
    assert!(
        problem(1).contains(&format!("line {last}: 1 spans left out")),
        "{report}"
    );
    assert_eq!(spans_in(&data), spans_in(&dir.path().join("other")));
}

#[test]
fn a_pipe_from_one_store_to_another_needs_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let (data, other) = (dir.path().join("data"), dir.path().join("other"));
    fill(&data, &dir.path().join("in.jsonl"), "10");
    for format in ["otlp-json", "otlp-proto"] {
        let export = ["export", "--quiet", "--to", "-", "--format", format];
        let output = store(&data, &[&export[..], &["--compression", "gzip"]].concat());
        assert!(output.status.success(), "{output:?}");
        let imported = store_with_input(&other, &["import", "--quiet", "-"], &output.stdout);
        assert!(imported.status.success(), "{imported:?}");
        assert_eq!(spans_in(&other), spans_in(&data), "{format}");
    }
}

#[tokio::test]
async fn a_running_server_takes_imports_and_keeps_the_folder_to_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (other, file) = (dir.path().join("other"), dir.path().join("in.pb"));
    let spans = fill(&other, &file, "30");
    let server = Server::start(dir.path()).await;
    let data = dir.path().join("data");
    let url = format!("http://{}", server.otlp_http);
    let file = file.to_str().unwrap();
    let sent = report(&data, &["import", "--quiet", file, "--to", &url]);
    assert_eq!(sent["stored"].as_u64(), Some(spans), "{sent}");

    let refused = store(&data, &["export", "--quiet", "--to", "-"]);
    assert_eq!(refused.status.code(), Some(1));
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(error.contains("stop the server first"), "{error}");
    // Looking needs no lock.
    let stats = report(&data, &["stats"]);
    assert_eq!(stats["spans"].as_u64(), Some(spans), "{stats}");
    assert_eq!(stats["in_use"], true);
}

#[tokio::test]
async fn ctrl_c_ends_an_import_cleanly_and_it_can_be_done_again() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("in.jsonl"));
    let other = dir.path().join("other");
    let spans = fill(&other, &file, "40");
    // A pipe that stays open: the import waits for more.
    let mut child = crate::harness::lumitrace(&["store", "import", "--quiet", "--data-dir"])
        .arg(&data)
        .arg("-")
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    std::io::Write::write_all(&mut stdin, &bytes).unwrap();
    until("spans to be stored", async || {
        let stats = store(&data, &["stats", "--json"]);
        let stats: Value = serde_json::from_slice(&stats.stdout).ok()?;
        stats["spans"].as_u64().filter(|stored| *stored == spans)
    })
    .await;
    let pid = child.id().to_string();
    let kill = std::process::Command::new("kill")
        .args(["-INT", &pid])
        .status();
    assert!(kill.unwrap().success());
    drop(stdin);
    let status = until("the import to end", async || child.try_wait().unwrap()).await;
    assert_eq!(status.code(), Some(130));
    let again = report(&data, &["import", "--quiet", file.to_str().unwrap()]);
    assert_eq!(again["known"].as_u64(), Some(spans), "{again}");
}

#[test]
fn what_is_not_there_is_said_and_nothing_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("nothing");
    for arguments in [
        &["stats"][..],
        &["export", "--to", "-"],
        &["import", "absent.jsonl"],
    ] {
        let output = store(&data, arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(!data.exists(), "{arguments:?}");
    }
    let output = store(&data, &["stats"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("there is no store in"), "{error}");
}
