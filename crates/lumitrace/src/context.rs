//! Which span is current: the one that new spans become children of.
//!
//! Each thread has a stack of contexts. A guard puts one on top and takes it away again; futures
//! put theirs on top while they are polled, wherever that happens.

use std::cell::RefCell;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use pin_project_lite::pin_project;

use crate::lane::SpanPlace;
use crate::{Baggage, Span, SpanContext};

/// Where a piece of work belongs: the span that is current, if any, and the baggage that travels with it.
///
/// Cheap to clone, and may be carried into other threads and tasks. It keeps no span open: a span
/// ends with its [`Span`].
///
/// ```
/// use lumitrace::Context;
/// let context = Context::current();
/// std::thread::spawn(move || {
///     let _guard = context.attach();
///     // Spans started here are children of the span that was current there.
/// });
/// ```
#[derive(Clone, Default)]
pub struct Context {
    current: Current,
    /// Mostly none: it costs nothing then.
    baggage: Option<Arc<Baggage>>,
}

#[derive(Clone, Default)]
enum Current {
    #[default]
    Nothing,
    Recorded(SpanContext, SpanPlace),
    /// A span of another process, or one that nobody records.
    Known(SpanContext),
}

impl Context {
    /// The context of this thread, or of the future that is being polled.
    pub fn current() -> Self {
        with_current(Clone::clone).unwrap_or_default()
    }

    /// The current context, but with `span` as its span.
    pub fn of_span(span: &Span) -> Self {
        let current = Current::of_span(span);
        let baggage = with_current(|context| context.baggage.clone()).flatten();
        Self { current, baggage }
    }

    /// A context in which a span is current of which only the ids are known, such as the caller in
    /// another process.
    pub fn of_span_context(context: SpanContext) -> Self {
        Self::default().with_span_context(context)
    }

    /// The same context, but with a span of which only the ids are known.
    #[must_use]
    pub fn with_span_context(self, context: SpanContext) -> Self {
        Self {
            current: Current::Known(context),
            ..self
        }
    }

    /// The same context, but with this baggage.
    #[must_use]
    pub fn with_baggage(self, baggage: Baggage) -> Self {
        Self {
            baggage: (!baggage.is_empty()).then(|| Arc::new(baggage)),
            ..self
        }
    }

    /// What travels with it.
    pub fn baggage(&self) -> &Baggage {
        static NONE: Baggage = Baggage::new();
        self.baggage.as_deref().unwrap_or(&NONE)
    }

    /// The ids of the current span.
    pub fn span_context(&self) -> Option<&SpanContext> {
        match &self.current {
            Current::Nothing => None,
            Current::Recorded(context, _) | Current::Known(context) => Some(context),
        }
    }

    /// A further handle on the current span; dropping it does not end the span. Without a current
    /// span, one that records nothing.
    pub fn span(&self) -> Span {
        match &self.current {
            Current::Nothing => Span::none(),
            Current::Recorded(context, place) => Span::reference(context.clone(), *place),
            Current::Known(context) => Span::not_recorded(context.clone()),
        }
    }

    /// Makes this the context of the thread until the guard is dropped.
    pub fn attach(self) -> ContextGuard {
        attach(|_| self)
    }
}

impl Current {
    fn of_span(span: &Span) -> Self {
        let context = span.context();
        match span.place() {
            Some(place) => Self::Recorded(context.clone(), place),
            None if context.is_valid() => Self::Known(context.clone()),
            None => Self::Nothing,
        }
    }
}

/// [`Context::of_span`], attached: the stack is looked up once.
pub(crate) fn attach_span(span: &Span) -> ContextGuard {
    attach(|current| Context {
        current: Current::of_span(span),
        baggage: current.and_then(|current| current.baggage.clone()),
    })
}

/// Makes what `make` makes of the current context the one of the thread.
fn attach(make: impl FnOnce(Option<&Context>) -> Context) -> ContextGuard {
    let position = STACK.try_with(|stack| {
        let mut stack = stack.borrow_mut();
        let context = make(stack.last().and_then(Option::as_ref));
        stack.push(Some(context));
        stack.len() - 1
    });
    ContextGuard {
        position: position.ok(),
        stays_on_its_thread: PhantomData,
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("span", &self.span_context())
            .field("baggage", self.baggage())
            .finish()
    }
}

thread_local! {
    /// The last entry is the current context and always there; earlier ones are empty where their
    /// guard was dropped out of order.
    static STACK: RefCell<Vec<Option<Context>>> = const { RefCell::new(Vec::new()) };
}

