//! Tracing for AI programs: spans recorded at the cost of a few cache lines, and sent over OTLP.
//!
//! **What it is.** The SDK of Lumitrace: tracers and spans, context, samplers, batching and
//! exporters, with helpers for training loops. It speaks OTLP to any receiver, and Jaeger's and
//! Zipkin's protocols to those; to a Lumitrace server it also announces spans that are still open, so
//! that a run of days is seen while it runs.
//!
//! **What it is not.** No collector and no viewer (that is `lumitrace serve`), and no model of
//! spans of its own: the nouns are those of `lumitrace-model`, re-exported as [`model`].
//!
//! ```no_run
//! let _tracing = lumitrace::setup_tracing("sequence-training")
//!     .endpoint("http://localhost:4318")
//!     .environment("development")
//!     .install();
//! let tracer = lumitrace::tracer("train");
//! for epoch in 1..=3 {
//!     let epoch = lumitrace::training::training_epoch(&tracer, epoch, 3).enter();
//!     // Spans started here are its children.
//!     epoch.set_attribute("train_loss", 0.25);
//! }
//! ```
//!
//! Spans are sent in batches: as soon as 512 wait, and after 5 seconds at the latest, towards a
//! Lumitrace server after 1 second ([`BatchSettings`]).
//!
//! Built without its feature `record` the crate does nothing: the whole API is there, but no span is
//! recorded or current, no setting is read and no thread begins.
//!
//! What it promises the traced program: no call blocks (but [`TracerProvider::force_flush`] and
//! [`TracerProvider::shutdown`], which are bounded), none panics, memory is bounded, everything
//! lost is counted ([`TracerProvider::stats`]), and a forked child starts clean.
//!
//! Modules in reading order, along the way of the data: [`setup`] and [`environment`] (what the
//! program and the `OTEL_*` variables ask for), [`resource`], [`distributed`], [`provider`] and [`global`],
//! [`mod@tracer`], [`span`], [`span_context`], [`context`], [`baggage`], [`propagation`], [`sampler`], `recorder` (decides and
//! begins), `ids`, `clock`, `lane` (what a thread records, behind a lock that is biased towards it), `recording` (what is kept of an open span),
//! [`limits`], `ended` (what is handed to the worker), `pipeline` (lanes and worker thread, set by [`batch_settings`]), [`exporter`], [`notice`]; then [`training`],
//! [`argument`] (what `#[trace]` records) and [`exception`] (what spans tell of a `dyn Error`). `fork`,
//! `lock` and `panics` concern them all.

// The code that `#[trace]` writes names the crate, also in its own tests.
extern crate self as lumitrace;

/// Whether anything is recorded (feature `record`). A constant: what only recording needs is compiled away
/// where it is false.
pub(crate) const RECORDS: bool = cfg!(feature = "record");

pub mod argument;
pub mod baggage;
pub mod batch_settings;
mod clock;
pub mod context;
pub mod distributed;
#[cfg(test)]
mod documentation;
mod ended;
pub mod environment;
pub mod exception;
pub mod exporter;
mod fork;
pub mod global;
mod ids;
mod lane;
pub mod limits;
mod lock;
pub mod notice;
mod panics;
mod pipeline;
pub mod propagation;
pub mod provider;
mod recorder;
mod recording;
pub mod resource;
pub mod sampler;
pub mod setup;
pub mod span;
pub mod span_context;
pub mod tracer;
pub mod training;

// The examples of the guides are compiled and run like those of the API.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}
#[cfg(doctest)]
#[doc = include_str!("../../../docs/tracing.md")]
mod tracing_guide {}

pub use lumitrace_macros::trace;
/// The nouns: ids, values, spans as they are stored and sent.
pub use lumitrace_model as model;
pub use lumitrace_model::{KeyValue, SpanKind, StatusCode, Value};

pub use baggage::{Baggage, BaggageEntry};
pub use batch_settings::BatchSettings;
pub use context::{Context, ContextGuard, FutureExt, current_span};
pub use fork::after_fork_in_child;
pub use global::tracer;
pub use limits::{Overflow, SpanLimits};
pub use notice::Notice;
pub use pipeline::{FlushError, TracingStats};
pub use provider::TracerProvider;
pub use setup::{Tracing, setup_tracing};
pub use span::{EnteredSpan, Span, SpanTimes, unix_nano_now};
pub use span_context::SpanContext;
pub use tracer::{SpanBuilder, Tracer};
