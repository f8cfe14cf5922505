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
use crate::{Baggage, RECORDS, Span, SpanContext};

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
#[derive(Default)]
// In this order, as `SpanContext` asks for.
#[repr(C)]
pub struct Context {
    /// Of the current span; invalid where there is none.
    span_context: SpanContext,
    /// Where that is recorded; none for a span of another process, or one that nobody records.
    place: Option<SpanPlace>,
    /// Mostly none: it costs nothing then.
    baggage: Option<Arc<Baggage>>,
}

impl Clone for Context {
    fn clone(&self) -> Self {
        let mut copy = Self::default();
        copy.clone_from(self);
        copy
    }

    fn clone_from(&mut self, other: &Self) {
        self.span_context.clone_from(&other.span_context);
        self.place = other.place;
        self.baggage.clone_from(&other.baggage);
    }
}

impl Context {
    /// The context of this thread, or of the future that is being polled.
    pub fn current() -> Self {
        with_current(Clone::clone).unwrap_or_default()
    }

    /// The current context, but with `span` as its span.
    pub fn of_span(span: &Span) -> Self {
        let mut context = Self::default();
        context.set(
            span,
            with_current(|current| current.baggage.clone()).flatten(),
        );
        context
    }

    fn set(&mut self, span: &Span, baggage: Option<Arc<Baggage>>) {
        self.span_context.clone_from(span.context());
        self.place = span.place();
        self.baggage = baggage;
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
            span_context: context,
            place: None,
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
        Some(&self.span_context).filter(|context| context.is_valid())
    }

    /// A further handle on the current span; dropping it does not end the span. Without a current
    /// span, one that records nothing.
    pub fn span(&self) -> Span {
        let context = self.span_context.clone();
        match self.place {
            Some(place) => Span::reference(context, place),
            None => Span::not_recorded(context),
        }
    }

    /// Makes this the context of the thread until the guard is dropped.
    pub fn attach(self) -> ContextGuard {
        self.attach_copy()
    }

    fn attach_copy(&self) -> ContextGuard {
        attach(|_, context| context.clone_from(self))
    }
}

/// [`Context::of_span`], attached.
#[cfg_attr(not(feature = "record"), inline(always))]
pub(crate) fn attach_span(span: &Span) -> ContextGuard {
    attach(|below, context| {
        let baggage = below.and_then(|below| below.baggage.clone());
        context.set(span, baggage);
    })
}

/// Makes what `set` makes of a context, given the current one, the context of the thread.
fn attach(set: impl FnOnce(Option<&Context>, &mut Context)) -> ContextGuard {
    if !RECORDS {
        return ContextGuard {
            position: None,
            stays_on_its_thread: PhantomData,
        };
    }
    let position = STACK.try_with(|stack| stack.borrow_mut().push(set));
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
    static STACK: RefCell<Stack> = const { RefCell::new(Stack::new()) };
}

/// The contexts that are attached on a thread. Entries are filled in place and used again.
struct Stack {
    entries: Vec<Entry>,
    /// How many of them are in use. The last one of these is the current context, and open.
    depth: usize,
}

#[derive(Default)]
struct Entry {
    context: Context,
    /// Earlier ones may be closed: their guard was dropped out of order.
    is_open: bool,
}

/// Entries that are kept for later.
const MAX_KEPT_ENTRIES: usize = 64;

impl Stack {
    const fn new() -> Self {
        Self {
            entries: Vec::new(),
            depth: 0,
        }
    }

    fn current(&self) -> Option<&Context> {
        let top = self.depth.checked_sub(1)?;
        self.entries.get(top).map(|entry| &entry.context)
    }

    /// Opens an entry with what `set` makes of its context, given the current one; returns its position.
    fn push(&mut self, set: impl FnOnce(Option<&Context>, &mut Context)) -> usize {
        let position = self.depth;
        if position == self.entries.len() {
            self.entries.push(Entry::default());
        }
        let (below, above) = self.entries.split_at_mut(position);
        let entry = &mut above[0];
        set(below.last().map(|entry| &entry.context), &mut entry.context);
        entry.is_open = true;
        self.depth += 1;
        position
    }

    fn close(&mut self, position: usize) {
        let Some(entry) = self.entries.get_mut(position) else {
            return;
        };
        entry.is_open = false;
        entry.context.baggage = None;
        while self
            .depth
            .checked_sub(1)
            .is_some_and(|top| !self.entries[top].is_open)
        {
            self.depth -= 1;
        }
        if self.entries.len() > MAX_KEPT_ENTRIES && self.depth <= MAX_KEPT_ENTRIES / 2 {
            self.entries.truncate(MAX_KEPT_ENTRIES);
            self.entries.shrink_to_fit();
        }
    }
}

/// A handle on the current span; dropping it does not end the span. Without a current span, one
/// that records nothing.
///
/// ```
/// lumitrace::current_span().set_attribute("loss", 0.25);
/// ```
#[cfg_attr(not(feature = "record"), inline(always))]
pub fn current_span() -> Span {
    with_current(Context::span).unwrap_or_else(Span::none)
}

/// Copies the ids of the current span, if there is one.
pub(crate) fn copy_current_span_context(to: &mut SpanContext) {
    with_current(|current| to.clone_from(&current.span_context));
}

fn with_current<R>(read: impl FnOnce(&Context) -> R) -> Option<R> {
    if !RECORDS {
        return None;
    }
    // In a thread's last moments the stack is gone: nothing is current then.
    STACK
        .try_with(|stack| stack.borrow().current().map(read))
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
    #[cfg_attr(not(feature = "record"), inline(always))]
    fn drop(&mut self) {
        let Some(position) = self.position.filter(|_| RECORDS) else {
            return;
        };
        // Where the stack is gone, the thread ends.
        let _closed = STACK.try_with(|stack| stack.borrow_mut().close(position));
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
        let _guard = this.context.attach_copy();
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
        with_current(|context| context.span_context.span_id().as_bytes()[0])
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
