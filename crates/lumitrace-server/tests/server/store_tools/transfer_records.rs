//! Export and import of log records and metrics.

use super::random_records::{resource_logs, resource_metrics};
use super::random_spans::resource_spans;
use super::{fill, report, sort, store};
use crate::harness::Server;
use lumitrace_model::{MetricData, ResourceLogs, ResourceMetrics};
use lumitrace_wire::DecodeLimits;
use lumitrace_wire::otlp::{json, protobuf};
use proptest::prelude::*;
use serde_json::Value;
use std::path::Path;

const FILES: [&str; 4] = ["a.jsonl.gz", "a.pb.zst", "a.parquet", "folder/"];

/// What is exported of `signal` as lines of JSON.
fn lines_of(data: &Path, signal: &str) -> Vec<Vec<u8>> {
    let output = store(
        data,
        &["export", "--signal", signal, "--to", "-", "--quiet"],
    );
    assert!(output.status.success(), "{output:?}");
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty());
    lines.map(<[u8]>::to_vec).collect()
}

fn logs_in(data: &Path) -> Vec<String> {
    let lines = lines_of(data, "logs").into_iter();
    comparable_logs(
        lines.flat_map(|line| json::decode_logs(&line, &DecodeLimits::default()).unwrap()),
    )
}

fn metrics_in(data: &Path) -> Vec<String> {
    let lines = lines_of(data, "metrics").into_iter();
    let decode = |line: Vec<u8>| json::decode_metrics(&line, &DecodeLimits::default()).unwrap();
    comparable_metrics(lines.flat_map(decode))
}

/// One text for each log record, sorted. A store may change the order of attributes.
fn comparable_logs(groups: impl IntoIterator<Item = ResourceLogs>) -> Vec<String> {
    let mut texts = Vec::new();
    for mut group in groups {
        sort(&mut group.resource.attributes);
        for mut scope in group.scope_logs {
            sort(&mut scope.scope.attributes);
            for mut log in scope.log_records {
                sort(&mut log.attributes);
                texts.push(format!(
                    "{:?} {} {:?} {} {log:?}",
                    group.resource, group.schema_url, scope.scope, scope.schema_url
                ));
            }
        }
    }
    texts.sort();
    texts
}

/// One text for each point, sorted.
fn comparable_metrics(groups: impl IntoIterator<Item = ResourceMetrics>) -> Vec<String> {
    let mut texts = Vec::new();
    for mut group in groups {
        sort(&mut group.resource.attributes);
        for mut scope in group.scope_metrics {
            sort(&mut scope.scope.attributes);
            for mut metric in scope.metrics {
                for one in single_points(metric.data.take().unwrap()) {
                    texts.push(format!(
                        "{:?} {} {:?} {} {metric:?} {one:?}",
                        group.resource, group.schema_url, scope.scope, scope.schema_url
                    ));
                }
            }
        }
    }
    texts.sort();
    texts
}

/// The same metric once for each of its points.
fn single_points(data: MetricData) -> Vec<MetricData> {
    match data {
        MetricData::Gauge { points } => {
            let one = |mut point: lumitrace_model::NumberPoint| {
                sort(&mut point.attributes);
                MetricData::Gauge {
                    points: vec![point],
                }
            };
            points.into_iter().map(one).collect()
        }
        MetricData::Sum {
            temporality,
            is_monotonic,
            points,
        } => {
            let one = |mut point: lumitrace_model::NumberPoint| {
                sort(&mut point.attributes);
                MetricData::Sum {
                    temporality,
                    is_monotonic,
                    points: vec![point],
                }
            };
            points.into_iter().map(one).collect()
        }
        MetricData::Histogram {
            temporality,
            points,
        } => {
            let one = |mut point: lumitrace_model::HistogramPoint| {
                sort(&mut point.attributes);
                MetricData::Histogram {
                    temporality,
                    points: vec![point],
                }
            };
            points.into_iter().map(one).collect()
        }
        MetricData::ExponentialHistogram {
            temporality,
            points,
        } => {
            let one = |mut point: lumitrace_model::ExponentialHistogramPoint| {
                sort(&mut point.attributes);
                MetricData::ExponentialHistogram {
                    temporality,
                    points: vec![point],
                }
            };
            points.into_iter().map(one).collect()
        }
        MetricData::Summary { points } => {
            let one = |mut point: lumitrace_model::SummaryPoint| {
                sort(&mut point.attributes);
                MetricData::Summary {
                    points: vec![point],
                }
            };
            points.into_iter().map(one).collect()
        }
    }
}

