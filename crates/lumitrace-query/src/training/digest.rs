//! The few figures that the list of runs shows, folded span by span, and the rule that says how a
//! run is doing.
//!
//! A digest has a fixed size, takes spans in any order, and two of them merge into one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use lumitrace_model::{Resource, TraceId, names};
use lumitrace_store::SpanRecord;

use super::RunId;
use super::identity::given_run;
use super::metrics::{EPOCH_VAL_LOSS, LOSS, TRAIN_LOSS, VAL_LOSS, VAL_METRIC, metric};
use super::recognition::{Indices, Role, TrainingNames};
use super::view::{RunState, RunSummary};
use crate::facts::{INTERRUPTED_AFTER_NANO, is_root, resource_text, service_name};
use crate::recent::SpanKey;

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
    pub(crate) record: &'a Arc<SpanRecord>,
    pub(crate) role: Role,
    pub(crate) indices: Indices,
    pub(crate) key: SpanKey,
}

impl<'a> Observed<'a> {
    pub(crate) fn new(record: &'a Arc<SpanRecord>, names: &TrainingNames) -> Self {
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

/// The value with the latest time.
#[derive(Debug, Clone, Copy)]
struct Latest<T>(Option<(u64, T)>);

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Copy> Latest<T> {
    fn offer(&mut self, time: u64, value: Option<T>) {
        if let Some(value) = value
            && self.0.is_none_or(|(latest, _)| time >= latest)
        {
            self.0 = Some((time, value));
        }
    }

    fn merge(&mut self, other: Self) {
        if let Some((time, value)) = other.0 {
            self.offer(time, Some(value));
        }
    }

    fn value(&self) -> Option<T> {
        self.0.map(|(_, value)| value)
    }
}

/// The traces with the latest times, newest last.
#[derive(Debug, Clone, Default)]
struct NewestTraces(Vec<(u64, TraceId)>);

impl NewestTraces {
    fn offer(&mut self, time: u64, trace_id: TraceId, limit: usize) {
        if let Some(place) = self.0.iter().rposition(|&(_, known)| known == trace_id) {
            if self.0[place].0 >= time {
                return;
            }
            self.0.remove(place);
        }
        let place = self.0.partition_point(|&(known, _)| known <= time);
        self.0.insert(place, (time, trace_id));
        if self.0.len() > limit {
            self.0.remove(0);
        }
    }
}

/// A span that nothing caused and that is no training span itself, such as the whole program.
#[derive(Debug, Clone, Copy)]
struct Root {
    trace_id: TraceId,
    end_unix_nano: u64,
    pending: bool,
    failed: bool,
}

/// The process of the earliest span.
#[derive(Debug, Clone)]
struct Origin {
    start_unix_nano: u64,
    resource: Arc<Resource>,
    service_name: String,
    given_run: Option<String>,
}

/// See [the module](self).
#[derive(Debug, Clone, Default)]
pub(crate) struct RunDigest {
    origin: Option<Origin>,
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
    /// Open spans and when they were last announced.
    open: HashMap<SpanKey, u64>,
    roots: BTreeMap<(u64, SpanKey), Root>,
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
        if span.pending {
            self.announce(observed.key, span.end_unix_nano);
        } else {
            self.open.remove(&observed.key);
            self.error_count += u64::from(span.is_error());
        }
        match observed.role {
            Role::Epoch | Role::Step | Role::Validation => self.observe_stage(observed, names),
            Role::Other if is_root(span) => {
                let root = Root {
                    trace_id: span.trace_id,
                    end_unix_nano: span.end_unix_nano,
                    pending: span.pending,
                    failed: span.is_error(),
                };
                self.roots
                    .insert((span.start_unix_nano, observed.key), root);
                if self.roots.len() > ROOTS {
                    self.roots.pop_first();
                }
            }
            _ => {}
        }
    }

    fn observe_process(&mut self, record: &Arc<SpanRecord>) {
        let start_unix_nano = record.span.start_unix_nano;
        if !self.resource_services.contains(record.service_name())
            && self.resource_services.len() < SERVICES
        {
            self.resource_services
                .insert(record.service_name().to_owned());
        }
        if self
            .origin
            .as_ref()
            .is_some_and(|origin| origin.start_unix_nano <= start_unix_nano)
        {
            return;
        }
        let given = given_run(&record.span.attributes)
            .or_else(|| given_run(&record.resource.attributes))
            .or_else(|| self.origin.take()?.given_run);
        self.origin = Some(Origin {
            start_unix_nano,
            resource: record.resource.clone(),
            service_name: service_name(&record.resource, &record.span).to_owned(),
            given_run: given,
        });
    }

    fn announce(&mut self, key: SpanKey, announced_unix_nano: u64) {
        let announced = self.open.entry(key).or_default();
        *announced = announced_unix_nano.max(*announced);
        if self.open.len() > OPEN_SPANS {
            let stalest = self
                .open
                .iter()
                .min_by_key(|&(key, announced)| (*announced, *key));
            if let Some(stalest) = stalest.map(|(key, _)| *key) {
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
        self.resource_services.extend(other.resource_services);
        self.start_unix_nano = lowest(self.start_unix_nano, other.start_unix_nano);
        self.last_seen_unix_nano = self.last_seen_unix_nano.max(other.last_seen_unix_nano);
        self.is_training |= other.is_training;
        self.batch_count += other.batch_count;
        self.error_count += other.error_count;
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
            .for_each(|(key, announced)| self.announce(key, announced));
        self.roots.extend(other.roots);
        while self.roots.len() > ROOTS {
            self.roots.pop_first();
        }
        for (time, trace_id) in other.inner_traces.0 {
            self.inner_traces.offer(time, trace_id, INNER_TRACES);
        }
        for (time, trace_id) in other.recent_traces.0 {
            self.recent_traces.offer(time, trace_id, RECENT_TRACES);
        }
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

    /// Services as the store knows them that contribute spans.
    pub(crate) fn resource_services(&self) -> &BTreeSet<String> {
        &self.resource_services
    }

    /// The resource of its earliest span.
    pub(crate) fn resource(&self) -> Option<&Arc<Resource>> {
        self.origin.as_ref().map(|origin| &origin.resource)
    }

    /// The key of the run's root span: the newest root with training spans below it.
    pub(crate) fn root_key(&self) -> Option<SpanKey> {
        self.root().map(|(key, _)| key)
    }

    fn root(&self) -> Option<(SpanKey, &Root)> {
        let is_inner = |root: &Root| {
            self.inner_traces
                .0
                .iter()
                .any(|(_, id)| *id == root.trace_id)
        };
        let newest = self.roots.iter().rev().find(|(_, root)| is_inner(root));
        newest.map(|(&(_, key), root)| (key, root))
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
            .any(|&announced| age(announced) <= INTERRUPTED_AFTER_NANO)
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
        let text = |key: &str| Some(resource_text(&origin?.resource, key)?.to_owned());
        let pid = origin.and_then(|origin| {
            lumitrace_model::value::find(&origin.resource.attributes, names::PROCESS_PID)?.as_i64()
        });
        RunSummary {
            run_id,
            service_name: origin.map_or_else(String::new, |origin| origin.service_name.clone()),
            environment: text(names::DEPLOYMENT_ENVIRONMENT_NAME)
                .or_else(|| text(names::DEPLOYMENT_ENVIRONMENT)),
            host: text(names::HOST_NAME),
            pid,
            instance: origin
                .and_then(|origin| origin.given_run.clone())
                .or_else(|| text(names::SERVICE_INSTANCE_ID)),
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
