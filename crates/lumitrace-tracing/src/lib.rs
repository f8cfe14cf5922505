//! Spans and events of the [`tracing`](https://docs.rs/tracing) crate, recorded by Lumitrace.
//!
//! **What it is.** A layer for `tracing-subscriber`. A span of `tracing` becomes a span of Lumitrace, an
//! event becomes an event of the current span, and fields become typed attributes. While a span of
//! `tracing` is entered it is Lumitrace's current span, and it begins below whatever span of Lumitrace is
//! current: so `#[tracing::instrument]`, `#[lumitrace::trace]` and guards nest in each other both ways,
//! and [`lumitrace::propagation`] carries either into other processes.
//!
//! **What it is not.** No filter (give it one with `with_filter`), and no set-up: where spans go, the
//! provider of its tracer says.
//!
//! ```
//! use lumitrace::{TracerProvider, exporter::InMemoryExporter};
//! use tracing_subscriber::prelude::*;
//!
//! let spans = InMemoryExporter::default(); // lumitrace::setup_tracing("my-service") in a program
//! let provider = TracerProvider::builder().exporter(spans.clone()).build();
//! let layer = lumitrace_tracing::TracingLayer::new(provider.tracer("my-service"));
//! let subscriber = tracing_subscriber::registry().with(layer);
//!
//! #[tracing::instrument]
//! fn load(pair: &str) -> u32 {
//!     tracing::info!(rows = 20, "loaded");
//!     20
//! }
//! tracing::subscriber::with_default(subscriber, || load("gbpusd"));
//!
//! provider.force_flush(std::time::Duration::from_secs(5))?;
//! let span = &spans.finished_spans()[0].span;
//! assert_eq!((&*span.name, &*span.events[0].name), ("load", "loaded"));
//! assert_eq!(span.attribute("pair"), Some(&"gbpusd".into()));
//! # Ok::<(), lumitrace::FlushError>(())
//! ```
//!
//! # What becomes of what
//!
//! | in `tracing` | in Lumitrace |
//! |---|---|
//! | a field, also one that is `record`ed later | an attribute: numbers, truth values, texts and bytes as such, the rest as `Debug` or `Display` prints it |
//! | field `otel.name` | the span's name |
//! | field `otel.kind` | the span's kind: `server`, `client`, `producer`, `consumer`, `internal`; only from the start |
//! | fields `otel.status_code`, `otel.status_description` | the span's status: `OK` or `ERROR`, and why |
//! | `follows_from` | a link |
//! | an event | an event with its message as name, and `level` and `target` |
//! | an event at level `ERROR` | also the span's status; an error in it (`error = &e as &dyn Error`, `%err`, `#[instrument(err)]`) an `exception` event, as by [`lumitrace::Span::record_exception`] |
//! | an error in an event of another level | attributes `exception.type`, `exception.message`, `exception.stacktrace` of that event: it was dealt with |
//! | an error in a field of a span | an `exception` event: the span failed |
//!
//! Spans that begin on a thread that exports are left out: each export would make spans to export.
//!
//! `message` and `otel.*` are read as `tracing-opentelemetry` reads them, so that programs written for it
//! keep their spans. What its extension trait for spans does, `in_scope` does here:
//!
//! ```
//! let span = tracing::info_span!("request");
//! let context = span.in_scope(lumitrace::Context::current); // to carry it elsewhere
//! # let other = lumitrace::SpanContext::default();
//! span.in_scope(|| lumitrace::current_span().add_link(&other, vec![]));
//! ```
//!
//! and a parent from another process is attached before the span begins:
//!
//! ```
//! # let headers = std::collections::HashMap::<String, String>::new();
//! let caller = lumitrace::propagation::extract(&headers).attach();
//! let span = tracing::info_span!("request");
//! drop(caller);
//! ```
//!
//! Modules in reading order: `fields` (what fields say), `layer`.

mod fields;
mod layer;

pub use layer::{TracingLayer, layer};
