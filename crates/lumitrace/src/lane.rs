//! What one thread records: its open spans, and those that have ended and wait for the worker.
//!
//! Each thread has a lane of its own, and so a lock that hardly ever anybody else asks for: the worker
//! when it collects what has ended, or announces what stays open; another thread when it changes or
//! ends a span that was started here. Spans have places in the lane, which serve later spans once they
//! have ended: a span costs no allocation and no reference count, and a handle that is older than what
//! is in its place now finds a place of another generation.

pub(crate) mod barrier;
mod biased_lock;

use lumitrace_model::{Scope, Span};

use crate::ended::EndedSpans;
use crate::pipeline::{Credit, Pipeline, lanes};
use crate::recording::{AnnouncementRule, Beginning, Recording};
use crate::span::SpanTimes;
use crate::tracer::Instrumentation;
use crate::{SpanContext, SpanLimits};
use biased_lock::BiasedLock;

/// One per thread that records for a pipeline. Kept for as long as the process lives: when its thread
/// ends, another one takes it over, since spans may outlive the thread that started them.
pub(crate) struct Lane {
    pipeline: &'static Pipeline,
    state: BiasedLock<State>,
}

#[derive(Default)]
struct State {
    places: Vec<Place>,
    /// Places of no open span; the one that was left last is taken first, as it is in the caches.
    free: Vec<u32>,
    ended: EndedSpans,
    /// Lists that are a batch each: they are handed on as they are.
    full: Vec<EndedSpans>,
    /// Empty ones.
    spares: Vec<EndedSpans>,
    credit: Credit,
    /// Spans that left their places without an end.
    discarded: u64,
}

/// Empty lists that a lane keeps, if it fills as many between two looks of the worker.
const MAX_SPARES: usize = 4;

#[derive(Default)]
struct Place {
    /// How many spans have ended here.
    generation: u32,
    is_open: bool,
    recording: Recording,
}

impl Place {
    /// Lets it serve another span.
    #[inline]
    fn leave(&mut self, number: u32, free: &mut Vec<u32>) {
        self.is_open = false;
        self.generation = self.generation.wrapping_add(1);
        // After 2^32 spans its generations would come again.
        if self.generation != 0 {
            free.push(number);
        }
    }

    fn ended_spans(&self) -> u64 {
        // It serves until its generations would come again.
        if self.generation == 0 && !self.is_open {
            1 << u32::BITS
        } else {
            self.generation.into()
        }
    }
}

/// A span that was recorded, by its place.
#[derive(Clone, Copy)]
pub(crate) struct SpanPlace {
    lane: &'static Lane,
    key: PlaceKey,
}

/// The number of a place in the lower half, and its generation in the upper one: a word, so that a
/// [`SpanPlace`] travels in two registers.
#[derive(Clone, Copy)]
struct PlaceKey(u64);

impl PlaceKey {
    fn new(number: u32, generation: u32) -> Self {
        Self(u64::from(generation) << 32 | u64::from(number))
    }

    fn number(self) -> u32 {
        self.0 as u32
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl Lane {
    pub(crate) fn new(pipeline: &'static Pipeline) -> Self {
        Self {
            pipeline,
            state: BiasedLock::new(State::default(), pipeline.has_barrier()),
        }
    }

    #[inline]
    fn with_state<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        if lanes::is_own(self) {
            // SAFETY: a lane is one thread's own at a time. When a thread ends, its lane goes to the next
            // one through a mutex.
            unsafe { self.state.with_as_owner(work) }
        } else {
            self.state.with(work)
        }
    }

    pub(crate) fn pipeline(&self) -> &'static Pipeline {
        self.pipeline
    }

    /// Begins a span.
    pub(crate) fn begin(
        &'static self,
        context: &SpanContext,
        instrumentation: &'static Instrumentation,
        beginning: &mut Beginning,
    ) -> SpanPlace {
        let limits = self.pipeline.limits();
        self.with_state(|state| {
            let number = state.free.pop().unwrap_or_else(|| {
                state.places.push(Place::default());
                // Memory runs out long before there are 2^32 open spans.
                state.places.len() as u32 - 1
            });
            let place = &mut state.places[number as usize];
            place.is_open = true;
            let recording = &mut place.recording;
            recording.begin(context, instrumentation, beginning, limits);
            SpanPlace {
                lane: self,
                key: PlaceKey::new(number, place.generation),
            }
        })
    }

    /// How many spans of this lane are open, and how many have ended.
    pub(crate) fn count_spans(&self) -> (u64, u64) {
        self.state.with_briefly(|state| {
            let open = state.places.iter().filter(|place| place.is_open).count();
            let left: u64 = state.places.iter().map(Place::ended_spans).sum();
            (open as u64, left - state.discarded)
        })
    }

    /// Moves the spans that have ended to `taken`, which must be empty: they count as waiting until they
    /// are released. Leaves some of `spares` for those to come. Returns room that was claimed for them.
    pub(crate) fn take_ended(
        &self,
        taken: &mut Vec<EndedSpans>,
        spares: &mut Vec<EndedSpans>,
    ) -> Credit {
        // Not while it is locked.
        taken.reserve(1);
        self.state.with_briefly(|state| {
            std::mem::swap(&mut state.full, taken);
            // An idle lane must not get the memory of a busy one.
            for _ in state.spares.len()..taken.len().min(MAX_SPARES) {
                state.spares.extend(spares.pop());
            }
            if !state.ended.is_empty() {
                let next = spares.pop().unwrap_or_default();
                taken.push(std::mem::replace(&mut state.ended, next));
            }
            std::mem::take(&mut state.credit)
        })
    }

    /// The room that was claimed for spans to come.
    pub(crate) fn credit(&self) -> Credit {
        self.state.with_briefly(|state| state.credit)
    }

