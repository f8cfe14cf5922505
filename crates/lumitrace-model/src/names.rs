//! Names of attributes, events and spans that more than one crate knows.
//!
//! Sources: OpenTelemetry semantic conventions (resource, exception), and the training names of
//! Lumitrace's own documents.

/// Resource: the logical name of the service.
pub const SERVICE_NAME: &str = "service.name";
/// Resource: the version of the service.
pub const SERVICE_VERSION: &str = "service.version";
/// Resource: unique per process; tells one run from the next.
pub const SERVICE_INSTANCE_ID: &str = "service.instance.id";
/// What OpenTelemetry calls a service that did not say its name.
pub const UNKNOWN_SERVICE: &str = "unknown_service";
/// Resource: the deployment environment, in today's convention.
pub const DEPLOYMENT_ENVIRONMENT_NAME: &str = "deployment.environment.name";
/// Resource: the deployment environment, in the older convention that many tools still read.
pub const DEPLOYMENT_ENVIRONMENT: &str = "deployment.environment";
/// Resource: the host's name.
pub const HOST_NAME: &str = "host.name";
/// Resource: the process id.
pub const PROCESS_PID: &str = "process.pid";

/// Resource or span: the run that the spans belong to; processes of one job share it.
pub const RUN_ID: &str = "run.id";
/// Resource or span: which process of a distributed job, from 0.
pub const RANK: &str = "rank";
/// Resource or span: how many processes a distributed job has.
pub const WORLD_SIZE: &str = "world_size";

/// The event that records an exception.
pub const EXCEPTION_EVENT: &str = "exception";
/// The exception's class.
pub const EXCEPTION_TYPE: &str = "exception.type";
/// The exception's message.
pub const EXCEPTION_MESSAGE: &str = "exception.message";
/// The exception's stack trace, as text.
pub const EXCEPTION_STACKTRACE: &str = "exception.stacktrace";
/// Span: class of the error that ended it.
pub const ERROR_TYPE: &str = "error.type";
/// Span: message of the error that ended it.
pub const ERROR_MESSAGE: &str = "error.message";

/// Span of a whole training; epochs and what else belongs to it are below.
pub const TRAINING_RUN: &str = "training_run";
/// Span of one pass over the training data.
pub const TRAINING_EPOCH: &str = "training_epoch";
/// Span of one batch.
pub const BATCH_PROCESSING: &str = "batch_processing";
/// Span of an evaluation on held-out data.
pub const VALIDATION: &str = "validation";
/// Span of reading data.
pub const DATA_LOADING: &str = "data_loading";
/// Span of computing features.
pub const FEATURE_ENGINEERING: &str = "feature_engineering";

/// On the wire, marks the announcement of a span that is still open. Sent only to servers that
/// answer with [`PENDING_SPANS_HEADER`]; becomes [`crate::Span::pending`] on decoding.
pub const PENDING_ATTRIBUTE: &str = "lumitrace.pending";
/// Response header (HTTP) and metadata key (gRPC) by which a server says, with the value `1`, that
/// it understands announcements of open spans.
pub const PENDING_SPANS_HEADER: &str = "lumitrace-pending-spans";
