//! Judges the variables that an OpenTelemetry SDK started from this shell would read.

use super::Finding;
use crate::config::Config;

/// What these variables make of a program's traces.
pub(super) fn check(variable: &dyn Fn(&str) -> Option<String>, config: &Config) -> Vec<Finding> {
    let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    let mut findings = Vec::new();
    if set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        findings.push(Finding::problem(
            "OTEL_SDK_DISABLED is true: programs started here send nothing",
            "unset OTEL_SDK_DISABLED",
        ));
    }
    if let Some(exporter) = set("OTEL_TRACES_EXPORTER").filter(|value| !value.contains("otlp")) {
        findings.push(Finding::problem(
            format!("OTEL_TRACES_EXPORTER is {exporter}: no traces are sent by OTLP"),
            "set OTEL_TRACES_EXPORTER=otlp, or unset it",
        ));
    }
    findings.extend(
        set("OTEL_TRACES_SAMPLER")
            .and_then(|sampler| sampling(&sampler, set("OTEL_TRACES_SAMPLER_ARG").as_deref())),
    );
    let endpoints = [
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ];
    match endpoints.iter().find_map(|name| Some((*name, set(name)?))) {
        Some((name, url)) => findings.push(endpoint(name, &url, config)),
        None => findings.push(Finding::good(
            "OTEL_EXPORTER_OTLP_ENDPOINT is not set: SDKs send to localhost:4318 or :4317",
        )),
    }
    if let Some(delay) = set("OTEL_BSP_SCHEDULE_DELAY") {
        findings.push(Finding::notice(
            format!("OTEL_BSP_SCHEDULE_DELAY is {delay} ms: spans show up that much later"),
            "unset it for the default of 5000 ms, or lower it to see spans sooner",
        ));
    }
    findings
}

fn sampling(sampler: &str, ratio: Option<&str>) -> Option<Finding> {
    let dropped = match sampler {
        "always_off" | "parentbased_always_off" => "all traces".to_owned(),
        "traceidratio" | "parentbased_traceidratio" => {
            let ratio: f64 = ratio.and_then(|ratio| ratio.parse().ok()).unwrap_or(1.0);
            if ratio >= 1.0 {
                return None;
            }
            format!("{:.4} % of all traces", (1.0 - ratio) * 100.0)
        }
        _ => return None,
    };
    let text = format!("OTEL_TRACES_SAMPLER={sampler} leaves out {dropped}");
    Some(Finding::notice(
        text,
        "set OTEL_TRACES_SAMPLER=parentbased_always_on to keep all",
    ))
}

fn endpoint(name: &str, url: &str, config: &Config) -> Finding {
    let port = url
        .rsplit_once(':')
        .map(|(_, rest)| rest.split('/').next().unwrap_or_default());
    let port: Option<u16> = port.and_then(|port| port.parse().ok());
    let ports = [config.listen.otlp_http.port, config.listen.otlp_grpc.port];
    match port {
        Some(port) if ports.contains(&port) => {
            Finding::good(format!("{name} is {url}: a port of this server"))
        }
        _ => Finding::notice(
            format!(
                "{name} is {url}: not a port of this server ({} or {})",
                ports[0], ports[1]
            ),
            format!(
                "export {name}=http://localhost:{}, unless it is meant to go there",
                ports[0]
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn worst(variables: &[(&str, &str)]) -> (Verdict, String) {
        let variable = |name: &str| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        let findings = check(&variable, &Config::default());
        let rank = |finding: &&Finding| match finding.verdict {
            Verdict::Good => 0,
            Verdict::Notice => 1,
            Verdict::Problem => 2,
        };
        let worst = findings.iter().max_by_key(rank).unwrap();
        (worst.verdict, worst.text.clone())
    }

    #[test]
    fn what_keeps_traces_away_is_named() {
        for (variables, verdict, part) in [
            (&[][..], Verdict::Good, "not set"),
            (
                &[("OTEL_SDK_DISABLED", "true")],
                Verdict::Problem,
                "OTEL_SDK_DISABLED",
            ),
            (
                &[("OTEL_TRACES_EXPORTER", "console")],
                Verdict::Problem,
                "console",
            ),
            (
                &[("OTEL_TRACES_SAMPLER", "always_off")],
                Verdict::Notice,
                "all traces",
            ),
            (
                &[
                    ("OTEL_TRACES_SAMPLER", "traceidratio"),
                    ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
                ],
                Verdict::Notice,
                "75.0000 %",
            ),
            (
                &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:9999")],
                Verdict::Notice,
                "9999",
            ),
            (
                &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:4318/")],
                Verdict::Good,
                "4318",
            ),
            (
                &[("OTEL_BSP_SCHEDULE_DELAY", "60000")],
                Verdict::Notice,
                "60000",
            ),
        ] {
            let (found, text) = worst(variables);
            assert_eq!(found, verdict, "{variables:?}: {text}");
            assert!(text.contains(part), "{variables:?}: {text}");
        }
    }
}
