//! The few figures that the list of runs shows, folded span by span, and the rule that says how a
//! run is doing.
//!
//! A digest has a fixed size, takes spans in any order, and two of them merge into one. Blocks have those of
//! their spans kept beside them ([`super::block_runs`]).

mod parts;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use lumitrace_model::{Resource, SpanId, TraceId};
use lumitrace_store::SpanRecord;
use serde::{Deserialize, Serialize};

use super::RunId;
use super::identity::{SILENCE_NANO, given_run};
use super::metrics::{EPOCH_VAL_LOSS, LOSS, TRAIN_LOSS, VAL_LOSS, VAL_METRIC, metric};
use super::recognition::{Indices, Role, TrainingNames};
use super::view::{RunState, RunSummary};
use crate::facts::{INTERRUPTED_AFTER_NANO, is_root};
use crate::recent::SpanKey;
use parts::{Latest, NewestTraces, OpenSpan, Origin, Root};

/// How long a run of a program that does not announce its open spans may be silent, at least,
/// before it counts as over: two minutes, or twice its longest epoch or batch if that is more.
const QUIET_NANO: u64 = 120_000_000_000;

const RECENT_TRACES: usize = 20;
const INNER_TRACES: usize = 64;
const ROOTS: usize = 16;
const OPEN_SPANS: usize = 256;
const SERVICES: usize = 16;

/// A span with what recognition says about it.
#[derive(Clone, Copy)]
pub(crate) struct Observed<'a> {
    pub(crate) record: &'a SpanRecord,
    pub(crate) role: Role,
    pub(crate) indices: Indices,
    pub(crate) key: SpanKey,
}

impl<'a> Observed<'a> {
    pub(crate) fn new(record: &'a SpanRecord, names: &TrainingNames) -> Self {
        let role = names.role(&record.span.name);
        let indices = Indices::of(role, &record.span);
        let key = SpanKey::of(record.span.trace_id, record.span.span_id);
        Self {
            record,
            role,
            indices,
            key,
        }
    }
}

/// See [the module](self).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunDigest {
    origin: Option<Origin>,
    /// The name that the program gave the run, by the earliest span that has it.
    given_run: Option<(u64, String)>,
    resource_services: BTreeSet<String>,
    start_unix_nano: Option<u64>,
    last_seen_unix_nano: u64,
    is_training: bool,
    batch_count: u64,
    error_count: u64,
    last_loss: Latest<f64>,
    last_train_loss: Latest<f64>,
    last_val_loss: Latest<f64>,
    last_val_metric: Latest<f64>,
    best_val_loss: Option<f64>,
    epoch: Latest<i32>,
    lowest_epoch: Option<i32>,
    total_epochs: Latest<i32>,
    /// Number and failure of the epoch that ended last.
    ended_epoch: Latest<(Option<i32>, bool)>,
    /// Failure of the epoch, batch or validation that ended last.
    ended_stage: Latest<bool>,
    last_stage_start_unix_nano: u64,
    longest_stage_nano: u64,
    open: HashMap<(TraceId, SpanId), OpenSpan>,
    /// By start and id.
    roots: BTreeMap<(u64, TraceId, SpanId), Root>,
    /// Traces in which training spans have a parent: one of `roots` there is the run's.
    inner_traces: NewestTraces,
    recent_traces: NewestTraces,
}

impl RunDigest {
    /// Takes in a span. Each final span must come once; announcements may come again.
    pub(crate) fn observe(&mut self, observed: &Observed<'_>, names: &TrainingNames) {
        let record = observed.record;
        let span = &record.span;
        self.observe_process(record);
        self.start_unix_nano = Some(
            self.start_unix_nano
                .map_or(span.start_unix_nano, |at| at.min(span.start_unix_nano)),
        );
        let latest = span.start_unix_nano.max(span.end_unix_nano);
        self.last_seen_unix_nano = self.last_seen_unix_nano.max(latest);
        self.recent_traces
            .offer(span.start_unix_nano, span.trace_id, RECENT_TRACES);
        let ids = (span.trace_id, span.span_id);
        if span.pending {
            let open = OpenSpan {
                start_unix_nano: span.start_unix_nano,
                announced_unix_nano: span.end_unix_nano,
            };
            self.announce(ids, open);
        } else {
            self.open.remove(&ids);
            self.error_count += u64::from(span.is_error());
        }
        match observed.role {
            Role::Epoch | Role::Step | Role::Validation => self.observe_stage(observed, names),
            Role::Other if is_root(span) => {
                let root = Root {
                    end_unix_nano: span.end_unix_nano,
                    pending: span.pending,
                    failed: span.is_error(),
                };
                let key = (span.start_unix_nano, span.trace_id, span.span_id);
                self.add_root(key, root);
            }
            _ => {}
        }
    }

