//! The stream of traces: how many, when they start, and how they are cut into requests.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lumitrace_model::{ResourceSpans, ScopeSpans};

use super::shape::Content;
use crate::record_file::Batch;
use crate::send::delivery::Batches;

/// How much is generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    /// Whole traces until there are at least so many spans.
    Spans(u64),
    /// So many traces.
    Traces(u64),
    /// Until told to stop.
    Endless,
}

/// When traces start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// They end when they are made, as those of a running program.
    Live,
    /// They start at even distances from `start_unix_nano` on.
    Spread {
        /// When the first trace starts, in nanoseconds since the Unix epoch.
        start_unix_nano: u64,
        /// Within this time all traces start.
        length: Duration,
    },
}

/// All traces of one run, in an order that depends on nothing else.
pub struct Traffic {
    content: Content,
    total: Total,
    times: Times,
    batch_spans: usize,
    traces: u64,
    spans: u64,
    /// Generated, and not yet handed out.
    waiting: VecDeque<ResourceSpans>,
    waiting_spans: usize,
}

impl Traffic {
    /// The traffic, in batches of `batch_spans` spans.
    ///
    /// # Panics
    /// An endless amount cannot be spread over a time.
    pub fn new(content: Content, total: Total, times: Times, batch_spans: usize) -> Self {
        assert!(
            total != Total::Endless || times == Times::Live,
            "without an end there are no even distances"
        );
        Self {
            content,
            total,
            times,
            batch_spans: batch_spans.max(1),
            traces: 0,
            spans: 0,
            waiting: VecDeque::new(),
            waiting_spans: 0,
        }
    }

    /// Traces generated so far.
    pub fn traces(&self) -> u64 {
        self.traces
    }

    /// The spans of the next request, `None` at the end. `now_unix_nano` counts for live traffic.
    pub fn next_batch_at(&mut self, now_unix_nano: u64) -> Option<Vec<ResourceSpans>> {
        while self.waiting_spans < self.batch_spans && !self.is_complete() {
            let trace = self.next_trace(now_unix_nano);
            self.waiting_spans += span_count(&trace);
            self.waiting.extend(trace);
        }
        let mut batch = Vec::new();
        let mut room = self.batch_spans;
        while room > 0 {
            let Some(group) = self.waiting.pop_front() else {
                break;
            };
            let (group, rest) = split(group, room);
            room -= span_count(std::slice::from_ref(&group));
            batch.push(group);
            if let Some(rest) = rest {
                self.waiting.push_front(rest);
            }
        }
        self.waiting_spans -= span_count(&batch);
        (!batch.is_empty()).then_some(batch)
    }

    fn is_complete(&self) -> bool {
        match self.total {
            Total::Spans(spans) => self.spans >= spans,
            Total::Traces(traces) => self.traces >= traces,
            Total::Endless => false,
        }
    }

    fn next_trace(&mut self, now_unix_nano: u64) -> Vec<ResourceSpans> {
        let mut trace = self.content.trace(self.traces, self.start(now_unix_nano));
        if self.times == Times::Live {
            let end = spans_of(&mut trace).map(|span| span.end_unix_nano).max();
            shift_back(&mut trace, end.unwrap_or(0).saturating_sub(now_unix_nano));
        }
        self.traces += 1;
        self.spans += span_count(&trace) as u64;
        trace
    }

    fn start(&self, now_unix_nano: u64) -> u64 {
        let (done, of) = match self.total {
            Total::Spans(spans) => (self.spans, spans),
            Total::Traces(traces) => (self.traces, traces),
            Total::Endless => (0, 1),
        };
        match self.times {
            Times::Live => now_unix_nano,
            Times::Spread {
                start_unix_nano,
                length,
            } => {
                let offset = length.as_nanos() * u128::from(done) / u128::from(of.max(1));
                start_unix_nano.saturating_add(u64::try_from(offset).unwrap_or(u64::MAX))
            }
        }
    }
}

impl Batches for Traffic {
    fn next_batch(&mut self) -> Option<Batch> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        // A clock before 1970 counts as 1970.
        let now = now.map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
        self.next_batch_at(now).map(Batch::Spans)
    }
}

