//! A trace's spans as a tree, in the order a waterfall shows them.

use lumitrace_model::{SpanId, SpanKind, StatusCode, TraceId};

use crate::facts::SpanState;
use crate::training::RunId;

/// A trace as a waterfall: rows in pre-order, children by start and then by id.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceTree {
    /// The trace.
    pub trace_id: TraceId,
    /// Start of the earliest span, in nanoseconds since the Unix epoch.
    pub start_unix_nano: u64,
    /// From the earliest start to the latest end, in nanoseconds.
    pub duration_nano: u64,
    /// How many of the spans failed; there are as many spans as rows.
    pub error_count: u64,
    /// How far it has come.
    pub state: SpanState,
    /// Whether no span is a root: it is still open, or was lost or sampled away.
    pub root_missing: bool,
    /// Names of services, which rows point into.
    pub services: Vec<String>,
    /// Names of spans, which rows point into.
    pub names: Vec<String>,
    /// The training run it belongs to.
    pub run_id: Option<RunId>,
    /// The spans in pre-order.
    pub rows: Vec<TreeRow>,
}

/// A span in a waterfall.
#[derive(Debug, Clone, PartialEq)]
pub struct TreeRow {
    /// The span.
    pub span_id: SpanId,
    /// Row of its parent; always an earlier one. `None` for a root.
    pub parent: Option<u32>,
    /// How many ancestors it has.
    pub depth: u32,
    /// Whether it names a parent that is not in the trace, and is shown as a root instead.
    pub parent_missing: bool,
    /// Its name, as an index into [`TraceTree::names`].
    pub name: u32,
    /// Its service, as an index into [`TraceTree::services`].
    pub service: u32,
    /// Its role.
    pub kind: SpanKind,
    /// From the trace's start to its own, in nanoseconds.
    pub start_offset_nano: u64,
    /// How long it took, in nanoseconds; of a span in progress, until its last announcement.
    pub duration_nano: u64,
    /// How it ended.
    pub status: StatusCode,
    /// How far it has come.
    pub state: SpanState,
    /// How many events it has.
    pub event_count: u32,
    /// What tells it from its siblings, such as `(1/3)` or `(37)`.
    pub label: Option<String>,
}