/// Takes everything of a signal from one folder to another through a file of this kind; returns the
/// other folder.
fn through(dir: &Path, from: &Path, signal: &str, file: &str) -> std::path::PathBuf {
    let path = dir.join(file);
    let to = path.to_str().unwrap();
    let exported = report(from, &["export", "--signal", signal, "--quiet", "--to", to]);
    let data = dir.join(format!("data-{}", file.replace(['.', '/'], "-")));
    let imported = report(&data, &["import", "--quiet", to]);
    assert_eq!(exported["records"], imported["stored"], "{file}");
    assert_eq!(imported["problems"], 0, "{imported}");
    data
}

fn import(data: &Path, file: &Path, bytes: &[u8]) -> Value {
    std::fs::write(file, bytes).unwrap();
    report(data, &["import", "--quiet", file.to_str().unwrap()])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn random_log_records_come_through_every_format_as_they_were(groups in resource_logs()) {
        let dir = tempfile::tempdir().unwrap();
        let first = dir.path().join("data");
        import(&first, &dir.path().join("in.jsonl"), &json::encode_logs(&groups));
        let expected = comparable_logs(groups);
        prop_assert_eq!(&logs_in(&first), &expected);
        for file in FILES {
            let data = through(dir.path(), &first, "logs", file);
            prop_assert_eq!(&logs_in(&data), &expected, "{}", file);
        }
        // The blocks themselves are understood too, with their payload.
        let (blocks, data) = (first.join("logs/blocks"), dir.path().join("of-blocks"));
        report(&data, &["import", "--quiet", blocks.to_str().unwrap()]);
        prop_assert_eq!(&logs_in(&data), &expected);
    }

    #[test]
    fn random_points_of_every_kind_come_through_every_format_as_they_were(
        groups in resource_metrics(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let first = dir.path().join("data");
        import(&first, &dir.path().join("in.jsonl"), &json::encode_metrics(&groups));
        let expected = comparable_metrics(groups);
        prop_assert_eq!(&metrics_in(&first), &expected);
        for file in FILES {
            let data = through(dir.path(), &first, "metrics", file);
            prop_assert_eq!(&metrics_in(&data), &expected, "{}", file);
        }
        let (blocks, data) = (first.join("metrics/blocks"), dir.path().join("of-blocks"));
        report(&data, &["import", "--quiet", blocks.to_str().unwrap()]);
        prop_assert_eq!(&metrics_in(&data), &expected);
    }

    #[test]
    fn lines_of_all_signals_in_one_file_go_to_their_shelves(
        spans in resource_spans(),
        logs in resource_logs(),
        metrics in resource_metrics(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let lines = [
            json::encode_logs(&logs),
            json::encode_traces(&spans),
            json::encode_metrics(&metrics),
        ];
        let report = import(&data, &dir.path().join("in.jsonl"), &lines.join(&b'\n'));
        prop_assert_eq!(&super::spans_in(&data), &super::comparable(spans));
        let (logs, metrics) = (comparable_logs(logs), comparable_metrics(metrics));
        prop_assert_eq!(report["log_records"].as_u64(), Some(logs.len() as u64));
        prop_assert_eq!(report["points"].as_u64(), Some(metrics.len() as u64));
        prop_assert_eq!(&logs_in(&data), &logs);
        prop_assert_eq!(&metrics_in(&data), &metrics);
    }
}

#[test]
fn filters_choose_log_records_and_points() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let log = |service: &str, time: u64, trace: &str| {
        format!(
            r#"{{"resourceLogs":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{service}"}}}}]}},"scopeLogs":[{{"logRecords":[{{"timeUnixNano":"{time}","traceId":"{trace}","body":{{"stringValue":"said"}}}}]}}]}}]}}"#
        )
    };
    let first = "0123456789abcdef0123456789abcdef";
    let second = "fedcba9876543210fedcba9876543210";
    let second_nano = 1_000_000_000;
    let lines = [
        log("a", second_nano, first),
        log("b", 2 * second_nano, first),
        log("b", 3 * second_nano, second),
    ];
    import(
        &data,
        &dir.path().join("in.jsonl"),
        lines.join("\n").as_bytes(),
    );
    let count = |arguments: &[&str]| {
        let out = dir.path().join("out.pb");
        let to = [
            "export",
            "--signal",
            "logs",
            "--quiet",
            "--to",
            out.to_str().unwrap(),
        ];
        report(&data, &[&to[..], arguments].concat())["records"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(count(&[]), 3);
    assert_eq!(count(&["--service", "b"]), 2);
    assert_eq!(count(&["--start", "1970-01-01T00:00:02Z"]), 2);
    assert_eq!(count(&["--end", "1970-01-01T00:00:02Z"]), 2);
    assert_eq!(count(&["--trace", first]), 2);
    assert_eq!(
        count(&["--trace", first, "--trace", second, "--limit", "1"]),
        1
    );
    let of_trace = [
        "export", "--signal", "metrics", "--to", "-", "--trace", first,
    ];
    let refused = store(&data, &of_trace);
    assert_eq!(refused.status.code(), Some(1));
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(error.contains("belong to no trace"), "{error}");
}

#[test]
fn points_that_no_store_keeps_are_counted_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("in.jsonl"));
    let line = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"loss","gauge":{"dataPoints":[{"timeUnixNano":"5","asDouble":1.5},{"asDouble":2.5}]}}]}]}]}"#;
    std::fs::write(&file, line).unwrap();
    let output = store(
        &data,
        &["import", "--quiet", "--json", file.to_str().unwrap()],
    );
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["stored"], &report["rejected"]),
        (&1.into(), &1.into())
    );
    assert_eq!(report["reason"], "a data point has no time");
    assert_eq!(metrics_in(&data).len(), 1);
}