fn span_count(groups: &[ResourceSpans]) -> usize {
    let scopes = groups.iter().flat_map(|group| &group.scope_spans);
    scopes.map(|scope| scope.spans.len()).sum()
}

fn spans_of(groups: &mut [ResourceSpans]) -> impl Iterator<Item = &mut lumitrace_model::Span> {
    let scopes = groups.iter_mut().flat_map(|group| &mut group.scope_spans);
    scopes.flat_map(|scope| &mut scope.spans)
}

/// Moves a trace into the past.
fn shift_back(trace: &mut [ResourceSpans], nanos: u64) {
    for span in spans_of(trace) {
        span.start_unix_nano = span.start_unix_nano.saturating_sub(nanos);
        span.end_unix_nano = span.end_unix_nano.saturating_sub(nanos);
        for event in &mut span.events {
            event.time_unix_nano = event.time_unix_nano.saturating_sub(nanos);
        }
    }
}

/// The first `room` spans of a group and the others. A generated group has one scope.
fn split(mut group: ResourceSpans, room: usize) -> (ResourceSpans, Option<ResourceSpans>) {
    let Some(scope) = group.scope_spans.first_mut() else {
        return (group, None);
    };
    if scope.spans.len() <= room {
        return (group, None);
    }
    let later = scope.spans.split_off(room);
    let rest = ResourceSpans {
        resource: group.resource.clone(),
        scope_spans: vec![ScopeSpans {
            scope: scope.scope.clone(),
            schema_url: scope.schema_url.clone(),
            spans: later,
        }],
        schema_url: group.schema_url.clone(),
    };
    (group, Some(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::shape::Shape;
    use std::collections::BTreeSet;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn traffic(shape: Shape, total: Total, batch_spans: usize) -> Traffic {
        let content = Content {
            shape,
            seed: 1,
            payload_bytes: 200,
        };
        let times = Times::Spread {
            start_unix_nano: 1_000,
            length: HOUR,
        };
        Traffic::new(content, total, times, batch_spans)
    }

    fn batches(mut traffic: Traffic) -> Vec<Vec<ResourceSpans>> {
        std::iter::from_fn(|| traffic.next_batch_at(0)).collect()
    }

    #[test]
    fn batches_are_full_and_hold_every_span_once_even_of_traces_larger_than_they() {
        let batches = batches(traffic(Shape::Training, Total::Traces(3), 50));
        let (last, full) = batches.split_last().unwrap();
        assert!(full.iter().all(|batch| span_count(batch) == 50));
        assert!((1..=50).contains(&span_count(last)));
        let whole = traffic(Shape::Training, Total::Traces(3), usize::MAX).next_batch_at(0);
        let ids = |groups: &[ResourceSpans]| -> BTreeSet<_> {
            let scopes = groups.iter().flat_map(|group| &group.scope_spans);
            let spans = scopes.flat_map(|scope| &scope.spans);
            spans.map(|span| span.span_id).collect()
        };
        let cut: BTreeSet<_> = batches.iter().flat_map(|batch| ids(batch)).collect();
        assert_eq!(cut, ids(&whole.unwrap()));
    }

    #[test]
    fn spans_are_counted_in_whole_traces_and_spread_over_the_time() {
        let batches = batches(traffic(Shape::Benchmark, Total::Spans(95), 1_000));
        let mut groups: Vec<_> = batches.into_iter().flatten().collect();
        assert_eq!(span_count(&groups), 100);
        let last = spans_of(&mut groups).map(|span| span.start_unix_nano).max();
        let end = 1_000 + HOUR.as_nanos() as u64;
        assert!((end / 10 * 9..=end).contains(&last.unwrap()));
    }

    #[test]
    fn live_traces_end_now_whatever_their_length() {
        let now = 1_800_000_000_000_000_000;
        let mut live = traffic(Shape::Training, Total::Traces(1), usize::MAX);
        live.times = Times::Live;
        let mut groups = live.next_batch_at(now).unwrap();
        let ends = spans_of(&mut groups).map(|span| span.end_unix_nano);
        assert_eq!(ends.max(), Some(now));
    }
}
