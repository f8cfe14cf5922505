//! A trace folded into what its summary needs, so that a live trace of a million spans need not be
//! read again for every span that arrives.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use lumitrace_model::{Span, SpanId, SpanKind, TraceId};
use lumitrace_store::SpanRecord;

use super::matching::Matcher;
use super::{ServiceCount, TraceQuery, TraceSummary};
use crate::facts::{SpanState, is_root, service_name};
use crate::recent::{RecentSpans, SpanKey};
use crate::training::RunId;
use crate::training::recognition::TrainingNames;

/// How many final spans of a trace are remembered to recognise a repeated delivery.
const RECENT_SPANS: usize = 8192;

/// The span that a summary is named after.
struct Shown {
    start_unix_nano: u64,
    span_id: SpanId,
    service: String,
    name: String,
}

/// A span in progress, as it was counted.
struct Open {
    announced_unix_nano: u64,
    service: String,
    failed: bool,
    matched: bool,
}

/// See [the module](self).
pub(crate) struct TraceDigest {
    trace_id: TraceId,
    start_unix_nano: u64,
    end_unix_nano: u64,
    root: Option<Shown>,
    earliest: Option<Shown>,
    /// Spans and failed spans.
    services: BTreeMap<String, (u64, u64)>,
    matched: u64,
    open: HashMap<(SpanId, SpanKind), Open>,
    recent: RecentSpans,
    /// A span that may tell the training run.
    stage: Option<Arc<SpanRecord>>,
    /// What the store received up to here is counted.
    last_seq: u64,
}

impl TraceDigest {
    /// The digest of what is stored of a trace, each span once.
    pub(crate) fn of(
        trace_id: TraceId,
        records: &[Arc<SpanRecord>],
        query: &TraceQuery,
        names: &TrainingNames,
    ) -> Self {
        let mut digest = Self {
            trace_id,
            start_unix_nano: u64::MAX,
            end_unix_nano: 0,
            root: None,
            earliest: None,
            services: BTreeMap::new(),
            matched: 0,
            open: HashMap::new(),
            recent: RecentSpans::new(RECENT_SPANS),
            stage: None,
            last_seq: 0,
        };
        let matcher = Matcher::new(query);
        records
            .iter()
            .for_each(|record| digest.observe(record, &matcher, names));
        digest.last_seq = records.iter().map(|record| record.seq).max().unwrap_or(0);
        digest
    }

    /// Takes in a span that was stored after those the digest was made of; others are left out.
    pub(crate) fn absorb(
        &mut self,
        record: &Arc<SpanRecord>,
        query: &TraceQuery,
        names: &TrainingNames,
    ) {
        if record.seq > self.last_seq {
            self.observe(record, &Matcher::new(query), names);
            self.last_seq = record.seq;
        }
    }

    fn observe(&mut self, record: &Arc<SpanRecord>, matcher: &Matcher<'_>, names: &TrainingNames) {
        let span = &record.span;
        if self.recent.has_seen(recent_key(span), span.pending) {
            return;
        }
        let service = service_name(&record.resource, span);
        let counted = Open {
            announced_unix_nano: span.end_unix_nano,
            service: service.to_owned(),
            failed: span.is_error(),
            matched: matcher.matches(record),
        };
        // Spans come in the order in which they were stored: the later announcement counts.
        if let Some(announced) = self.open.remove(&(span.span_id, span.kind)) {
            self.count(&announced, u64::wrapping_sub);
        }
        self.count(&counted, u64::wrapping_add);
        if span.pending {
            self.open.insert((span.span_id, span.kind), counted);
        }
        self.start_unix_nano = self.start_unix_nano.min(span.start_unix_nano);
        self.end_unix_nano = self.end_unix_nano.max(span.end_unix_nano);
        show_if_earlier(&mut self.earliest, span, service);
        if is_root(span) {
            show_if_earlier(&mut self.root, span, service);
        }
        if self.stage.is_none() && names.is_stage(span) {
            self.stage = Some(record.clone());
        }
    }

    /// Counts a span, or takes one back.
    fn count(&mut self, span: &Open, add: fn(u64, u64) -> u64) {
        let (spans, failed) = match self.services.get_mut(&span.service) {
            Some(counts) => counts,
            None => self.services.entry(span.service.clone()).or_default(),
        };
        *spans = add(*spans, 1);
        *failed = add(*failed, u64::from(span.failed));
        self.matched = add(self.matched, u64::from(span.matched));
    }

    /// How many spans it has.
    pub(crate) fn span_count(&self) -> u64 {
        self.services.values().map(|(spans, _)| spans).sum()
    }

    /// A span that may tell the training run which the trace belongs to.
    pub(crate) fn stage(&self) -> Option<&Arc<SpanRecord>> {
        self.stage.as_ref()
    }

    /// The summary, if any span matches.
    pub(crate) fn summary(
        &self,
        run_id: Option<RunId>,
        now_unix_nano: u64,
    ) -> Option<TraceSummary> {
        let shown = self
            .root
            .as_ref()
            .or(self.earliest.as_ref())
            .filter(|_| self.matched > 0)?;
        let states = self.open.values().map(|open| {
            SpanState::from_announcement(Some(open.announced_unix_nano), now_unix_nano)
        });
        let services = self.services.iter().filter(|(_, (spans, _))| *spans > 0);
        let services: Vec<ServiceCount> = services
            .map(|(name, &(span_count, error_count))| ServiceCount {
                name: name.clone(),
                span_count,
                error_count,
            })
            .collect();
        Some(TraceSummary {
            trace_id: self.trace_id,
            root_service: shown.service.clone(),
            root_name: shown.name.clone(),
            start_unix_nano: self.start_unix_nano,
            duration_nano: self.end_unix_nano.saturating_sub(self.start_unix_nano),
            span_count: self.span_count(),
            error_count: services.iter().map(|service| service.error_count).sum(),
            matched_span_count: self.matched,
            services,
            state: states.fold(SpanState::Complete, SpanState::and),
            root_missing: self.root.is_none(),
            run_id,
        })
    }
}

/// A client and a server may share an id: the kind tells them apart.
fn recent_key(span: &Span) -> SpanKey {
    let mut trace_id = span.trace_id.to_bytes();
    trace_id[0] ^= span.kind.code();
    SpanKey::of(TraceId::from_bytes(trace_id), span.span_id)
}

fn show_if_earlier(shown: &mut Option<Shown>, span: &Span, service: &str) {
    let place = (span.start_unix_nano, span.span_id);
    if shown
        .as_ref()
        .is_none_or(|shown| place < (shown.start_unix_nano, shown.span_id))
    {
        *shown = Some(Shown {
            start_unix_nano: span.start_unix_nano,
            span_id: span.span_id,
            service: service.to_owned(),
            name: span.name.to_string(),
        });
    }
}
