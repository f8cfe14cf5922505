//! The outcome of spans, between Python's objects and the SDK's.

use lumitrace_model::StatusCode;
use pyo3::intern;
use pyo3::prelude::*;

use crate::span::word_of;

/// The outcome of a span.
#[pyclass(frozen, eq, hash, module = "lumitrace._lumitrace", name = "StatusCode")]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum PyStatusCode {
    #[pyo3(name = "UNSET")]
    Unset,
    #[pyo3(name = "OK")]
    Ok,
    #[pyo3(name = "ERROR")]
    Error,
}

#[pymethods]
impl PyStatusCode {
    #[getter]
    fn name(&self) -> &'static str {
        match self {
            PyStatusCode::Unset => "UNSET",
            PyStatusCode::Ok => "OK",
            PyStatusCode::Error => "ERROR",
        }
    }
}

impl From<StatusCode> for PyStatusCode {
    fn from(code: StatusCode) -> Self {
        match code {
            StatusCode::Unset => PyStatusCode::Unset,
            StatusCode::Ok => PyStatusCode::Ok,
            StatusCode::Error => PyStatusCode::Error,
        }
    }
}

/// The code, and the description with it, in a status code of ours or OpenTelemetry's, its name, or
/// OpenTelemetry's `Status`. No code where it is none of these.
pub(crate) fn status_code_of<'py>(
    status: &Bound<'py, PyAny>,
) -> (Option<StatusCode>, Option<Bound<'py, PyAny>>) {
    let attribute = |name| status.getattr_opt(name).ok().flatten();
    let word = match attribute(intern!(status.py(), "status_code")) {
        Some(code) => word_of(&code),
        None => word_of(status),
    };
    let code = match word.as_deref() {
        Some("ok") => Some(StatusCode::Ok),
        Some("error") => Some(StatusCode::Error),
        Some("unset") => Some(StatusCode::Unset),
        _ => None,
    };
    let description = attribute(intern!(status.py(), "description"));
    (
        code,
        description.filter(|description| !description.is_none()),
    )
}
