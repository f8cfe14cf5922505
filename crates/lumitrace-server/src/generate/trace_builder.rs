//! Puts a trace together: spans of several processes under one trace id.

use lumitrace_model::{
    Event, KeyValue, Link, Resource, ResourceSpans, Scope, ScopeSpans, Span, SpanId, SpanKind,
    Status, StatusCode, Text, TraceId, Value, names,
};

use super::random::Random;

/// A trace in the making.
pub(super) struct TraceBuilder {
    pub(super) random: Random,
    trace_id: TraceId,
    processes: Vec<ResourceSpans>,
}

/// Which process of the trace a span belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process(usize);

/// A span that is still written to.
pub(super) struct OpenSpan {
    process: Process,
    span: Span,
}

/// What went wrong in a span.
pub(super) struct Failure {
    pub(super) exception_type: &'static str,
    pub(super) message: String,
    pub(super) stacktrace: String,
}

impl TraceBuilder {
    /// An empty trace whose id and content come from `random`.
    pub(super) fn new(mut random: Random) -> Self {
        Self {
            trace_id: random.trace_id(),
            random,
            processes: Vec::new(),
        }
    }

    /// Adds a process with this resource, whose spans are recorded by the instrumentation `scope`.
    pub(super) fn process(&mut self, resource: Vec<KeyValue>, scope: (&str, &str)) -> Process {
        let scope = Scope {
            name: scope.0.to_owned().into(),
            version: scope.1.to_owned().into(),
            ..Scope::default()
        };
        let resource = Resource {
            attributes: resource,
            ..Resource::default()
        };
        self.processes.push(ResourceSpans {
            resource,
            scope_spans: vec![ScopeSpans {
                scope,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        });
        Process(self.processes.len() - 1)
    }

    /// Opens a span.
    pub(super) fn open(
        &mut self,
        process: Process,
        parent: Option<SpanId>,
        name: impl Into<Text>,
        kind: SpanKind,
        start_unix_nano: u64,
    ) -> OpenSpan {
        let span = Span {
            trace_id: self.trace_id,
            span_id: self.random.span_id(),
            parent_span_id: parent,
            name: name.into(),
            kind,
            start_unix_nano,
            end_unix_nano: start_unix_nano,
            // W3C: sampled.
            flags: 1,
            ..Span::default()
        };
        OpenSpan { process, span }
    }

    /// Ends a span at `end_unix_nano` and puts it with those of its process; returns its end.
    pub(super) fn close(&mut self, open: OpenSpan, end_unix_nano: u64) -> u64 {
        let OpenSpan { process, mut span } = open;
        span.end_unix_nano = end_unix_nano.max(span.start_unix_nano);
        // Every process has exactly one scope.
        self.processes[process.0].scope_spans[0].spans.push(span);
        end_unix_nano
    }

    /// The trace; processes without spans are left out.
    pub(super) fn finish(mut self) -> Vec<ResourceSpans> {
        self.processes
            .retain(|process| !process.scope_spans[0].spans.is_empty());
        self.processes
    }
}

impl OpenSpan {
    /// The span's id.
    pub(super) fn id(&self) -> SpanId {
        self.span.span_id
    }

    /// Where a link to the span points.
    pub(super) fn link(&self) -> Link {
        Link {
            trace_id: self.span.trace_id,
            span_id: self.span.span_id,
            flags: self.span.flags,
            ..Link::default()
        }
    }

    /// Adds an attribute.
    pub(super) fn set(&mut self, key: impl Into<Text>, value: impl Into<Value>) -> &mut Self {
        self.span.attributes.push(KeyValue::new(key, value));
        self
    }

    /// Adds an event.
    pub(super) fn event(
        &mut self,
        time_unix_nano: u64,
        name: &'static str,
        attributes: Vec<KeyValue>,
    ) -> &mut Self {
        self.span.events.push(Event {
            time_unix_nano,
            name: name.into(),
            attributes,
            ..Event::default()
        });
        self
    }

    /// Adds a link.
    pub(super) fn add_link(&mut self, link: Link) -> &mut Self {
        self.span.links.push(link);
        self
    }

    /// Records an exception as OpenTelemetry's SDKs do: event, error type and status.
    pub(super) fn fail(&mut self, time_unix_nano: u64, failure: &Failure) -> &mut Self {
        let exception = vec![
            KeyValue::new(names::EXCEPTION_TYPE, failure.exception_type),
            KeyValue::new(names::EXCEPTION_MESSAGE, failure.message.clone()),
            KeyValue::new(names::EXCEPTION_STACKTRACE, failure.stacktrace.clone()),
        ];
        self.event(time_unix_nano, names::EXCEPTION_EVENT, exception);
        self.set(names::ERROR_TYPE, failure.exception_type);
        self.fail_with_message(failure.message.clone())
    }

    /// Sets the status to error, without an exception of its own.
    pub(super) fn fail_with_message(&mut self, message: impl Into<Text>) -> &mut Self {
        self.span.status = Status {
            code: StatusCode::Error,
            message: message.into(),
        };
        self
    }

    /// Sets the status to ok.
    pub(super) fn succeed(&mut self) -> &mut Self {
        self.span.status.code = StatusCode::Ok;
        self
    }
}
