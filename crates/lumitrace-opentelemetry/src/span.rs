//! The trait by which spans are changed and ended.

use std::borrow::Cow;
use std::error::Error;
use std::panic::Location;
use std::time::SystemTime;

use lumitrace::exception::Exception;
use opentelemetry::KeyValue;
use opentelemetry::trace::{self as otel_trace, SpanContext, Status};

use crate::context::answer;
use crate::convert::{key_value, key_values, otel_span_context, span_context, status, unix_nano};

/// A span of Lumitrace, as `opentelemetry` knows spans. Dropping it ends it.
#[derive(Debug)]
pub struct Span {
    span: lumitrace::Span,
    context: SpanContext,
    start_unix_nano: u64,
}

impl Span {
    /// A span that has just been started, or a handle on an older one.
    pub(crate) fn new(span: lumitrace::Span) -> Self {
        let now = lumitrace::unix_nano_now();
        Self::started(span, now)
    }

    pub(crate) fn started(span: lumitrace::Span, start_unix_nano: u64) -> Self {
        Self {
            context: otel_span_context(span.context()),
            span,
            start_unix_nano,
        }
    }
}

impl otel_trace::Span for Span {
    fn add_event<T>(&mut self, name: T, attributes: Vec<KeyValue>)
    where
        T: Into<Cow<'static, str>>,
    {
        self.span.add_event(name, key_values(attributes));
    }

    #[track_caller]
    fn record_error(&mut self, error: &dyn Error) {
        if self.span.is_recording() {
            let exception = Exception::of(error, Location::caller());
            let attributes = exception.into_attributes().into_iter().collect();
            self.span.add_event("exception", attributes);
        }
    }

    fn add_event_with_timestamp<T>(
        &mut self,
        name: T,
        timestamp: SystemTime,
        attributes: Vec<KeyValue>,
    ) where
        T: Into<Cow<'static, str>>,
    {
        let attributes = key_values(attributes);
        self.span
            .add_event_at(name, unix_nano(timestamp), attributes);
    }

    fn span_context(&self) -> &SpanContext {
        &self.context
    }

    fn is_recording(&self) -> bool {
        answer(&self.span);
        self.span.is_recording()
    }

    fn set_attribute(&mut self, attribute: KeyValue) {
        let attribute = key_value(attribute);
        self.span.set_attribute(attribute.key, attribute.value);
    }

    fn set_status(&mut self, new: Status) {
        let (code, message) = status(new);
        self.span.set_status(code, message);
    }

    fn update_name<T>(&mut self, new_name: T)
    where
        T: Into<Cow<'static, str>>,
    {
        self.span.rename(new_name);
    }

    fn add_link(&mut self, to: SpanContext, attributes: Vec<KeyValue>) {
        self.span
            .add_link(&span_context(&to), key_values(attributes));
    }

    fn end(&mut self) {
        self.span.end();
    }

    fn end_with_timestamp(&mut self, timestamp: SystemTime) {
        // A span in a context is ended with the system's time, which may be a little behind our clock's.
        let end = unix_nano(timestamp).max(self.start_unix_nano);
        self.span.end_at(end);
    }
}
