//! Observers: shown the spans that go elsewhere, whenever they want some.
#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod support;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lumitrace::environment::Environment;
use lumitrace::exporter::{
    ExportBatch, ExportError, ExportReceipt, InMemoryExporter, SpanExporter,
};
use lumitrace::{TracerProvider, setup_tracing};
use support::PATIENCE;

#[derive(Clone, Default)]
struct Observer {
    is_watching: Arc<AtomicBool>,
    seen: InMemoryExporter,
}

impl SpanExporter for Observer {
    fn name(&self) -> String {
        "observer".to_owned()
    }

    fn export(
        &mut self,
        batch: &ExportBatch,
        time: Duration,
    ) -> Result<ExportReceipt, ExportError> {
        self.seen.export(batch, time)
    }

    fn takes_spans(&self) -> bool {
        self.is_watching.load(Ordering::Relaxed)
    }
}

fn record(provider: TracerProvider, name: &'static str) {
    provider.tracer("test").span(name).start().end();
}

fn names(memory: &InMemoryExporter) -> Vec<String> {
    let spans = memory.finished_spans().into_iter();
    spans.map(|it| it.span.name.into_owned()).collect()
}

#[test]
fn an_observer_sees_spans_while_it_watches_and_exporters_all_of_them() {
    let (memory, observer) = (InMemoryExporter::default(), Observer::default());
    let provider = setup_tracing("observed")
        .exporter(memory.clone())
        .observer(observer.clone())
        .with_environment(Environment::default())
        .build();
    for (name, is_watching) in [("before", false), ("during", true), ("after", false)] {
        observer.is_watching.store(is_watching, Ordering::Relaxed);
        record(provider, name);
        provider.force_flush(PATIENCE).unwrap();
    }
    assert_eq!(names(&memory), ["before", "during", "after"]);
    assert_eq!(names(&observer.seen), ["during"]);
}

#[test]
fn an_observer_sees_spans_that_nobody_receives_and_costs_the_queue_nothing_else() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = closed.local_addr().unwrap().to_string();
    drop(closed);
    let observer = Observer::default();
    let provider = setup_tracing("observed")
        .endpoint(endpoint)
        .observer(observer.clone())
        .on_notice(|_| ())
        .with_environment(Environment::default())
        .build();
    record(provider, "before");
    provider.force_flush(PATIENCE).unwrap_err();
    record(provider, "waits");
    assert_eq!(provider.stats().waiting_spans, 1);
    observer.is_watching.store(true, Ordering::Relaxed);
    // It fails as before: the receiver still has not got everything.
    provider.force_flush(PATIENCE).unwrap_err();
    assert_eq!(names(&observer.seen), ["waits"]);
    provider
        .shutdown_within(Duration::from_millis(100))
        .unwrap_err();
}

#[test]
fn where_spans_go_nowhere_nothing_is_observed() {
    let observer = Observer::default();
    observer.is_watching.store(true, Ordering::Relaxed);
    let environment = Environment::from_lookup(|name| {
        (name == "OTEL_TRACES_EXPORTER").then(|| "none".to_owned())
    });
    let provider = setup_tracing("observed")
        .observer(observer.clone())
        .with_environment(environment)
        .build();
    record(provider, "work");
    provider.force_flush(PATIENCE).unwrap();
    assert!(names(&observer.seen).is_empty());
}