    /// Adds to `due` the announcements that are due at `now_nano` of the monotonic clock.
    pub(crate) fn announce(
        &self,
        now_nano: u64,
        rule: &AnnouncementRule,
        due: &mut Vec<(&'static Scope, Span)>,
    ) {
        let is_due = |place: &Place| place.is_open && place.recording.is_due(now_nano, rule);
        let places: Vec<usize> = self.state.with_briefly(|state| {
            let numbered = state.places.iter().enumerate();
            let due = numbered.filter(|(_, place)| is_due(place));
            due.map(|(number, _)| number).collect()
        });
        // One at a time: copying many spans must not hold up the thread.
        for number in places {
            let announced = self.state.with_briefly(|state| {
                let place = state.places.get_mut(number).filter(|place| is_due(place));
                place.map(|place| place.recording.announce(now_nano))
            });
            due.extend(announced);
        }
    }
}

impl SpanPlace {
    /// What `look` makes of the span, if it is open and belongs to this process: a forked child has
    /// copies of its parent's spans, which only the parent may change and end.
    #[inline]
    fn with<R>(self, look: impl FnOnce(&mut Recording) -> R) -> Option<R> {
        // First of all: a thread that is not in the child may have held the lock.
        if !self.lane.pipeline.is_of_this_process() {
            return None;
        }
        self.lane.with_state(|state| {
            let place = open_place(&mut state.places, self.key)?;
            Some(look(&mut place.recording))
        })
    }

    pub(crate) fn is_open(self) -> bool {
        self.with(|_| ()).is_some()
    }

    /// A copy of what is recorded so far, of a span that is open.
    pub(crate) fn snapshot(self) -> Option<Span> {
        self.with(|recording| recording.to_span())
    }

    /// Changes an open span; on one that has ended the change is ignored and counted.
    #[inline]
    pub(crate) fn change(self, change: impl FnOnce(&mut Recording, &SpanLimits)) {
        let limits = self.lane.pipeline.limits();
        let changed = self.with(|recording| {
            recording.is_changed();
            change(recording, limits);
        });
        if changed.is_none() {
            self.note_late_change();
        }
    }

    #[cold]
    fn note_late_change(self) {
        if self.lane.pipeline.is_of_this_process() {
            self.lane.pipeline.counters().count_late_change();
        }
    }

    /// Takes what is recorded so far of an open span, which is exported no more.
    pub(crate) fn discard(self) -> Option<Span> {
        if !self.lane.pipeline.is_of_this_process() {
            return None;
        }
        self.lane.with_state(|state| {
            let place = open_place(&mut state.places, self.key)?;
            let span = place.recording.to_span();
            place.recording.clear();
            place.leave(self.key.number(), &mut state.free);
            state.discarded += 1;
            Some(span)
        })
    }

    /// Takes over what was recorded elsewhere of a span that has just begun here.
    pub(crate) fn take_over(self, span: Span) {
        self.with(|recording| recording.take_over(span));
    }

    /// Ends the span and lets it wait for the worker; where too many wait already, drops and counts it.
    /// A span that has ended stays as it is.
    pub(crate) fn end(self, end_unix_nano: Option<u64>) -> Option<SpanTimes> {
        let pipeline = self.lane.pipeline;
        if !pipeline.is_of_this_process() {
            return None;
        }
        let mut times = SpanTimes::default();
        let end = |state: &mut State| state.end(self.key, pipeline, end_unix_nano, &mut times);
        match self.lane.with_state(end) {
            Ending::NotOpen => return None,
            Ending::Quiet => {}
            Ending::WorthALook => pipeline.wake_worker(),
        }
        Some(times)
    }
}

/// The place of a span, if that is still open.
#[inline]
fn open_place(places: &mut [Place], key: PlaceKey) -> Option<&mut Place> {
    let place = places.get_mut(key.number() as usize)?;
    let is_it = place.is_open && place.generation == key.generation();
    is_it.then_some(place)
}

/// What came of ending a span.
enum Ending {
    /// It had ended before.
    NotOpen,
    /// It waits, or is lost.
    Quiet,
    /// The same, and the worker should look.
    WorthALook,
}

impl State {
    /// Ends a span, if it is still open, and writes down its times. They are no part of the result: that
    /// travels in a register.
    fn end(
        &mut self,
        key: PlaceKey,
        pipeline: &Pipeline,
        end_unix_nano: Option<u64>,
        times: &mut SpanTimes,
    ) -> Ending {
        let Self {
            places,
            free,
            ended,
            full,
            spares,
            credit,
            ..
        } = self;
        let Some(place) = open_place(places, key) else {
            return Ending::NotOpen;
        };
        place.leave(key.number(), free);
        let recording = &mut place.recording;
        let now = || {
            recording
                .now_unix_nano()
                .max(recording.span.start_unix_nano)
        };
        let end_unix_nano = end_unix_nano.unwrap_or_else(now);
        *times = SpanTimes {
            start_unix_nano: recording.span.start_unix_nano,
            end_unix_nano,
        };
        if !recording.span.context.is_sampled() {
            // It was recorded for the program alone.
            recording.clear();
            return Ending::Quiet;
        }
        let size_bytes = recording.size_bytes();
        let Ok(is_worth_a_look) = pipeline.claim(credit, size_bytes) else {
            // Frees what it holds.
            recording.clear();
            return Ending::WorthALook;
        };
        ended.push(recording, end_unix_nano, size_bytes);
        if ended.is_full(pipeline.batch_size()) {
            let next = spares.pop().unwrap_or_default();
            full.push(std::mem::replace(ended, next));
        }
        match is_worth_a_look {
            true => Ending::WorthALook,
            false => Ending::Quiet,
        }
    }
}