/// A handle on the current span; dropping it does not end the span. Without a current span, one
/// that records nothing.
///
/// ```
/// lumitrace::current_span().set_attribute("loss", 0.25);
/// ```
pub fn current_span() -> Span {
    with_current(Context::span).unwrap_or_else(Span::none)
}

/// The ids of the current span.
pub(crate) fn current_span_context() -> Option<SpanContext> {
    with_current(|context| context.span_context().cloned()).flatten()
}

fn with_current<R>(read: impl FnOnce(&Context) -> R) -> Option<R> {
    // In a thread's last moments the stack is gone: nothing is current then.
    STACK
        .try_with(|stack| stack.borrow().last()?.as_ref().map(read))
        .ok()
        .flatten()
}

/// Restores the thread's context when dropped. Guards may be dropped in any order.
#[must_use = "the context is current only as long as the guard lives"]
#[derive(Debug)]
pub struct ContextGuard {
    position: Option<usize>,
    stays_on_its_thread: PhantomData<*const ()>,
}

impl Drop for ContextGuard {
    fn drop(&mut self) {
        let Some(position) = self.position else {
            return;
        };
        let removed = STACK.try_with(|stack| {
            let mut stack = stack.borrow_mut();
            let removed = stack.get_mut(position).and_then(Option::take);
            while let Some(None) = stack.last() {
                stack.pop();
            }
            removed
        });
        // Dropped here, with the stack free again: the last reference may run a destructor.
        drop(removed);
    }
}

pin_project! {
    /// A future that runs in a context; see [`FutureExt`].
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct InContext<F> {
        #[pin]
        future: F,
        context: Context,
        span: Option<Span>,
    }
}

impl<F: Future> Future for InContext<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, task: &mut std::task::Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _guard = this.context.clone().attach();
        let poll = this.future.poll(task);
        if poll.is_ready()
            && let Some(span) = this.span.take()
        {
            span.end();
        }
        poll
    }
}

/// Runs futures in a span or context.
pub trait FutureExt: Future + Sized {
    /// Makes `span` current whenever the future is polled, and ends it when the future completes
    /// or is dropped.
    ///
    /// ```
    /// use lumitrace::FutureExt;
    /// # async fn fetch() {}
    /// let tracer = lumitrace::tracer("loader");
    /// let work = fetch().in_span(tracer.span("fetch").start());
    /// ```
    fn in_span(self, span: Span) -> InContext<Self> {
        InContext {
            future: self,
            context: Context::of_span(&span),
            span: Some(span),
        }
    }

    /// Makes `context` current whenever the future is polled.
    fn in_context(self, context: Context) -> InContext<Self> {
        InContext {
            future: self,
            context,
            span: None,
        }
    }
}

impl<F: Future> FutureExt for F {}

#[cfg(test)]
mod tests {
    use lumitrace_model::{SpanId, TraceId};
    use proptest::prelude::*;

    use super::*;

    fn context(number: u8) -> Context {
        let ids = (
            TraceId::from_bytes([number; 16]),
            SpanId::from_bytes([number; 8]),
        );
        Context::of_span_context(SpanContext::new(ids.0, ids.1, 1))
    }

    fn current() -> Option<u8> {
        current_span_context().map(|context| context.span_id().as_bytes()[0])
    }

    #[test]
    fn guards_dropped_out_of_order_restore_what_is_still_open() {
        let (first, second, third) = (
            context(1).attach(),
            context(2).attach(),
            context(3).attach(),
        );
        drop(second);
        assert_eq!(current(), Some(3));
        drop(third);
        assert_eq!(current(), Some(1));
        drop(first);
        assert_eq!(current(), None);
    }

    proptest! {
        #[test]
        fn guards_behave_like_a_list_of_open_contexts(
            steps in prop::collection::vec(prop::option::of(any::<prop::sample::Index>()), 0..60),
        ) {
            let mut open = Vec::new();
            for (number, step) in (1..).zip(steps) {
                match step {
                    Some(index) if !open.is_empty() => drop(open.remove(index.index(open.len()))),
                    _ => open.push((number, context(number).attach())),
                }
                prop_assert_eq!(current(), open.last().map(|(number, _)| *number));
            }
        }
    }

    #[test]
    fn another_thread_has_its_own_context_unless_it_is_carried_there() {
        let _guard = context(1).attach();
        assert_eq!(std::thread::spawn(current).join().unwrap(), None);
        let carried = Context::current();
        let there = std::thread::spawn(move || {
            let _guard = carried.attach();
            current()
        });
        assert_eq!(there.join().unwrap(), Some(1));
    }
}
