//! The traits of `opentelemetry` over a provider of Lumitrace.
#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lumitrace::exporter::InMemoryExporter;
use lumitrace::model;
use lumitrace::{Baggage, SpanKind, StatusCode, Value, current_span};
use lumitrace_opentelemetry::{Tracer, TracerProvider, current_context};
use opentelemetry::baggage::BaggageExt;
use opentelemetry::trace::{
    FutureExt, Link, Span as _, SpanContext, SpanId, SpanKind as OtelSpanKind, Status,
    TraceContextExt, TraceFlags, TraceId, TraceState, Tracer as _, TracerProvider as _,
    mark_span_as_active,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue};

/// Longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

struct Recording {
    provider: lumitrace::TracerProvider,
    exporter: InMemoryExporter,
    ours: lumitrace::Tracer,
    theirs: Tracer,
}

impl Recording {
    fn start() -> Self {
        let exporter = InMemoryExporter::default();
        let provider = lumitrace::TracerProvider::builder()
            .exporter(exporter.clone())
            .build();
        Self {
            ours: provider.tracer("ours"),
            theirs: TracerProvider::new(provider).tracer("theirs"),
            provider,
            exporter,
        }
    }

    fn spans(&self) -> Vec<model::Span> {
        self.provider.force_flush(PATIENCE).unwrap();
        let finished = self.exporter.finished_spans().into_iter();
        finished.map(|finished| finished.span).collect()
    }
}

fn named<'a>(spans: &'a [model::Span], name: &str) -> &'a model::Span {
    let found = spans.iter().find(|span| span.name == name);
    found.unwrap_or_else(|| panic!("no span {name} in {spans:#?}"))
}

fn current_name() -> Option<String> {
    Some(current_span().snapshot()?.name.into_owned())
}

fn remote() -> SpanContext {
    let ids = (TraceId::from(7), SpanId::from(8));
    let state = TraceState::from_key_value([("a", "1")]).unwrap();
    SpanContext::new(ids.0, ids.1, TraceFlags::SAMPLED, true, state)
}

#[test]
fn a37_spans_of_both_kinds_nest_in_each_other_as_they_are_entered() {
    let recording = Recording::start();
    let request = recording.ours.span("request").enter();
    recording.theirs.in_span("schedule", |_| {
        assert_eq!(current_name().as_deref(), Some("schedule"));
        recording.ours.in_span("place", |_| {
            let span = recording.theirs.start("reserve");
            let _active = mark_span_as_active(span);
            recording
                .ours
                .in_span("cost", |span| span.set_attribute("usd", 0.5));
        });
        recording.theirs.start("after").end();
        current_span().set_attribute("through", "lumitrace");
    });
    assert_eq!(current_name().as_deref(), Some("request"));
    drop(request);

    let spans = recording.spans();
    let chain = ["request", "schedule", "place", "reserve", "cost"];
    for pair in chain.windows(2) {
        let parent = Some(named(&spans, pair[0]).span_id);
        assert_eq!(named(&spans, pair[1]).parent_span_id, parent, "{pair:?}");
    }
    let schedule = named(&spans, "schedule");
    assert_eq!(
        named(&spans, "after").parent_span_id,
        Some(schedule.span_id)
    );
    assert_eq!(
        schedule.attribute("through"),
        Some(&Value::from("lumitrace"))
    );
}

#[test]
fn a11_everything_that_a_span_of_opentelemetry_takes_is_recorded() {
    let recording = Recording::start();
    let start = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let mut span = recording
        .theirs
        .span_builder("before")
        .with_kind(OtelSpanKind::Client)
        .with_start_time(start)
        .with_attributes([KeyValue::new("early", true)])
        .with_links(vec![Link::with_context(remote())])
        .start(&recording.theirs);
    assert!(span.is_recording());
    span.update_name("after");
    span.set_attribute(KeyValue::new("int", 1));
    span.set_attributes([KeyValue::new("double", 0.5), KeyValue::new("text", "a")]);
    span.add_event("event", vec![KeyValue::new("key", "value")]);
    span.add_event_with_timestamp("dated", start, vec![]);
    span.record_error(&"seven".parse::<u32>().unwrap_err());
    span.add_link(remote(), vec![KeyValue::new("why", "later")]);
    span.set_status(Status::error("failed"));
    span.end_with_timestamp(start + Duration::from_millis(3));
    assert!(!span.is_recording());
    span.set_attribute(KeyValue::new("late", true));

    let spans = recording.spans();
    let span = named(&spans, "after");
    assert_eq!(span.kind, SpanKind::Client);
    assert_eq!(span.start_unix_nano, 1_700_000_000_000_000_000);
    assert_eq!(span.duration_nano(), 3_000_000);
    let keys: Vec<_> = span.attributes.iter().map(|it| &*it.key).collect();
    assert_eq!(keys, ["early", "int", "double", "text"]);
    let events: Vec<_> = span.events.iter().map(|event| &*event.name).collect();
    assert_eq!(events, ["event", "dated", "exception"]);
    assert_eq!(span.events[1].time_unix_nano, span.start_unix_nano);
    let link = span.links.last().unwrap();
    assert_eq!((span.links.len(), &*link.trace_state), (2, "a=1"));
    assert_eq!(
        (span.status.code, &*span.status.message),
        (StatusCode::Error, "failed")
    );
}

