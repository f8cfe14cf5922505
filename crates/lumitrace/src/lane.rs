//! What one thread records: its open spans, and those that have ended and wait for the worker.
//!
//! Each thread has a lane of its own, and so a lock that hardly ever anybody else asks for: the worker
//! when it collects what has ended, or announces what stays open; another thread when it changes or
//! ends a span that was started here. Spans have places in the lane, which serve later spans once they
//! have ended: a span costs no allocation and no reference count, and a handle that is older than what
//! is in its place now finds a place of another generation.

use lumitrace_model::{Scope, Span};
use spin::mutex::SpinMutex;
use spin::relax::Yield;

use crate::ended::EndedSpans;
use crate::pipeline::{Credit, Pipeline};
use crate::recording::{AnnouncementRule, Beginning, Recording};
use crate::tracer::Instrumentation;
use crate::{SpanContext, SpanLimits};

/// One per thread that records for a pipeline. Kept for as long as the process lives: when its thread
/// ends, another one takes it over, since spans may outlive the thread that started them.
pub(crate) struct Lane {
    pipeline: &'static Pipeline,
    state: SpinMutex<State, Yield>,
}

#[derive(Default)]
struct State {
    places: Vec<Place>,
    /// Places of no open span; the one that was left last is taken first, as it is in the caches.
    free: Vec<u32>,
    ended: EndedSpans,
    credit: Credit,
}

#[derive(Default)]
struct Place {
    /// How many spans have ended here.
    generation: u32,
    is_open: bool,
    recording: Recording,
}

/// A span that was recorded, by its place.
#[derive(Clone, Copy)]
pub(crate) struct SpanPlace {
    lane: &'static Lane,
    place: u32,
    generation: u32,
}

impl Lane {
    pub(crate) fn new(pipeline: &'static Pipeline) -> Self {
        Self {
            pipeline,
            state: SpinMutex::default(),
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
        beginning: Beginning,
    ) -> SpanPlace {
        let mut state = self.state.lock();
        let state = &mut *state;
        let number = state.free.pop().unwrap_or_else(|| {
            state.places.push(Place::default());
            // Memory runs out long before there are 2^32 open spans.
            state.places.len() as u32 - 1
        });
        let place = &mut state.places[number as usize];
        place.is_open = true;
        let limits = self.pipeline.limits();
        place
            .recording
            .begin(context, instrumentation, beginning, limits);
        SpanPlace {
            lane: self,
            place: number,
            generation: place.generation,
        }
    }

    /// Moves the spans that have ended to `taken`, which must be empty: they count as waiting until they
    /// are released. Returns room that was claimed for spans to come.
    pub(crate) fn take_ended(&self, taken: &mut EndedSpans) -> Credit {
        let mut state = self.state.lock();
        // An idle lane must not get the memory of a busy one.
        if !state.ended.is_empty() {
            std::mem::swap(&mut state.ended, taken);
        }
        std::mem::take(&mut state.credit)
    }

    /// The room that was claimed for spans to come.
    pub(crate) fn credit(&self) -> Credit {
        self.state.lock().credit
    }

    /// Adds to `due` the announcements that are due at `now_nano` of the monotonic clock.
    pub(crate) fn announce(
        &self,
        now_nano: u64,
        rule: &AnnouncementRule,
        due: &mut Vec<(&'static Scope, Span)>,
    ) {
        let is_due = |place: &Place| place.is_open && place.recording.is_due(now_nano, rule);
        let places: Vec<usize> = {
            let state = self.state.lock();
            let numbered = state.places.iter().enumerate();
            let due = numbered.filter(|(_, place)| is_due(place));
            due.map(|(number, _)| number).collect()
        };
        // One at a time: copying many spans must not hold up the thread.
        for number in places {
            let mut state = self.state.lock();
            let place = state.places.get_mut(number).filter(|place| is_due(place));
            due.extend(place.and_then(|place| place.recording.announce(now_nano)));
        }
    }
}

impl SpanPlace {
    /// What `look` makes of the span, if it is open and belongs to this process: a forked child has
    /// copies of its parent's spans, which only the parent may change and end.
    fn with<R>(self, look: impl FnOnce(&mut Recording) -> R) -> Option<R> {
        // First of all: a thread that is not in the child may have held the lock.
        if !self.lane.pipeline.is_of_this_process() {
            return None;
        }
        let mut state = self.lane.state.lock();
        let place = state.places.get_mut(self.place as usize)?;
        let is_it = place.is_open && place.generation == self.generation;
        is_it.then(|| look(&mut place.recording))
    }

    pub(crate) fn is_open(self) -> bool {
        self.with(|_| ()).is_some()
    }

    /// A copy of what is recorded so far, of a span that is open.
    pub(crate) fn snapshot(self) -> Option<Span> {
        self.with(|recording| recording.to_span())
    }

    /// Changes an open span; on one that has ended the change is ignored and counted.
    pub(crate) fn change(self, change: impl FnOnce(&mut Recording, &SpanLimits)) {
        let limits = self.lane.pipeline.limits();
        let changed = self.with(|recording| {
            recording.is_changed();
            change(recording, limits);
        });
        if changed.is_none() && self.lane.pipeline.is_of_this_process() {
            self.lane.pipeline.counters().count_late_change();
        }
    }

    /// Ends the span and lets it wait for the worker; where too many wait already, drops and counts it.
    /// A span that has ended stays as it is.
    pub(crate) fn end(self, end_unix_nano: Option<u64>) {
        let pipeline = self.lane.pipeline;
        if !pipeline.is_of_this_process() {
            return;
        }
        let mut state = self.lane.state.lock();
        let State {
            places,
            free,
            ended,
            credit,
        } = &mut *state;
        let Some(place) = places.get_mut(self.place as usize) else {
            return;
        };
        if !place.is_open || place.generation != self.generation {
            return;
        }
        place.is_open = false;
        place.generation = place.generation.wrapping_add(1);
        // After 2^32 spans its generations would come again.
        if place.generation != 0 {
            free.push(self.place);
        }
        let now = || {
            let now = place.recording.now_unix_nano();
            now.max(place.recording.start_unix_nano)
        };
        let end_unix_nano = end_unix_nano.unwrap_or_else(now);
        let size_bytes = place.recording.size_bytes();
        match pipeline.claim(credit, size_bytes) {
            Ok(is_batch_full) => {
                ended.push(&mut place.recording, end_unix_nano, size_bytes);
                drop(state);
                if is_batch_full {
                    pipeline.wake_worker();
                }
            }
            Err(_) => {
                // Frees what it holds.
                place.recording.clear();
                drop(state);
                pipeline.wake_worker();
            }
        }
    }
}
