//! What the handle does with the archive of traces.

use lumitrace_model::TraceId;

use super::{Handle, Store};
use crate::engine::Engine;
use crate::spans::Spans;
use crate::trace::{SpansThatCount, TraceLookup};
use crate::{ArchiveError, Archived, LookupError, QueryBudget, SpanParts, archive};

impl Store {
    /// Copies the spans of a trace into the archive, where they are kept for ever, and returns once
    /// they are durable there. Final spans that the archive has are not copied again. What comes later is
    /// archived when it is asked for again. What is damaged is left out, as the answer says.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// # let trace_id = example::trace_id();
    /// use lumitrace_store::QueryBudget;
    ///
    /// let budget = QueryBudget::unlimited();
    /// assert_eq!(store.archive_trace(trace_id, &budget)?.copied_spans, 2);
    /// assert_eq!(store.archive_trace(trace_id, &budget)?.copied_spans, 0); // it has them already
    /// assert_eq!(store.archived_spans(trace_id, &budget)?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`ArchiveError`]. What was copied by then stays.
    ///
    /// # Panics
    /// On a thread of an async runtime: it blocks.
    pub fn archive_trace(
        &self,
        trace_id: TraceId,
        budget: &QueryBudget,
    ) -> Result<Archived, ArchiveError> {
        let Handle { spans, archive, .. } = &*self.handle;
        archive::archive_trace(spans, archive, trace_id, budget)
    }

    /// How many spans of a trace the archive has, without those that are damaged.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// # let trace_id = example::trace_id();
    /// use lumitrace_store::QueryBudget;
    ///
    /// let budget = QueryBudget::unlimited();
    /// assert_eq!(store.archived_spans(trace_id, &budget)?, 0);
    /// store.archive_trace(trace_id, &budget)?;
    /// assert_eq!(store.archived_spans(trace_id, &budget)?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a file cannot be read, or the budget is exhausted.
    pub fn archived_spans(
        &self,
        trace_id: TraceId,
        budget: &QueryBudget,
    ) -> Result<usize, LookupError> {
        let Some(archive) = self.handle.archive.get() else {
            return Ok(0);
        };
        let lookup = TraceLookup {
            trace_id,
            parts: SpanParts::NONE,
        };
        let spans = SpansThatCount::of_trace(archive, lookup, budget, &mut |_| Ok(()))?;
        Ok(spans.by_start().spans.len())
    }

    /// What the threads of the archive share, if there is one.
    pub(crate) fn archive_engine(&self) -> Option<&Engine<Spans>> {
        Some(&self.handle.archive.get()?.engine)
    }
}
