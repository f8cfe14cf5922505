//! Span processors of `opentelemetry_sdk` as exporters of ours.

use std::time::Duration;

use lumitrace::exporter::{ExportBatch, ExportError, ExportReceipt, SpanExporter};
use opentelemetry_sdk::trace::SpanProcessor;

use crate::running::{Lazy, SHUTDOWN_TIMEOUT};
use crate::span_data;

/// Gives spans to a span processor that was written for `opentelemetry_sdk`: each is told to it when it has
/// ended (`on_end`), on the thread that exports, and after a batch it is asked to send what it holds back.
///
/// Its `on_start` is not called; see the [crate]. It is made as an exporter is: see
/// [`SdkExporter`](crate::SdkExporter).
///
/// ```
/// use lumitrace::TracerProvider;
/// use lumitrace_opentelemetry::SdkProcessor;
/// use opentelemetry_sdk::trace::{InMemorySpanExporter, SimpleSpanProcessor};
///
/// let theirs = InMemorySpanExporter::default();
/// let shared = theirs.clone();
/// let processor = SdkProcessor::new("processor", move || SimpleSpanProcessor::new(shared.clone()));
/// let provider = TracerProvider::builder().exporter(processor).build();
/// provider.tracer("test").in_span("work", |_| ());
/// provider.force_flush(std::time::Duration::from_secs(5))?;
/// assert_eq!(theirs.get_finished_spans()?[0].name, "work");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SdkProcessor<P>(Lazy<P>);

impl<P: SpanProcessor> SdkProcessor<P> {
    /// The processor that `make` makes; `name` is what messages call it.
    pub fn new(name: impl Into<String>, make: impl Fn() -> P + Send + Sync + 'static) -> Self {
        Self(Lazy::new(name.into(), make))
    }
}

/// One that has yet to be made.
impl<P> Clone for SdkProcessor<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<P> std::fmt::Debug for SdkProcessor<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SdkProcessor").field(&self.0.name).finish()
    }
}

impl<P: SpanProcessor> SpanExporter for SdkProcessor<P> {
    fn name(&self) -> String {
        self.0.name.clone()
    }

    fn export(&mut self, batch: &ExportBatch, _: Duration) -> Result<ExportReceipt, ExportError> {
        if batch.is_empty() {
            return Ok(ExportReceipt::default());
        }
        let spans = span_data::spans(batch);
        self.0.work(batch.resource(), P::set_resource, |processor| {
            spans.into_iter().for_each(|span| processor.on_end(span));
            processor.force_flush()
        })
    }

    fn shut_down(&mut self) {
        self.0
            .stop(|processor| processor.shutdown_with_timeout(SHUTDOWN_TIMEOUT));
    }
}
