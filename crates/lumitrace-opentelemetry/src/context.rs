//! What is current on one side is current on the other.
//!
//! `opentelemetry` tells one observer of contexts that are entered and left on a thread. Ours attaches the
//! span and the baggage of each to Lumitrace's stack of contexts, and takes them away again.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::sync::{Arc, Once};

use lumitrace::{Baggage, BaggageEntry, ContextGuard, SpanBuilder};
use opentelemetry::Context;
use opentelemetry::baggage::BaggageExt;
use opentelemetry::context::{ContextObserver, GlobalContextObserver, ObserverContextView};
use opentelemetry::trace::TraceContextExt;

use crate::Span;
use crate::convert::span_context;

/// Begins listening; does nothing when called again.
pub(crate) fn observe() {
    static OBSERVE: Once = Once::new();
    OBSERVE.call_once(|| GlobalContextObserver::set(Arc::new(Observer)));
}

/// `opentelemetry`'s current context, but with Lumitrace's current span as its span: for whoever looks for
/// the current span there, such as a propagator.
///
/// ```
/// use opentelemetry::trace::TraceContextExt;
/// let tracer = lumitrace::TracerProvider::builder().build().tracer("client");
/// let span = tracer.span("fetch").enter();
/// let context = lumitrace_opentelemetry::current_context();
/// assert_eq!(context.span().span_context().span_id().to_bytes(), span.context().span_id().to_bytes());
/// ```
pub fn current_context() -> Context {
    let context = Context::current();
    let ours = lumitrace::current_span();
    let is_known = span_context(context.span().span_context()) == *ours.context();
    match is_known || !ours.context().is_valid() {
        true => context,
        false => context.with_span(Span::new(ours)),
    }
}

/// `builder` with the parent that `context` means.
pub(crate) fn with_parent(builder: SpanBuilder, context: &Context) -> SpanBuilder {
    let given = context.span();
    let is_current = Context::map_current(|current| {
        current.has_active_span() == context.has_active_span()
            && current.span().span_context() == given.span_context()
    });
    let is_seen = !context.has_active_span() || View::of(context).is_some();
    if is_current && is_seen {
        // Lumitrace's current span: that of this context, or one that was entered within it.
        return builder;
    }
    // An invalid one makes it a root.
    builder.parent(&span_context(given.span_context()))
}

struct Observer;

/// What of a context concerns Lumitrace.
struct View {
    span: Option<lumitrace::Span>,
    baggage: Option<Baggage>,
}

/// A context that this thread has entered, and what it made current in Lumitrace.
struct Entered {
    view: Option<*const ()>,
    #[expect(dead_code, reason = "held for their destructors")]
    guards: [Option<ContextGuard>; 2],
}

thread_local! {
    static ENTERED: RefCell<Vec<Entered>> = const { RefCell::new(Vec::new()) };
    /// What a span of ours leaves when it is asked in a certain way; see [`answer`].
    static ANSWER: Cell<Answer> = const { Cell::new(Answer::NotAsked) };
}

#[derive(Default)]
enum Answer {
    #[default]
    NotAsked,
    Asked,
    Given(lumitrace::Span),
}

/// Called by each span of ours that is asked whether it is recording. A context hides the type of its span;
/// this question reaches it all the same, and harms no other.
pub(crate) fn answer(span: &lumitrace::Span) {
    let _ended = ANSWER.try_with(|cell| {
        let answer = match cell.take() {
            Answer::Asked => Answer::Given(span.handle()),
            other => other,
        };
        cell.set(answer);
    });
}

/// A handle on the context's span: the span itself where it is one of ours, or else its ids.
fn span_of(context: &Context) -> Option<lumitrace::Span> {
    if !context.has_active_span() {
        return None;
    }
    let given = ANSWER.try_with(|cell| {
        cell.set(Answer::Asked);
        context.span().is_recording();
        match cell.take() {
            Answer::Given(span) => Some(span),
            Answer::NotAsked | Answer::Asked => None,
        }
    });
    let known = || lumitrace::Span::not_recorded(span_context(context.span().span_context()));
    Some(given.ok().flatten().unwrap_or_else(known))
}

fn baggage_of(context: &Context) -> Option<Baggage> {
    let entries = context.baggage().iter();
    let baggage = entries.fold(Baggage::new(), |baggage, (name, (value, metadata))| {
        baggage.with_entry(BaggageEntry {
            name: name.as_str().to_owned().into(),
            value: value.as_str().to_owned().into(),
            properties: metadata.as_str().to_owned().into(),
        })
    });
    (!baggage.is_empty()).then_some(baggage)
}

impl View {
    fn of(context: &Context) -> Option<&Self> {
        let view = context.observer_view().as_ref()?;
        view.as_any().downcast_ref()
    }

    /// Tells views apart.
    fn address(context: &Context) -> Option<*const ()> {
        Self::of(context).map(|view| std::ptr::from_ref(view).cast())
    }

    /// Makes it current in Lumitrace.
    fn attach(&self) -> [Option<ContextGuard>; 2] {
        let baggage = self.baggage.as_ref().map(|baggage| {
            let context = lumitrace::Context::current();
            context.with_baggage(baggage.clone()).attach()
        });
        [baggage, self.span.as_ref().map(lumitrace::Span::attach)]
    }
}

impl ObserverContextView for View {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl ContextObserver for Observer {
    fn make_view(&self, context: &Context) -> Option<Arc<dyn ObserverContextView>> {
        let (span, baggage) = (span_of(context), baggage_of(context));
        if span.is_none() && baggage.is_none() {
            return None;
        }
        Some(Arc::new(View { span, baggage }))
    }

    fn on_context_enter(&self, _: &Context, to: &Context) {
        let entered = Entered {
            view: View::address(to),
            guards: View::of(to).map(View::attach).unwrap_or_default(),
        };
        let _ended = ENTERED.try_with(|list| list.borrow_mut().push(entered));
    }

    fn on_context_exit(&self, from: &Context, next: &Context) {
        let (from, next) = (View::address(from), View::address(next));
        let _ended = ENTERED.try_with(|list| {
            let mut list = list.borrow_mut();
            if let Some(position) = list.iter().rposition(|entered| entered.view == from) {
                list.truncate(position);
            }
            // Nobody is told of a guard that is dropped out of order, below one that is still there.
            while list.pop_if(|entered| entered.view != next).is_some() {}
        });
    }
}
