//! Every setting does something, and the documentation says of it what is true.

use super::harness::{Server, lumitrace, until};
use super::spans::{self, PROTOBUF, post, protobuf, span};
use lumitrace_server::config::{Config, settings};
use std::path::Path;

/// A value that is not the default of the setting `key`.
///
/// # Panics
/// For a setting that is not known here: add it, and a test of what it does.
fn another_value(key: &str) -> &'static str {
    match key {
        "data_dir" => "elsewhere",
        "listen.otlp_grpc" | "listen.otlp_http" | "listen.ui" => "127.0.0.1:1",
        "limits.max_request_bytes" | "limits.max_in_flight_bytes" => "3MiB",
        "store.memtable_bytes" | "store.queue_bytes" | "store.log_segment_bytes" => "3MiB",
        "store.retention_max_bytes" | "store.retention_min_free_bytes" => "3MiB",
        "store.log_retention_max_bytes" | "store.metric_retention_max_bytes" => "3MiB",
        "store.retention_max_age" => "3s",
        "store.log_retention_max_age" | "store.metric_retention_max_age" => "3s",
        "query.max_memory_bytes" | "query.max_total_memory_bytes" => "3MiB",
        "query.max_time" => "3s",
        "limits.max_value_depth" | "limits.max_expansion" | "query.max_spans" => "3",
        "limits.body_timeout" | "store.durability_interval" => "3s",
        "store.flush_after" | "shutdown_timeout" => "3s",
        "store.durability" => "none",
        "ui.frame_ancestors" => "https://example.com",
        "log.level" => "error",
        "log.format" => "json",
        _ => panic!("{key} is a new setting"),
    }
}

#[test]
fn t13_every_setting_can_be_set_in_the_file_the_environment_and_by_a_flag() {
    let show = |set: &mut dyn FnMut(&mut std::process::Command)| {
        let mut command = lumitrace(&["config", "show"]);
        set(&mut command);
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        String::from_utf8(output.stdout).unwrap()
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lumitrace.yaml");
    let default = show(&mut |_| ());
    for setting in settings() {
        let value = another_value(&setting.key);
        let by_flag = show(&mut |command| {
            command.arg(format!("--{}", setting.flag())).arg(value);
        });
        let by_variable = show(&mut |command| {
            command.env(setting.env(), value);
        });
        let (sections, name) = setting.key.rsplit_once('.').unwrap_or(("", &setting.key));
        let yaml = match sections {
            "" => format!("{name}: \"{value}\"\n"),
            section => format!("{section}:\n  {name}: \"{value}\"\n"),
        };
        // A number in quotes is a text.
        let yaml = yaml.replace("\"3\"", "3");
        std::fs::write(&file, yaml).unwrap();
        let in_file = show(&mut |command| {
            command.arg("--config").arg(&file);
        });
        let changed: Vec<&str> = by_flag
            .lines()
            .filter(|line| !default.lines().any(|other| other == *line))
            .collect();
        assert_eq!(changed.len(), 1, "{}: {by_flag}", setting.key);
        assert!(
            changed[0].trim_start().starts_with(&format!("{name}:")),
            "{changed:?}"
        );
        assert_eq!(by_variable, by_flag, "{}", setting.key);
        assert_eq!(in_file, by_flag, "{}", setting.key);
    }
}

/// The status that an ordinary request gets, with one attribute that is an array in an array.
async fn status_with(arguments: &[&str]) -> u16 {
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, any_value::Value};
    let array = |value: Value| {
        Value::ArrayValue(ArrayValue {
            values: vec![AnyValue { value: Some(value) }],
        })
    };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), arguments).await;
    let mut ordinary = span(1, 1, None, "ordinary");
    let nested = array(array(Value::BoolValue(true)));
    ordinary.attributes = vec![
        spans::text("prompt", &"x".repeat(2000)),
        spans::attribute("nested", nested),
    ];
    let url = format!("http://{}/v1/traces", server.otlp_http);
    let answer = post(&url, PROTOBUF, protobuf("web", vec![ordinary])).await;
    answer.status
}

// `limits.body_timeout` has `a_body_that_never_ends_is_cut_off_in_time`, `shutdown_timeout` and
// the ports are used by every test's server, `ui.frame_ancestors` has
// `pages_forbid_foreign_scripts_and_frames`, and what the store's options do is tested in the store.
#[tokio::test]
async fn t13_each_limit_decides_what_is_refused() {
    assert_eq!(status_with(&[]).await, 200);
    for (flag, value, status) in [
        ("--limits-max-request-bytes", "1KiB", 413),
        ("--limits-max-in-flight-bytes", "1KiB", 429),
        ("--limits-max-value-depth", "1", 400),
        ("--limits-max-expansion", "0", 400),
    ] {
        assert_eq!(status_with(&[flag, value]).await, status, "{flag}");
    }
}

