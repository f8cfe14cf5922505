//! Spans for the tests, written shortly.

use std::sync::Arc;

use lumitrace_model::{
    Event, KeyValue, Resource, ResourceSpans, Scope, ScopeSpans, Span, SpanId, SpanKind, Status,
    StatusCode, TraceId, Value, names,
};
use lumitrace_store::{Durability, SpanBatch, SpanRecord, Store, StoreOptions};

use crate::training::RunDigester;

/// A nanosecond count for readable times.
pub(crate) const SECOND: u64 = 1_000_000_000;
/// When the tests begin: a time that looks like one.
pub(crate) const T0: u64 = 1_700_000_000 * SECOND;

pub(crate) fn trace_id(number: u64) -> TraceId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    TraceId::from_bytes(bytes)
}

pub(crate) fn span_id(number: u64) -> SpanId {
    SpanId::from_bytes(number.to_be_bytes())
}

/// A span under construction: `span("batch", 7).parent(1).at(0, 2).with("loss", 0.5)`.
#[derive(Clone)]
pub(crate) struct SpanBuilder {
    span: Span,
    resource: Resource,
}

/// A span of trace 1, named `name`, that takes the first second of the test.
pub(crate) fn span(name: &str, id: u64) -> SpanBuilder {
    let span = Span {
        trace_id: trace_id(1),
        span_id: span_id(id),
        name: name.to_owned().into(),
        start_unix_nano: T0,
        end_unix_nano: T0 + SECOND,
        ..Span::default()
    };
    SpanBuilder {
        span,
        resource: Resource::default(),
    }
    .service("trainer")
}

impl SpanBuilder {
    pub(crate) fn trace(mut self, number: u64) -> Self {
        self.span.trace_id = trace_id(number);
        self
    }

    pub(crate) fn parent(mut self, id: u64) -> Self {
        self.span.parent_span_id = Some(span_id(id));
        self
    }

    /// From and until these seconds of the test.
    pub(crate) fn at(mut self, start: f64, end: f64) -> Self {
        self.span.start_unix_nano = T0 + (start * SECOND as f64) as u64;
        self.span.end_unix_nano = T0 + (end * SECOND as f64) as u64;
        self
    }

    /// From and until these nanoseconds since the Unix epoch.
    pub(crate) fn at_unix_nano(mut self, start: u64, end: u64) -> Self {
        (self.span.start_unix_nano, self.span.end_unix_nano) = (start, end);
        self
    }

    pub(crate) fn kind(mut self, kind: SpanKind) -> Self {
        self.span.kind = kind;
        self
    }

    pub(crate) fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.span.attributes.push(KeyValue::new(key, value));
        self
    }

    pub(crate) fn resource(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.resource
            .attributes
            .retain(|attribute| attribute.key != key);
        self.resource.attributes.push(KeyValue::new(key, value));
        self
    }

    pub(crate) fn service(self, name: &'static str) -> Self {
        self.resource(names::SERVICE_NAME, name)
    }

    /// Takes the resource away, so that nothing is known of the process.
    pub(crate) fn anonymous(mut self) -> Self {
        self.resource.attributes.clear();
        self
    }

    pub(crate) fn failed(mut self, message: &'static str) -> Self {
        self.span.status = Status {
            code: StatusCode::Error,
            message: message.into(),
        };
        self
    }

    pub(crate) fn exception(mut self, class: &'static str, message: &'static str) -> Self {
        self.span.events.push(Event {
            time_unix_nano: self.span.end_unix_nano,
            name: names::EXCEPTION_EVENT.into(),
            attributes: vec![
                KeyValue::new(names::EXCEPTION_TYPE, class),
                KeyValue::new(names::EXCEPTION_MESSAGE, message),
            ],
            dropped_attributes_count: 0,
        });
        self.failed(message)
    }

    pub(crate) fn pending(mut self) -> Self {
        self.span.pending = true;
        self
    }

    pub(crate) fn record(self) -> Arc<SpanRecord> {
        Arc::new(SpanRecord {
            received_unix_nano: self.span.end_unix_nano,
            span: self.span,
            resource: Arc::new(self.resource),
            resource_schema_url: "".into(),
            scope: Arc::default(),
            scope_schema_url: "".into(),
            seq: 0,
        })
    }

    pub(crate) fn resource_spans(self) -> ResourceSpans {
        let scope_spans = vec![ScopeSpans {
            scope: Scope::default(),
            schema_url: "".into(),
            spans: vec![self.span],
        }];
        ResourceSpans {
            resource: self.resource,
            schema_url: "".into(),
            scope_spans,
        }
    }
}

/// A store in a folder of its own, which lives as long as the first part.
pub(crate) fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        durability: Durability::None,
        digester: Some(Arc::new(RunDigester::default())),
        ..StoreOptions::new(dir.path().join("data"))
    };
    let store = Store::open(options).unwrap();
    (dir, store)
}

/// Stores these spans, each with its own resource.
pub(crate) fn append(store: &Store, spans: impl IntoIterator<Item = SpanBuilder>) {
    let spans: Vec<_> = spans.into_iter().map(SpanBuilder::resource_spans).collect();
    store
        .append(SpanBatch::from_resource_spans(&spans).unwrap())
        .wait()
        .unwrap();
}
