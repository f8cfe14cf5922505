//! Which spans are the same span, and which of them counts: the one place for this rule.

use lumitrace_model::{Span, SpanId, TraceId};

use crate::SpanRecord;

/// What identifies a span. The kind belongs to it because Zipkin lets the client's and the
/// server's half of a call share one span id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Identity {
    trace_id: TraceId,
    span_id: SpanId,
    kind: u8,
}

impl Identity {
    pub(crate) fn of(span: &Span) -> Self {
        Self {
            trace_id: span.trace_id,
            span_id: span.span_id,
            kind: span.kind.code(),
        }
    }
}

/// Of two records of the same span, whether `candidate` counts rather than `current`.
///
/// A final span replaces announcements; the later announcement replaces the earlier; of two final
/// spans the first one stored stays, because a retry repeats what was stored. The outcome does not
/// depend on the order in which records are compared.
pub(crate) fn supersedes(candidate: &SpanRecord, current: &SpanRecord) -> bool {
    match (candidate.span.pending, current.span.pending) {
        (false, true) => true,
        (true, false) => false,
        (true, true) => candidate.seq > current.seq,
        (false, false) => candidate.seq < current.seq,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::testing::record;

    #[test]
    fn finals_replace_announcements_and_only_later_announcements_replace_earlier_ones() {
        let at = |seq, pending| {
            let mut record = record(1, 1);
            record.seq = seq;
            record.span.pending = pending;
            record
        };
        for (candidate, current, expected) in [
            (at(1, false), at(2, true), true),
            (at(2, true), at(1, false), false),
            (at(2, true), at(1, true), true),
            (at(1, true), at(2, true), false),
            (at(2, false), at(1, false), false),
            (at(1, false), at(2, false), true),
        ] {
            assert_eq!(
                supersedes(&candidate, &current),
                expected,
                "{candidate:?} {current:?}"
            );
        }
    }
}
