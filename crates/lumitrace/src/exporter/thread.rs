//! The threads that export.

use std::cell::Cell;

thread_local! {
    static EXPORTS: Cell<bool> = const { Cell::new(false) };
}

/// Says that this thread works for an exporter from now on, as the worker thread of a provider does. Exporters
/// that start threads of their own say it in each of them.
pub fn begin_exporting_thread() {
    EXPORTS.set(true);
}

/// Whether this thread works for an exporter. What traces other libraries by itself leaves such threads out:
/// each export would make spans to export.
///
/// ```
/// assert!(!lumitrace::exporter::is_exporting_thread());
/// ```
pub fn is_exporting_thread() -> bool {
    // Its last moments count as work of its own.
    EXPORTS.try_with(Cell::get).unwrap_or_default()
}
