//! Exporters and span processors of `opentelemetry_sdk` under a provider of Lumitrace.
#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lumitrace::exporter::InMemoryExporter;
use lumitrace::model::Resource;
use lumitrace::{BatchSettings, KeyValue, Notice, SpanKind, StatusCode, TracerProvider};
use lumitrace_opentelemetry::{SdkExporter, SdkProcessor};
use opentelemetry::trace::{self as otel_trace, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, InMemorySpanExporter, SimpleSpanProcessor, SpanData, SpanExporter,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// An exporter that does what `export` does with each batch.
struct Custom<F>(F);

impl<F> std::fmt::Debug for Custom<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Custom")
    }
}

impl<F, R> SpanExporter for Custom<F>
where
    F: Fn(Vec<SpanData>) -> R + Send + Sync + 'static,
    R: Future<Output = OTelSdkResult> + Send,
{
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        (self.0)(batch)
    }
}

fn resource() -> Resource {
    Resource {
        attributes: vec![KeyValue::new("service.name", "bridge")],
        ..Resource::default()
    }
}

/// A provider with the exporter of theirs and one of ours, and what it said.
fn provider<F, R>(export: F) -> (TracerProvider, InMemoryExporter, Arc<Mutex<Vec<Notice>>>)
where
    F: Fn(Vec<SpanData>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = OTelSdkResult> + Send + 'static,
{
    let (ours, notices) = (InMemoryExporter::default(), Arc::<Mutex<Vec<_>>>::default());
    let told = Arc::clone(&notices);
    let mut batch = BatchSettings::default();
    batch.export_timeout = Duration::from_millis(200);
    let provider = TracerProvider::builder()
        .resource(resource())
        .batch(batch)
        .exporter(SdkExporter::new("theirs", move || Custom(export.clone())))
        .exporter(ours.clone())
        .on_notice(move |notice| told.lock().unwrap().push(notice.clone()))
        .build();
    (provider, ours, notices)
}

#[test]
fn an_exporter_is_given_spans_with_everything_that_was_recorded() {
    let theirs = InMemorySpanExporter::default();
    let shared = theirs.clone();
    let provider = TracerProvider::builder()
        .resource(resource())
        .exporter(SdkExporter::new("theirs", move || shared.clone()))
        .build();
    let tracer = provider.tracer("library");
    let parent = tracer.span("parent").start();
    let span = tracer
        .span("work")
        .parent(parent.context())
        .kind(SpanKind::Server)
        .attribute("rows", 20)
        .link(parent.context(), vec![KeyValue::new("why", "test")])
        .start();
    span.add_event("event", vec![KeyValue::new("key", 0.5)]);
    span.set_status(StatusCode::Error, "failed");
    span.end();
    provider.force_flush(PATIENCE).unwrap();

    let spans = theirs.get_finished_spans().unwrap();
    let [seen] = &spans[..] else {
        panic!("{spans:#?}");
    };
    let context = span.context();
    assert_eq!(
        seen.span_context.trace_id().to_bytes(),
        context.trace_id().to_bytes()
    );
    assert_eq!(
        seen.span_context.span_id().to_bytes(),
        context.span_id().to_bytes()
    );
    assert!(seen.span_context.is_sampled());
    let parent_id = parent.context().span_id();
    assert_eq!(seen.parent_span_id.to_bytes(), parent_id.to_bytes());
    assert!(!seen.parent_span_is_remote);
    assert_eq!(
        (&*seen.name, &seen.span_kind),
        ("work", &otel_trace::SpanKind::Server)
    );
    assert_eq!(seen.attributes, [opentelemetry::KeyValue::new("rows", 20)]);
    assert_eq!(seen.events[0].name, "event");
    assert_eq!(
        seen.links[0].span_context.span_id().to_bytes(),
        parent_id.to_bytes()
    );
    assert_eq!(seen.status, otel_trace::Status::error("failed"));
    assert_eq!(seen.instrumentation_scope.name(), "library");
    assert!(seen.end_time >= seen.start_time);
}

/// Its resource, as it was told at last.
#[derive(Debug, Clone, Default)]
struct Told(Arc<Mutex<Option<opentelemetry_sdk::Resource>>>);

impl SpanExporter for Told {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        Ok(())
    }

    fn set_resource(&mut self, resource: &opentelemetry_sdk::Resource) {
        *self.0.lock().unwrap() = Some(resource.clone());
    }
}