#[test]
fn protobuf_that_does_not_show_what_it_holds_is_said_so_and_read_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("in.pb"));
    let only_a_body =
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"said"}}]}]}]}"#;
    let logs = json::decode_logs(only_a_body.as_bytes(), &DecodeLimits::default()).unwrap();
    let message = protobuf::encode_logs(&logs);
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    std::fs::write(&file, [&length[..], &message].concat()).unwrap();
    let file = file.to_str().unwrap();
    let output = store(&data, &["import", "--quiet", file]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("message 1: ") && said.contains("--signal"),
        "{said}"
    );
    report(&data, &["import", "--quiet", "--signal", "logs", file]);
    assert_eq!(logs_in(&data), comparable_logs(logs));
}

#[tokio::test]
async fn a_running_server_takes_imported_log_records() {
    let dir = tempfile::tempdir().unwrap();
    let (other, file) = (dir.path().join("other"), dir.path().join("in.pb"));
    fill(&other, &dir.path().join("spans.pb"), "3");
    let line = br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"5","body":{"stringValue":"said"}}]}]}]}"#;
    import(&other, &dir.path().join("in.jsonl"), line);
    let to = [
        "export",
        "--signal",
        "logs",
        "--quiet",
        "--to",
        file.to_str().unwrap(),
    ];
    report(&other, &to);
    let server = Server::start(dir.path()).await;
    let data = dir.path().join("data");
    for url in [&server.otlp_http, &server.otlp_grpc] {
        let url = format!("http://{url}");
        let mut arguments = vec!["import", "--quiet", file.to_str().unwrap(), "--to", &url];
        if url.ends_with(&server.otlp_grpc.to_string()) {
            arguments.extend(["--protocol", "grpc"]);
        }
        let sent = report(&data, &arguments);
        assert_eq!(sent["stored"], 1, "{sent}");
    }
    let (_, page) = server.get("/api/lumitrace/v1/logs").await;
    assert_eq!(page["logs"].as_array().unwrap().len(), 2, "{page}");
}
