//! Exporters that a program chooses by object rather than by name.

use std::sync::OnceLock;
use std::time::Duration;

use lumitrace::TracerProvider;
use lumitrace::exporter::{ConsoleExporter, ConsoleFormat, InMemoryExporter};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::finished::FinishedSpan;

/// How long looking at the spans waits for those that have ended but are still on their way.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Keeps finished spans, for tests.
#[pyclass(frozen, module = "lumitrace._lumitrace")]
pub(crate) struct InMemorySpanExporter {
    exporter: InMemoryExporter,
    provider: OnceLock<TracerProvider>,
}

impl InMemorySpanExporter {
    pub(crate) fn exporter(&self) -> InMemoryExporter {
        self.exporter.clone()
    }

    /// Notes which provider sends here, so that it can be asked for what it still holds.
    pub(crate) fn serve(&self, provider: TracerProvider) {
        // An exporter that serves a second provider is asked about by neither more nor less.
        let _ = self.provider.set(provider);
    }

    fn flush(&self, py: Python<'_>) {
        if let Some(provider) = self.provider.get().copied() {
            // Other exporters' troubles do not matter here.
            let _flushed = py.detach(|| provider.force_flush(FLUSH_TIMEOUT));
        }
    }
}

#[pymethods]
impl InMemorySpanExporter {
    #[new]
    fn new() -> Self {
        Self {
            exporter: InMemoryExporter::default(),
            provider: OnceLock::new(),
        }
    }

    fn get_finished_spans<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.flush(py);
        let spans = self.exporter.finished_spans().into_iter();
        let spans = spans
            .map(|finished| FinishedSpan::new(finished.span, finished.resource, finished.scope));
        PyTuple::new(py, spans.collect::<Vec<_>>())
    }

    fn clear(&self, py: Python<'_>) {
        self.flush(py);
        self.exporter.clear();
    }
}

/// Prints each finished span on the standard error.
#[pyclass(frozen, module = "lumitrace._lumitrace")]
pub(crate) struct ConsoleSpanExporter {
    format: ConsoleFormat,
}

impl ConsoleSpanExporter {
    pub(crate) fn exporter(&self) -> ConsoleExporter {
        ConsoleExporter::new(self.format)
    }
}

#[pymethods]
impl ConsoleSpanExporter {
    #[new]
    #[pyo3(signature = (*, pretty=false))]
    fn new(pretty: bool) -> Self {
        Self {
            format: if pretty {
                ConsoleFormat::Pretty
            } else {
                ConsoleFormat::Line
            },
        }
    }
}
