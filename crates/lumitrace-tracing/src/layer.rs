//! The layer: what `tracing` tells a subscriber, told to Lumitrace.

use std::cell::RefCell;

use lumitrace::exporter::is_exporting_thread;
use lumitrace::{ContextGuard, KeyValue, Span, SpanBuilder, StatusCode, Tracer};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::fields::Fields;

/// A layer that records for the global provider, also if that is set up later.
///
/// ```
/// use tracing_subscriber::prelude::*;
/// let subscriber = tracing_subscriber::registry().with(lumitrace_tracing::layer());
/// ```
pub fn layer() -> TracingLayer {
    TracingLayer::new(lumitrace::tracer("tracing"))
}

/// Records spans and events of `tracing` with a tracer of Lumitrace; see the [crate](crate).
#[derive(Debug, Clone)]
pub struct TracingLayer {
    tracer: Tracer,
    records_locations: bool,
}

/// The span of Lumitrace that belongs to one of `tracing`; kept in the registry.
struct Recorded(Span);

thread_local! {
    /// The spans that this thread has entered: guards cannot leave their thread, as the registry's data may.
    static ENTERED: RefCell<Vec<(Id, ContextGuard)>> = const { RefCell::new(Vec::new()) };
}

impl TracingLayer {
    /// A layer that records with `tracer`.
    pub fn new(tracer: Tracer) -> Self {
        Self {
            tracer,
            records_locations: false,
        }
    }

    /// Whether spans and events say where they are in the source: `code.file.path`, `code.line.number`,
    /// `code.module.name`. Off unless asked for: three attributes cost more than the rest of a span.
    #[must_use]
    pub fn with_locations(self, records_locations: bool) -> Self {
        Self {
            records_locations,
            ..self
        }
    }

    fn location(&self, metadata: &'static Metadata<'static>) -> impl Iterator<Item = KeyValue> {
        let file = metadata
            .file()
            .map(|file| KeyValue::new("code.file.path", file));
        let line = metadata
            .line()
            .map(|line| KeyValue::new("code.line.number", line));
        let module = metadata.module_path();
        let module = module.map(|module| KeyValue::new("code.module.name", module));
        let location = [file, line, module].into_iter().flatten();
        location.filter(|_| self.records_locations)
    }
}

impl<S> Layer<S> for TracingLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if is_exporting_thread() {
            // HTTP and gRPC clients have spans of `tracing`, too.
            return;
        }
        let Some(registered) = context.span(id) else {
            return;
        };
        let metadata = attributes.metadata();
        let mut fields = Fields::of(metadata);
        attributes.record(&mut fields);
        let name = fields.name.take();
        let builder = self
            .tracer
            .span(name.unwrap_or_else(|| metadata.name().into()))
            .kind(fields.kind.unwrap_or_default())
            .attributes(std::mem::take(&mut fields.attributes))
            .attributes(self.location(metadata));
        let span = with_parent(builder, attributes, &context).start();
        apply(&span, fields);
        registered.extensions_mut().insert(Recorded(span));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some((registered, span)) = context.span(id).zip(recorded(id, &context)) else {
            return;
        };
        let mut fields = Fields::of(registered.metadata());
        values.record(&mut fields);
        if let Some(name) = fields.name.take() {
            span.rename(name);
        }
        span.set_attributes(std::mem::take(&mut fields.attributes));
        apply(&span, fields);
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, context: Context<'_, S>) {
        let pair = (recorded(id, &context), recorded(follows, &context));
        if let (Some(span), Some(followed)) = pair {
            span.add_link(followed.context(), Vec::new());
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let span = match event.parent() {
            Some(parent) => recorded(parent, &context),
            // Whatever is current in Lumitrace: it may be a span that `tracing` does not know.
            None => (!event.is_root()).then(lumitrace::current_span),
        };
        let Some(span) = span.filter(Span::is_recording) else {
            return;
        };
        let mut fields = Fields::of(event.metadata());
        event.record(&mut fields);
        self.record_event(&span, event.metadata(), fields);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        let Some(guard) = recorded(id, &context).map(|span| span.attach()) else {
            return;
        };
        // A thread in its last moments has no list any more, and the guard goes again.
        let _pushed = ENTERED.try_with(|entered| entered.borrow_mut().push((id.clone(), guard)));
    }

    fn on_exit(&self, id: &Id, _: Context<'_, S>) {
        let left = ENTERED.try_with(|entered| {
            let mut entered = entered.borrow_mut();
            let position = entered.iter().rposition(|(known, _)| known == id)?;
            Some(entered.remove(position))
        });
        // Here, with the list free again.
        drop(left);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let closed = context.span(&id);
        let span = closed.and_then(|closed| closed.extensions_mut().remove::<Recorded>());
        // Dropping it ends it, and tells of the panic if there is one.
        drop(span);
    }
}

impl TracingLayer {
    fn record_event(&self, span: &Span, metadata: &'static Metadata<'static>, mut fields: Fields) {
        let is_error = *metadata.level() == Level::ERROR;
        let error = match is_error {
            true => fields.take_error(),
            false => fields.error.take(),
        };
        // As `#[instrument(err)]` says it; the exception event says the same and more.
        let is_error_alone = fields.message.is_none() && fields.attributes.len() == 1;
        let mut attributes = vec![
            KeyValue::new("level", metadata.level().as_str()),
            KeyValue::new("target", metadata.target()),
        ];
        attributes.append(&mut fields.attributes);
        attributes.extend(self.location(metadata));
        let message = fields.message.unwrap_or_else(|| metadata.name().into());
        match error {
            Some(error) if is_error => {
                if !is_error_alone {
                    span.add_event(message, attributes);
                }
                error.record(span);
            }
            Some(error) => {
                attributes.extend(error.into_attributes());
                span.add_event(message, attributes);
            }
            None => {
                span.add_event(message.clone(), attributes);
                if is_error {
                    span.set_status(StatusCode::Error, message);
                }
            }
        }
    }
}

/// `builder` with the parent that `tracing` names, if it names one.
fn with_parent<S>(
    builder: SpanBuilder,
    attributes: &Attributes<'_>,
    context: &Context<'_, S>,
) -> SpanBuilder
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    if attributes.is_root() {
        return builder.root();
    }
    match attributes
        .parent()
        .and_then(|parent| recorded(parent, context))
    {
        Some(parent) => builder.parent(parent.context()),
        None => builder,
    }
}

/// A handle on the span of Lumitrace that belongs to the span `id`.
fn recorded<S>(id: &Id, context: &Context<'_, S>) -> Option<Span>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let registered = context.span(id)?;
    let extensions = registered.extensions();
    extensions
        .get::<Recorded>()
        .map(|Recorded(span)| span.handle())
}

/// Writes onto a span what its fields say beyond attributes.
fn apply(span: &Span, fields: Fields) {
    if let Some(error) = fields.error {
        error.record(span);
    }
    if let Some(message) = fields.message {
        span.set_attribute("message", message);
    }
    match fields.status {
        Some(code) => span.set_status(code, fields.status_message),
        // The description alone, as it is recorded when something failed.
        None if !fields.status_message.is_empty() => {
            span.set_status(StatusCode::Error, fields.status_message);
        }
        None => {}
    }
}
