//! `lumitrace store`: records out of a folder and into it again, and what is said on the way.

mod damage;
mod help;
mod random_records;
mod random_spans;
mod transfer;
mod transfer_records;

use crate::harness::{lumitrace, run};
use lumitrace_model::{KeyValue, ResourceSpans};
use lumitrace_wire::DecodeLimits;
use lumitrace_wire::otlp::json;
use serde_json::Value;
use std::path::Path;
use std::process::{Output, Stdio};

/// Runs a task on the folder `data`.
fn store(data: &Path, arguments: &[&str]) -> Output {
    let (task, rest) = arguments.split_first().unwrap();
    let folder = ["--data-dir", data.to_str().unwrap()];
    run(&[&["store", task], &folder[..], rest].concat())
}

/// Runs a task that must succeed, and returns its report.
fn report(data: &Path, arguments: &[&str]) -> Value {
    let output = store(data, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The same, with `input` on standard input.
fn store_with_input(data: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let (task, rest) = arguments.split_first().unwrap();
    let mut child = lumitrace(&["store", task, "--data-dir"])
        .arg(data)
        .args(rest)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may have ended without reading all of it.
    let _ = std::io::Write::write_all(&mut stdin, input);
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// Fills a folder with spans of all shapes; returns how many.
fn fill(data: &Path, file: &Path, traces: &str) -> u64 {
    let to = file.to_str().unwrap();
    let start = ["--start", "2026-03-01T08:00:00Z", "--traces", traces];
    let output = run(&[&["generate", "--quiet", "--to", to], &start[..]].concat());
    assert!(output.status.success(), "{output:?}");
    let imported = report(data, &["import", to]);
    imported["stored"].as_u64().unwrap()
}

/// Every span of the folder with all that belongs to it, in a form in which equal ones are equal.
fn spans_in(data: &Path) -> Vec<String> {
    let output = store(data, &["export", "--to", "-", "--quiet"]);
    assert!(output.status.success(), "{output:?}");
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty());
    comparable(lines.flat_map(|line| {
        let decoded = json::decode_traces(line, &DecodeLimits::default()).unwrap();
        assert_eq!(decoded.rejected_spans, 0);
        decoded.resource_spans
    }))
}

/// One text for each span, sorted. A store may change the order of attributes.
fn comparable(groups: impl IntoIterator<Item = ResourceSpans>) -> Vec<String> {
    let mut texts = Vec::new();
    for mut group in groups {
        sort(&mut group.resource.attributes);
        for mut scope in group.scope_spans {
            sort(&mut scope.scope.attributes);
            for mut span in scope.spans {
                sort(&mut span.attributes);
                // NaN is not equal to itself, but prints alike.
                texts.push(format!(
                    "{:?} {} {:?} {} {span:?}",
                    group.resource, group.schema_url, scope.scope, scope.schema_url
                ));
            }
        }
    }
    texts.sort();
    texts
}

fn sort(attributes: &mut [KeyValue]) {
    attributes.sort_by_key(|attribute| format!("{attribute:?}"));
}
