//! All runs that are known, in digests that new spans keep up to date.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use lumitrace_model::TraceId;
use lumitrace_store::SpanRecord;

use super::RunId;
use super::block_runs::{Assignment, BlockRun, BlockRuns};
use super::digest::{Observed, RunDigest};
use super::identity::{Identity, Processes, given_run_id, silence_run_id, split_silence_run_id};
use super::recognition::{Role, TrainingNames};
use crate::facts::is_root;
use crate::recent::RecentSpans;

/// Most processes without a training span so far that are kept, in case one follows.
const OTHER_PROCESSES: usize = 4096;
/// Most traces of which the run is remembered that one of their spans names.
const ASSIGNED_TRACES: usize = 100_000;

/// Which traces the program assigned to a run by an attribute of one of their spans: the other
/// spans of the trace follow. Only the newest 100 000 are kept: spans that come later than that
/// count for their process.
#[derive(Debug, Default)]
pub(crate) struct AssignedTraces {
    run_ids: HashMap<TraceId, RunId>,
    in_order: VecDeque<TraceId>,
    /// Those that would belong to another run, by what their process tells.
    of_processes: HashMap<Identity, HashSet<TraceId>>,
}

impl AssignedTraces {
    fn run_of(&self, trace_id: TraceId) -> Option<RunId> {
        self.run_ids.get(&trace_id).copied()
    }

