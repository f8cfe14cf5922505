//! Functions of the program that are shown finished spans, wherever else those go.
//!
//! They come and go while tracing runs. Without any, nothing is made for them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lumitrace::exporter::{ExportBatch, ExportError, ExportReceipt, SpanExporter};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::finished::FinishedSpan;
use crate::notice;

static LISTENERS: Mutex<Vec<Py<PyAny>>> = Mutex::new(Vec::new());
/// How many there are: asked for every batch, without the interpreter.
static LISTENER_COUNT: AtomicUsize = AtomicUsize::new(0);

/// Held only for moments, and by threads that hold the interpreter: no fork finds it locked.
fn listeners() -> MutexGuard<'static, Vec<Py<PyAny>>> {
    LISTENERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on, `listener` is called with a tuple of the spans of each batch, on another thread.
#[pyfunction]
#[pyo3(name = "_listen")]
pub(crate) fn listen(listener: Py<PyAny>) {
    let mut listeners = listeners();
    listeners.push(listener);
    LISTENER_COUNT.store(listeners.len(), Ordering::Relaxed);
}

/// `listener` is called no more.
#[pyfunction]
#[pyo3(name = "_stop_listening")]
pub(crate) fn stop_listening(listener: &Bound<'_, PyAny>) {
    let mut listeners = listeners();
    let place = listeners.iter().position(|it| it.is(listener));
    let removed = place.map(|place| listeners.remove(place));
    LISTENER_COUNT.store(listeners.len(), Ordering::Relaxed);
    // After the lock is free: the last reference runs destructors.
    drop(listeners);
    drop(removed);
}

/// Shows spans to the listeners.
#[derive(Clone, Copy)]
pub(crate) enum ListenerExporter {
    /// Other exporters get the spans too: without listeners it takes none.
    BesideOthers,
    /// Nobody else gets the spans: without listeners they are of no use.
    Alone,
}

impl SpanExporter for ListenerExporter {
    fn name(&self) -> String {
        "listeners".to_owned()
    }

    fn export(&mut self, batch: &ExportBatch, _: Duration) -> Result<ExportReceipt, ExportError> {
        if LISTENER_COUNT.load(Ordering::Relaxed) > 0 && !batch.is_empty() && !notice::is_over() {
            // Where the interpreter is gone, so are the listeners.
            Python::try_attach(|py| tell(py, batch));
        }
        Ok(ExportReceipt::default())
    }

    fn takes_spans(&self) -> bool {
        match self {
            Self::BesideOthers => LISTENER_COUNT.load(Ordering::Relaxed) > 0,
            Self::Alone => true,
        }
    }
}

fn tell(py: Python<'_>, batch: &ExportBatch) {
    let listeners: Vec<_> = listeners().iter().map(|it| it.clone_ref(py)).collect();
    let spans = batch.spans().iter().map(|scoped| {
        let resource = Arc::clone(batch.resource());
        FinishedSpan::new(scoped.span.clone(), resource, scoped.scope.clone())
    });
    let spans = PyTuple::new(py, spans.collect::<Vec<_>>());
    for listener in listeners {
        let told = match &spans {
            Ok(spans) => listener.call1(py, (spans,)),
            Err(error) => Err(error.clone_ref(py)),
        };
        if let Err(error) = told {
            error.write_unraisable(py, Some(listener.bind(py)));
        }
    }
}