    /// Takes in a root; its final form counts, whichever comes first.
    fn add_root(&mut self, key: (u64, TraceId, SpanId), root: Root) {
        let is_final = |known: &Root| !known.pending;
        if root.pending && self.roots.get(&key).is_some_and(is_final) {
            return;
        }
        self.roots.insert(key, root);
        if self.roots.len() > ROOTS {
            self.roots.pop_first();
        }
    }

    fn observe_process(&mut self, record: &SpanRecord) {
        let start_unix_nano = record.span.start_unix_nano;
        if !self.resource_services.contains(record.service_name())
            && self.resource_services.len() < SERVICES
        {
            self.resource_services
                .insert(record.service_name().to_owned());
        }
        let is_earlier = |known: u64| start_unix_nano < known;
        if self
            .given_run
            .as_ref()
            .is_none_or(|(known, _)| is_earlier(*known))
        {
            let given = given_run(&record.span.attributes);
            let given = given.or_else(|| given_run(&record.resource.attributes));
            if let Some(given) = given {
                self.given_run = Some((start_unix_nano, given));
            }
        }
        let origin = self.origin.as_ref();
        if !origin.is_none_or(|origin| is_earlier(origin.start_unix_nano)) {
            return;
        }
        self.origin = Some(Origin::of(record));
    }

    /// Learns the resource of its earliest span, if this is that span.
    pub(crate) fn note_resource(&mut self, record: &SpanRecord) {
        if let Some(origin) = &mut self.origin
            && origin.start_unix_nano == record.span.start_unix_nano
        {
            origin
                .resource
                .get_or_insert_with(|| Arc::clone(&record.resource));
        }
    }

    /// Keeps what `before`, which was the digest of the same run, knew of its earliest span.
    pub(crate) fn keep_resource_of(&mut self, before: &Self) {
        if let (Some(origin), Some(before)) = (&mut self.origin, &before.origin)
            && origin.start_unix_nano == before.start_unix_nano
            && origin.resource.is_none()
        {
            origin.resource = before.resource.clone();
        }
    }

    fn announce(&mut self, ids: (TraceId, SpanId), span: OpenSpan) {
        let open = self.open.entry(ids).or_insert(span);
        open.announced_unix_nano = open.announced_unix_nano.max(span.announced_unix_nano);
        if self.open.len() > OPEN_SPANS {
            let stalest = self
                .open
                .iter()
                .min_by_key(|&(ids, open)| (open.announced_unix_nano, *ids));
            if let Some(stalest) = stalest.map(|(ids, _)| *ids) {
                self.open.remove(&stalest);
            }
        }
    }

    fn observe_stage(&mut self, observed: &Observed<'_>, names: &TrainingNames) {
        let span = &observed.record.span;
        let (start, end) = (span.start_unix_nano, span.end_unix_nano);
        self.is_training |= names.is_evidence(observed.role, span);
        if !is_root(span) {
            self.inner_traces.offer(start, span.trace_id, INNER_TRACES);
        }
        self.total_epochs
            .offer(start, observed.indices.total_epochs);
        self.epoch.offer(start, observed.indices.epoch);
        self.lowest_epoch = lowest(self.lowest_epoch, observed.indices.epoch);
        if observed.role != Role::Validation {
            self.last_stage_start_unix_nano = self.last_stage_start_unix_nano.max(start);
        }
        if !span.pending {
            self.ended_stage.offer(end, Some(span.is_error()));
            self.longest_stage_nano = self.longest_stage_nano.max(span.duration_nano());
        }
        match observed.role {
            Role::Step => {
                self.batch_count += u64::from(!span.pending);
                self.last_loss.offer(start, metric(span, LOSS));
                return;
            }
            Role::Epoch => {
                self.last_train_loss.offer(start, metric(span, TRAIN_LOSS));
                if !span.pending {
                    self.ended_epoch
                        .offer(end, Some((observed.indices.epoch, span.is_error())));
                }
            }
            _ => {}
        }
        let spellings = if observed.role == Role::Epoch {
            EPOCH_VAL_LOSS
        } else {
            VAL_LOSS
        };
        let val_loss = metric(span, spellings);
        self.last_val_loss.offer(end, val_loss);
        self.last_val_metric.offer(end, metric(span, VAL_METRIC));
        self.best_val_loss = lowest(self.best_val_loss, val_loss.filter(|loss| loss.is_finite()));
    }