#[tokio::test]
async fn t13_spans_are_kept_as_long_as_the_settings_say() {
    for (flag, value) in [
        ("--store-retention-max-age", "1ms"),
        ("--store-retention-max-bytes", "1"),
        ("--store-retention-min-free-bytes", "1000000TiB"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let arguments = [flag, value, "--store-flush-after", "10ms"];
        let server = Server::start_with(dir.path(), &arguments).await;
        let mut old = span(1, 1, None, "old");
        (old.start_time_unix_nano, old.end_time_unix_nano) = (1, 2);
        let url = format!("http://{}/v1/traces", server.otlp_http);
        let answer = post(&url, PROTOBUF, protobuf("web", vec![old])).await;
        assert_eq!(answer.status, 200);
        until("the span expires", async || {
            let expired = server.metric("lumitrace_store_expired_spans_total").await;
            (expired == 1.0).then_some(())
        })
        .await;
        let (_, status) = server.get("/api/lumitrace/v1/status").await;
        assert_eq!(status["spans"], 0, "{flag}: {status}");
    }
}

#[tokio::test]
async fn t13_a_question_costs_no_more_than_the_settings_say() {
    for (flag, value, status, code) in [
        ("--query-max-time", "0s", 503, "took_too_long"),
        ("--query-max-spans", "1", 422, "too_many_spans"),
        ("--query-max-memory-bytes", "100", 422, "too_much_memory"),
        ("--query-max-total-memory-bytes", "100", 503, "busy"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start_with(dir.path(), &[flag, value]).await;
        let spans = vec![span(1, 1, None, "root"), span(1, 2, Some(1), "leaf")];
        let url = format!("http://{}/v1/traces", server.otlp_http);
        let answer = post(&url, PROTOBUF, protobuf("web", spans)).await;
        assert_eq!(answer.status, 200);
        let path = format!("/api/lumitrace/v1/traces/{:032x}", 1);
        let (found, body) = server.get(&path).await;
        assert_eq!(
            (found, &body["error"]["code"]),
            (status, &code.into()),
            "{body}"
        );
        let metric = format!("lumitrace_queries_given_up_total{{reason=\"{code}\"}}");
        assert_eq!(server.metric(&metric).await, 1.0);
        if flag == "--query-max-time" {
            let (_, page) = server.get("/api/lumitrace/v1/traces?text=nothing").await;
            assert_eq!(page["truncated"], true, "{page}");
        }
    }
}

#[tokio::test]
async fn t13_a_question_about_a_training_run_costs_no_more_either() {
    for (flag, value, status, code) in [
        ("--query-max-time", "0s", 503, "took_too_long"),
        ("--query-max-spans", "1", 422, "too_many_spans"),
        ("--query-max-memory-bytes", "100", 422, "too_much_memory"),
        ("--query-max-total-memory-bytes", "100", 503, "busy"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start_with(dir.path(), &[flag, value]).await;
        let epoch = span(1, 1, None, "training_epoch");
        let batch = span(1, 2, Some(1), "batch_processing");
        let url = format!("http://{}/v1/traces", server.otlp_http);
        let answer = post(&url, PROTOBUF, protobuf("trainer", vec![epoch, batch])).await;
        assert_eq!(answer.status, 200);
        let run = until("the run to be listed", async || {
            let (_, list) = server.get("/api/lumitrace/v1/runs").await;
            let run_id = list["runs"][0]["run_id"].as_str()?.to_owned();
            Some(format!("/api/lumitrace/v1/runs/{run_id}"))
        })
        .await;
        let archived = post(
            &format!("http://{}{run}/archive", server.ui),
            "text/plain",
            "",
        )
        .await;
        let archived = (
            archived.status,
            serde_json::from_slice(&archived.body).unwrap(),
        );
        let series = server.get(&format!("{run}/series")).await;
        for (found, body) in [server.get(&run).await, series, archived] {
            let body: serde_json::Value = body;
            assert_eq!(
                (found, &body["error"]["code"]),
                (status, &code.into()),
                "{flag}: {body}"
            );
        }
        let metric = format!("lumitrace_queries_given_up_total{{reason=\"{code}\"}}");
        assert!(server.metric(&metric).await >= 3.0);
    }
}

#[tokio::test]
async fn t13_the_log_has_the_form_and_the_level_that_were_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let json = Server::start_with(dir.path(), &["--log-format", "json"]).await;
    let log = json.log();
    let first = log.lines().next().unwrap();
    assert!(
        serde_json::from_str::<serde_json::Value>(first).is_ok(),
        "{log}"
    );
    let dir = tempfile::tempdir().unwrap();
    let silent = Server::start_with(dir.path(), &["--log-level", "error"]).await;
    assert_eq!(silent.log(), "");
}

/// Where other systems listen that the SDK sends to or asks: Jaeger's sampling, agent and collector, Zipkin.
const OF_OTHERS: [u16; 4] = [5778, 6831, 14268, 9411];

#[test]
fn t10_the_ports_in_the_documentation_are_the_defaults() {
    let config = Config::default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let (grpc, http, ui) = (
        config.listen.otlp_grpc.port,
        config.listen.otlp_http.port,
        config.listen.ui.port,
    );
    // Lines may break anywhere.
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let guide = words(&read("docs/tracing.md"));
    for part in [
        format!("{http} (OTLP/HTTP)"),
        format!("{grpc} (OTLP/gRPC)"),
        format!("{ui} (the UI)"),
        format!("`http://localhost:{http}`"),
    ] {
        assert!(guide.contains(&part), "docs/tracing.md does not say {part}");
    }
    let readme = words(&read("README.md"));
    for part in [
        format!("gRPC ({grpc})"),
        format!("HTTP ({http},"),
        format!("http://localhost:{http}"),
        format!("http://localhost:{grpc}"),
        format!("http://localhost:{ui}"),
    ] {
        assert!(readme.contains(&part), "README.md does not say {part}");
    }
    for text in [&guide, &readme] {
        for rest in text.split("localhost:").skip(1) {
            let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
            let port: u16 = port.parse().unwrap();
            let is_default = [grpc, http, ui].contains(&port);
            assert!(
                is_default || OF_OTHERS.contains(&port),
                "{port} is no default"
            );
        }
    }
}
