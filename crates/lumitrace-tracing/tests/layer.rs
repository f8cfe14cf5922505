//! What becomes of spans and events of the `tracing` crate.
#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

use std::num::ParseIntError;
use std::time::Duration;

use lumitrace::exporter::{
    ExportBatch, ExportError, ExportReceipt, InMemoryExporter, SpanExporter,
};
use lumitrace::model::{Event, Span};
use lumitrace::sampler::AlwaysOff;
use lumitrace::{SpanKind, StatusCode, Tracer, TracerProvider, Value, current_span};
use lumitrace_tracing::TracingLayer;
use tracing::subscriber::{DefaultGuard, set_default};
use tracing::{Dispatch, Instrument, info_span, instrument};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::prelude::*;

/// Longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// `tracing` recorded into memory, on this thread.
struct Recording {
    provider: TracerProvider,
    exporter: InMemoryExporter,
    tracer: Tracer,
    _default: DefaultGuard,
}

impl Recording {
    fn start() -> Self {
        Self::with(|layer| layer)
    }

    fn with(adapt: impl FnOnce(TracingLayer) -> TracingLayer) -> Self {
        let exporter = InMemoryExporter::default();
        let provider = TracerProvider::builder().exporter(exporter.clone()).build();
        let tracer = provider.tracer("test");
        let layer = adapt(TracingLayer::new(tracer));
        Self {
            provider,
            exporter,
            tracer,
            _default: set_default(tracing_subscriber::registry().with(layer)),
        }
    }

    fn spans(&self) -> Vec<Span> {
        self.provider.force_flush(PATIENCE).unwrap();
        let finished = self.exporter.finished_spans().into_iter();
        finished.map(|finished| finished.span).collect()
    }

    fn only(&self) -> Span {
        let spans = self.spans();
        assert_eq!(spans.len(), 1, "{spans:#?}");
        spans[0].clone()
    }
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found = spans.iter().find(|span| span.name == name);
    found.unwrap_or_else(|| panic!("no span {name} in {spans:#?}"))
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| &*event.name).collect()
}

fn attribute<'a>(event: &'a Event, key: &str) -> Option<&'a Value> {
    lumitrace::model::value::find(&event.attributes, key)
}

#[test]
fn a37_spans_of_tracing_and_of_lumitrace_nest_in_each_other_both_ways() {
    let recording = Recording::start();
    let request = recording.tracer.span("request").enter();
    info_span!("schedule").in_scope(|| {
        recording.tracer.in_span("place", |_| {
            info_span!("reserve").in_scope(|| {
                assert_eq!(
                    current_span().snapshot().unwrap().name,
                    "reserve",
                    "the one that is current in Lumitrace"
                );
            });
            let rooted = info_span!(parent: None, "audit");
            info_span!(parent: &rooted, "write").in_scope(|| ());
        });
        assert_eq!(current_span().snapshot().unwrap().name, "schedule");
    });
    assert_eq!(current_span().snapshot().unwrap().name, "request");
    drop(request);

    let spans = recording.spans();
    let parent_of = |name| named(&spans, name).parent_span_id;
    let id_of = |name| Some(named(&spans, name).span_id);
    assert_eq!(parent_of("request"), None);
    assert_eq!(parent_of("schedule"), id_of("request"));
    assert_eq!(parent_of("place"), id_of("schedule"));
    assert_eq!(parent_of("reserve"), id_of("place"));
    assert_eq!(parent_of("audit"), None);
    assert_eq!(parent_of("write"), id_of("audit"));
}

#[tokio::test]
async fn c37_an_instrumented_future_carries_its_span_over_awaits_and_tasks() {
    let recording = Recording::start();
    let tracer = recording.tracer;
    let entry = info_span!("entry");
    let work = async move {
        tokio::task::yield_now().await;
        tracer.span("inside").start().end();
        let context = lumitrace::Context::current();
        let elsewhere = tokio::task::spawn_blocking(move || {
            let _guard = context.attach();
            tracer.span("elsewhere").start().end();
        });
        elsewhere.await.unwrap();
    };
    let other = async {
        tokio::task::yield_now().await;
        assert!(!current_span().is_recording(), "a task of its own");
    };
    tokio::join!(work.instrument(entry.clone()), other);
    drop(entry);

    let spans = recording.spans();
    let entry = Some(named(&spans, "entry").span_id);
    assert_eq!(named(&spans, "inside").parent_span_id, entry);
    assert_eq!(named(&spans, "elsewhere").parent_span_id, entry);
}