#[test]
fn a_recorded_error_is_an_event_and_no_status_as_in_opentelemetry() {
    let recording = Recording::start();
    let mut span = recording.theirs.start("work");
    span.record_error(&"seven".parse::<u32>().unwrap_err());
    span.end();
    let spans = recording.spans();
    assert_eq!(spans[0].status.code, StatusCode::Unset);
    let event = &spans[0].events[0];
    let kind = model::value::find(&event.attributes, "exception.type");
    assert_eq!(kind, Some(&Value::from("ParseIntError")));
}

#[test]
fn a_context_that_is_given_wins_over_the_current_one() {
    let recording = Recording::start();
    let _current = recording.ours.span("current").enter();
    let given = Context::new().with_remote_span_context(remote());
    recording.theirs.start_with_context("child", &given).end();
    recording.theirs.in_span("theirs", |_| {
        recording
            .theirs
            .start_with_context("root", &Context::new())
            .end();
    });
    let spans = recording.spans();
    let child = named(&spans, "child");
    assert_eq!(child.trace_id.to_bytes(), TraceId::from(7).to_bytes());
    assert_eq!(
        child.flags & 0x200,
        0x200,
        "its parent is in another process"
    );
    assert_eq!(child.trace_state, "a=1");
    assert_eq!(named(&spans, "root").parent_span_id, None);
}

#[test]
fn a_span_in_a_context_is_ended_by_its_reference_or_with_its_last_context() {
    let recording = Recording::start();
    let context = Context::current_with_span(recording.theirs.start("ended"));
    context.span().end();
    let context = Context::current_with_span(recording.theirs.start("dropped"));
    let copy = context.clone();
    drop(context);
    assert_eq!(recording.spans().len(), 1);
    drop(copy);
    let spans = recording.spans();
    assert_eq!(spans.len(), 2);
    for span in &spans {
        assert!(span.end_unix_nano >= span.start_unix_nano);
    }
}

#[test]
fn c37_a_context_carries_its_span_into_other_threads_and_futures() {
    let recording = Recording::start();
    let (ours, theirs) = (recording.ours, recording.theirs);
    let context = Context::current_with_span(theirs.start("entry"));
    let carried = context.clone();
    let thread = std::thread::spawn(move || {
        let _guard = carried.attach();
        ours.span("thread").start().end();
        current_span().set_attribute("seen", "elsewhere");
    });
    thread.join().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let task = async move {
        tokio::task::yield_now().await;
        ours.span("task").start().end();
    };
    let task = runtime.spawn(task.with_context(context.clone()));
    runtime.block_on(task).unwrap();
    assert!(!current_span().is_recording(), "nothing stays current");
    drop(context);

    let spans = recording.spans();
    let entry = named(&spans, "entry");
    assert_eq!(named(&spans, "thread").parent_span_id, Some(entry.span_id));
    assert_eq!(named(&spans, "task").parent_span_id, Some(entry.span_id));
    assert_eq!(entry.attribute("seen"), Some(&Value::from("elsewhere")));
}

#[test]
fn guards_that_are_dropped_out_of_order_leave_nothing_behind() {
    let recording = Recording::start();
    let guard = |name: &'static str| mark_span_as_active(recording.theirs.start(name));
    let _outer = recording.ours.span("outer").enter();
    let (first, second, third) = (guard("first"), guard("second"), guard("third"));
    drop(second);
    assert_eq!(current_name().as_deref(), Some("third"));
    drop(third);
    assert_eq!(current_name().as_deref(), Some("first"));
    drop(first);
    assert_eq!(current_name().as_deref(), Some("outer"));

    let (first, second) = (guard("first"), guard("second"));
    drop(first);
    assert_eq!(current_name().as_deref(), Some("second"));
    drop(second);
    assert_eq!(current_name().as_deref(), Some("outer"));

    let without_span = Context::new().with_value(7_u8).attach();
    let first = guard("first");
    let again = Context::current().attach();
    drop(first);
    drop(again);
    drop(without_span);
    assert_eq!(current_name().as_deref(), Some("outer"));
}

