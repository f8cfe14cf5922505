//! All runs that are known, in digests that new spans keep up to date.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use lumitrace_model::{Resource, TraceId, names};
use lumitrace_store::SpanRecord;

use super::RunId;
use super::digest::{Observed, RunDigest, SpanKey};
use super::identity::{
    Identity, SILENCE_NANO, given_run_id, identify_process, silence_run_id, split_silence_run_id,
};
use super::recognition::{Role, TrainingNames};
use crate::facts::{is_root, service_name};

/// Most processes without a training span so far that are kept, in case one follows.
const OTHER_PROCESSES: usize = 4096;
/// How many final spans are remembered to recognise a repeated delivery.
const RECENT_SPANS: usize = 65_536;

/// Which traces the program assigned to a run by an attribute of one of their spans: the other
/// spans of the trace follow.
pub(crate) type AssignedTraces = HashMap<TraceId, RunId>;

/// See [the module](self).
#[derive(Default)]
pub(crate) struct RunCatalog {
    names: TrainingNames,
    runs: HashMap<RunId, RunDigest>,
    /// By hash of the service: its stretches between silences, by start.
    stretches: HashMap<u32, Vec<RunDigest>>,
    assigned: AssignedTraces,
    is_stale: bool,
    recent: RecentSpans,
    last_process: Option<(Arc<Resource>, Identity)>,
}

impl RunCatalog {
    /// A catalog of no runs that knows these assignments.
    pub(crate) fn new(names: TrainingNames, assigned: AssignedTraces) -> Self {
        Self {
            names,
            assigned,
            ..Self::default()
        }
    }

    /// Whether an assignment came after spans that it concerns: the catalog has to be made anew,
    /// with [`RunCatalog::into_assigned`].
    pub(crate) fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// What it learned about which trace belongs to which run.
    pub(crate) fn into_assigned(self) -> AssignedTraces {
        self.assigned
    }

    /// Takes in a span, and names the run it belongs to, if it is (so far) a training run.
    pub(crate) fn observe(&mut self, record: &Arc<SpanRecord>) -> Option<RunId> {
        let observed = Observed::new(record, &self.names);
        let span = &record.span;
        let identity = self.identify(record);
        if let Some(run_id) = given_run_id(&span.attributes).filter(|_| observed.role != Role::Step)
        {
            self.assign(record, run_id);
        }
        let could_begin_a_run =
            !matches!(observed.role, Role::Other | Role::StepPart) || is_root(span) || span.pending;
        if !could_begin_a_run && !self.is_known(identity) {
            return None;
        }
        if self.recent.has_seen(observed.key, span.pending) {
            return self
                .resolve(identity, span.start_unix_nano)
                .map(|(run_id, _)| run_id);
        }
        let (run_id, digest) = match identity {
            Identity::Run(run_id) => (run_id, self.runs.entry(run_id).or_default()),
            Identity::Service(service) => {
                let stretches = self.stretches.entry(service).or_default();
                let digest = stretch_of(stretches, span.start_unix_nano, span.end_unix_nano);
                (silence_run_id(service, span.start_unix_nano), digest)
            }
        };
        digest.observe(&observed, &self.names);
        let run_id = match identity {
            Identity::Run(_) => run_id,
            Identity::Service(service) => silence_run_id(service, digest.start_unix_nano()),
        };
        let is_training = digest.is_training();
        self.forget_other_processes();
        is_training.then_some(run_id)
    }

    /// What is known of the run of a span.
    pub(crate) fn identify(&mut self, record: &SpanRecord) -> Identity {
        if let Some(run_id) = given_run_id(&record.span.attributes) {
            return Identity::Run(run_id);
        }
        if let Some(run_id) = self.assigned.get(&record.span.trace_id) {
            return Identity::Run(*run_id);
        }
        if let Some((resource, identity)) = &self.last_process
            && Arc::ptr_eq(resource, &record.resource)
        {
            return *identity;
        }
        let service = service_name(&record.resource, &record.span);
        let identity = identify_process(&record.resource, service);
        if !record.service_name().starts_with(names::UNKNOWN_SERVICE) {
            self.last_process = Some((record.resource.clone(), identity));
        }
        identity
    }

    /// The training run that spans of this identity and start belong to.
    pub(crate) fn resolve(
        &self,
        identity: Identity,
        start_unix_nano: u64,
    ) -> Option<(RunId, &RunDigest)> {
        let (run_id, digest) = match identity {
            Identity::Run(run_id) => (run_id, self.runs.get(&run_id)?),
            Identity::Service(service) => {
                let stretches = self.stretches.get(&service)?;
                let digest = stretches
                    .iter()
                    .find(|digest| is_near(digest, start_unix_nano, start_unix_nano))?;
                (silence_run_id(service, digest.start_unix_nano()), digest)
            }
        };
        digest.is_training().then_some((run_id, digest))
    }