#[test]
fn t5_an_exporter_is_told_the_resource() {
    let told = Told::default();
    let shared = told.clone();
    let provider = TracerProvider::builder()
        .resource(resource())
        .exporter(SdkExporter::new("theirs", move || shared.clone()))
        .build();
    provider.tracer("test").in_span("work", |_| ());
    provider.force_flush(PATIENCE).unwrap();
    let resource = told.0.lock().unwrap().clone().unwrap();
    let name = resource.get(&opentelemetry::Key::new("service.name"));
    assert_eq!(name, Some("bridge".into()));
}

#[test]
fn an_async_exporter_finds_timers_and_sockets_of_a_runtime() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut text = String::new();
            connection.read_to_string(&mut text).await.unwrap();
            text
        })
    });
    let (provider, _, notices) = provider(move |batch: Vec<SpanData>| async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let work = tokio::spawn(async move {
            let mut connection = TcpStream::connect(address).await.unwrap();
            connection
                .write_all(batch[0].name.as_bytes())
                .await
                .unwrap();
        });
        work.await.unwrap();
        Ok(())
    });
    provider.tracer("test").in_span("over the wire", |_| ());
    provider.force_flush(PATIENCE).unwrap();
    assert_eq!(server.join().unwrap(), "over the wire");
    assert!(notices.lock().unwrap().is_empty());
    provider.shutdown().unwrap();
}

#[test]
fn t12_an_exporter_that_fails_panics_or_hangs_is_counted_and_the_others_go_on() {
    async fn fail(_: Vec<SpanData>) -> OTelSdkResult {
        Err(OTelSdkError::InternalFailure("no such host".to_owned()))
    }
    async fn panic(_: Vec<SpanData>) -> OTelSdkResult {
        panic!("on purpose")
    }
    async fn hang(_: Vec<SpanData>) -> OTelSdkResult {
        pending().await
    }
    check(provider(fail));
    check(provider(panic));
    check(provider(hang));

    fn check(
        (provider, ours, notices): (TracerProvider, InMemoryExporter, Arc<Mutex<Vec<Notice>>>),
    ) {
        for _ in 0..2 {
            provider.tracer("test").in_span("work", |_| ());
            // It says that not everything was sent.
            let _flushed = provider.force_flush(PATIENCE);
        }
        assert_eq!(ours.finished_spans().len(), 2);
        let stats = provider.stats();
        assert_eq!(stats.refused_spans, 2, "{stats:?}");
        let _shut_down = provider.shutdown();
        let notices = notices.lock().unwrap();
        assert!(!notices.is_empty(), "{stats:?}");
        assert!(format!("{notices:?}").contains("theirs"), "{notices:?}");
    }
}

#[test]
fn a_processor_sees_each_span_once_and_sends_what_it_holds_back() {
    let theirs = InMemorySpanExporter::default();
    let (batched, simple) = (theirs.clone(), theirs.clone());
    let batched = SdkProcessor::new("batched", move || {
        BatchSpanProcessor::builder(batched.clone()).build()
    });
    let simple = SdkProcessor::new("simple", move || SimpleSpanProcessor::new(simple.clone()));
    let provider = TracerProvider::builder()
        .exporter(batched)
        .exporter(simple)
        .build();
    let tracer = provider.tracer("test");
    for _ in 0..1_000 {
        tracer.span("work").start().end();
    }
    provider.force_flush(PATIENCE).unwrap();
    assert_eq!(theirs.get_finished_spans().unwrap().len(), 2 * 1_000);
    provider.shutdown().unwrap();
}

#[test]
fn what_an_exporter_does_is_not_traced() {
    let seen = Arc::new(AtomicUsize::new(0));
    let tracer = lumitrace_opentelemetry::TracerProvider::global().tracer("http client");
    let counted = Arc::clone(&seen);
    let (provider, _, _) = provider(move |batch: Vec<SpanData>| {
        counted.fetch_add(batch.len(), Ordering::Relaxed);
        tracer.in_span("POST", |_| ());
        std::future::ready(Ok(()))
    });
    lumitrace::global::set_provider(provider);
    lumitrace::tracer("test").in_span("work", |_| ());
    for _ in 0..3 {
        provider.force_flush(PATIENCE).unwrap();
    }
    assert_eq!(seen.load(Ordering::Relaxed), 1);
}