    /// Takes in all that `other` has seen.
    pub(crate) fn merge(&mut self, other: Self) {
        let origin_start = |origin: &Option<Origin>| {
            origin
                .as_ref()
                .map_or(u64::MAX, |origin| origin.start_unix_nano)
        };
        if origin_start(&other.origin) < origin_start(&self.origin) {
            self.origin = other.origin;
        }
        self.given_run = [self.given_run.take(), other.given_run]
            .into_iter()
            .flatten()
            .min_by_key(|(start, _)| *start);
        self.resource_services.extend(other.resource_services);
        self.start_unix_nano = lowest(self.start_unix_nano, other.start_unix_nano);
        self.last_seen_unix_nano = self.last_seen_unix_nano.max(other.last_seen_unix_nano);
        self.is_training |= other.is_training;
        // What was read back may say any number.
        self.batch_count = self.batch_count.saturating_add(other.batch_count);
        self.error_count = self.error_count.saturating_add(other.error_count);
        self.last_loss.merge(other.last_loss);
        self.last_train_loss.merge(other.last_train_loss);
        self.last_val_loss.merge(other.last_val_loss);
        self.last_val_metric.merge(other.last_val_metric);
        self.best_val_loss = lowest(self.best_val_loss, other.best_val_loss);
        self.epoch.merge(other.epoch);
        self.lowest_epoch = lowest(self.lowest_epoch, other.lowest_epoch);
        self.total_epochs.merge(other.total_epochs);
        self.ended_epoch.merge(other.ended_epoch);
        self.ended_stage.merge(other.ended_stage);
        self.last_stage_start_unix_nano = self
            .last_stage_start_unix_nano
            .max(other.last_stage_start_unix_nano);
        self.longest_stage_nano = self.longest_stage_nano.max(other.longest_stage_nano);
        other
            .open
            .into_iter()
            .for_each(|(ids, open)| self.announce(ids, open));
        other
            .roots
            .into_iter()
            .for_each(|(key, root)| self.add_root(key, root));
        for (time, trace_id) in other.inner_traces.0 {
            self.inner_traces.offer(time, trace_id, INNER_TRACES);
        }
        for (time, trace_id) in other.recent_traces.0 {
            self.recent_traces.offer(time, trace_id, RECENT_TRACES);
        }
    }

    /// When its open spans started.
    pub(crate) fn open_starts(&self) -> HashSet<u64> {
        self.open
            .values()
            .map(|open| open.start_unix_nano)
            .collect()
    }

    /// Notes that a span is not open any more: where digests are merged, the end of a span may be in one
    /// and its announcement in the other.
    pub(crate) fn close(&mut self, trace_id: TraceId, span_id: SpanId) {
        self.open.remove(&(trace_id, span_id));
    }

    /// Whether any of its spans proves that it is a training run.
    pub(crate) fn is_training(&self) -> bool {
        self.is_training
    }

    /// The service of its earliest span.
    pub(crate) fn service_name(&self) -> &str {
        self.origin
            .as_ref()
            .map_or("", |origin| &origin.service_name)
    }

    /// Whether this is one of its newest traces.
    pub(crate) fn has_seen_trace(&self, trace_id: TraceId) -> bool {
        self.recent_traces
            .0
            .iter()
            .any(|&(_, known)| known == trace_id)
    }

    /// Start of its earliest span, in nanoseconds since the Unix epoch.
    pub(crate) fn start_unix_nano(&self) -> u64 {
        self.start_unix_nano.unwrap_or(0)
    }

    /// Its latest sign of life, in nanoseconds since the Unix epoch.
    pub(crate) fn last_seen_unix_nano(&self) -> u64 {
        self.last_seen_unix_nano
    }

    /// Whether less than a silence lies between its spans and the time from `start` to `end`.
    pub(crate) fn is_near(&self, start: u64, end: u64) -> bool {
        start <= self.last_seen_unix_nano.saturating_add(SILENCE_NANO)
            && end.saturating_add(SILENCE_NANO) >= self.start_unix_nano()
    }

    /// Services as the store knows them that contribute spans.
    pub(crate) fn resource_services(&self) -> &BTreeSet<String> {
        &self.resource_services
    }

    /// The resource of its earliest span.
    pub(crate) fn resource(&self) -> Option<&Arc<Resource>> {
        self.origin.as_ref()?.resource.as_ref()
    }

    /// The key of the run's root span: the newest root with training spans below it.
    pub(crate) fn root_key(&self) -> Option<SpanKey> {
        self.root().map(|(key, _)| key)
    }

