//! An awaitable that is done: entering and leaving a span asynchronously waits for nothing.

use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;

/// Awaited, gives its value at once.
#[pyclass(frozen, module = "lumitrace._lumitrace")]
pub(crate) struct Ready {
    value: Py<PyAny>,
}

impl Ready {
    pub(crate) fn new(value: Py<PyAny>) -> Self {
        Self { value }
    }

    /// What `__aexit__` returns when the exception, if any, goes on.
    pub(crate) fn not_suppressed(py: Python<'_>) -> Self {
        Self::new(py.None())
    }
}

#[pymethods]
impl Ready {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Err(PyStopIteration::new_err((self.value.clone_ref(py),)))
    }
}
