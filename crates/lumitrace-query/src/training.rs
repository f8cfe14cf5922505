//! Training runs: recognised among ordinary spans, told apart, folded into a state that is cheap
//! to keep up to date, and shown.
//!
//! No convention for training spans exists, so nothing here relies on one: names are matched by
//! pattern, indices are read from several attributes or from the name, and a run is found by its
//! process rather than by its trace, because many programs make every batch a trace of its own.
//!
//! Modules in reading order: [`recognition`] says what a span is and [`identity`] which run it
//! belongs to. `digest` folds the few figures that the list of runs shows, and `catalog` keeps
//! one for every run. `fold` keeps everything of one opened run, with [`metrics`] and `curves` for
//! its numbers, and `presentation` turns that into a [`view`]. Of what is in blocks `block_runs` and
//! `step_columns` are kept, from which catalog and fold are made without reading spans.

pub(crate) mod block_runs;
pub(crate) mod catalog;
pub(crate) mod curves;
pub(crate) mod digest;
pub(crate) mod fold;
pub mod identity;
pub mod metrics;
mod presentation;
pub mod recognition;
pub(crate) mod step_columns;
pub mod view;

pub use block_runs::RunDigester;
pub use identity::{ParseRunIdError, RunId};
pub use view::{
    BatchPage, BatchRow, EpochView, ErrorView, Metric, PhaseView, RunQuery, RunState, RunSummary,
    RunView, StageState, StepTime, ValidationView,
};
