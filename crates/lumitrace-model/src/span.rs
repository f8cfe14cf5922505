//! Spans, their events, links and status (opentelemetry-proto `trace.proto`).

use crate::{KeyValue, SpanId, Text, TraceId, Value, names, value};

/// What role a span plays in a call between processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SpanKind {
    /// The sender did not say.
    Unspecified,
    /// Work inside a process: the default of every SDK.
    #[default]
    Internal,
    /// Handles a request from elsewhere.
    Server,
    /// Makes a request to elsewhere.
    Client,
    /// Puts a message on a queue.
    Producer,
    /// Takes a message off a queue.
    Consumer,
}

impl SpanKind {
    /// The number that OTLP uses.
    pub const fn code(self) -> u8 {
        match self {
            SpanKind::Unspecified => 0,
            SpanKind::Internal => 1,
            SpanKind::Server => 2,
            SpanKind::Client => 3,
            SpanKind::Producer => 4,
            SpanKind::Consumer => 5,
        }
    }

    /// The kind that OTLP's number stands for; unknown numbers are unspecified, as protobuf asks
    /// of open enums.
    pub const fn from_code(code: i64) -> Self {
        match code {
            1 => SpanKind::Internal,
            2 => SpanKind::Server,
            3 => SpanKind::Client,
            4 => SpanKind::Producer,
            5 => SpanKind::Consumer,
            _ => SpanKind::Unspecified,
        }
    }

    /// The lower-case word for the kind, as the APIs print it.
    pub const fn as_str(self) -> &'static str {
        match self {
            SpanKind::Unspecified => "unspecified",
            SpanKind::Internal => "internal",
            SpanKind::Server => "server",
            SpanKind::Client => "client",
            SpanKind::Producer => "producer",
            SpanKind::Consumer => "consumer",
        }
    }
}

/// Whether the work of a span went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum StatusCode {
    /// Nobody said.
    #[default]
    Unset,
    /// The program declared success.
    Ok,
    /// The work failed.
    Error,
}

impl StatusCode {
    /// The number that OTLP uses.
    pub const fn code(self) -> u8 {
        match self {
            StatusCode::Unset => 0,
            StatusCode::Ok => 1,
            StatusCode::Error => 2,
        }
    }

    /// The status that OTLP's number stands for; unknown numbers are unset.
    pub const fn from_code(code: i64) -> Self {
        match code {
            1 => StatusCode::Ok,
            2 => StatusCode::Error,
            _ => StatusCode::Unset,
        }
    }
}

/// The outcome of a span.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Status {
    /// Unset, ok or error.
    pub code: StatusCode,
    /// What went wrong, for people.
    pub message: Text,
}

/// Something that happened at one moment of a span, such as an exception.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Event {
    /// When it happened, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// What happened, such as `exception`.
    pub name: Text,
    /// The facts.
    pub attributes: Vec<KeyValue>,
    /// How many attributes the sender's limits cut off.
    pub dropped_attributes_count: u32,
}

/// A pointer to a span of this or another trace.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Link {
    /// The trace pointed at.
    pub trace_id: TraceId,
    /// The span pointed at.
    pub span_id: SpanId,
    /// W3C `tracestate` of the target.
    pub trace_state: Text,
    /// Why it is linked.
    pub attributes: Vec<KeyValue>,
    /// How many attributes the sender's limits cut off.
    pub dropped_attributes_count: u32,
    /// W3C trace flags, and OTLP's bits above them.
    pub flags: u32,
}

/// A piece of work with a beginning, an end and facts about it.
///
/// Within a trace a span is identified by its id *and kind*: Zipkin lets a client and a server
/// share one id.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Span {
    /// The trace it belongs to; valid on every stored span.
    pub trace_id: TraceId,
    /// Its own id; valid on every stored span.
    pub span_id: SpanId,
    /// The span that caused it; `None` for a root.
    pub parent_span_id: Option<SpanId>,
    /// W3C `tracestate`.
    pub trace_state: Text,
    /// W3C trace flags, and OTLP's bits above them.
    pub flags: u32,
    /// What kind of work it is: constant, without numbers, such as `training_epoch`.
    pub name: Text,
    /// Its role in a call between processes.
    pub kind: SpanKind,
    /// Start, in nanoseconds since the Unix epoch.
    pub start_unix_nano: u64,
    /// End, in nanoseconds since the Unix epoch. Of a pending span: when it was last announced.
    pub end_unix_nano: u64,
    /// The facts.
    pub attributes: Vec<KeyValue>,
    /// How many attributes the sender's limits cut off.
    pub dropped_attributes_count: u32,
    /// What happened meanwhile, in the order it was recorded.
    pub events: Vec<Event>,
    /// How many events the sender's limits cut off.
    pub dropped_events_count: u32,
    /// Other spans it points at.
    pub links: Vec<Link>,
    /// How many links the sender's limits cut off.
    pub dropped_links_count: u32,
    /// How it ended.
    pub status: Status,
    /// Whether this is an announcement of a span that is still open. The final span, when it
    /// comes, replaces it.
    pub pending: bool,
}

impl Span {
    /// How long it took, in nanoseconds; zero where the clock ran backwards.
    pub fn duration_nano(&self) -> u64 {
        self.end_unix_nano.saturating_sub(self.start_unix_nano)
    }

    /// Whether its status says that it failed.
    pub fn is_error(&self) -> bool {
        self.status.code == StatusCode::Error
    }

    /// The value of its first attribute named `key`.
    pub fn attribute(&self, key: &str) -> Option<&Value> {
        value::find(&self.attributes, key)
    }

    /// Its last exception event: the one that ended it.
    pub fn exception(&self) -> Option<&Event> {
        self.events
            .iter()
            .rev()
            .find(|event| event.name == names::EXCEPTION_EVENT)
    }
}
