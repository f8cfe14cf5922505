//! What a program holds of a span: a guard that is current, a context to carry elsewhere, and an end.
#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod support;

use lumitrace::{Context, KeyValue, Span, StatusCode, Tracer, Value, current_span};
use support::{exceptions, flushed, in_memory, named};

/// As the functions of a platform hand them out.
fn trace_scheduling(tracer: &Tracer) -> (Context, Span) {
    let span = tracer.span("schedule_workload").start();
    (Context::of_span(&span), span)
}

#[test]
fn a31_a_span_comes_with_a_context_and_is_ended_by_hand_or_by_its_guard() {
    let (provider, exporter) = in_memory();
    let tracer = provider.tracer("platform");
    let (context, span) = trace_scheduling(&tracer);
    let inner = std::thread::spawn(move || {
        let _guard = context.attach();
        tracer.span("allocate_gpu").enter().set_attribute("gpu", 3);
    });
    inner.join().unwrap();
    span.end();
    // A further end changes nothing, and neither does the drop.
    span.end();
    drop(span);

    let spans = flushed(provider, &exporter);
    assert_eq!(spans.len(), 2);
    let parent = named(&spans, "schedule_workload");
    let child = named(&spans, "allocate_gpu");
    assert_eq!(child.parent_span_id, Some(parent.span_id));
    assert_eq!(child.attribute("gpu"), Some(&Value::Int(3)));
}

#[test]
fn a11_attributes_events_errors_and_statuses_reach_the_current_span_from_anywhere() {
    fn deep_inside() {
        let span = current_span();
        span.set_attributes([KeyValue::new("model", "fx"), KeyValue::new("gpus", 4)]);
        span.add_event("queued", vec![KeyValue::new("position", 2)]);
        span.record_error("no GPU is free");
    }
    let (provider, exporter) = in_memory();
    let tracer = provider.tracer("platform");
    assert!(tracer.is_enabled());
    tracer.in_span("train", |_| deep_inside());
    tracer.in_span("serve", |_| current_span().set_status(StatusCode::Ok, ""));

    let spans = flushed(provider, &exporter);
    let train = named(&spans, "train");
    assert_eq!(train.attribute("gpus"), Some(&Value::Int(4)));
    assert_eq!(train.events[0].name, "queued");
    assert_eq!(
        (train.status.code, exceptions(train).len()),
        (StatusCode::Error, 1)
    );
    assert_eq!(named(&spans, "serve").status.code, StatusCode::Ok);
    // Nowhere, it does nothing.
    deep_inside();
}