#[test]
fn baggage_of_opentelemetry_is_baggage_of_lumitrace() {
    let context = Context::new().with_baggage([KeyValue::new("user", "7")]);
    let recording = Recording::start();
    {
        let _ours = lumitrace::Context::current()
            .with_baggage(Baggage::new().with("user", "1"))
            .attach();
        let _theirs = context.attach();
        assert_eq!(
            lumitrace::Context::current().baggage().get("user"),
            Some("7")
        );
        recording.theirs.in_span("work", |_| {
            assert_eq!(
                lumitrace::Context::current().baggage().get("user"),
                Some("7")
            );
        });
    }
    assert!(lumitrace::Context::current().baggage().is_empty());
}

#[test]
fn the_current_context_has_the_span_that_lumitrace_made_current() {
    let recording = Recording::start();
    assert!(!current_context().has_active_span());
    let span = recording.ours.span("ours").enter();
    let context = current_context();
    let ids = context.span().span_context().clone();
    assert_eq!(
        ids.span_id().to_bytes(),
        span.context().span_id().to_bytes()
    );
    context.span().set_attribute(KeyValue::new("from", "there"));
    drop(context);
    assert!(span.is_recording(), "a handle does not end it");
    recording.theirs.in_span("theirs", |context| {
        let again = current_context();
        assert_eq!(again.span().span_context(), context.span().span_context());
    });
    drop(span);
    let spans = recording.spans();
    let from = named(&spans, "ours").attribute("from");
    assert_eq!(from, Some(&Value::from("there")));
}

#[test]
fn spans_of_another_sdk_are_parents_by_their_ids() {
    let recording = Recording::start();
    let other = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
    let mut parent = None;
    other.tracer("other").in_span("foreign", |context| {
        parent = Some(context.span().span_context().span_id().to_bytes());
        recording.ours.span("child").start().end();
        recording.theirs.start("sibling").end();
    });
    let spans = recording.spans();
    for name in ["child", "sibling"] {
        let span = named(&spans, name);
        assert_eq!(
            span.parent_span_id.map(|id| id.to_bytes()),
            parent,
            "{name}"
        );
    }
}

#[test]
fn what_is_suppressed_is_not_recorded() {
    let recording = Recording::start();
    {
        let _suppressed = Context::enter_telemetry_suppressed_scope();
        let span = recording.theirs.start("silent");
        assert!(!span.is_recording() && !span.span_context().is_valid());
    }
    assert!(recording.spans().is_empty());
}

#[test]
fn s3_before_set_up_the_whole_api_is_there_and_does_nothing() {
    let scope = InstrumentationScope::builder("early")
        .with_version("1")
        .with_attributes([KeyValue::new("a", 1)])
        .build();
    let tracer = TracerProvider::global().tracer_with_scope(scope);
    let answer = tracer.in_span("work", |context| {
        let span = context.span();
        span.set_attribute(KeyValue::new("key", 1));
        span.add_event("event", vec![]);
        span.set_status(Status::Ok);
        span.update_name("other");
        span.end();
        assert!(!span.is_recording());
        7
    });
    assert_eq!(answer, 7);
    // A trace passes through unbroken.
    let context = Context::new().with_remote_span_context(remote());
    let span = tracer.start_with_context("work", &context);
    assert_eq!(span.span_context().trace_id(), TraceId::from(7));
}

#[test]
fn the_scope_is_kept() {
    let recording = Recording::start();
    let scope = InstrumentationScope::builder("library")
        .with_version("1.2")
        .with_attributes([KeyValue::new("key", "value")])
        .build();
    let tracer = TracerProvider::new(recording.provider).tracer_with_scope(scope);
    tracer.start("work").end();
    recording.spans();
    let scope = &recording.exporter.finished_spans()[0].scope;
    assert_eq!((&*scope.name, &*scope.version), ("library", "1.2"));
    assert_eq!(scope.attributes.len(), 1);
}

#[test]
fn a_span_that_ends_at_once_does_not_end_before_it_began() {
    let recording = Recording::start();
    for _ in 0..1_000 {
        let context = Context::current_with_span(recording.theirs.start("short"));
        context.span().end();
        let mut early = recording.theirs.start("early");
        // As by a clock that is behind ours.
        early.end_with_timestamp(SystemTime::now() - Duration::from_secs(1));
    }
    for span in recording.spans() {
        assert!(span.end_unix_nano >= span.start_unix_nano, "{span:?}");
    }
}
