//! The crate built without its feature `record`: `cargo test -p lumitrace --no-default-features --test
//! without_record`.
#![cfg(not(feature = "record"))]
#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

use std::collections::HashMap;
use std::time::Duration;

use lumitrace::exporter::InMemoryExporter;
use lumitrace::model::{SpanId, TraceId};
use lumitrace::training::{TrainingSpan, batch_processing, training_epoch};
use lumitrace::{
    Baggage, Context, FutureExt, SpanContext, SpanKind, StatusCode, TracerProvider, current_span,
    propagation,
};

#[lumitrace::trace(args, result, err)]
fn traced(number: &str) -> Result<u32, std::num::ParseIntError> {
    assert!(!current_span().is_recording());
    number.parse()
}

#[test]
fn s3_the_whole_api_is_there_and_nothing_is_recorded_or_current() {
    let exporter = InMemoryExporter::default();
    let provider = TracerProvider::builder().exporter(exporter.clone()).build();
    lumitrace::global::set_provider(provider);
    let tracer = provider.tracer("test");
    assert!(!tracer.is_enabled() && !provider.is_running());

    let remote = SpanContext::new(TraceId::from_bytes([1; 16]), SpanId::from_bytes([2; 8]), 1);
    let span = tracer
        .span("work")
        .kind(SpanKind::Server)
        .attribute("key", 1)
        .link(&remote, vec![])
        .parent(&remote)
        .enter();
    span.set_attribute("key", 1);
    span.add_event("event", vec![]);
    span.record_error("failed");
    span.set_status(StatusCode::Ok, "");
    span.rename("other");
    assert!(!span.is_recording() && span.snapshot().is_none());
    assert!(!span.context().is_valid());
    assert!(!current_span().context().is_valid());

    let epoch = training_epoch(&tracer, 1, 2).enter();
    batch_processing(&tracer, 0, 32).enter().record_loss(0.5);
    drop(epoch);
    assert_eq!(traced("7"), Ok(7));
    assert!(traced("seven").is_err());

    let context = Context::default().with_baggage(Baggage::new().with("user", "7"));
    let _guard = context.attach();
    let mut headers = HashMap::<String, String>::new();
    propagation::inject(&mut headers);
    assert!(headers.is_empty(), "{headers:?}");

    provider.force_flush(Duration::from_secs(5)).unwrap();
    provider.shutdown().unwrap();
    assert!(exporter.finished_spans().is_empty());
    assert_eq!(provider.stats(), lumitrace::TracingStats::default());
}

#[test]
fn futures_run_as_they_are() {
    let tracer = lumitrace::tracer("test");
    let work = async { 7 }.in_span(tracer.span("work").start());
    let mut work = std::pin::pin!(work);
    let mut task = std::task::Context::from_waker(std::task::Waker::noop());
    assert_eq!(work.as_mut().poll(&mut task), std::task::Poll::Ready(7));
}

#[test]
fn set_up_begins_nothing() {
    let tracing = lumitrace::setup_tracing("service").install();
    assert!(!lumitrace::tracer("test").is_enabled());
    drop(tracing);
    assert!(lumitrace::global::provider().is_none_or(|provider| !provider.is_running()));
}
