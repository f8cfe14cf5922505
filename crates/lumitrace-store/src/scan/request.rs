//! What a search asks for, and what it cost.

use std::ops::{Range, RangeInclusive};

use crate::manifest::BlockId;
use crate::{Damaged, Exhausted, QueryBudget};

/// Length of the windows in which a scan goes through time, in nanoseconds: ten seconds.
///
/// Spans come window by window, by their start divided by this length; within one window their
/// order is not defined.
///
/// ```
/// use lumitrace_store::SCAN_WINDOW_NANO;
/// let window = |start_unix_nano: u64| start_unix_nano / SCAN_WINDOW_NANO;
/// assert_eq!(window(1_700_000_009_999_999_999), window(1_700_000_000_000_000_000));
/// ```
pub const SCAN_WINDOW_NANO: u64 = 10_000_000_000;

/// Which parts of a span the caller needs. Leaving parts out saves reading and decoding them; they
/// are then empty in spans that come from blocks (and may be there in others).
///
/// ```
/// use lumitrace_store::{ScanRequest, SpanParts};
/// let request = ScanRequest {
///     parts: SpanParts { attributes: true, ..SpanParts::NONE },
///     ..ScanRequest::default()
/// };
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanParts {
    /// The span's own attributes.
    pub attributes: bool,
    /// Its events.
    pub events: bool,
    /// Its links.
    pub links: bool,
    /// All of the values of more than 2 KiB among those parts. Otherwise spans from blocks have only
    /// about the first KiB of each: of an array or a map the first elements.
    pub large_values: bool,
}

impl SpanParts {
    /// The whole span.
    pub const ALL: Self = Self {
        attributes: true,
        events: true,
        links: true,
        large_values: true,
    };
    /// Only ids, name, kind, times, status, resource and scope.
    pub const NONE: Self = Self {
        attributes: false,
        events: false,
        links: false,
        large_values: false,
    };
}

/// What a search asks for. All conditions must hold; the default asks for every span.
///
/// ```
/// use lumitrace_store::ScanRequest;
/// let slow_batches = ScanRequest {
///     names: vec!["batch_processing".to_owned()],
///     min_duration_nano: Some(1_000_000_000),
///     ..ScanRequest::default()
/// };
/// # assert!(slow_batches.newest_first);
/// ```
#[derive(Debug, Clone)]
pub struct ScanRequest {
    /// Earliest start of a span, inclusive, in nanoseconds since the Unix epoch.
    pub start_unix_nano: u64,
    /// Latest start of a span, inclusive, in nanoseconds since the Unix epoch.
    pub end_unix_nano: u64,
    /// The service's name.
    pub service: Option<String>,
    /// The span's name is one of these. Empty: any.
    pub names: Vec<String>,
    /// Shortest duration, inclusive.
    pub min_duration_nano: Option<u64>,
    /// Longest duration, inclusive.
    pub max_duration_nano: Option<u64>,
    /// The span's status is error.
    pub only_errors: bool,
    /// For each pair, an attribute of the span or of its resource has this key, and a value that
    /// this text spells as a search box spells it.
    pub attributes: Vec<(String, String)>,
    /// This text, in any case, is part of the name, the status message, or a text among the values
    /// of the span's attributes.
    pub text: Option<String>,
    /// The span was stored with a sequence number in this range: see
    /// [`Store::end_seq`](crate::Store::end_seq).
    pub seqs: Range<u64>,
    /// The span was not stored with a sequence number in one of these, which are ascending and apart:
    /// those of blocks whose [digests](crate::digest) are read instead. What the archive has is not
    /// left out.
    pub except_seqs: Vec<Range<u64>>,
    /// What it may cost: unlimited by default. A scan that has exhausted it ends early. Of memory it
    /// counts what tells the spans of one window apart, and announcements that wait for its end.
    pub budget: QueryBudget,
    /// Whether newest windows come first, or oldest.
    pub newest_first: bool,
    /// What of each span the caller needs.
    pub parts: SpanParts,
}

impl Default for ScanRequest {
    fn default() -> Self {
        Self {
            start_unix_nano: 0,
            end_unix_nano: u64::MAX,
            service: None,
            names: Vec::new(),
            min_duration_nano: None,
            max_duration_nano: None,
            only_errors: false,
            attributes: Vec::new(),
            text: None,
            seqs: 0..u64::MAX,
            except_seqs: Vec::new(),
            budget: QueryBudget::unlimited(),
            newest_first: true,
            parts: SpanParts::ALL,
        }
    }
}

impl ScanRequest {
    /// When a span may start.
    pub(crate) fn starts(&self) -> RangeInclusive<u64> {
        self.start_unix_nano..=self.end_unix_nano
    }

    /// Whether a span may have this sequence number.
    pub(crate) fn wants_seq(&self, seq: u64) -> bool {
        self.seqs.contains(&seq) && !self.excepts(seq, seq)
    }

    /// Whether a block with these spans may have one that is wanted.
    pub(crate) fn wants_block(&self, id: BlockId) -> bool {
        id.first_seq < self.seqs.end
            && id.end_seq > self.seqs.start
            && !self.excepts(id.first_seq, id.end_seq.saturating_sub(1))
    }

    /// Whether all from the first to the last are left out.
    fn excepts(&self, first_seq: u64, last_seq: u64) -> bool {
        let next = self
            .except_seqs
            .partition_point(|seqs| seqs.end <= first_seq);
        let range = self.except_seqs.get(next);
        range.is_some_and(|range| range.contains(&first_seq) && range.contains(&last_seq))
    }
}

/// What a scan cost, and what it could not read.
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// # let (_dir, store) = example::filled()?;
/// use std::ops::ControlFlow;
/// use lumitrace_store::ScanRequest;
///
/// let stats = store.scan(&ScanRequest::default(), &mut |_| ControlFlow::Break(()))?;
/// assert_eq!(stats.matched_spans, 1);
/// assert!(stats.stopped);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScanStats {
    /// Spans that were handed to the caller.
    pub matched_spans: u64,
    /// Spans that had to be looked at.
    pub examined_spans: u64,
    /// Blocks of which rows were read.
    pub blocks_read: u64,
    /// Blocks that their summaries ruled out.
    pub blocks_pruned: u64,
    /// Row groups of which rows were read.
    pub row_groups_read: u64,
    /// Row groups that their statistics ruled out.
    pub row_groups_pruned: u64,
    /// Whether the caller, or the budget, stopped the scan.
    pub stopped: bool,
    /// What the budget lacked, if it was that.
    pub exhausted: Option<Exhausted>,
    /// Damage that was met: spans may have been left out for it.
    pub damaged: Damaged,
}