    fn root(&self) -> Option<(SpanKey, &Root)> {
        let is_inner =
            |trace_id: TraceId| self.inner_traces.0.iter().any(|(_, id)| *id == trace_id);
        let mut newest_first = self.roots.iter().rev();
        let newest = newest_first.find(|((_, trace_id, _), _)| is_inner(*trace_id));
        newest.map(|(&(_, trace_id, span_id), root)| (SpanKey::of(trace_id, span_id), root))
    }

    /// The number of the first epoch: programs count from zero or from one.
    pub(crate) fn first_epoch(&self) -> i64 {
        if self.lowest_epoch == Some(0) { 0 } else { 1 }
    }

    /// The planned number of epochs, as the latest span says.
    pub(crate) fn total_epochs(&self) -> Option<i64> {
        self.total_epochs.value().map(i64::from)
    }

    /// How the run is doing. See [`RunState`].
    pub(crate) fn state(&self, now_unix_nano: u64) -> RunState {
        let age = |unix_nano: u64| now_unix_nano.saturating_sub(unix_nano);
        let ended = |failed| {
            if failed {
                RunState::Failed
            } else {
                RunState::Finished
            }
        };
        let fell_silent = || match age(self.last_seen_unix_nano) > INTERRUPTED_AFTER_NANO {
            true => RunState::Interrupted,
            false => RunState::Running,
        };
        if self
            .open
            .values()
            .any(|open| age(open.announced_unix_nano) <= INTERRUPTED_AFTER_NANO)
        {
            return RunState::Running;
        }
        match self.root() {
            Some((_, root)) if root.pending => return fell_silent(),
            Some((_, root)) if self.last_stage_start_unix_nano <= root.end_unix_nano => {
                return ended(root.failed);
            }
            _ if !self.open.is_empty() => return fell_silent(),
            _ => {}
        }
        let ended_epoch = self.ended_epoch.0;
        let is_last_stage =
            ended_epoch.is_some_and(|(end, _)| end >= self.last_stage_start_unix_nano);
        if let Some((_, (number, failed))) = ended_epoch.filter(|_| is_last_stage) {
            let planned = self
                .total_epochs()
                .zip(number)
                .map(|(total, number)| i64::from(number) - self.first_epoch() + 1 >= total);
            match planned {
                _ if failed => return RunState::Failed,
                Some(true) => return RunState::Finished,
                _ => {}
            }
        }
        if age(self.last_seen_unix_nano)
            <= QUIET_NANO.max(self.longest_stage_nano.saturating_mul(2))
        {
            return RunState::Running;
        }
        let ended_between_epochs = ended_epoch.is_none() || is_last_stage;
        match self.ended_stage.value() {
            Some(true) => RunState::Failed,
            _ if ended_between_epochs && self.total_epochs().is_none() => RunState::Finished,
            _ => RunState::Interrupted,
        }
    }

    /// The line of the list.
    pub(crate) fn summary(&self, run_id: RunId, now_unix_nano: u64) -> RunSummary {
        let state = self.state(now_unix_nano);
        let origin = self.origin.as_ref();
        let given = self.given_run.as_ref().map(|(_, given)| given.clone());
        RunSummary {
            run_id,
            service_name: origin.map_or_else(String::new, |origin| origin.service_name.clone()),
            environment: origin.and_then(|origin| origin.environment.clone()),
            host: origin.and_then(|origin| origin.host.clone()),
            pid: origin.and_then(|origin| origin.pid),
            instance: given.or_else(|| origin?.instance.clone()),
            state,
            start_unix_nano: self.start_unix_nano(),
            last_seen_unix_nano: self.last_seen_unix_nano,
            end_unix_nano: (state != RunState::Running).then_some(self.last_seen_unix_nano),
            epoch: self.epoch.value().map(i64::from),
            total_epochs: self.total_epochs(),
            batch_count: self.batch_count,
            last_loss: self.last_loss.value(),
            last_train_loss: self.last_train_loss.value(),
            last_val_loss: self.last_val_loss.value(),
            last_val_metric: self.last_val_metric.value(),
            best_val_loss: self.best_val_loss,
            error_count: self.error_count,
            trace_ids: self
                .recent_traces
                .0
                .iter()
                .rev()
                .map(|&(_, id)| id)
                .collect(),
        }
    }
}

/// The lower of two values, where there are any.
fn lowest<T: PartialOrd + Copy>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other < one { other } else { one }),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_no_run_can_have_are_added_up_without_an_overflow() {
        let read_back = RunDigest {
            batch_count: u64::MAX,
            error_count: u64::MAX,
            ..RunDigest::default()
        };
        let mut all = read_back.clone();
        all.merge(read_back);
        assert_eq!(all.summary(RunId(1), 0).batch_count, u64::MAX);
    }
}
