//! What the pages about training runs show. These structs mirror the API's answers field by field.

use lumitrace_model::{KeyValue, SpanId, StatusCode, TraceId};

use super::identity::RunId;
use super::metrics::SeriesInfo;
use crate::facts::SpanState;

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct RunQuery {
    /// Only runs of this service.
    pub service: Option<String>,
    /// At most this many, newest first; zero means 100.
    pub limit: usize,
}

/// How a run as a whole is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunState {
    /// Spans still arrive, or one was announced lately.
    Running,
    /// Its root span, or its last planned epoch, ended well.
    Finished,
    /// Its root span, or the last thing it did, ended with an error.
    Failed,
    /// It fell silent without an end.
    Interrupted,
}

impl RunState {
    /// The lower-case word for the state, as the API prints it.
    pub const fn as_str(self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Finished => "finished",
            RunState::Failed => "failed",
            RunState::Interrupted => "interrupted",
        }
    }
}

/// How an epoch, a validation or a phase is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StageState {
    /// It ended well.
    Complete,
    /// It is in progress.
    Running,
    /// It fell silent without an end.
    Interrupted,
    /// It ended with an error.
    Failed,
}

impl StageState {
    /// The state of a stage whose span is in `state` and ended with `status`.
    pub fn of(state: SpanState, status: StatusCode) -> Self {
        match (state, status) {
            (SpanState::Complete, StatusCode::Error) => StageState::Failed,
            (SpanState::Complete, _) => StageState::Complete,
            (SpanState::Running, _) => StageState::Running,
            (SpanState::Interrupted, _) => StageState::Interrupted,
        }
    }

    /// The lower-case word for the state, as the API prints it.
    pub const fn as_str(self) -> &'static str {
        match self {
            StageState::Complete => "complete",
            StageState::Running => "running",
            StageState::Interrupted => "interrupted",
            StageState::Failed => "failed",
        }
    }
}

/// A run, in one line of the list.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    /// Identifies the run.
    pub run_id: RunId,
    /// The service that trains.
    pub service_name: String,
    /// Its deployment environment.
    pub environment: Option<String>,
    /// The host it (first) ran on.
    pub host: Option<String>,
    /// Its (first) process id.
    pub pid: Option<i64>,
    /// Its `service.instance.id`, or the run id that the program itself gave.
    pub instance: Option<String>,
    /// How it is doing.
    pub state: RunState,
    /// Start of its earliest span, in nanoseconds since the Unix epoch.
    pub start_unix_nano: u64,
    /// Latest sign of life: the end, or the last announcement, of its newest span.
    pub last_seen_unix_nano: u64,
    /// When it ended; `None` while it runs.
    pub end_unix_nano: Option<u64>,
    /// The latest epoch's number, as the program counts.
    pub epoch: Option<i64>,
    /// How many epochs are planned.
    pub total_epochs: Option<i64>,
    /// How many batches it has processed.
    pub batch_count: u64,
    /// Loss of the latest batch.
    pub last_loss: Option<f64>,
    /// Training loss of the latest epoch that told it.
    pub last_train_loss: Option<f64>,
    /// Latest validation loss.
    pub last_val_loss: Option<f64>,
    /// Latest validation metric.
    pub last_val_metric: Option<f64>,
    /// Lowest finite validation loss.
    pub best_val_loss: Option<f64>,
    /// How many of its spans failed.
    pub error_count: u64,
    /// Its newest traces, newest first, at most 20.
    pub trace_ids: Vec<TraceId>,
}

/// Everything that the page of one run shows, except the points of its curves.
#[derive(Debug, Clone, PartialEq)]
pub struct RunView {
    /// The line of the list.
    pub summary: RunSummary,
    /// Grows with every change of the run; equal revisions mean equal views (but for "now").
    pub revision: u64,
    /// What the resource says about the process.
    pub attributes: Vec<KeyValue>,
    /// Attributes of the root span: the parameters of the run.
    pub parameters: Vec<KeyValue>,
    /// Epochs in order of start; a repeated epoch appears again.
    pub epochs: Vec<EpochView>,
    /// Loading, features, evaluation, checkpoints and the like, in order of start, at most 1000
    /// (the newest).
    pub phases: Vec<PhaseView>,
    /// What went wrong, in order of time, at most 1000 (the newest).
    pub errors: Vec<ErrorView>,
    /// Which curves there are.
    pub series: Vec<SeriesInfo>,
    /// How long steps take.
    pub step_time: Option<StepTime>,
    /// Samples per second of step time, over the newest 1000 batches that told their size.
    pub samples_per_second: Option<f64>,
    /// Estimated nanoseconds until the last planned epoch ends; only while it runs.
    pub eta_nano: Option<u64>,
}

