//! Sets tracing up for one program. Nothing here stops the training: what cannot be used leaves a
//! warning, and where there is no receiver the program runs on without one.

use lumitrace::Tracing;

use crate::cli::TracingArguments;

/// Sets tracing up under the program's own service name, unless the flags say no. What the flags
/// leave open is left to Lumitrace: the `OTEL_*` variables first, then its defaults
/// (`http://localhost:4318`, environment `development`).
///
/// The guard sends what is left when it is dropped.
pub fn set_up(service_name: &str, arguments: &TracingArguments) -> Tracing {
    let mut set_up = lumitrace::setup_tracing(service_name)
        .service_version(env!("CARGO_PKG_VERSION"))
        .enabled(!arguments.no_tracing);
    if let Some(endpoint) = &arguments.otlp_endpoint {
        set_up = set_up.endpoint(endpoint);
    }
    if let Some(environment) = &arguments.environment {
        set_up = set_up.environment(environment);
    }
    set_up.install()
}
