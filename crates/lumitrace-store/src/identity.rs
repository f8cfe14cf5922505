//! Which spans are the same span, and which of them counts: the one place for this rule.

use lumitrace_model::{Span, SpanId, TraceId};
use lumitrace_wire::otlp::protobuf::SpanHead;

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

    pub(crate) fn of_head(head: &SpanHead) -> Self {
        Self {
            trace_id: head.trace_id,
            span_id: head.span_id,
            kind: head.kind.code(),
        }
    }
}

/// Tells apart the records of one span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    /// Whether it is an announcement.
    pub(crate) pending: bool,
    pub(crate) seq: u64,
}

impl Version {
    pub(crate) fn of(record: &SpanRecord) -> Self {
        Self {
            pending: record.span.pending,
            seq: record.seq,
        }
    }

    /// Of two records of the same span, whether this one counts rather than `current`.
    ///
    /// A final span replaces announcements; the later announcement replaces the earlier; of two
    /// final spans the first one stored stays, because a retry repeats what was stored. The outcome
    /// does not depend on the order in which records are compared.
    pub(crate) fn supersedes(self, current: Self) -> bool {
        match (self.pending, current.pending) {
            (false, true) => true,
            (true, false) => false,
            (true, true) => self.seq > current.seq,
            (false, false) => self.seq < current.seq,
        }
    }
}

/// Of two records of the same span, whether `candidate` counts rather than `current`.
pub(crate) fn supersedes(candidate: &SpanRecord, current: &SpanRecord) -> bool {
    Version::of(candidate).supersedes(Version::of(current))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finals_replace_announcements_and_only_later_announcements_replace_earlier_ones() {
        let at = |seq, pending| Version { pending, seq };
        for (candidate, current, expected) in [
            (at(1, false), at(2, true), true),
            (at(2, true), at(1, false), false),
            (at(2, true), at(1, true), true),
            (at(1, true), at(2, true), false),
            (at(2, false), at(1, false), false),
            (at(1, false), at(2, false), true),
        ] {
            assert_eq!(
                candidate.supersedes(current),
                expected,
                "{candidate:?} {current:?}"
            );
        }
    }
}
