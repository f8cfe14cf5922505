//! The traits that make tracers and spans.

use lumitrace::global;
use opentelemetry::trace::{self as otel_trace, SpanBuilder};
use opentelemetry::{Context, InstrumentationScope};

use crate::Span;
use crate::context::{self, with_parent};
use crate::convert::{key_values, scope, span_context, span_kind, unix_nano};

/// A provider of Lumitrace, as `opentelemetry` knows providers.
///
/// ```
/// // For the provider that lumitrace::setup_tracing(..).install() makes, now or later:
/// opentelemetry::global::set_tracer_provider(lumitrace_opentelemetry::TracerProvider::global());
/// ```
#[derive(Debug, Clone, Copy)]
pub struct TracerProvider {
    /// `None`: whichever is the global one.
    provider: Option<lumitrace::TracerProvider>,
}

impl TracerProvider {
    /// Over a given provider.
    pub fn new(provider: lumitrace::TracerProvider) -> Self {
        context::observe();
        Self {
            provider: Some(provider),
        }
    }

    /// Over Lumitrace's global provider, also if that is set up later.
    pub fn global() -> Self {
        context::observe();
        Self { provider: None }
    }
}

impl otel_trace::TracerProvider for TracerProvider {
    type Tracer = Tracer;

    fn tracer_with_scope(&self, instrumentation: InstrumentationScope) -> Tracer {
        let scope = scope(&instrumentation);
        let tracer = match &self.provider {
            Some(provider) => provider.tracer_of_scope(scope),
            None => global::tracer_of_scope(scope),
        };
        Tracer { tracer }
    }
}

/// A tracer of Lumitrace, as `opentelemetry` knows tracers.
#[derive(Debug, Clone, Copy)]
pub struct Tracer {
    tracer: lumitrace::Tracer,
}

impl otel_trace::Tracer for Tracer {
    type Span = Span;

    fn build_with_context(&self, builder: SpanBuilder, parent: &Context) -> Span {
        if parent.is_telemetry_suppressed() {
            // Within an exporter: what it does must not become spans to export.
            return Span::new(lumitrace::Span::none());
        }
        let kind = builder.span_kind.as_ref().map(span_kind);
        let attributes = key_values(builder.attributes.unwrap_or_default());
        let mut ours = self.tracer.span(builder.name);
        ours = ours.kind(kind.unwrap_or_default()).attributes(attributes);
        for link in builder.links.into_iter().flatten() {
            ours = ours.link(
                &span_context(&link.span_context),
                key_values(link.attributes),
            );
        }
        if let Some(start_time) = builder.start_time {
            ours = ours.start_time(unix_nano(start_time));
        }
        let span = with_parent(ours, parent).start();
        for event in builder.events.into_iter().flatten() {
            let (time, attributes) = (unix_nano(event.timestamp), key_values(event.attributes));
            span.add_event_at(event.name, time, attributes);
        }
        match builder.start_time {
            Some(start_time) => Span::started(span, unix_nano(start_time)),
            None => Span::new(span),
        }
    }
}