/// Typical durations of a run's steps, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepTime {
    /// Median duration of a batch.
    pub p50_nano: u64,
    /// 95th percentile of the duration of a batch.
    pub p95_nano: u64,
    /// Median time between two batches of one epoch and process: an upper bound of the wait for
    /// data, less any validation or other phase in the gap.
    pub between_p50_nano: Option<u64>,
}

/// One pass over the data, or what is known of one.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochView {
    /// Its number, as the program counts.
    pub epoch: Option<i64>,
    /// `1/3`, `1`, or empty.
    pub label: String,
    /// The trace it is in.
    pub trace_id: TraceId,
    /// Its span. Where that has not arrived yet, the id its batches name as their parent, or the
    /// id of its first batch: either finds the batches again.
    pub span_id: SpanId,
    /// How it is doing.
    pub state: StageState,
    /// Its start, in nanoseconds since the Unix epoch.
    pub start_unix_nano: u64,
    /// How long it took so far, in nanoseconds.
    pub duration_nano: u64,
    /// Its training loss.
    pub train_loss: Option<f64>,
    /// Its validation loss: its own, or its last validation's.
    pub val_loss: Option<f64>,
    /// Its validation metric: its own, or its last validation's.
    pub val_metric: Option<f64>,
    /// How many batches it had.
    pub batch_count: u64,
    /// Median duration of its batches, in nanoseconds.
    pub batch_p50_nano: Option<u64>,
    /// 95th percentile of the duration of its batches, in nanoseconds.
    pub batch_p95_nano: Option<u64>,
    /// Samples per second of step time.
    pub samples_per_second: Option<f64>,
    /// How many of its batches and validations failed, itself included.
    pub error_count: u64,
    /// Its validations in order of start.
    pub validations: Vec<ValidationView>,
}

/// An evaluation on held-out data.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidationView {
    /// The trace it is in.
    pub trace_id: TraceId,
    /// Its span.
    pub span_id: SpanId,
    /// Its start, in nanoseconds since the Unix epoch.
    pub start_unix_nano: u64,
    /// How long it took so far, in nanoseconds.
    pub duration_nano: u64,
    /// How it is doing.
    pub state: StageState,
    /// Validation loss.
    pub val_loss: Option<f64>,
    /// Validation metric.
    pub val_metric: Option<f64>,
    /// Every number it told, by name.
    pub metrics: Vec<Metric>,
}

/// A named number.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Its name, as the program wrote it.
    pub name: String,
    /// Its value, finite or not.
    pub value: f64,
}

/// A stretch of the run that is neither epoch nor batch nor validation within an epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct PhaseView {
    /// The span's name.
    pub name: String,
    /// The trace it is in.
    pub trace_id: TraceId,
    /// Its span.
    pub span_id: SpanId,
    /// Its start, in nanoseconds since the Unix epoch.
    pub start_unix_nano: u64,
    /// How long it took so far, in nanoseconds.
    pub duration_nano: u64,
    /// How it is doing.
    pub state: StageState,
    /// Its attributes.
    pub attributes: Vec<KeyValue>,
}

/// Something that went wrong in a run.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorView {
    /// The trace it is in.
    pub trace_id: TraceId,
    /// The span that failed: the innermost, where the same error passed through several.
    pub span_id: SpanId,
    /// The span's name.
    pub name: String,
    /// The span's label, such as `(37)`.
    pub label: Option<String>,
    /// The exception's class.
    pub error_type: Option<String>,
    /// The message of the exception or of the status.
    pub message: Option<String>,
    /// When it happened, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
}

/// A page of an epoch's batches.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchPage {
    /// How many batches the epoch has.
    pub total: usize,
    /// The batches of this page, in order of start.
    pub batches: Vec<BatchRow>,
}

/// One batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchRow {
    /// The trace it is in.
    pub trace_id: TraceId,
    /// Its span.
    pub span_id: SpanId,
    /// Its label, such as `(37)`.
    pub label: Option<String>,
    /// Its step, as the program counts.
    pub step: Option<i64>,
    /// Its start, in nanoseconds since the Unix epoch.
    pub start_unix_nano: u64,
    /// How long it took so far, in nanoseconds.
    pub duration_nano: u64,
    /// How far it has come.
    pub state: SpanState,
    /// How it ended.
    pub status: StatusCode,
    /// Its loss, finite or not.
    pub loss: Option<f64>,
    /// How many samples it had.
    pub batch_size: Option<f64>,
}
