//! Keeping spans in memory, for tests.

use std::sync::Arc;
use std::time::Duration;

use lumitrace_model::{Resource, Scope, Span};

use crate::lock::Mutex;

use super::{ExportBatch, ExportError, ExportReceipt, SpanExporter};

/// Keeps the spans it is given. Clones share them.
///
/// Spans arrive in batches: call [`TracerProvider::force_flush`](crate::TracerProvider::force_flush)
/// before looking.
///
/// ```
/// use lumitrace::{TracerProvider, exporter::InMemoryExporter};
/// let spans = InMemoryExporter::default();
/// let provider = TracerProvider::builder().exporter(spans.clone()).build();
/// provider.tracer("test").in_span("work", |_| ());
/// provider.force_flush(std::time::Duration::from_secs(5))?;
/// assert_eq!(spans.finished_spans()[0].span.name, "work");
/// # Ok::<(), lumitrace::FlushError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct InMemoryExporter {
    finished: Arc<Mutex<Vec<FinishedSpan>>>,
}

/// A finished span with everything it belongs to.
#[derive(Debug, Clone)]
pub struct FinishedSpan {
    /// The process that recorded it.
    pub resource: Arc<Resource>,
    /// The library or module that recorded it.
    pub scope: Scope,
    /// The span.
    pub span: Span,
}

impl InMemoryExporter {
    /// The spans so far, in the order in which they arrived.
    pub fn finished_spans(&self) -> Vec<FinishedSpan> {
        self.finished.lock().clone()
    }

    /// Forgets the spans so far.
    pub fn clear(&self) {
        self.finished.lock().clear();
    }
}

impl SpanExporter for InMemoryExporter {
    fn name(&self) -> String {
        "in-memory exporter".to_owned()
    }

    fn export(&mut self, batch: &ExportBatch, _: Duration) -> Result<ExportReceipt, ExportError> {
        let finished = batch.spans().iter().map(|scoped| FinishedSpan {
            resource: Arc::clone(batch.resource()),
            scope: scoped.scope.clone(),
            span: scoped.span.clone(),
        });
        self.finished.lock().extend(finished);
        Ok(ExportReceipt::default())
    }
}
