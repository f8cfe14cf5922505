//! Lumitrace under the interfaces of the [`opentelemetry`] crate.
//!
//! **What it is.** Both directions of one bridge. Libraries that are instrumented with the `opentelemetry`
//! crate record with Lumitrace: its traits [`TracerProvider`](opentelemetry::trace::TracerProvider),
//! [`Tracer`](opentelemetry::trace::Tracer) and [`Span`](opentelemetry::trace::Span) over a provider of
//! Lumitrace. And what is written for `opentelemetry_sdk`, its exporters and span processors, is given the
//! spans that Lumitrace records ([`SdkExporter`], [`SdkProcessor`]).
//!
//! **What it is not.** No second recorder: spans, samplers, limits and batches are Lumitrace's. No metrics
//! and no logs.
//!
//! ```
//! use lumitrace_opentelemetry::TracerProvider;
//! use opentelemetry::trace::{TraceContextExt, Tracer};
//! use opentelemetry::{KeyValue, global};
//!
//! let spans = lumitrace::exporter::InMemoryExporter::default(); // setup_tracing(..) in a program
//! let provider = lumitrace::TracerProvider::builder().exporter(spans.clone()).build();
//! global::set_tracer_provider(TracerProvider::new(provider));
//!
//! // Somewhere in a library:
//! global::tracer("library").in_span("fetch", |context| {
//!     context.span().set_attribute(KeyValue::new("rows", 20));
//!     // The same span is current in Lumitrace.
//!     lumitrace::current_span().set_attribute("pair", "gbpusd");
//! });
//!
//! provider.force_flush(std::time::Duration::from_secs(5))?;
//! let span = &spans.finished_spans()[0].span;
//! assert_eq!((&*span.name, span.attributes.len()), ("fetch", 2));
//! # Ok::<(), lumitrace::FlushError>(())
//! ```
//!
//! # Contexts
//!
//! An `opentelemetry` context that is attached, or that a future carries, makes its span and its baggage
//! current in Lumitrace, too; so spans of either kind nest in each other as they are entered. The other way
//! round, a tracer of this crate begins spans below Lumitrace's current span. What reads `opentelemetry`'s
//! current context directly, such as its propagators, does not see a span that Lumitrace made current:
//! hand it [`current_context`].
//!
//! There is one observer of contexts in a process. Where another library has set one first, spans of
//! `opentelemetry` still nest in each other, but are not current in Lumitrace.
//!
//! # Limits
//!
//! - Statuses and `record_error` mean what they mean in `opentelemetry`: an error that is recorded is an
//!   event and no status.
//! - A scope's schema is not kept.
//! - A span processor sees spans when they have ended (`on_end`). `on_start` is given a span that only the
//!   SDK's own tracer can make, so it is not called.
//! - `opentelemetry`'s values are texts, numbers and lists of one type: maps, bytes and mixed lists reach
//!   its exporters as JSON text.
//!
//! Modules in reading order: `convert` (nouns of one side as those of the other), `context` (what is
//! current), `provider` and `span` (the traits); with the feature `sdk`: `span_data`, `running` (where async
//! exporters run), `exporter`, `processor`.

mod context;
mod convert;
#[cfg(feature = "sdk")]
mod exporter;
#[cfg(feature = "sdk")]
mod processor;
mod provider;
#[cfg(feature = "sdk")]
mod running;
mod span;
#[cfg(feature = "sdk")]
mod span_data;

pub use context::current_context;
#[cfg(feature = "sdk")]
pub use exporter::SdkExporter;
#[cfg(feature = "sdk")]
pub use processor::SdkProcessor;
pub use provider::{Tracer, TracerProvider};
pub use span::Span;
