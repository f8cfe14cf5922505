//! The programs as they are started from a shell, against a receiver.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Command, Output},
    sync::mpsc::{Receiver, sync_channel},
};

use lumitrace::model::ResourceSpans;
use lumitrace_wire::{DecodeLimits, otlp::protobuf::decode_traces};

/// Takes OTLP requests until the test ends: their paths and spans.
fn receiver() -> (SocketAddr, Receiver<(String, Vec<ResourceSpans>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (send, requests) = sync_channel(1000);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let send = send.clone();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.unwrap());
                while let Some((path, body)) = read_request(&mut reader) {
                    let spans = decode_traces(&body, &DecodeLimits::default()).unwrap();
                    let _ = send.send((path, spans.resource_spans));
                    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    reader.get_mut().write_all(answer.as_bytes()).unwrap();
                }
            });
        }
    });
    (address, requests)
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut request = String::new();
    reader.read_line(&mut request).ok()?;
    let path = request.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, body))
}

fn command(program: &str, pairs: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .args(["--pairs", pairs, "--epochs", "1", "--batch-size", "32"])
        .args([
            "--bars",
            "400",
            "--t-in",
            "12",
            "--t-out",
            "4",
            "--max-batches",
            "2",
        ]);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OTEL_")) {
        command.env_remove(name);
    }
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn t5_t7_each_program_reports_under_its_own_service_name_to_the_endpoint_of_the_environment() {
    for (program, service) in [
        (env!("CARGO_BIN_EXE_run_training"), "sequence-training"),
        (
            env!("CARGO_BIN_EXE_run_training_multitask"),
            "sequence-multitask-training",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (address, requests) = receiver();
        let output = command(program, "gbpusd", folder.path())
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"))
            .env("OTEL_SERVICE_NAME", "another-name")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(
            stdout(&output).contains("synthetic ones were written"),
            "{}",
            stdout(&output)
        );
        assert!(
            stdout(&output).contains("epoch 1/1  train_loss"),
            "{}",
            stdout(&output)
        );
        assert!(folder.path().join("checkpoints").is_dir());

        let mut names = Vec::new();
        for (path, resource_spans) in requests.try_iter() {
            assert_eq!(path, "/v1/traces");
            for resource_spans in resource_spans {
                let resource = &resource_spans.resource;
                let attribute = |key: &str| {
                    lumitrace::model::value::find(&resource.attributes, key)
                        .and_then(lumitrace::Value::as_str)
                };
                assert_eq!(attribute("service.name"), Some(service));
                assert_eq!(
                    attribute("service.version"),
                    Some(env!("CARGO_PKG_VERSION"))
                );
                assert_eq!(
                    attribute("deployment.environment.name"),
                    Some("development")
                );
                let spans = resource_spans
                    .scope_spans
                    .iter()
                    .flat_map(|scope| &scope.spans);
                names.extend(spans.map(|span| span.name.to_string()));
            }
        }
        for name in [
            "training_run",
            "training_epoch",
            "batch_processing",
            "validation",
        ] {
            assert!(
                names.iter().any(|sent| sent == name),
                "{name} is not among {names:?}"
            );
        }
    }
}

#[test]
fn t4_without_tracing_nothing_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let (address, requests) = receiver();
    let output = command(env!("CARGO_BIN_EXE_run_training"), "gbpusd", folder.path())
        .args([
            "--no-tracing",
            "--otlp-endpoint",
            &format!("http://{address}"),
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(requests.try_recv().is_err());
}

#[test]
fn a_pair_that_fails_is_reported_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let bars = folder.path().join("output_central/gbpusd");
    std::fs::create_dir_all(&bars).unwrap();
    std::fs::write(bars.join("DAT_ASCII_GBPUSD_M1_2024.csv"), "nonsense\n").unwrap();
    let output = command(
        env!("CARGO_BIN_EXE_run_training"),
        "gbpusd,eurusd",
        folder.path(),
    )
    .args(["--no-tracing"])
    .output()
    .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.starts_with("error: gbpusd: 1 bad rows"), "{errors}");
    assert!(
        errors.contains("M1_2024.csv, line 1: 1 fields instead of 6"),
        "{errors}"
    );
    assert!(
        stdout(&output).contains("eurusd: test_loss"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn flags_that_contradict_each_other_are_refused_with_the_usage() {
    let folder = tempfile::tempdir().unwrap();
    let output = command(
        env!("CARGO_BIN_EXE_run_training_multitask"),
        "gbpusd",
        folder.path(),
    )
    .args(["--top-k", "9"])
    .output()
    .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("--top-k must not exceed --lookahead-window"),
        "{errors}"
    );
}