    /// The run with this id, and the id it has by now.
    pub(crate) fn run(&self, run_id: RunId) -> Option<(RunId, &RunDigest)> {
        self.resolve(Identity::Run(run_id), 0).or_else(|| {
            let (service, start_unix_nano) = split_silence_run_id(run_id);
            self.resolve(Identity::Service(service), start_unix_nano)
        })
    }

    /// All training runs, in no order.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (RunId, &RunDigest)> {
        let told_by_silence = self.stretches.iter().flat_map(|(&service, stretches)| {
            let id = move |digest: &RunDigest| silence_run_id(service, digest.start_unix_nano());
            stretches.iter().map(move |digest| (id(digest), digest))
        });
        let runs = self.runs.iter().map(|(&run_id, digest)| (run_id, digest));
        runs.chain(told_by_silence)
            .filter(|(_, digest)| digest.is_training())
    }

    fn is_known(&self, identity: Identity) -> bool {
        match identity {
            Identity::Run(run_id) => self.runs.contains_key(&run_id),
            Identity::Service(service) => self.stretches.contains_key(&service),
        }
    }

    /// Notes that the trace of `record` belongs to `run_id`.
    fn assign(&mut self, record: &SpanRecord, run_id: RunId) {
        let trace_id = record.span.trace_id;
        if self.assigned.insert(trace_id, run_id).is_some() {
            return;
        }
        let service = service_name(&record.resource, &record.span);
        let by_process = identify_process(&record.resource, service);
        let digest = match by_process {
            Identity::Run(by_process) if by_process == run_id => None,
            by_process => self.resolve(by_process, record.span.start_unix_nano),
        };
        self.is_stale |= digest.is_some_and(|(_, digest)| digest.has_seen_trace(trace_id));
    }

    /// Keeps the processes that do not train, and may never, few.
    fn forget_other_processes(&mut self) {
        let count = |digests: &mut dyn Iterator<Item = &RunDigest>| {
            digests.filter(|digest| !digest.is_training()).count()
        };
        if self.runs.len() + self.stretches.len() <= OTHER_PROCESSES {
            return;
        }
        let others = count(&mut self.runs.values()) + count(&mut self.stretches.values().flatten());
        if others <= OTHER_PROCESSES {
            return;
        }
        let mut ages: Vec<u64> = self
            .runs
            .values()
            .chain(self.stretches.values().flatten())
            .filter(|digest| !digest.is_training())
            .map(RunDigest::last_seen_unix_nano)
            .collect();
        let middle = ages.len() / 2;
        let (_, &mut median, _) = ages.select_nth_unstable(middle);
        let is_kept =
            |digest: &RunDigest| digest.is_training() || digest.last_seen_unix_nano() > median;
        self.runs.retain(|_, digest| is_kept(digest));
        self.stretches.retain(|_, stretches| {
            stretches.retain(is_kept);
            !stretches.is_empty()
        });
    }
}

/// The stretch of a service that a span from `start` to `end` belongs to: it may be new, and it
/// may close the silence between others, which then become one.
fn stretch_of(stretches: &mut Vec<RunDigest>, start: u64, end: u64) -> &mut RunDigest {
    let place = stretches
        .iter()
        .position(|digest| is_near(digest, start, end))
        .unwrap_or_else(|| stretches.partition_point(|digest| digest.start_unix_nano() < start));
    if !stretches
        .get(place)
        .is_some_and(|digest| is_near(digest, start, end))
    {
        stretches.insert(place, RunDigest::default());
        return &mut stretches[place];
    }
    while stretches
        .get(place + 1)
        .is_some_and(|digest| is_near(digest, start, end))
    {
        let next = stretches.remove(place + 1);
        stretches[place].merge(next);
    }
    &mut stretches[place]
}

/// Whether less than a silence lies between a stretch and the time from `start` to `end`.
fn is_near(digest: &RunDigest, start: u64, end: u64) -> bool {
    start <= digest.last_seen_unix_nano().saturating_add(SILENCE_NANO)
        && end.saturating_add(SILENCE_NANO) >= digest.start_unix_nano()
}

/// Final spans seen lately.
#[derive(Default)]
struct RecentSpans {
    known: HashSet<SpanKey>,
    in_order: VecDeque<SpanKey>,
}

impl RecentSpans {
    /// Whether the final form of this span came before; remembers it if this is it.
    fn has_seen(&mut self, key: SpanKey, pending: bool) -> bool {
        if pending {
            return self.known.contains(&key);
        }
        if !self.known.insert(key) {
            return true;
        }
        self.in_order.push_back(key);
        if self.in_order.len() > RECENT_SPANS
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.known.remove(&oldest);
        }
        false
    }
}
