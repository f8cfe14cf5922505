//! The command line and the settings, as a person at a terminal meets them.

use super::harness::{lumitrace, run};
use std::process::Output;

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn t13_an_unknown_key_in_the_file_is_named_with_the_nearest_known_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.yaml");
    std::fs::write(&file, "listen:\n  otlp_htpp: 127.0.0.1:1\n").unwrap();
    let output = run(&["serve", "--config", file.to_str().unwrap()]);
    assert!(!output.status.success());
    let text = stderr(&output);
    for part in [
        "bad.yaml",
        "listen.otlp_htpp",
        "did you mean \"listen.otlp_http\"?",
    ] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
}

#[test]
fn t13_an_unknown_variable_is_named_with_the_nearest_known_one() {
    let output = lumitrace(&["serve"])
        .env("LUMITRACE_DATADIR", "/x")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = stderr(&output);
    assert!(
        text.contains("LUMITRACE_DATADIR") && text.contains("LUMITRACE_DATA_DIR"),
        "{text}"
    );
}

#[test]
fn t13_an_unknown_flag_is_named() {
    let output = run(&["serve", "--listen-otlp-htpp", "127.0.0.1:0"]);
    assert!(!output.status.success());
    let text = stderr(&output);
    assert!(
        text.contains("--listen-otlp-htpp") && text.contains("--listen-otlp-http"),
        "{text}"
    );
}

#[test]
fn a_wrong_value_says_what_it_should_be() {
    for (arguments, part) in [
        (["--store-durability", "maybe"], "fsync"),
        (["--limits-max-request-bytes", "lots"], "64MiB"),
        (["--listen-ui", "16686"], "127.0.0.1:4317"),
        (["--shutdown-timeout", "soon"], "10s"),
        (["--log-level", "a=b=c"], "log.level"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let mut command = lumitrace(&["serve", "--data-dir"]);
        let output = command.arg(data).args(arguments).output().unwrap();
        assert!(!output.status.success());
        let text = stderr(&output);
        assert!(text.contains(part), "{arguments:?}: {text}");
    }
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_the_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = "listen: {otlp_grpc: '127.0.0.1:1', otlp_http: '127.0.0.1:1', ui: '127.0.0.1:1'}\n";
    std::fs::write(dir.path().join("lumitrace.yaml"), yaml).unwrap();
    let output = lumitrace(&["config", "show", "--listen-otlp-grpc", "127.0.0.1:3"])
        .current_dir(dir.path())
        .env("LUMITRACE_LISTEN_OTLP_GRPC", "127.0.0.1:2")
        .env("LUMITRACE_LISTEN_OTLP_HTTP", "127.0.0.1:2")
        .output()
        .unwrap();
    let text = stdout(&output);
    for part in [
        "otlp_grpc: \"127.0.0.1:3\"",
        "otlp_http: \"127.0.0.1:2\"",
        "ui: \"127.0.0.1:1\"",
        "durability: fsync",
    ] {
        let bare = part.replace('"', "");
        assert!(
            text.contains(part) || text.contains(&bare),
            "{part} is missing in:\n{text}"
        );
    }
}

#[test]
fn the_file_in_the_data_folder_is_found() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("lumitrace.yaml"), "shutdown_timeout: 77s\n").unwrap();
    let output = lumitrace(&["config", "show", "--data-dir"])
        .arg(dir.path())
        .output()
        .unwrap();
    assert!(stdout(&output).contains("77s") || stdout(&output).contains("1m 17s"));
}

#[test]
fn a_missing_file_is_named() {
    let output = run(&["serve", "--config", "/nowhere/lumitrace.yaml"]);
    assert!(!output.status.success());
    assert!(
        stderr(&output).contains("/nowhere/lumitrace.yaml"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_taken_port_is_said_with_its_owner_and_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = dir.path().join("data");
    let output = lumitrace(&["serve", "--listen-otlp-grpc", "127.0.0.1:0", "--data-dir"])
        .arg(data)
        .args(["--listen-otlp-http", &address])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = stderr(&output);
    for part in [
        &*address,
        "OTLP/HTTP",
        "--listen-otlp-http",
        "LUMITRACE_LISTEN_OTLP_HTTP",
        "listen.otlp_http",
    ] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
    if cfg!(target_os = "linux") {
        let owner = format!("(process {})", std::process::id());
        assert!(text.contains(&owner), "{owner} is missing in: {text}");
    }
}

#[test]
fn the_help_teaches() {
    let help = stdout(&run(&["serve", "--help"]));
    for part in [
        "--listen-ui",
        "127.0.0.1:16686",
        "LUMITRACE_LISTEN_UI",
        "--store-durability",
    ] {
        assert!(help.contains(part), "{part} is missing in:\n{help}");
    }
    let help = stdout(&run(&["--help"]));
    assert!(help.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{help}");
    assert!(stdout(&run(&["version"])).starts_with("lumitrace "));
}