    /// Notes the run of a trace that would belong to `process`. Says whether the trace is new.
    fn assign(&mut self, trace_id: TraceId, run_id: RunId, process: Identity) -> bool {
        if self.run_ids.insert(trace_id, run_id).is_some() {
            return false;
        }
        if process != Identity::Run(run_id) {
            self.of_processes
                .entry(process)
                .or_default()
                .insert(trace_id);
        }
        self.in_order.push_back(trace_id);
        if self.in_order.len() > ASSIGNED_TRACES
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.run_ids.remove(&oldest);
            self.of_processes.retain(|_, traces| {
                traces.remove(&oldest);
                !traces.is_empty()
            });
        }
        true
    }

    /// Whether a block must be read because spans of one of these traces may be among the others of
    /// their process.
    fn may_be_among_others<E>(
        &self,
        runs: &BlockRuns,
        may_have_trace: impl Fn(TraceId) -> Result<bool, E>,
    ) -> Result<bool, E> {
        for run in runs.runs.iter().filter(|run| run.trace_id.is_none()) {
            let traces = self.of_processes.get(&run.identity).into_iter().flatten();
            for trace_id in traces.copied() {
                if !runs.tells_apart(run.identity, trace_id) && may_have_trace(trace_id)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// See [the module](self).
pub(crate) struct RunCatalog {
    names: TrainingNames,
    runs: HashMap<RunId, RunDigest>,
    /// By hash of the service: its stretches between silences, by start.
    stretches: HashMap<u32, Vec<RunDigest>>,
    assigned: AssignedTraces,
    /// What blocks have of processes of which nothing is known yet that could begin a run.
    unknown: Vec<(Identity, RunDigest)>,
    is_stale: bool,
    recent: RecentSpans,
    processes: Processes,
    /// How many processes there may be before those that do not train are thinned out.
    process_limit: usize,
}

impl RunCatalog {
    /// A catalog of no runs that knows these assignments.
    pub(crate) fn new(names: TrainingNames, assigned: AssignedTraces) -> Self {
        Self {
            names,
            runs: HashMap::new(),
            stretches: HashMap::new(),
            assigned,
            unknown: Vec::new(),
            is_stale: false,
            recent: RecentSpans::default(),
            processes: Processes::default(),
            process_limit: OTHER_PROCESSES,
        }
    }

    /// Whether an assignment came after spans that it concerns: the catalog has to be made anew,
    /// with [`RunCatalog::into_assigned`].
    pub(crate) fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// Takes the catalog as good enough: where assignments were forgotten, making it anew changes
    /// nothing.
    pub(crate) fn accept(&mut self) {
        self.is_stale = false;
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
        if !could_begin_a_run(&observed) && !self.is_known(identity) {
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

    /// The training run that a span belongs to, without taking it in.
    pub(crate) fn run_of(&mut self, record: &SpanRecord) -> Option<RunId> {
        let identity = self.identify(record);
        let run = self.resolve(identity, record.span.start_unix_nano);
        run.map(|(run_id, _)| run_id)
    }

    /// What is known of the run of a span.
    fn identify(&mut self, record: &SpanRecord) -> Identity {
        if let Some(run_id) = given_run_id(&record.span.attributes) {
            return Identity::Run(run_id);
        }
        if let Some(run_id) = self.assigned.run_of(record.span.trace_id) {
            return Identity::Run(run_id);
        }
        self.processes.identify(record)
    }

    /// The training run that spans of this identity and start belong to.
    fn resolve(&self, identity: Identity, start_unix_nano: u64) -> Option<(RunId, &RunDigest)> {
        let (run_id, digest) = match identity {
            Identity::Run(run_id) => (run_id, self.runs.get(&run_id)?),
            Identity::Service(service) => {
                let stretches = self.stretches.get(&service)?;
                let digest = stretches
                    .iter()
                    .find(|digest| digest.is_near(start_unix_nano, start_unix_nano))?;
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
        let assignment = Assignment {
            trace_id: record.span.trace_id,
            run_id,
            process: self.processes.identify(record),
            start_unix_nano: record.span.start_unix_nano,
            is_late: false,
        };
        self.assign_trace(&assignment);
    }

    fn assign_trace(&mut self, assignment: &Assignment) {
        let Assignment {
            trace_id,
            run_id,
            process,
            ..
        } = *assignment;
        if !self.assigned.assign(trace_id, run_id, process) || process == Identity::Run(run_id) {
            return;
        }
        let digest = self.resolve(process, assignment.start_unix_nano);
        self.is_stale |= digest.is_some_and(|(_, digest)| digest.has_seen_trace(trace_id));
    }

    /// Takes in what a block says of its runs, in place of their spans. False if it does not tell spans
    /// apart that belong to different runs: then its spans are to be taken in, and nothing was.
    pub(crate) fn merge<E>(
        &mut self,
        block: &BlockRuns,
        may_have_trace: impl Fn(TraceId) -> Result<bool, E>,
    ) -> Result<bool, E> {
        for assignment in &block.assigned {
            self.assign_trace(assignment);
        }
        if block.is_overfull || self.assigned.may_be_among_others(block, may_have_trace)? {
            return Ok(false);
        }
        for run in &block.runs {
            let identity = self.identity_of(run);
            if run.could_begin || self.is_known(identity) {
                self.merge_digest(identity, &run.digest);
            } else {
                self.unknown.push((identity, run.digest.clone()));
            }
        }
        self.forget_other_processes();
        Ok(true)
    }

    /// Says that all blocks were merged, and all else was observed: what is not known now is of no run.
    pub(crate) fn end_merging(&mut self) {
        for (identity, digest) in std::mem::take(&mut self.unknown) {
            if self.is_known(identity) {
                self.merge_digest(identity, &digest);
            }
        }
    }

    fn merge_digest(&mut self, identity: Identity, digest: &RunDigest) {
        let known = match identity {
            Identity::Run(run_id) => self.runs.entry(run_id).or_default(),
            Identity::Service(service) => {
                let (start, end) = (digest.start_unix_nano(), digest.last_seen_unix_nano());
                stretch_of(self.stretches.entry(service).or_default(), start, end)
            }
        };
        known.merge(digest.clone());
    }

    /// What of a block belongs to a run; none if the spans of the block must be read.
    pub(crate) fn runs_of<'b, E>(
        &self,
        run_id: RunId,
        block: &'b BlockRuns,
        may_have_trace: impl Fn(TraceId) -> Result<bool, E>,
    ) -> Result<Option<Vec<&'b BlockRun>>, E> {
        if block.is_overfull || self.assigned.may_be_among_others(block, may_have_trace)? {
            return Ok(None);
        }
        let is_of_run = |run: &&BlockRun| {
            let found = self.resolve(self.identity_of(run), run.digest.start_unix_nano());
            found.is_some_and(|(found, _)| found == run_id)
        };
        Ok(Some(block.runs.iter().filter(is_of_run).collect()))
    }

    /// Whose run a part of a block is, as far as is known by now.
    fn identity_of(&self, run: &BlockRun) -> Identity {
        let assigned = run.trace_id.and_then(|id| self.assigned.run_of(id));
        assigned.map_or(run.identity, Identity::Run)
    }

    /// When spans of training runs started that are open as far as is known; see
    /// [`close`](Self::close).
    pub(crate) fn open_starts(&self) -> HashSet<u64> {
        let digests = self.runs.values().chain(self.stretches.values().flatten());
        let training = digests.filter(|digest| digest.is_training());
        training.flat_map(RunDigest::open_starts).collect()
    }

    /// Notes that a span has ended which no digest says so of.
    pub(crate) fn close(&mut self, record: &SpanRecord) {
        let (trace_id, span_id) = (record.span.trace_id, record.span.span_id);
        let digests = self.runs.values_mut();
        let digests = digests.chain(self.stretches.values_mut().flatten());
        digests.for_each(|digest| digest.close(trace_id, span_id));
    }

    /// Keeps the processes that do not train, and may never, few: of too many, the longest silent
    /// half goes.
    fn forget_other_processes(&mut self) {
        if self.runs.len() + self.stretches.len() <= self.process_limit {
            return;
        }
        let digests = self.runs.values().chain(self.stretches.values().flatten());
        let others = digests.filter(|digest| !digest.is_training());
        let mut ages: Vec<u64> = others.map(RunDigest::last_seen_unix_nano).collect();
        let middle = ages.len() / 2;
        if middle > 0 {
            let (_, &mut median, _) = ages.select_nth_unstable(middle);
            let is_kept =
                |digest: &RunDigest| digest.is_training() || digest.last_seen_unix_nano() > median;
            self.runs.retain(|_, digest| is_kept(digest));
            self.stretches.retain(|_, stretches| {
                stretches.retain(is_kept);
                !stretches.is_empty()
            });
        }
        self.process_limit = self.runs.len() + self.stretches.len() + OTHER_PROCESSES;
    }
}

/// The stretch of a service that a span from `start` to `end` belongs to: it may be new, and it
/// may close the silence between others, which then become one.
fn stretch_of(stretches: &mut Vec<RunDigest>, start: u64, end: u64) -> &mut RunDigest {
    let place = stretches
        .iter()
        .position(|digest| digest.is_near(start, end))
        .unwrap_or_else(|| stretches.partition_point(|digest| digest.start_unix_nano() < start));
    if !stretches
        .get(place)
        .is_some_and(|digest| digest.is_near(start, end))
    {
        stretches.insert(place, RunDigest::default());
        return &mut stretches[place];
    }
    while stretches
        .get(place + 1)
        .is_some_and(|digest| digest.is_near(start, end))
    {
        let next = stretches.remove(place + 1);
        stretches[place].merge(next);
    }
    &mut stretches[place]
}

/// Whether a span is kept in mind though its process is not known: it may be the first of a run.
pub(super) fn could_begin_a_run(observed: &Observed<'_>) -> bool {
    let span = &observed.record.span;
    !matches!(observed.role, Role::Other | Role::StepPart) || is_root(span) || span.pending
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{SECOND, SpanBuilder, T0, span, trace_id};
    use crate::training::RunState;

    const NOW: u64 = T0 + 100_000 * SECOND;

    fn catalog(spans: impl IntoIterator<Item = SpanBuilder>) -> RunCatalog {
        let mut catalog = RunCatalog::new(TrainingNames::default(), AssignedTraces::default());
        spans.into_iter().for_each(|span| {
            catalog.observe(&span.record());
        });
        catalog
    }

    fn check(catalog: &RunCatalog, expected: &[&str]) {
        let mut runs: Vec<_> = catalog
            .runs()
            .map(|(id, digest)| digest.summary(id, NOW))
            .collect();
        runs.sort_by_key(|run| (run.start_unix_nano, run.instance.clone()));
        let lines = runs.iter().map(|run| {
            let name = run.instance.as_deref().unwrap_or(&run.service_name);
            let losses = run
                .last_loss
                .map(|loss| format!(" loss {loss}"))
                .unwrap_or_default();
            let epoch = run
                .epoch
                .map(|epoch| format!(" epoch {epoch}"))
                .unwrap_or_default();
            format!(
                "{name} {}{epoch} batches {}{losses}",
                run.state.as_str(),
                run.batch_count
            )
        });
        assert_eq!(lines.collect::<Vec<_>>(), expected);
    }

    fn batch(id: u64, start: f64) -> SpanBuilder {
        let loss = 1.0 / id as f64;
        span("batch", id)
            .trace(id)
            .at(start, start + 0.5)
            .with("loss", loss)
            .with("step", id)
    }

    #[test]
    fn batches_that_are_traces_of_their_own_are_one_run() {
        let of_process = |id: u64, pid: i64| batch(id, id as f64).resource("process.pid", pid);
        let catalog = catalog([of_process(1, 7), of_process(2, 7), of_process(4, 8)]);
        check(
            &catalog,
            &[
                "trainer finished batches 2 loss 0.5",
                "trainer finished batches 1 loss 0.25",
            ],
        );
    }

    #[test]
    fn without_a_process_half_an_hour_of_silence_begins_a_new_run() {
        let catalog = catalog([
            batch(1, 0.0),
            batch(2, 1700.0),
            batch(4, 3400.0),
            batch(5, 9000.0),
        ]);
        check(
            &catalog,
            &[
                "trainer finished batches 3 loss 0.25",
                "trainer finished batches 1 loss 0.2",
            ],
        );
    }

    #[test]
    fn an_epoch_that_arrives_last_joins_the_stretches_it_covers() {
        let epoch = span("epoch", 9).trace(9).at(0.0, 4000.0).with("epoch", 1);
        let catalog = catalog([batch(1, 10.0), batch(4, 3900.0), epoch]);
        check(&catalog, &["trainer finished epoch 1 batches 2 loss 0.25"]);
    }

    #[test]
    fn a_run_told_by_silence_is_found_by_any_id_it_ever_had() {
        let mut catalog = catalog([]);
        let first = catalog.observe(&batch(1, 100.0).record()).unwrap();
        let earlier = catalog.observe(&batch(2, 50.0).record()).unwrap();
        assert_ne!(first, earlier);
        assert_eq!(catalog.run(first).unwrap().0, earlier);
        assert_eq!(catalog.run(earlier).unwrap().0, earlier);
        assert!(catalog.run(RunId(1)).is_none());
    }

    #[test]
    fn services_that_do_not_train_are_no_runs() {
        let request = |id| span("GET /", id).trace(id).service("web");
        let agent = span("step", 3).trace(3).service("agent").with("step", 1);
        check(&catalog([request(1), request(2), agent]), &[]);
    }

    #[test]
    fn what_came_before_the_first_batch_counts_once_the_process_trains() {
        let root = span("train", 1)
            .at(0.0, 1.0)
            .pending()
            .resource("process.pid", 7);
        let batch = batch(2, 5.0).resource("process.pid", 7);
        let catalog = catalog([root, batch]);
        assert_eq!(catalog.runs().next().unwrap().1.start_unix_nano(), T0);
    }

    #[test]
    fn a_span_that_is_delivered_twice_counts_once() {
        check(
            &catalog([batch(1, 0.0), batch(1, 0.0)]),
            &["trainer finished batches 1 loss 1"],
        );
        let announced = span("epoch", 3)
            .at(0.0, 1.0)
            .with("epoch", 1)
            .with("total_epochs", 1);
        let late = catalog([announced.clone().at(0.0, 9.0), announced.pending()]);
        check(&late, &["trainer finished epoch 1 batches 0"]);
    }

    #[test]
    fn ranks_share_the_run_that_the_program_names() {
        let rank = |id, host: &'static str| {
            batch(id, id as f64)
                .resource("run.id", "night")
                .resource("host.name", host)
        };
        check(
            &catalog([rank(1, "a"), rank(2, "b")]),
            &["night finished batches 2 loss 0.5"],
        );
    }

    #[test]
    fn a_run_named_by_the_root_alone_owns_the_whole_trace() {
        let root = span("train", 1)
            .trace(5)
            .at(0.0, 9.0)
            .with("run.id", "sweep-1");
        let batch = batch(2, 1.0).trace(5).parent(1).resource("process.pid", 7);
        let spans = [batch, root.resource("process.pid", 7)];
        let late = catalog(spans.clone());
        assert!(late.is_stale(), "the batch was counted for its process");
        let mut again = RunCatalog::new(TrainingNames::default(), late.into_assigned());
        spans.into_iter().for_each(|span| {
            again.observe(&span.record());
        });
        assert!(!again.is_stale());
        check(&again, &["sweep-1 finished batches 1 loss 0.5"]);
    }

    #[test]
    fn the_state_of_a_run_follows_its_spans() {
        let of = |spans: Vec<SpanBuilder>, after: f64| {
            let catalog = catalog(spans);
            let (_, digest) = catalog.runs().next().unwrap();
            digest.state(T0 + (after * SECOND as f64) as u64)
        };
        let root = span("train", 1).at(0.0, 100.0);
        let epoch = |id: u64, start: f64| {
            let number = id as i64 - 1;
            let span = span("epoch", id).at(start, start + 10.0).parent(1);
            span.with("epoch", number).with("total_epochs", 2)
        };
        let whole = vec![epoch(2, 0.0), epoch(3, 10.0)];
        let with_root = |root: SpanBuilder| [whole.clone(), vec![root]].concat();
        let unplanned = vec![span("epoch_1", 2).at(0.0, 10.0)];
        for (expected, spans, after) in [
            (RunState::Finished, with_root(root.clone()), 101.0),
            (
                RunState::Failed,
                with_root(root.clone().failed("out of memory")),
                101.0,
            ),
            (RunState::Running, with_root(root.clone().pending()), 125.0),
            (
                RunState::Interrupted,
                with_root(root.clone().pending()),
                131.0,
            ),
            (RunState::Finished, whole.clone(), 21.0),
            (RunState::Running, vec![epoch(2, 0.0)], 100.0),
            (RunState::Interrupted, vec![epoch(2, 0.0)], 1000.0),
            (RunState::Failed, vec![epoch(2, 0.0).failed("NaN")], 11.0),
            (
                RunState::Interrupted,
                vec![epoch(2, 0.0), epoch(3, 10.0).pending()],
                60.0,
            ),
            (RunState::Running, unplanned.clone(), 60.0),
            (RunState::Finished, unplanned, 1000.0),
        ] {
            let shown: Vec<_> = spans
                .iter()
                .map(|span| span.clone().record().span.clone())
                .collect();
            assert_eq!(of(spans, after), expected, "{after} s: {shown:#?}");
        }
    }

    #[test]
    fn an_epoch_that_lasts_for_ever_is_no_problem() {
        let epoch = span("epoch_1", 1).at_unix_nano(0, u64::MAX);
        let catalog = catalog([epoch.resource("process.pid", 7)]);
        let (_, digest) = catalog.runs().next().unwrap();
        assert_eq!(digest.state(NOW), RunState::Running);
    }

    #[test]
    fn of_traces_that_name_their_run_the_newest_are_remembered() {
        let mut assigned = AssignedTraces::default();
        let count = ASSIGNED_TRACES as u64 + 1;
        let process = Identity::Service(1);
        assert!((1..=count).all(|trace| assigned.assign(trace_id(trace), RunId(trace), process)));
        assert!(!assigned.assign(trace_id(count), RunId(7), process));
        assert_eq!(assigned.run_of(trace_id(1)), None);
        assert_eq!(assigned.run_of(trace_id(count)), Some(RunId(7)));
        assert_eq!(assigned.run_ids.len(), ASSIGNED_TRACES);
    }

    #[test]
    fn processes_that_never_train_are_forgotten_in_the_end() {
        let mut catalog = catalog([batch(1, 0.0).resource("process.pid", 1)]);
        for pid in 2..10_000_i64 {
            let root = span("GET /", pid as u64).at(pid as f64, pid as f64 + 0.1);
            catalog.observe(&root.resource("process.pid", pid).record());
        }
        assert!(catalog.runs.len() <= 2 * OTHER_PROCESSES + 1);
        assert_eq!(catalog.runs().count(), 1);
        assert_eq!(
            catalog
                .runs()
                .next()
                .unwrap()
                .1
                .summary(RunId(0), NOW)
                .trace_ids,
            [trace_id(1)]
        );
    }
}
