//! What a search for log records asks for, and what it cost.

use std::ops::RangeInclusive;

use lumitrace_model::{Severity, SpanId, TraceId};

use crate::logs::batch::LogEntry;
use crate::logs::row::LogFacts;
use crate::logs::stored::LogRef;
use crate::scan::cut_candidate::CutCandidate;
use crate::scan::predicate::{
    contains_ignoring_case, has_attribute, value_has_text, view_has_text, views_have_attribute,
};
use crate::{Damaged, Exhausted, QueryBudget};

/// What a search for log records asks for. All conditions must hold; the default asks for every one.
///
/// ```
/// use lumitrace_model::Severity;
/// use lumitrace_store::LogScan;
/// let errors = LogScan {
///     min_severity: Severity::ERROR,
///     ..LogScan::default()
/// };
/// # assert_eq!(errors.service, None);
/// ```
#[derive(Debug, Clone)]
pub struct LogScan {
    /// Earliest time, inclusive, in nanoseconds since the Unix epoch.
    pub start_unix_nano: u64,
    /// Latest time, inclusive, in nanoseconds since the Unix epoch.
    pub end_unix_nano: u64,
    /// The service's name.
    pub service: Option<String>,
    /// The least severity. Those of unspecified severity are only found if this is unspecified too.
    pub min_severity: Severity,
    /// This text, in any case, is part of the body: of the text that it is, or of a text within.
    pub text: Option<String>,
    /// For each pair, an attribute of the log record or of its resource has this key, and a value
    /// that this text spells as a search box spells it.
    pub attributes: Vec<(String, String)>,
    /// The trace it was said in.
    pub trace_id: Option<TraceId>,
    /// The span it was said in.
    pub span_id: Option<SpanId>,
    /// Whether the caller needs all of bodies and attributes of more than 2 KiB. Otherwise log records
    /// from blocks have only about the first KiB of each: of an array or a map the first elements.
    pub large_values: bool,
    /// What it may cost: unlimited by default. A search that has exhausted it ends early.
    pub budget: QueryBudget,
}

impl Default for LogScan {
    fn default() -> Self {
        Self {
            start_unix_nano: 0,
            end_unix_nano: u64::MAX,
            service: None,
            min_severity: Severity::UNSPECIFIED,
            text: None,
            attributes: Vec::new(),
            trace_id: None,
            span_id: None,
            large_values: true,
            budget: QueryBudget::unlimited(),
        }
    }
}

/// What a search for log records cost, and what it could not read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogScanStats {
    /// Log records that were handed to the caller.
    pub matched_records: u64,
    /// Log records that had to be looked at.
    pub examined_records: u64,
    /// Blocks of which rows may have been read.
    pub blocks_read: u64,
    /// Blocks that their indexes ruled out.
    pub blocks_pruned: u64,
    /// Whether the caller, or the budget, stopped the search.
    pub stopped: bool,
    /// What the budget lacked, if it was that.
    pub exhausted: Option<Exhausted>,
    /// Damage that was met: log records may have been left out for it.
    pub damaged: Damaged,
}

impl LogScan {
    /// When a log record may have been said.
    pub(crate) fn times(&self) -> RangeInclusive<u64> {
        self.start_unix_nano..=self.end_unix_nano
    }

    /// Whether `entry` is what is asked for: what a search decides of every log record, for one at
    /// hand.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// use lumitrace_store::{LogEntry, LogScan};
    ///
    /// # let entry = example::log_entry(&store)?;
    /// let of_memory = LogScan { text: Some("Memory".to_owned()), ..LogScan::default() };
    /// assert!(of_memory.matches(&entry));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn matches(&self, entry: &LogEntry) -> bool {
        Predicate::new(self).matches(entry)
    }

    /// Like [`matches`](Self::matches), for a log record that was not made whole.
    pub fn matches_stored(&self, log: LogRef<'_>) -> bool {
        Predicate::new(self).matches(&log)
    }
}

/// A log record that conditions can be asked of.
pub(crate) trait Candidate {
    /// What is known without looking into its body and its attributes.
    fn facts(&self) -> LogFacts<'_>;
    /// Whether one of its own attributes is named `key` and has a value that `text` spells.
    fn has_attribute(&self, key: &str, text: &str) -> bool;
    /// Whether the text that is its body, or one within, is one for which `is_wanted` says yes. Of
    /// whichever part of a text it says yes, it says so of the whole.
    fn body_has_text(&self, is_wanted: &dyn Fn(&str) -> bool) -> bool;
}

impl Candidate for LogEntry {
    fn facts(&self) -> LogFacts<'_> {
        self.into()
    }

    fn has_attribute(&self, key: &str, text: &str) -> bool {
        has_attribute(&self.log.attributes, key, text)
    }

    fn body_has_text(&self, is_wanted: &dyn Fn(&str) -> bool) -> bool {
        value_has_text(&self.log.body, is_wanted)
    }
}

impl Candidate for LogRef<'_> {
    fn facts(&self) -> LogFacts<'_> {
        (*self).into()
    }

    fn has_attribute(&self, key: &str, text: &str) -> bool {
        views_have_attribute(self.view().attributes().iter(), key, text)
    }

    fn body_has_text(&self, is_wanted: &dyn Fn(&str) -> bool) -> bool {
        view_has_text(self.view().body, is_wanted)
    }
}

impl Candidate for CutCandidate<'_, LogEntry> {
    fn facts(&self) -> LogFacts<'_> {
        self.record().into()
    }

    fn has_attribute(&self, key: &str, text: &str) -> bool {
        self.has_own_attribute(&self.record().log.attributes, key, text)
    }

    fn body_has_text(&self, is_wanted: &dyn Fn(&str) -> bool) -> bool {
        self.is_in_body(&self.record().log.body, is_wanted)
    }
}

/// A search's conditions, ready to be asked of many log records.
#[derive(Debug)]
pub(crate) struct Predicate<'a> {
    pub(crate) request: &'a LogScan,
    /// In lower case.
    pub(crate) text: Option<String>,
}

impl<'a> Predicate<'a> {
    pub(crate) fn new(request: &'a LogScan) -> Self {
        let text = request.text.as_deref().filter(|text| !text.is_empty());
        Self {
            request,
            text: text.map(str::to_lowercase),
        }
    }

    pub(crate) fn matches(&self, candidate: &impl Candidate) -> bool {
        let (request, facts) = (self.request, candidate.facts());
        request.times().contains(&facts.timestamp_unix_nano())
            && self.severity_matches(facts.severity)
            && self.service_matches(facts.origin.service_name())
            && request.trace_id.is_none_or(|id| facts.trace_id == Some(id))
            && request.span_id.is_none_or(|id| facts.span_id == Some(id))
            && request.attributes.iter().all(|(key, text)| {
                candidate.has_attribute(key, text)
                    || has_attribute(&facts.origin.resource.attributes, key, text)
            })
            && self.text.as_ref().is_none_or(|text| {
                candidate.body_has_text(&|string| contains_ignoring_case(string, text))
            })
    }

    pub(crate) fn severity_matches(&self, severity: Severity) -> bool {
        let least = self.request.min_severity;
        least == Severity::UNSPECIFIED || severity >= least
    }

    pub(crate) fn service_matches(&self, service: &str) -> bool {
        let wanted = self.request.service.as_deref();
        wanted.is_none_or(|wanted| service == wanted)
    }
}
