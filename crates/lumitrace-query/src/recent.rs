//! Spans told apart in little memory, and remembered for a while: senders repeat a delivery whose
//! answer got lost.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::LazyLock;

use hashbrown::{DefaultHashBuilder, HashSet};
use lumitrace_model::{SpanId, TraceId};

/// How many final spans a run, or the list of runs, remembers.
const RECENT_SPANS: usize = 65_536;

/// Trace and span id in 64 bits, for maps of millions of spans within this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SpanKey(u64);

impl SpanKey {
    pub(crate) fn of(trace_id: TraceId, span_id: SpanId) -> Self {
        static HASHER: LazyLock<DefaultHashBuilder> = LazyLock::new(DefaultHashBuilder::default);
        Self(HASHER.hash_one((trace_id, span_id)))
    }
}

/// Final spans seen lately.
#[derive(Debug)]
pub(crate) struct RecentSpans {
    known: HashSet<SpanKey>,
    in_order: VecDeque<SpanKey>,
    limit: usize,
}

impl Default for RecentSpans {
    fn default() -> Self {
        Self::new(RECENT_SPANS)
    }
}

impl RecentSpans {
    /// Remembers this many.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            known: HashSet::new(),
            in_order: VecDeque::new(),
            limit,
        }
    }

    /// Whether the final form of this span came before; remembers it if this is it.
    pub(crate) fn has_seen(&mut self, key: SpanKey, pending: bool) -> bool {
        if pending {
            return self.known.contains(&key);
        }
        if !self.known.insert(key) {
            return true;
        }
        self.in_order.push_back(key);
        if self.in_order.len() > self.limit
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.known.remove(&oldest);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{span_id, trace_id};

    #[test]
    fn repeats_are_recognised_until_enough_others_came() {
        let key = |id| SpanKey::of(trace_id(1), span_id(id));
        let mut recent = RecentSpans::new(2);
        assert!(
            !recent.has_seen(key(1), true),
            "an announcement is no final span"
        );
        assert!(!recent.has_seen(key(1), false));
        assert!(
            recent.has_seen(key(1), true),
            "an announcement that was overtaken"
        );
        assert!(recent.has_seen(key(1), false));
        assert!(!recent.has_seen(key(2), false));
        assert!(!recent.has_seen(key(3), false));
        assert!(!recent.has_seen(key(1), false), "two others came");
    }
}