#[test]
fn fields_keep_their_types_also_when_they_are_recorded_later() {
    let recording = Recording::start();
    let span = info_span!(
        "typed",
        int = -1,
        unsigned = 7_u64,
        wide = i128::from(u64::MAX) + 1,
        double = 0.5,
        is_true = true,
        text = "a \"b\"",
        shown = %"c",
        printed = ?Some("d"),
        r#type = "keyword",
        later = tracing::field::Empty,
        never = tracing::field::Empty,
    );
    span.record("later", 3);
    drop(span);
    let span = recording.only();
    for (key, value) in [
        ("int", Value::Int(-1)),
        ("unsigned", Value::Int(7)),
        ("wide", Value::from("18446744073709551616")),
        ("double", Value::Double(0.5)),
        ("is_true", Value::Bool(true)),
        ("text", Value::from("a \"b\"")),
        ("shown", Value::from("c")),
        ("printed", Value::from("Some(\"d\")")),
        ("type", Value::from("keyword")),
        ("later", Value::Int(3)),
    ] {
        assert_eq!(span.attribute(key), Some(&value), "{key}");
    }
    assert_eq!(span.attribute("never"), None);
    assert_eq!(span.attributes.len(), 10, "{:?}", span.attributes);
}

#[test]
fn fields_of_opentelemetry_name_the_span_its_kind_and_its_status() {
    let recording = Recording::start();
    let span = info_span!(
        "handler",
        otel.name = "GET /runs",
        otel.kind = "SERVER",
        otel.status_code = tracing::field::Empty,
        otel.status_description = tracing::field::Empty,
    );
    span.record("otel.status_code", "ERROR");
    span.record("otel.status_description", "no such run");
    span.record("otel.name", "GET /runs/{id}");
    drop(span);
    let span = recording.only();
    assert_eq!(
        (&*span.name, span.kind),
        ("GET /runs/{id}", SpanKind::Server)
    );
    assert_eq!(span.status.code, StatusCode::Error);
    assert_eq!(span.status.message, "no such run");
    assert!(span.attributes.is_empty(), "{:?}", span.attributes);
}

#[test]
fn what_a_span_follows_from_is_linked() {
    let recording = Recording::start();
    let first = info_span!("first");
    let second = info_span!("second");
    second.follows_from(&first);
    drop((first, second));
    let spans = recording.spans();
    let links = &named(&spans, "second").links;
    assert_eq!(links.len(), 1);
    assert_eq!(links[0].span_id, named(&spans, "first").span_id);
}

#[test]
fn events_belong_to_the_current_span_whoever_made_it_current() {
    let recording = Recording::start();
    tracing::info!("nobody's");
    let other = info_span!("other");
    {
        let _guard = recording.tracer.span("by_hand").enter();
        tracing::warn!(target: "loader", rows = 20, "short read");
        tracing::info!(parent: &other, "elsewhere");
        tracing::info!(parent: None, "nowhere");
    }
    drop(other);
    let spans = recording.spans();
    let events = &named(&spans, "by_hand").events;
    assert_eq!(names(events), ["short read"]);
    assert_eq!(attribute(&events[0], "level"), Some(&Value::from("WARN")));
    assert_eq!(
        attribute(&events[0], "target"),
        Some(&Value::from("loader"))
    );
    assert_eq!(attribute(&events[0], "rows"), Some(&Value::Int(20)));
    assert_eq!(names(&named(&spans, "other").events), ["elsewhere"]);
    assert_eq!(named(&spans, "by_hand").status.code, StatusCode::Unset);
}

#[instrument(err)]
fn parse(text: &str) -> Result<u32, ParseIntError> {
    text.parse()
}

#[test]
fn t20_t21_the_error_of_an_instrumented_function_is_one_exception_event_on_its_span() {
    let recording = Recording::start();
    info_span!("caller").in_scope(|| {
        // Dealt with here.
        assert!(parse("seven").is_err());
    });
    let spans = recording.spans();
    let failed = named(&spans, "parse");
    assert_eq!(names(&failed.events), ["exception"]);
    assert_eq!(failed.status.code, StatusCode::Error);
    let message = Value::from("invalid digit found in string");
    assert_eq!(failed.attribute("error.message"), Some(&message));
    let stack = attribute(&failed.events[0], "exception.stacktrace").unwrap();
    assert!(stack.as_str().unwrap().contains("layer.rs:"), "{stack:?}");
    let caller = named(&spans, "caller");
    assert!(caller.events.is_empty() && caller.status.code == StatusCode::Unset);
}

