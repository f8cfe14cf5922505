//! Which spans a store has already, so that importing twice stores once.

use std::collections::HashMap;

use lumitrace_model::{ResourceSpans, Span, SpanId, TraceId};
use lumitrace_store::{LookupError, QueryBudget, SpanParts, Store};

/// Spans that are remembered before all are forgotten for another trace, and asked for anew: some
/// 64 MiB.
const MAX_REMEMBERED: usize = 1_000_000;

/// What of a span is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Final,
    /// Only an announcement, which was made at this time.
    Announced {
        unix_nano: u64,
    },
}

/// Asks a store which spans it has, trace by trace, and remembers the answers.
///
/// A trace is remembered whole, however large it is: asking for it anew with each of its spans would
/// take a time that grows with its square.
#[derive(Debug)]
pub(super) struct KnownSpans {
    max_remembered: usize,
    traces: HashMap<TraceId, HashMap<(SpanId, u8), Known>>,
    remembered: usize,
}

impl Default for KnownSpans {
    fn default() -> Self {
        Self::remembering(MAX_REMEMBERED)
    }
}

impl KnownSpans {
    /// Forgets all when another trace comes after so many spans.
    fn remembering(max_remembered: usize) -> Self {
        Self {
            max_remembered,
            traces: HashMap::new(),
            remembered: 0,
        }
    }

    /// Takes the spans out of `batch` that `store` has, or that came before. Returns how many.
    pub(super) fn remove_from(
        &mut self,
        batch: &mut Vec<ResourceSpans>,
        store: &Store,
    ) -> Result<u64, LookupError> {
        let mut removed = 0;
        let mut failure = None;
        for scope in batch.iter_mut().flat_map(|group| &mut group.scope_spans) {
            scope.spans.retain(|span| {
                let is_new = self.add(span, store).unwrap_or_else(|error| {
                    failure.get_or_insert(error);
                    false
                });
                removed += u64::from(!is_new);
                is_new
            });
        }
        batch.retain_mut(|group| {
            group.scope_spans.retain(|scope| !scope.spans.is_empty());
            !group.scope_spans.is_empty()
        });
        failure.map_or(Ok(removed), Err)
    }

    /// Whether `span` adds to what is known; it is known from then on.
    fn add(&mut self, span: &Span, store: &Store) -> Result<bool, LookupError> {
        if !self.traces.contains_key(&span.trace_id) {
            if self.remembered >= self.max_remembered {
                *self = Self::remembering(self.max_remembered);
            }
            // What is damaged there is not there: it is stored anew.
            let budget = QueryBudget::unlimited();
            let stored = store.trace_parts(span.trace_id, SpanParts::NONE, &budget)?;
            let stored = stored.spans;
            self.remembered += stored.len();
            let known = stored.iter().map(|record| key_and_known(&record.span));
            self.traces.insert(span.trace_id, known.collect());
        }
        let spans = self.traces.entry(span.trace_id).or_default();
        let (key, new) = key_and_known(span);
        let is_new = match (spans.get(&key), new) {
            (None, _) | (Some(Known::Announced { .. }), Known::Final) => true,
            (Some(Known::Final), _) => false,
            (Some(Known::Announced { unix_nano: known }), Known::Announced { unix_nano: new }) => {
                new > *known
            }
        };
        if is_new && spans.insert(key, new).is_none() {
            self.remembered += 1;
        }
        Ok(is_new)
    }
}

/// A span's identity within its trace: see `docs/store.md`.
fn key_and_known(span: &Span) -> ((SpanId, u8), Known) {
    let known = if span.pending {
        Known::Announced {
            unix_nano: span.end_unix_nano,
        }
    } else {
        Known::Final
    };
    ((span.span_id, span.kind.code()), known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record_file::Batch;
    use lumitrace_model::ScopeSpans;
    use lumitrace_store::{SpanBatch, StoreOptions};

    fn batch(spans: &[(u8, bool, u64)]) -> Vec<ResourceSpans> {
        batch_of_trace(1, spans)
    }

    fn batch_of_trace(trace: u8, spans: &[(u8, bool, u64)]) -> Vec<ResourceSpans> {
        let span = |(id, pending, end): &(u8, bool, u64)| Span {
            trace_id: TraceId::from_bytes([trace; 16]),
            span_id: SpanId::from_bytes([*id; 8]),
            end_unix_nano: *end,
            pending: *pending,
            ..Span::default()
        };
        vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: spans.iter().map(span).collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }]
    }

    #[test]
    fn only_what_adds_something_is_left_in_a_batch() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(StoreOptions::new(dir.path())).unwrap();
        let stored = batch(&[(1, false, 5), (2, true, 5)]);
        let stored = SpanBatch::from_resource_spans(&stored).unwrap();
        store.append(stored).wait().unwrap();
        let mut known = KnownSpans::default();
        let mut left_of = |spans: &[(u8, bool, u64)]| {
            let mut batch = batch(spans);
            let removed = known.remove_from(&mut batch, &store).unwrap();
            assert_eq!(
                removed as usize + Batch::Spans(batch.clone()).record_count(),
                spans.len()
            );
            batch
        };
        // A retry, an older announcement, and an announcement of what is over.
        assert!(left_of(&[(1, false, 5), (2, true, 4), (1, true, 9)]).is_empty());
        let fresh = [(2, true, 6), (2, false, 7), (3, false, 1)];
        assert_eq!(left_of(&fresh), batch(&fresh));
        assert!(left_of(&fresh).is_empty(), "they came before");
    }

    #[test]
    fn a_trace_is_forgotten_only_for_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(StoreOptions::new(dir.path())).unwrap();
        let mut known = KnownSpans::remembering(2);
        let four = [(1, false, 1), (2, false, 1), (3, false, 1), (4, false, 1)];
        let mut known_of = |trace| {
            let mut batch = batch_of_trace(trace, &four);
            known.remove_from(&mut batch, &store).unwrap()
        };
        assert_eq!((known_of(1), known_of(1)), (0, 4));
        assert_eq!((known_of(2), known_of(2)), (0, 4));
        assert_eq!(known_of(1), 0, "it made room for the second");
    }
}
