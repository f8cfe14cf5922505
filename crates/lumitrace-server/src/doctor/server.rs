//! Looks at the server's ports, and at what the server itself has to tell.

use super::{Finding, Verdict};
use crate::config::{Address, Config};
use crate::listen::{self, OTLP_GRPC, OTLP_HTTP, Port, UI};
use serde_json::Value;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(3);
/// A server on the same machine answers far below this.
const SLOW: Duration = Duration::from_millis(200);

/// What is found at the three ports, and what the server counted.
pub(super) fn check(config: &Config) -> Vec<Finding> {
    let listen = &config.listen;
    let ports = [
        (OTLP_HTTP, &listen.otlp_http),
        (OTLP_GRPC, &listen.otlp_grpc),
        (UI, &listen.ui),
    ];
    let mut findings: Vec<Finding> = ports
        .into_iter()
        .map(|(port, address)| check_port(port, address))
        .collect();
    if findings
        .iter()
        .any(|finding| finding.verdict != Verdict::Good)
    {
        return findings;
    }
    findings.extend(check_latency(&listen.otlp_http));
    if let Some(status) = get_json(&listen.ui, "/api/lumitrace/v1/status") {
        findings.extend(judge_status(&status));
    }
    if let Some(runs) = get_json(&listen.ui, "/api/lumitrace/v1/runs") {
        findings.extend(judge_runs(&runs));
    }
    findings
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE));
    config.http_status_as_error(false).build().into()
}

/// Where a program on this machine reaches a server that listens at `address`.
fn origin(address: &Address) -> String {
    let host = match address.host.as_str() {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    format!(
        "http://{}",
        Address {
            host: host.to_owned(),
            port: address.port
        }
    )
}

fn get_json(address: &Address, path: &str) -> Option<Value> {
    let mut response = agent()
        .get(format!("{}{path}", origin(address)))
        .call()
        .ok()?;
    let text = response.body_mut().read_to_string().ok()?;
    serde_json::from_str(&text).ok()
}

fn check_port(port: Port, address: &Address) -> Finding {
    let title = port.title;
    let health = agent().get(format!("{}/healthz", origin(address))).call();
    let healthy = health.is_ok_and(|mut response| {
        response
            .body_mut()
            .read_to_string()
            .is_ok_and(|text| text == "ok\n")
    });
    if healthy {
        return Finding::good(format!("a server answers at {address} ({title})"));
    }
    match listen::owner_of(address.port) {
        Some(owner) => Finding::problem(
            format!("the port of {address} ({title}) is taken by {owner}, which is no Lumitrace"),
            format!(
                "stop it, or choose another port: listen.{} in the settings",
                port.name
            ),
        ),
        None => Finding::problem(
            format!("nothing answers at {address} ({title})"),
            "start the server with: lumitrace serve",
        ),
    }
}

fn check_latency(address: &Address) -> Option<Finding> {
    let url = format!("{}/v1/traces", origin(address));
    let agent = agent();
    let send = || {
        let request = agent
            .post(&url)
            .header("content-type", "application/x-protobuf");
        request
            .send_empty()
            .ok()
            .filter(|response| response.status() == 200)
    };
    // The first pays for the connection.
    send()?;
    let begun = Instant::now();
    send()?;
    let took = begun.elapsed();
    let text = format!("an empty OTLP request is answered in {took:.1?}");
    Some(if took < SLOW {
        Finding::good(text)
    } else {
        let advice = "is the machine, its disk or the network to it overloaded? SDKs wait for \
                      this in the background, never in the traced program";
        Finding::notice(text, advice)
    })
}

/// What the server's own figures say about traces that are missed.
fn judge_status(status: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(problem) = status["problem"].as_str() {
        findings.push(Finding::problem(problem, "see the server's log"));
    }
    let otlp = |name: &str| status["otlp"][name].as_u64().unwrap_or(0);
    // Requests say nothing: the doctor's own are among them.
    findings.push(match otlp("spans") {
        0 => Finding::notice(
            "no spans have arrived since the server started",
            "let a program send: export OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318; spans \
             are sent in batches, every 5 s and when the program ends in order",
        ),
        spans => Finding::good(format!(
            "spans that arrived since the server started: {spans}"
        )),
    });
    let refused = otlp("refused_requests");
    if refused > 0 {
        findings.push(Finding::notice(
            format!("{refused} requests were refused"),
            "the reasons are in the server's log, and in /metrics under \
             lumitrace_ingest_refused_requests_total",
        ));
    }
    let rejected = otlp("rejected_spans");
    if rejected > 0 {
        findings.push(Finding::notice(
            format!("{rejected} spans were rejected for their ids"),
            "trace ids have 16 bytes, span ids 8, and neither may be all zero",
        ));
    }
    let rejected = otlp("rejected_metric_points");
    if rejected > 0 {
        findings.push(Finding::notice(
            format!("{rejected} points of metrics were rejected"),
            "a metric needs a name, and each of its points a time",
        ));
    }
    let to_root = otlp("posts_to_root");
    if to_root > 0 {
        findings.push(Finding::notice(
            format!("{to_root} requests were posted to / instead of /v1/traces"),
            "they were accepted here; other servers refuse them: add /v1/traces to the endpoint",
        ));
    }
    findings
}

/// Training runs whose pages would have no curves.
fn judge_runs(runs: &Value) -> Option<Finding> {
    let runs = runs["runs"].as_array()?;
    if runs.is_empty() {
        return Some(Finding::notice(
            "no training run was recognised",
            "only if one is expected: name spans training_epoch, batch_processing and validation",
        ));
    }
    let has_number = |run: &&Value| {
        ["last_loss", "last_train_loss", "last_val_loss"]
            .iter()
            .any(|key| !run[key].is_null())
    };
    let without: Vec<&str> = runs
        .iter()
        .filter(|run| !has_number(run))
        .filter_map(|run| run["service_name"].as_str())
        .collect();
    let count = runs.len();
    Some(if without.is_empty() {
        Finding::good(format!("{count} training runs, all with metrics"))
    } else {
        Finding::notice(
            format!(
                "{} of {count} training runs have no loss: {}",
                without.len(),
                without.join(", ")
            ),
            "set loss on batch_processing, and train_loss and val_loss on training_epoch, before \
             the span ends",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn texts(findings: &[Finding]) -> String {
        findings
            .iter()
            .map(|finding| format!("{finding}\n"))
            .collect()
    }

    #[test]
    fn the_servers_figures_explain_missing_traces() {
        let quiet = json!({"problem": null, "otlp": {"spans": 0}});
        assert!(texts(&judge_status(&quiet)).contains("no spans have arrived"));
        let busy = json!({"problem": "the disk is full", "otlp": {
            "requests": 9, "spans": 7, "refused_requests": 3, "rejected_spans": 2, "posts_to_root": 1,
            "rejected_metric_points": 4,
        }});
        let found = texts(&judge_status(&busy));
        for part in [
            "the disk is full",
            "started: 7",
            "3 requests were refused",
            "2 spans",
            "4 points of metrics",
            "posted to /",
        ] {
            assert!(found.contains(part), "{part} is missing in:\n{found}");
        }
    }

    #[test]
    fn runs_without_metrics_are_named() {
        let runs = json!({"runs": [
            {"service_name": "blind", "last_loss": null},
            {"service_name": "seeing", "last_loss": "NaN"},
        ]});
        let finding = judge_runs(&runs).unwrap();
        assert!(
            finding.text.contains("1 of 2") && finding.text.contains("blind"),
            "{finding}"
        );
    }
}
