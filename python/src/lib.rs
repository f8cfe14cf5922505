//! The native half of the Python package `lumitrace`.
//!
//! **What it is.** A thin layer over the Rust SDK (`lumitrace`): Python's objects become the SDK's
//! values, Python's context variables carry the current span, Python's exceptions end up on spans,
//! and the SDK's messages in `logging`. Recording, sampling, batching, encoding and sending are the
//! SDK's; the last two happen on its own thread, without the interpreter's lock.
//!
//! **What it is not.** The package's face: that is `lumitrace/tracing.py`, whose types are in
//! `lumitrace/_lumitrace.pyi`.
//!
//! Two rules hold everywhere. Nothing is raised into the traced program because of a value that it
//! hands over, except an exception that is not the value's fault, such as `KeyboardInterrupt`. And
//! no lock is held while Python code runs.
//!
//! Modules in reading order, along the way of the data: `settings` and `provider` (setting up),
//! `exporter`, `listener`, `tracer`, `drop_in` (tracers that are OpenTelemetry's as well), `context` and
//! `context_variable` (which span is current), `tracing_context` (spans around blocks), `propagation` (into
//! other processes), `training` (the documented spans of a training loop), `span`, `span_context`, `status`,
//! `exception`, `value` and `names` (what becomes of Python's objects), `finished` (spans as tests see them),
//! `readable` (spans that Python recorded), `ready`, `notice`.

mod context;
mod context_variable;
mod drop_in;
mod exception;
mod exporter;
mod finished;
mod listener;
mod names;
mod notice;
mod propagation;
mod provider;
mod readable;
mod ready;
mod settings;
mod span;
mod span_context;
mod status;
mod tracer;
mod tracing_context;
mod training;
mod value;

use pyo3::prelude::*;

/// The native half of the package `lumitrace`.
#[pymodule]
mod _lumitrace {
    #[pymodule_export]
    use crate::context::{current_span, use_opentelemetry_context};
    #[pymodule_export]
    use crate::drop_in::{DropInTracer, has_sampler, sample};
    #[pymodule_export]
    use crate::exporter::{
        ConsoleSpanExporter, FileSpanExporter, InMemorySpanExporter, JaegerSpanExporter,
        ZipkinSpanExporter,
    };
    #[pymodule_export]
    use crate::finished::{
        Event, FinishedSpan, InstrumentationScope, Link, Resource, Status, otlp_json,
    };
    #[pymodule_export]
    use crate::listener::{listen, stop_listening};
    #[pymodule_export]
    use crate::propagation::{extract, inject};
    #[pymodule_export]
    use crate::provider::{
        PyTracerProvider, get_tracer, get_tracer_provider, set_tracer_provider, shut_down_at_exit,
        tracer_provider_options,
    };
    #[pymodule_export]
    use crate::readable::record_ended;
    #[pymodule_export]
    use crate::span::PySpan;
    #[pymodule_export]
    use crate::span_context::PySpanContext;
    #[pymodule_export]
    use crate::status::PyStatusCode;
    #[pymodule_export]
    use crate::tracer::PyTracer;
    #[pymodule_export]
    use crate::tracing_context::{PyTracingContext, UseSpan};
    #[pymodule_export]
    use crate::training::{
        start_training_run, trace_batch_processing, trace_data_loading, trace_feature_engineering,
        trace_training_epoch, trace_validation,
    };

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "Python's name for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