#[test]
fn t20_an_error_value_gives_type_message_and_causes() {
    #[derive(Debug)]
    struct Unreadable(ParseIntError);
    impl std::fmt::Display for Unreadable {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("the file is unreadable")
        }
    }
    impl std::error::Error for Unreadable {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let recording = Recording::start();
    let error = Unreadable("seven".parse::<u32>().unwrap_err());
    let error = &error as &(dyn std::error::Error + 'static);
    info_span!("failed").in_scope(|| tracing::error!(error, attempt = 2, "gave up"));
    info_span!("retried").in_scope(|| tracing::warn!(error, attempt = 1, "again"));
    info_span!("on the span", error);

    let spans = recording.spans();
    let failed = named(&spans, "failed");
    assert_eq!(names(&failed.events), ["gave up", "exception"]);
    assert_eq!(failed.status.code, StatusCode::Error);
    assert_eq!(
        attribute(&failed.events[0], "attempt"),
        Some(&Value::Int(2))
    );
    let exception = &failed.events[1];
    assert_eq!(
        attribute(exception, "exception.type"),
        Some(&Value::from("Unreadable"))
    );
    let stack = attribute(exception, "exception.stacktrace").unwrap();
    let cause = "caused by: invalid digit found in string";
    assert!(stack.as_str().unwrap().contains(cause), "{stack:?}");

    let retried = named(&spans, "retried");
    assert_eq!(names(&retried.events), ["again"]);
    assert_eq!(retried.status.code, StatusCode::Unset);
    assert!(attribute(&retried.events[0], "exception.message").is_some());

    let on_span = named(&spans, "on the span");
    assert_eq!(names(&on_span.events), ["exception"]);
    assert_eq!(on_span.status.code, StatusCode::Error);
}

#[test]
fn an_error_event_without_an_error_is_the_status_of_its_span() {
    let recording = Recording::start();
    info_span!("failed").in_scope(|| tracing::error!("out of memory"));
    let span = recording.only();
    assert_eq!(names(&span.events), ["out of memory"]);
    assert_eq!(span.status.code, StatusCode::Error);
    assert_eq!(span.status.message, "out of memory");
}

#[test]
fn t21_a_panic_is_told_by_the_innermost_span_alone() {
    let recording = Recording::start();
    let outcome = std::panic::catch_unwind(|| {
        let _outer = info_span!("outer").entered();
        let _inner = info_span!("inner").entered();
        panic!("on purpose");
    });
    assert!(outcome.is_err());
    let spans = recording.spans();
    let (outer, inner) = (named(&spans, "outer"), named(&spans, "inner"));
    assert_eq!(
        (names(&inner.events), outer.events.len()),
        (vec!["exception"], 0)
    );
    assert_eq!(inner.status.code, StatusCode::Error);
    assert_eq!(outer.status.code, StatusCode::Error);
    assert!(!current_span().is_recording(), "nothing stays current");
}

#[test]
fn the_place_in_the_source_is_told_on_request() {
    let recording = Recording::with(|layer| layer.with_locations(true));
    info_span!("placed").in_scope(|| tracing::info!("here"));
    let span = recording.only();
    let file = span.attribute("code.file.path").unwrap().as_str().unwrap();
    assert!(file.ends_with("layer.rs"), "{file}");
    assert!(span.attribute("code.line.number").is_some());
    assert!(attribute(&span.events[0], "code.module.name").is_some());
}

#[test]
fn a_span_that_a_filter_leaves_out_is_passed_through() {
    let exporter = InMemoryExporter::default();
    let provider = TracerProvider::builder().exporter(exporter.clone()).build();
    let layer = TracingLayer::new(provider.tracer("test"))
        .with_filter(filter_fn(|metadata| metadata.name() != "left out"));
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(subscriber, || {
        info_span!("outer").in_scope(|| {
            info_span!("left out").in_scope(|| info_span!("inner").in_scope(|| ()));
        });
    });
    provider.force_flush(PATIENCE).unwrap();
    let spans: Vec<_> = exporter
        .finished_spans()
        .into_iter()
        .map(|it| it.span)
        .collect();
    assert_eq!(spans.len(), 2);
    let outer = Some(named(&spans, "outer").span_id);
    assert_eq!(named(&spans, "inner").parent_span_id, outer);
}

#[test]
fn a_trace_that_is_not_sampled_stays_whole_and_unrecorded() {
    let exporter = InMemoryExporter::default();
    let provider = TracerProvider::builder()
        .exporter(exporter.clone())
        .sampler(AlwaysOff)
        .build();
    let layer = TracingLayer::new(provider.tracer("test"));
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(subscriber, || {
        info_span!("outer").in_scope(|| {
            let outer = current_span().context().clone();
            assert!(outer.is_valid() && !outer.is_sampled());
            info_span!("inner").in_scope(|| {
                let inner = current_span();
                assert_eq!(inner.context().trace_id(), outer.trace_id());
                tracing::error!("unheard");
            });
        });
    });
    provider.force_flush(PATIENCE).unwrap();
    assert!(exporter.finished_spans().is_empty());
}

/// Sends nothing anywhere, as an HTTP client that has spans of `tracing` does.
#[derive(Clone)]
struct Traced(Dispatch, InMemoryExporter);

impl SpanExporter for Traced {
    fn name(&self) -> String {
        "a traced client".to_owned()
    }

    fn export(
        &mut self,
        batch: &ExportBatch,
        timeout: Duration,
    ) -> Result<ExportReceipt, ExportError> {
        tracing::dispatcher::with_default(&self.0, || {
            info_span!("POST").in_scope(|| tracing::info!("sent"));
        });
        self.1.export(batch, timeout)
    }
}

#[test]
fn what_an_exporter_does_is_not_traced() {
    let exporter = InMemoryExporter::default();
    let layer = TracingLayer::new(lumitrace::tracer("test"));
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
    let provider = TracerProvider::builder()
        .exporter(Traced(dispatch, exporter.clone()))
        .build();
    lumitrace::global::set_provider(provider);
    lumitrace::tracer("test").in_span("work", |_| ());
    for _ in 0..3 {
        provider.force_flush(PATIENCE).unwrap();
    }
    assert_eq!(exporter.finished_spans().len(), 1);
}
