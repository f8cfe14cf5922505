//! Batches of ours as `opentelemetry_sdk` hands spans to exporters.

use lumitrace::exporter::{ExportBatch, ScopedSpan};
use lumitrace::model::{self, Scope};
use lumitrace::{SpanContext, SpanKind, StatusCode};
use opentelemetry::trace::{self as otel_trace, Event, Link, Status};
use opentelemetry::{InstrumentationScope, SpanId, TraceFlags, TraceId};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::convert::{otel_key_values, otel_span_context, otel_trace_state, system_time};

/// OTLP's flag of a span whose parent is in another process (`trace.proto`, bit 9).
const PARENT_IS_REMOTE: u32 = 0x200;

/// The spans of a batch.
pub(crate) fn spans(batch: &ExportBatch) -> Vec<SpanData> {
    batch.spans().iter().map(span).collect()
}

pub(crate) fn resource(resource: &model::Resource) -> Resource {
    let attributes = otel_key_values(&resource.attributes);
    Resource::builder_empty()
        .with_attributes(attributes)
        .build()
}

fn span(scoped: &ScopedSpan) -> SpanData {
    let span = &scoped.span;
    let parent = span.parent_span_id.map(|parent| parent.to_bytes());
    SpanData {
        span_context: otel_trace::SpanContext::new(
            TraceId::from_bytes(span.trace_id.to_bytes()),
            SpanId::from_bytes(span.span_id.to_bytes()),
            trace_flags(span.flags),
            false,
            otel_trace_state(&span.trace_state),
        ),
        parent_span_id: parent.map_or(SpanId::INVALID, SpanId::from_bytes),
        parent_span_is_remote: span.flags & PARENT_IS_REMOTE != 0,
        span_kind: span_kind(span.kind),
        name: span.name.clone(),
        start_time: system_time(span.start_unix_nano),
        end_time: system_time(span.end_unix_nano),
        attributes: otel_key_values(&span.attributes),
        dropped_attributes_count: span.dropped_attributes_count,
        events: events(span),
        links: links(span),
        status: status(&span.status),
        instrumentation_scope: scope(scoped.scope),
    }
}

/// The W3C flags: the low eight bits.
fn trace_flags(flags: u32) -> TraceFlags {
    TraceFlags::new(flags.to_le_bytes()[0])
}

fn events(span: &model::Span) -> SpanEvents {
    let event = |event: &model::Event| {
        Event::new(
            event.name.clone(),
            system_time(event.time_unix_nano),
            otel_key_values(&event.attributes),
            event.dropped_attributes_count,
        )
    };
    let mut events = SpanEvents::default();
    events.events = span.events.iter().map(event).collect();
    events.dropped_count = span.dropped_events_count;
    events
}

fn links(span: &model::Span) -> SpanLinks {
    let link = |link: &model::Link| {
        let flags = link.flags.to_le_bytes()[0];
        let target = SpanContext::new(link.trace_id, link.span_id, flags);
        let target = target.with_trace_state(&link.trace_state);
        Link::new(
            otel_span_context(&target),
            otel_key_values(&link.attributes),
            link.dropped_attributes_count,
        )
    };
    let mut links = SpanLinks::default();
    links.links = span.links.iter().map(link).collect();
    links.dropped_count = span.dropped_links_count;
    links
}

fn span_kind(kind: SpanKind) -> otel_trace::SpanKind {
    match kind {
        SpanKind::Unspecified | SpanKind::Internal => otel_trace::SpanKind::Internal,
        SpanKind::Server => otel_trace::SpanKind::Server,
        SpanKind::Client => otel_trace::SpanKind::Client,
        SpanKind::Producer => otel_trace::SpanKind::Producer,
        SpanKind::Consumer => otel_trace::SpanKind::Consumer,
    }
}

fn status(status: &model::Status) -> Status {
    match status.code {
        StatusCode::Unset => Status::Unset,
        StatusCode::Ok => Status::Ok,
        StatusCode::Error => Status::error(status.message.clone()),
    }
}

fn scope(scope: &'static Scope) -> InstrumentationScope {
    let named = InstrumentationScope::builder(scope.name.as_ref())
        .with_attributes(otel_key_values(&scope.attributes));
    match scope.version.is_empty() {
        true => named.build(),
        false => named.with_version(scope.version.as_ref()).build(),
    }
}
