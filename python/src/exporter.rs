//! Exporters that a program chooses by object rather than by name.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use lumitrace::TracerProvider;
use lumitrace::environment::Environment;
use lumitrace::exporter::{
    ConsoleExporter, ConsoleFormat, FileExporter, FileSettings, HttpSettings, InMemoryExporter,
    JaegerAgentExporter, JaegerAgentSettings, JaegerHttpExporter, ZipkinExporter,
};
use lumitrace::setup::TracingSetup;
use pyo3::exceptions::PyValueError;
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

/// Writes spans to a file.
#[pyclass(frozen, module = "lumitrace._lumitrace")]
pub(crate) struct FileSpanExporter(FileSettings);

impl FileSpanExporter {
    pub(crate) fn add_to(&self, setup: TracingSetup) -> TracingSetup {
        setup.exporter(FileExporter::new(self.0.clone()))
    }
}

#[pymethods]
impl FileSpanExporter {
    #[new]
    #[pyo3(signature = (path, *, max_file_bytes=None, max_files=None))]
    fn new(path: PathBuf, max_file_bytes: Option<u64>, max_files: Option<usize>) -> Self {
        let mut settings = FileSettings::new(path);
        settings.max_file_bytes = max_file_bytes.unwrap_or(settings.max_file_bytes);
        settings.max_files = max_files.unwrap_or(settings.max_files);
        Self(settings)
    }
}

/// Sends spans to Jaeger.
#[pyclass(frozen, module = "lumitrace._lumitrace")]
pub(crate) struct JaegerSpanExporter(JaegerReceiver);

enum JaegerReceiver {
    Agent(JaegerAgentSettings),
    Collector(HttpSettings),
}

impl JaegerSpanExporter {
    pub(crate) fn add_to(&self, setup: TracingSetup) -> TracingSetup {
        match &self.0 {
            JaegerReceiver::Agent(agent) => setup.exporter(JaegerAgentExporter::new(agent.clone())),
            JaegerReceiver::Collector(collector) => {
                setup.exporter(JaegerHttpExporter::new(collector.clone()))
            }
        }
    }
}

#[pymethods]
impl JaegerSpanExporter {
    #[new]
    #[pyo3(signature = (agent_host=None, agent_port=None, *, collector_endpoint=None))]
    fn new(
        agent_host: Option<String>,
        agent_port: Option<u16>,
        collector_endpoint: Option<&str>,
    ) -> PyResult<Self> {
        let receiver = match collector_endpoint {
            Some(endpoint) => {
                let collector = HttpSettings::jaeger(endpoint);
                JaegerReceiver::Collector(collector.map_err(value_error)?)
            }
            None => {
                let mut agent = JaegerAgentSettings::default();
                agent.host = agent_host.unwrap_or(agent.host);
                agent.port = agent_port.unwrap_or(agent.port);
                JaegerReceiver::Agent(agent)
            }
        };
        Ok(Self(receiver))
    }
}

/// Sends spans to Zipkin.
#[pyclass(frozen, module = "lumitrace._lumitrace")]
pub(crate) struct ZipkinSpanExporter(HttpSettings);

impl ZipkinSpanExporter {
    pub(crate) fn add_to(&self, setup: TracingSetup) -> TracingSetup {
        setup.exporter(ZipkinExporter::new(self.0.clone()))
    }
}

#[pymethods]
impl ZipkinSpanExporter {
    #[new]
    #[pyo3(signature = (endpoint=None))]
    fn new(endpoint: Option<&str>) -> PyResult<Self> {
        let settings = match endpoint {
            Some(endpoint) => HttpSettings::zipkin(endpoint).map_err(value_error)?,
            None => Environment::default().other_exporters.zipkin,
        };
        Ok(Self(settings))
    }
}

fn value_error(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}
