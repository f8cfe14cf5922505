//! Digests of large traces that someone looks at, kept up to date by what arrives.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use lumitrace_model::TraceId;
use lumitrace_store::{Damaged, LookupError, SpanRecord, TraceSpans};
use parking_lot::Mutex;

use super::TraceQuery;
use super::digest::TraceDigest;
use crate::training::recognition::TrainingNames;

/// Smaller traces are read anew each time.
const LARGE_TRACE_SPANS: u64 = 2000;
/// Most digests kept.
const DIGESTS: usize = 64;

/// See [the module](self). The conditions of a query decide what a digest counts as matching, so
/// each query has its own.
pub(crate) struct DigestCache {
    names: TrainingNames,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: HashMap<TraceId, Vec<Kept>>,
    /// What arrives of the traces that are being read right now, by reader.
    reading: HashMap<u64, (TraceId, Vec<Arc<SpanRecord>>)>,
    /// Counts questions and readers.
    clock: u64,
    /// Counts how often everything was forgotten.
    generation: u64,
}

struct Kept {
    conditions: TraceQuery,
    digest: Arc<Mutex<TraceDigest>>,
    used: u64,
}

impl State {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn find(
        &mut self,
        trace_id: TraceId,
        conditions: &TraceQuery,
    ) -> Option<Arc<Mutex<TraceDigest>>> {
        let now = self.tick();
        let kept = self.kept.get_mut(&trace_id)?;
        let found = kept
            .iter_mut()
            .find(|kept| kept.conditions == *conditions)?;
        found.used = now;
        Some(Arc::clone(&found.digest))
    }

    fn keep(&mut self, trace_id: TraceId, kept: Kept) {
        self.kept.entry(trace_id).or_default().push(kept);
        let all = || {
            self.kept
                .iter()
                .flat_map(|(id, kept)| kept.iter().map(|kept| (kept.used, *id)))
        };
        if all().count() <= DIGESTS {
            return;
        }
        if let Some((used, trace_id)) = all().min()
            && let Some(kept) = self.kept.get_mut(&trace_id)
        {
            kept.retain(|kept| kept.used != used);
        }
        self.kept.retain(|_, kept| !kept.is_empty());
    }
}

impl DigestCache {
    pub(crate) fn new(names: TrainingNames) -> Self {
        Self {
            names,
            state: Mutex::default(),
        }
    }

    /// The digest of a trace for a query: the one at hand, or else of what `read` finds. What it lacks
    /// is noted in `damaged`.
    pub(crate) fn digest(
        &self,
        trace_id: TraceId,
        query: &TraceQuery,
        damaged: &mut Damaged,
        read: impl FnOnce() -> Result<TraceSpans<Arc<SpanRecord>>, LookupError>,
    ) -> Result<Arc<Mutex<TraceDigest>>, LookupError> {
        let conditions = TraceQuery {
            limit: 0,
            before: None,
            ..query.clone()
        };
        let mut state = self.state.lock();
        if let Some(digest) = state.find(trace_id, &conditions) {
            return Ok(digest);
        }
        let (reader, generation) = (state.tick(), state.generation);
        state.reading.insert(reader, (trace_id, Vec::new()));
        drop(state);
        let read = read();
        let mut state = self.state.lock();
        let arrived = state
            .reading
            .remove(&reader)
            .map_or_else(Vec::new, |(_, arrived)| arrived);
        let read = read?;
        let mut digest = TraceDigest::of(trace_id, &read.spans, query, &self.names);
        arrived
            .iter()
            .for_each(|record| digest.absorb(record, &conditions, &self.names));
        // What lacks spans is said each time.
        let is_kept = digest.span_count() >= LARGE_TRACE_SPANS && read.damaged.is_empty();
        damaged.extend(read.damaged);
        let digest = Arc::new(Mutex::new(digest));
        if is_kept && state.generation == generation {
            let used = state.tick();
            state.keep(
                trace_id,
                Kept {
                    conditions,
                    digest: Arc::clone(&digest),
                    used,
                },
            );
        }
        Ok(digest)
    }

    /// The traces of which new spans must be handed to [`absorb`](Self::absorb).
    pub(crate) fn followed(&self) -> HashSet<TraceId> {
        let state = self.state.lock();
        let read = state.reading.values().map(|(trace_id, _)| trace_id);
        read.chain(state.kept.keys()).copied().collect()
    }

    /// Takes in new spans.
    pub(crate) fn absorb(&self, batch: &[Arc<SpanRecord>]) {
        let mut state = self.state.lock();
        if state.kept.is_empty() && state.reading.is_empty() {
            return;
        }
        for record in batch {
            for kept in state.kept.get(&record.span.trace_id).into_iter().flatten() {
                kept.digest
                    .lock()
                    .absorb(record, &kept.conditions, &self.names);
            }
            for (trace_id, arrived) in state.reading.values_mut() {
                if *trace_id == record.span.trace_id {
                    arrived.push(Arc::clone(record));
                }
            }
        }
    }

