//! The SDK's messages to people, through Python's `logging`.

use std::sync::atomic::{AtomicBool, Ordering};

use lumitrace::Notice;
use lumitrace::notice::Severity;
use pyo3::intern;
use pyo3::prelude::*;

/// Whether the interpreter is about to end: then nobody reads messages, and a thread that waits for
/// the interpreter would never return.
static IS_OVER: AtomicBool = AtomicBool::new(false);

/// Logs `notice` to the logger `lumitrace`. Called on any thread, with or without the interpreter.
pub(crate) fn log(notice: &Notice) {
    if is_over() {
        return;
    }
    let level = match notice.severity() {
        Severity::Info => "info",
        Severity::Warning => "warning",
    };
    Python::try_attach(|py| {
        // A logging handler of the program that raises concerns nobody here.
        let _logged = (|| -> PyResult<()> {
            let logging = py.import(intern!(py, "logging"))?;
            let logger = logging.call_method1(intern!(py, "getLogger"), ("lumitrace",))?;
            // As an argument: a percent sign in the message is no format.
            logger
                .call_method1(level, ("%s", notice.to_string()))
                .map(drop)
        })();
    });
}

/// Whether the interpreter is about to end.
pub(crate) fn is_over() -> bool {
    IS_OVER.load(Ordering::Relaxed)
}

/// From now on nothing is logged.
pub(crate) fn silence() {
    IS_OVER.store(true, Ordering::Relaxed);
}
