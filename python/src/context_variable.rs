//! Context variables, by the interpreter's own functions: each span asks for one four times, and a method
//! call costs several times what the function does. They are no part of the stable ABI, so a build for that
//! calls the methods.

use pyo3::prelude::*;

/// A `contextvars.ContextVar`.
pub(crate) struct ContextVariable(Py<PyAny>);

impl ContextVariable {
    /// The variable; anything else is refused by each use.
    pub(crate) fn new(variable: Py<PyAny>) -> Self {
        Self(variable)
    }

    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Self {
        Self(self.0.clone_ref(py))
    }
}

#[cfg(not(feature = "abi3"))]
impl ContextVariable {
    /// Its value in the current context, or else its default; none if there is neither.
    ///
    /// # Errors
    /// It is no context variable, or memory runs out.
    pub(crate) fn get<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut value = std::ptr::null_mut();
        // SAFETY: the variable is alive, no default is passed, and `value` is where the result goes.
        let status = unsafe {
            pyo3::ffi::PyContextVar_Get(self.0.as_ptr(), std::ptr::null_mut(), &raw mut value)
        };
        if status < 0 {
            return Err(PyErr::fetch(py));
        }
        // SAFETY: a new reference, or null where there is no value.
        Ok(unsafe { Bound::from_owned_ptr_or_opt(py, value) })
    }

    /// Sets it in the current context; returns what [`reset`](Self::reset) needs.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) fn set(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        // SAFETY: both objects are alive; the result is a new reference, or null with an exception set.
        let token = unsafe {
            let token = pyo3::ffi::PyContextVar_Set(self.0.as_ptr(), value.as_ptr());
            Bound::from_owned_ptr_or_err(py, token)
        };
        token.map(Bound::unbind)
    }

    /// Puts back what was there before [`set`](Self::set).
    ///
    /// # Errors
    /// As [`get`](Self::get), or it was set in another context.
    pub(crate) fn reset(&self, py: Python<'_>, token: &Py<PyAny>) -> PyResult<()> {
        // SAFETY: both objects are alive.
        let status = unsafe { pyo3::ffi::PyContextVar_Reset(self.0.as_ptr(), token.as_ptr()) };
        if status < 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(())
    }
}

#[cfg(feature = "abi3")]
impl ContextVariable {
    /// Its value in the current context, or else its default; none if there is neither.
    ///
    /// # Errors
    /// It is no context variable, or memory runs out.
    pub(crate) fn get<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.0.bind(py).call_method0(pyo3::intern!(py, "get")) {
            Err(error) if error.is_instance_of::<pyo3::exceptions::PyLookupError>(py) => Ok(None),
            value => value.map(Some),
        }
    }

    /// Sets it in the current context; returns what [`reset`](Self::reset) needs.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) fn set(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.0.call_method1(py, pyo3::intern!(py, "set"), (value,))
    }

    /// Puts back what was there before [`set`](Self::set).
    ///
    /// # Errors
    /// As [`get`](Self::get), or it was set in another context.
    pub(crate) fn reset(&self, py: Python<'_>, token: &Py<PyAny>) -> PyResult<()> {
        self.0
            .call_method1(py, pyo3::intern!(py, "reset"), (token,))
            .map(drop)
    }
}