    /// Forgets everything: batches were missed.
    pub(crate) fn forget(&self) {
        let mut state = self.state.lock();
        state.kept.clear();
        state.generation += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{SECOND, SpanBuilder, T0, span, trace_id};
    use crate::search::TraceSummary;
    use proptest::prelude::*;

    const NOW: u64 = T0 + 60 * SECOND;

    fn numbered(spans: Vec<SpanBuilder>) -> Vec<Arc<SpanRecord>> {
        let number = |(span, seq): (SpanBuilder, u64)| {
            Arc::new(SpanRecord {
                seq,
                ..Arc::unwrap_or_clone(span.record())
            })
        };
        spans.into_iter().zip(1..).map(number).collect()
    }

    fn failed() -> TraceQuery {
        TraceQuery {
            only_errors: true,
            ..TraceQuery::default()
        }
    }

    /// What the store keeps: of each span the first final record, or else the last announcement.
    fn one_of_each(records: &[Arc<SpanRecord>]) -> Vec<Arc<SpanRecord>> {
        let mut kept: HashMap<_, Arc<SpanRecord>> = HashMap::new();
        for record in records {
            let known = kept.entry(record.span.span_id).or_insert(record.clone());
            if known.span.pending {
                *known = record.clone();
            }
        }
        kept.into_values().collect()
    }

    fn large_trace() -> Vec<SpanBuilder> {
        (1..=LARGE_TRACE_SPANS)
            .map(|id| span("s", id).at(1.0, 2.0))
            .collect()
    }

    fn whole(records: &[Arc<SpanRecord>]) -> TraceSpans<Arc<SpanRecord>> {
        TraceSpans {
            spans: records.to_vec(),
            damaged: Damaged::default(),
        }
    }

    fn summary(
        cache: &DigestCache,
        query: &TraceQuery,
        stored: &[Arc<SpanRecord>],
    ) -> Option<TraceSummary> {
        let mut damaged = Damaged::default();
        let digest = cache
            .digest(trace_id(1), query, &mut damaged, || Ok(whole(stored)))
            .unwrap();
        digest.lock().summary(None, NOW)
    }

    #[test]
    fn a_large_trace_is_read_once_and_then_follows_what_arrives() {
        let cache = DigestCache::new(TrainingNames::default());
        let mut spans = large_trace();
        spans.push(span("late", 9000).at(0.0, 9.0).failed("no"));
        let records = numbered(spans);
        let (stored, arriving) = records.split_at(LARGE_TRACE_SPANS as usize);
        assert_eq!(summary(&cache, &failed(), stored), None);
        cache.absorb(&records);
        let found = summary(&cache, &failed(), &[]).unwrap();
        assert_eq!(
            (found.span_count, found.matched_span_count),
            (LARGE_TRACE_SPANS + 1, 1)
        );
        assert_eq!(
            (found.root_name.as_str(), found.start_unix_nano),
            ("late", T0)
        );
        cache.absorb(arriving);
        assert_eq!(
            summary(&cache, &failed(), &[]),
            Some(found),
            "a repeat changes nothing"
        );
        cache.forget();
        assert_eq!(summary(&cache, &failed(), stored), None);
    }

    #[test]
    fn what_arrives_while_a_trace_is_read_is_counted_once() {
        let cache = DigestCache::new(TrainingNames::default());
        let records = numbered(large_trace());
        let (stored, arriving) = records.split_at(LARGE_TRACE_SPANS as usize - 10);
        let read = || {
            cache.absorb(&stored[stored.len() - 5..]);
            cache.absorb(arriving);
            Ok(whole(stored))
        };
        let (query, mut damaged) = (TraceQuery::default(), Damaged::default());
        let digest = cache
            .digest(trace_id(1), &query, &mut damaged, read)
            .unwrap();
        assert_eq!(digest.lock().span_count(), LARGE_TRACE_SPANS);
    }

    proptest! {
        #[test]
        fn folding_what_arrives_is_the_same_as_reading_it_all(
            spans in prop::collection::vec((1_u64..6, any::<bool>(), any::<bool>()), 1..20),
            cut in 0_usize..20,
        ) {
            let spans = spans.into_iter().zip(0..).map(|((id, pending, failed), place)| {
                let open_for = if pending { 0.0 } else { 10.0 };
                let end = 10.0 + open_for + f64::from(place) * 0.1;
                let built = span("epoch", id).at(id as f64, end);
                let built = if failed { built.failed("no") } else { built };
                if pending { built.pending() } else { built }
            });
            let records = numbered(spans.collect());
            let cut = cut.min(records.len());
            let (query, names) = (failed(), TrainingNames::default());
            let counting = |records: &[Arc<SpanRecord>]| {
                TraceDigest::of(trace_id(1), &one_of_each(records), &query, &names)
            };
            let mut folded = counting(&records[..cut]);
            for record in &records[cut..] {
                folded.absorb(record, &query, &names);
            }
            let whole = counting(&records);
            prop_assert_eq!(folded.summary(None, NOW), whole.summary(None, NOW));
        }
    }
}
