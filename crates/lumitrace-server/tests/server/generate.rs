//! `lumitrace generate` against the server, and into files.

use crate::harness::{Server, run, until};
use lumitrace_wire::otlp::{json, protobuf};
use lumitrace_wire::{DecodeLimits, DecodedTraces};
use serde_json::Value;
use std::io::Read;
use std::path::Path;

/// Runs `generate` and returns its report.
fn generate(arguments: &[&str]) -> Value {
    let output = run(&[&["generate", "--json", "--quiet"], arguments].concat());
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn every_span_arrives_over_each_protocol() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (http, grpc) = (
        format!("http://{}", server.otlp_http),
        format!("http://{}", server.otlp_grpc),
    );
    let mut expected = 0;
    for (seed, address, protocol) in [
        ("1", &http, &["--protocol", "http/protobuf"][..]),
        ("2", &http, &["--protocol", "http/json"]),
        ("3", &http, &["--gzip"]),
        ("4", &grpc, &["--protocol", "grpc"]),
        ("5", &grpc, &["--protocol", "grpc", "--gzip"]),
    ] {
        let to = ["--to", address, "--seed", seed];
        let amount = [
            "--spans",
            "1k",
            "--connections",
            "3",
            "--batch-spans",
            "100",
        ];
        let report = generate(&[&to[..], &amount, protocol].concat());
        let spans = report["spans"].as_u64().unwrap();
        assert!(spans >= 1_000, "{report}");
        assert_eq!(report["lost_spans"], 0);
        expected += spans;
    }
    let (_, status) = server.get("/api/lumitrace/v1/status").await;
    assert_eq!(status["spans"].as_u64(), Some(expected), "{status}");
}

#[tokio::test]
async fn the_same_seed_sent_twice_is_the_same_traces() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let to = format!("http://{}", server.otlp_http);
    for connections in ["1", "5"] {
        let seed = [
            "--seed",
            "7",
            "--traces",
            "20",
            "--start",
            "2026-03-01T08:00:00Z",
        ];
        generate(&[&["--to", &to, "--connections", connections], &seed[..]].concat());
    }
    let (_, found) = server.get("/api/lumitrace/v1/traces?limit=100").await;
    assert_eq!(found["traces"].as_array().unwrap().len(), 20, "{found}");
}

/// Decodes a file as whoever imports it does.
fn read(path: &Path, decompress: impl Fn(std::fs::File) -> Box<dyn Read>) -> Vec<DecodedTraces> {
    let mut bytes = Vec::new();
    let mut reader = decompress(std::fs::File::open(path).unwrap());
    reader.read_to_end(&mut bytes).unwrap();
    let limits = DecodeLimits::default();
    if path.to_string_lossy().contains(".jsonl") {
        let lines = bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        return lines
            .map(|line| json::decode_traces(line, &limits).unwrap())
            .collect();
    }
    let mut messages = Vec::new();
    let mut rest = &bytes[..];
    while let Some((length, after)) = rest.split_first_chunk() {
        let (message, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        messages.push(protobuf::decode_traces(message, &limits).unwrap());
        rest = after;
    }
    assert!(rest.is_empty());
    messages
}

#[test]
fn files_of_every_kind_hold_the_same_spans() {
    let dir = tempfile::tempdir().unwrap();
    let mut contents = Vec::new();
    for (name, shape) in [
        ("a.jsonl", "mixed"),
        ("a.jsonl.gz", "mixed"),
        ("a.pb", "mixed"),
        ("a.pb.zst", "mixed"),
    ] {
        let path = dir.path().join(name);
        let to = path.to_str().unwrap();
        let start = ["--start", "2026-03-01T08:00:00Z", "--traces", "50"];
        let report = generate(&[&["--to", to, "--shape", shape], &start[..]].concat());
        let requests = read(&path, |file| {
            match path.extension().unwrap().to_str().unwrap() {
                "gz" => Box::new(flate2::read::GzDecoder::new(file)),
                "zst" => Box::new(zstd::Decoder::new(file).unwrap()),
                _ => Box::new(file),
            }
        });
        let spans: usize = requests.iter().map(DecodedTraces::span_count).sum();
        assert_eq!(report["spans"].as_u64(), Some(spans as u64), "{name}");
        assert!(requests.iter().all(|request| request.rejected_spans == 0));
        // NaN is not equal to itself, but prints alike.
        contents.push(format!(
            "{:?}",
            requests
                .into_iter()
                .map(|request| request.resource_spans)
                .collect::<Vec<_>>()
        ));
    }
    assert!(contents.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn standard_output_has_lines_of_json_and_nothing_else() {
    let output = run(&["generate", "--to", "-", "--shape", "http", "--traces", "3"]);
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    for line in lines.lines() {
        let request: Value = serde_json::from_str(line).unwrap();
        assert!(request["resourceSpans"].is_array());
    }
    assert!(String::from_utf8_lossy(&output.stderr).contains("spans accepted"));
}

#[test]
fn nobody_at_the_address_ends_with_an_error_that_says_so() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("http://{}", port.local_addr().unwrap());
    drop(port);
    let output = run(&["generate", "--to", &to, "--traces", "1", "--quiet"]);
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("is the receiver running"), "{error}");
}

#[tokio::test]
async fn ctrl_c_ends_endless_traffic_with_the_report() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let to = format!("http://{}", server.otlp_http);
    let mut child = crate::harness::lumitrace(&["generate", "--json", "--quiet", "--for", "1h"])
        .args(["--to", &to, "--rate", "2000", "--batch-spans", "50"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    until("spans to arrive", async || {
        let (_, status) = server.get("/api/lumitrace/v1/status").await;
        status["spans"].as_u64().filter(|spans| *spans > 100)
    })
    .await;
    let kill = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    let status = until("generate to end", async || child.try_wait().unwrap()).await;
    assert!(status.success());
    let report: Value = serde_json::from_reader(child.stdout.take().unwrap()).unwrap();
    let (_, status) = server.get("/api/lumitrace/v1/status").await;
    assert_eq!(report["spans"], status["spans"]);
}
