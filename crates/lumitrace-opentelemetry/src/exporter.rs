//! Exporters of `opentelemetry_sdk` as exporters of ours.

use std::time::Duration;

use lumitrace::exporter::{ExportBatch, ExportError, ExportReceipt, SpanExporter};
use opentelemetry_sdk::trace::SpanExporter as OtelSpanExporter;

use crate::running::{Lazy, SHUTDOWN_TIMEOUT, wait};
use crate::span_data;

/// Gives spans to an exporter that was written for `opentelemetry_sdk`.
///
/// It is made on the thread that exports, by the closure: once, and once more in a forked child, which must
/// not share its parent's connections. There is a tokio runtime around it. Batches that it reports as
/// failed are dropped and counted, since such exporters try again by themselves; one that panics is
/// treated likewise.
///
/// ```
/// use lumitrace::TracerProvider;
/// use lumitrace_opentelemetry::SdkExporter;
/// use opentelemetry_sdk::trace::InMemorySpanExporter;
///
/// let theirs = InMemorySpanExporter::default();
/// let shared = theirs.clone();
/// let exporter = SdkExporter::new("in-memory exporter", move || shared.clone());
/// let provider = TracerProvider::builder().exporter(exporter).build();
/// provider.tracer("test").in_span("work", |_| ());
/// provider.force_flush(std::time::Duration::from_secs(5))?;
/// assert_eq!(theirs.get_finished_spans()?[0].name, "work");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SdkExporter<E>(Lazy<E>);

impl<E: OtelSpanExporter> SdkExporter<E> {
    /// The exporter that `make` makes; `name` is what messages call it.
    pub fn new(name: impl Into<String>, make: impl Fn() -> E + Send + Sync + 'static) -> Self {
        Self(Lazy::new(name.into(), make))
    }
}

/// One that has yet to be made.
impl<E> Clone for SdkExporter<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E> std::fmt::Debug for SdkExporter<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SdkExporter").field(&self.0.name).finish()
    }
}

impl<E: OtelSpanExporter> SpanExporter for SdkExporter<E> {
    fn name(&self) -> String {
        self.0.name.clone()
    }

    fn export(
        &mut self,
        batch: &ExportBatch,
        timeout: Duration,
    ) -> Result<ExportReceipt, ExportError> {
        if batch.is_empty() {
            return Ok(ExportReceipt::default());
        }
        let spans = span_data::spans(batch);
        self.0.work(batch.resource(), E::set_resource, |exporter| {
            wait(exporter.export(spans), timeout)
        })
    }

    fn shut_down(&mut self) {
        self.0
            .stop(|exporter| exporter.shutdown_with_timeout(SHUTDOWN_TIMEOUT));
    }
}
