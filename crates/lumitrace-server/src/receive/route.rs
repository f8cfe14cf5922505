//! Which receiver a path means, sloppy spellings included.

use lumitrace_wire::otlp::Signal;

/// What a path on an OTLP port asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// A signal, at its path or a sloppy spelling of it.
    Export(Signal),
    /// `/`: clients that were given a bare address post there. What it is, its content says.
    Root,
    /// Profiles: real OTLP, but not stable, and not stored here.
    Profiles,
    /// gRPC's own health check.
    GrpcHealth,
    /// Nothing.
    Unknown,
}

/// The receiver for a request's path.
///
/// Clients double the path when a base address already holds it, and add slashes in front and at
/// the end; all of that still says which signal is meant.
pub(super) fn route(path: &str) -> Route {
    let mut segments: Vec<&str> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    if segments.first() == Some(&"api") {
        segments.remove(0);
    }
    if let [a, b, c, d] = segments[..]
        && (a, b) == (c, d)
    {
        segments.truncate(2);
    }
    match segments[..] {
        [] => Route::Root,
        ["v1", "traces"] => Route::Export(Signal::Traces),
        ["v1", "logs"] => Route::Export(Signal::Logs),
        ["v1", "metrics"] => Route::Export(Signal::Metrics),
        ["v1development", "profiles"] => Route::Profiles,
        [service, "Export"] => match service.strip_prefix("opentelemetry.proto.collector.") {
            Some("trace.v1.TraceService") => Route::Export(Signal::Traces),
            Some("logs.v1.LogsService") => Route::Export(Signal::Logs),
            Some("metrics.v1.MetricsService") => Route::Export(Signal::Metrics),
            Some("profiles.v1development.ProfilesService") => Route::Profiles,
            _ => Route::Unknown,
        },
        ["grpc.health.v1.Health", "Check"] => Route::GrpcHealth,
        _ => Route::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sloppy_paths_still_reach_the_receiver_of_their_signal() {
        for path in [
            "/v1/traces",
            "/v1/traces/",
            "//v1/traces",
            "/api/v1/traces",
            "/v1/traces/v1/traces",
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        ] {
            assert_eq!(route(path), Route::Export(Signal::Traces), "{path}");
        }
        for path in [
            "/v1/logs",
            "/v1/logs/",
            "/v1/logs/v1/logs",
            "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        ] {
            assert_eq!(route(path), Route::Export(Signal::Logs), "{path}");
        }
        assert_eq!(route("/"), Route::Root);
        assert_eq!(route(""), Route::Root);
    }

    #[test]
    fn other_signals_are_told_from_nonsense() {
        assert_eq!(route("/v1/metrics/"), Route::Export(Signal::Metrics));
        assert_eq!(route("/v1development/profiles"), Route::Profiles);
        for path in [
            "/v2/traces",
            "/v1/traces/x",
            "/v1",
            "/traces",
            "/x/Export",
            "/v1/logs/v1/traces",
        ] {
            assert_eq!(route(path), Route::Unknown, "{path}");
        }
    }
}
