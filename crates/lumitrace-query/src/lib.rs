//! What stored spans, log records and metrics mean: traces as trees, searches over them, training
//! runs with their curves, and series.
//!
//! **What it is.** Pure logic over [`lumitrace_store::Store`]: it reads spans and answers
//! questions. "Now" is always an argument, so that every answer can be tested.
//!
//! **What it is not.** No network, no JSON, no files of its own, no clock.
//!
//! Modules in reading order, along the way of a question: [`engine`] takes it, [`assembly`] makes
//! a tree of one trace, [`search`] finds traces, [`logs`] log records, [`metrics`] the series of
//! metrics, [`training`] recognises training runs among all spans and folds them, [`series`] thins
//! curves for drawing, [`statistics`] tells how often operations are called and how long they take,
//! in `steps` of time, and [`facts`] holds the few facts about one span that all of them ask for.

pub mod assembly;
pub mod engine;
pub mod facts;
#[cfg(test)]
mod fixture;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod logs;
pub mod metrics;
mod recent;
pub mod search;
pub mod series;
pub mod statistics;
mod steps;
pub mod training;

pub use assembly::{TraceTree, TreeRow};
pub use engine::{
    EngineOptions, LiveChanges, OperationInfo, QueryEngine, QueryError, Readable, ServiceInfo,
    SpanDetail,
};
pub use facts::SpanState;
pub use logs::{LogCursor, LogFilter, LogPage, LogQuery};
pub use metrics::{
    MetricAnswer, MetricCurve, MetricEntry, MetricList, MetricListQuery, MetricQuery, SeriesCurves,
};
pub use search::{Cursor, ParseCursorError, TagFilter, TracePage, TraceQuery, TraceSummary};
pub use series::{Series, SeriesPoint};
pub use statistics::{OperationQuery, OperationRow, OperationStatistics, SpanStatistics};
pub use training::{RunId, RunState, RunSummary, RunView};
