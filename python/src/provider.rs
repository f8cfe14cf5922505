//! Providers, and which of them the program's tracers follow.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lumitrace_model::{Scope, Text};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::finished::Resource;
use crate::settings::Settings;
use crate::tracer::PyTracer;
use crate::{notice, value};

/// Owns what all spans of a process share: resource, sampler, queue and exporters.
#[pyclass(
    frozen,
    weakref,
    module = "lumitrace._lumitrace",
    name = "TracerProvider"
)]
pub(crate) struct PyTracerProvider {
    provider: lumitrace::TracerProvider,
}

impl PyTracerProvider {
    pub(crate) fn inner(&self) -> lumitrace::TracerProvider {
        self.provider
    }
}

/// The provider that the program set, and the options it was set up with.
struct Current {
    provider: Py<PyTracerProvider>,
    options: Py<PyDict>,
}

static CURRENT: Mutex<Option<Current>> = Mutex::new(None);

fn current() -> MutexGuard<'static, Option<Current>> {
    // Nothing panics while it is held.
    CURRENT.lock().unwrap_or_else(PoisonError::into_inner)
}

#[pymethods]
impl PyTracerProvider {
    #[new]
    #[pyo3(signature = (**settings))]
    fn new(py: Python<'_>, settings: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let none = PyDict::new(py);
        let settings = Settings::from_keywords(settings.unwrap_or(&none))?;
        Ok(Self {
            provider: settings.provider()?,
        })
    }

    #[getter]
    fn resource(&self) -> Resource {
        Resource::new(self.provider.resource())
    }

    #[pyo3(signature = (
        instrumenting_module_name, instrumenting_library_version=None, schema_url=None,
        attributes=None
    ))]
    fn get_tracer(
        &self,
        instrumenting_module_name: &Bound<'_, PyAny>,
        instrumenting_library_version: Option<&Bound<'_, PyAny>>,
        schema_url: Option<&Bound<'_, PyAny>>,
        attributes: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyTracer> {
        // OTLP has a place for the schema, the SDK does not record it yet.
        let _ = schema_url;
        let scope = scope(
            instrumenting_module_name,
            instrumenting_library_version,
            attributes,
        )?;
        Ok(PyTracer::new(self.provider.tracer_of_scope(scope)))
    }

    pub(crate) fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.provider.stats();
        let statistics = PyDict::new(py);
        for (name, count) in [
            ("started_spans", stats.started_spans),
            ("ended_spans", stats.ended_spans),
            ("exported_spans", stats.exported_spans),
            ("announced_spans", stats.announced_spans),
            ("queue_full_spans", stats.queue_full_spans),
            ("refused_spans", stats.refused_spans),
            ("unsent_spans", stats.unsent_spans),
            ("failed_exports", stats.failed_exports),
            ("late_changes", stats.late_changes),
            ("waiting_spans", stats.waiting_spans),
        ] {
            statistics.set_item(name, count)?;
        }
        Ok(statistics)
    }

    #[pyo3(signature = (timeout_millis=30_000))]
    fn force_flush(&self, py: Python<'_>, timeout_millis: u64) -> bool {
        let timeout = Duration::from_millis(timeout_millis);
        py.detach(|| self.provider.force_flush(timeout)).is_ok()
    }

    #[pyo3(signature = (timeout_millis=30_000))]
    fn shutdown(&self, py: Python<'_>, timeout_millis: u64) -> bool {
        let timeout = Duration::from_millis(timeout_millis);
        py.detach(|| self.provider.shutdown_within(timeout)).is_ok()
    }
}

/// The tracer of a module; follows the provider that the program sets, whenever that is.
///
/// # Errors
/// Only an exception that is no `Exception`.
#[pyfunction]
#[pyo3(signature = (module_name, version=None, schema_url=None, attributes=None))]
pub(crate) fn get_tracer(
    module_name: &Bound<'_, PyAny>,
    version: Option<&Bound<'_, PyAny>>,
    schema_url: Option<&Bound<'_, PyAny>>,
    attributes: Option<&Bound<'_, PyAny>>,
) -> PyResult<PyTracer> {
    let _ = schema_url;
    let scope = scope(module_name, version, attributes)?;
    Ok(PyTracer::new(lumitrace::global::tracer_of_scope(scope)))
}

/// The provider that the program set.
#[pyfunction]
pub(crate) fn get_tracer_provider(py: Python<'_>) -> Option<Py<PyTracerProvider>> {
    current()
        .as_ref()
        .map(|current| current.provider.clone_ref(py))
}

/// Makes `provider` the one that tracers follow; without one they do nothing once the last one has
/// been shut down.
#[pyfunction]
#[pyo3(name = "_set_tracer_provider")]
pub(crate) fn set_tracer_provider(provider: Option<Py<PyTracerProvider>>, options: Py<PyDict>) {
    if let Some(provider) = &provider {
        lumitrace::global::set_provider(provider.get().provider);
    }
    let next = provider.map(|provider| Current { provider, options });
    let previous = std::mem::replace(&mut *current(), next);
    // After the lock is free: the last reference runs destructors.
    drop(previous);
}

/// The options that the provider was set up with.
#[pyfunction]
#[pyo3(name = "_tracer_provider_options")]
pub(crate) fn tracer_provider_options(py: Python<'_>) -> Option<Py<PyDict>> {
    current()
        .as_ref()
        .map(|current| current.options.clone_ref(py))
}

/// Sends what waits and ends tracing for good, as the process ends.
#[pyfunction]
#[pyo3(name = "_shut_down_at_exit")]
pub(crate) fn shut_down_at_exit(py: Python<'_>, timeout_millis: u64) {
    if let Some(provider) = get_tracer_provider(py) {
        provider.get().shutdown(py, timeout_millis);
    }
    notice::silence();
}

/// The scope of a tracer.
///
/// # Errors
/// Only an exception that is no `Exception`.
pub(crate) fn scope(
    name: &Bound<'_, PyAny>,
    version: Option<&Bound<'_, PyAny>>,
    attributes: Option<&Bound<'_, PyAny>>,
) -> PyResult<Scope> {
    let version = version.filter(|version| !version.is_none());
    Ok(Scope {
        name: value::name_of(name)?,
        version: version.map_or(Ok(Text::default()), value::name_of)?,
        attributes: value::attributes_of(attributes)?,
        dropped_attributes_count: 0,
    })
}
