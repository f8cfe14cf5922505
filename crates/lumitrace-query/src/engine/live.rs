//! Training runs kept up to date: the catalog of all, and the folds of those that were opened.
//!
//! Both are read from the store when first asked for, without holding up the arrival of new spans.
//! Sequence numbers divide the work, so that no span is lost and none counts twice: what was
//! stored before a certain number is read, what comes from there on is absorbed. After a lag only
//! the numbers that were missed are read.

mod catalog_reading;
mod kept;
mod open_run;

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lumitrace_model::{TraceId, names};
use lumitrace_store::{
    Damaged, Exhausted, LookupError, QueryBudget, ScanRequest, SpanParts, SpanRecord, SpanRef,
    Store, StoredBatch,
};
use parking_lot::{Mutex, MutexGuard};

use crate::training::catalog::{AssignedTraces, RunCatalog};
use crate::training::digest::RunDigest;
use crate::training::fold::{ROW_BYTES, RunFold};
use crate::training::identity::names_run;
use crate::training::recognition::{Role, TrainingNames};
use crate::training::{RunId, RunQuery, RunSummary};
use kept::{ReadBlocks, SHOWN_PARTS, kept_blocks, kept_run};
pub(super) use open_run::OpenRun;

const DEFAULT_LIMIT: usize = 100;
/// Most spans kept that arrive while the store is read: of more, the store is asked once again.
const ARRIVING_SPANS: usize = 65_536;
/// How often the catalog is made anew because an assignment came late, before it is taken as it is.
const ATTEMPTS: u32 = 3;
/// How often a question that waits for the reading of others looks whether it is to go on.
const PAUSE: Duration = Duration::from_millis(20);

/// See [the module](self).
pub(super) struct LiveRuns {
    store: Store,
    names: TrainingNames,
    row_limit: usize,
    state: Mutex<State>,
    /// Held while the store is read for the catalog or for a run, so that each is read once.
    reading: Mutex<()>,
    /// Revisions and questions count on, so that a run that is read again never repeats one.
    clock: AtomicU64,
}

#[derive(Default)]
struct State {
    catalog: Option<RunCatalog>,
    open: HashMap<RunId, OpenRun>,
    /// The catalog has taken in every span with a lower sequence number.
    seen_until_seq: u64,
    /// Whether later ones were missed: nothing is absorbed until they were read.
    is_behind: bool,
    /// What arrives while the catalog, or a run, is read.
    arriving: Option<Arriving>,
    /// Counts how often everything was forgotten.
    generation: u64,
    /// Damage that was met when the catalog was read: it may lack spans, or runs.
    damaged: Damaged,
    assigned: AssignedTraces,
}

/// Spans that arrive while the store is read.
#[derive(Default)]
struct Arriving {
    records: Vec<Arc<SpanRecord>>,
    /// Whether some are missing: the store has to be asked for them.
    is_incomplete: bool,
}

impl Arriving {
    fn absorb(&mut self, batch: &[Arc<SpanRecord>]) {
        if self.is_incomplete || self.records.len() + batch.len() > ARRIVING_SPANS {
            self.miss();
        } else {
            self.records.extend_from_slice(batch);
        }
    }

    fn miss(&mut self) {
        self.records = Vec::new();
        self.is_incomplete = true;
    }
}

impl State {
    fn is_current(&self) -> bool {
        self.catalog.is_some() && !self.is_behind
    }

    /// Forgets everything but what `catalog` learned about assignments.
    fn forget(&mut self, catalog: RunCatalog) {
        self.assigned = catalog.into_assigned();
        self.open.clear();
        self.is_behind = false;
        self.generation += 1;
    }

    /// Takes new spans of a batch into the catalog, and names the runs of all that it has.
    fn absorb<'a>(
        &mut self,
        batch: &'a [Arc<SpanRecord>],
    ) -> HashMap<RunId, Vec<&'a Arc<SpanRecord>>> {
        let mut by_run: HashMap<RunId, Vec<&Arc<SpanRecord>>> = HashMap::new();
        let Some(catalog) = &mut self.catalog else {
            return by_run;
        };
        for record in batch {
            if self.is_behind || record.seq < self.seen_until_seq {
                // It was read already, or will be: whoever looks at the run is told all the same.
                by_run.extend(catalog.run_of(record).map(|run_id| (run_id, Vec::new())));
            }
        }
        if self.is_behind {
            return by_run;
        }
        for record in batch
            .iter()
            .filter(|record| record.seq >= self.seen_until_seq)
        {
            if let Some(run_id) = catalog.observe(record) {
                by_run.entry(run_id).or_default().push(record);
            }
        }
        self.seen_until_seq = self.seen_until_seq.max(end_seq(batch));
        by_run
    }
}

impl LiveRuns {
    pub(super) fn new(store: Store, names: TrainingNames, row_limit: usize) -> Self {
        Self {
            store,
            names,
            row_limit,
            state: Mutex::default(),
            reading: Mutex::default(),
            clock: AtomicU64::new(1),
        }
    }

    /// Reads the catalog, if that was not done yet.
    pub(super) fn warm_up(&self) -> Result<(), LookupError> {
        self.with_catalog(&QueryBudget::unlimited()).map(|_| ())
    }

    /// Runs, newest first, and damage for which some may be missing.
    pub(super) fn list(
        &self,
        query: &RunQuery,
        budget: &QueryBudget,
        now_unix_nano: u64,
    ) -> Result<(Vec<RunSummary>, Damaged), LookupError> {
        let limit = if query.limit == 0 {
            DEFAULT_LIMIT
        } else {
            query.limit
        };
        let state = self.with_catalog(budget)?;
        let runs = state.catalog.iter().flat_map(RunCatalog::runs);
        let mut runs: Vec<_> = runs
            .filter(|(_, digest)| {
                query
                    .service
                    .as_deref()
                    .is_none_or(|service| digest.service_name() == service)
            })
            .collect();
        runs.sort_by_key(|(run_id, digest)| (Reverse(digest.start_unix_nano()), *run_id));
        let newest = runs.into_iter().take(limit);
        let summaries = newest.map(|(run_id, digest)| digest.summary(run_id, now_unix_nano));
        Ok((summaries.collect(), state.damaged.clone()))
    }

    /// Damage for which a run may not be known.
    pub(super) fn damaged(&self) -> Damaged {
        self.state.lock().damaged.clone()
    }

    /// The run that the spans of one trace belong to, as far as the catalog was read.
    pub(super) fn run_of(&self, stage: Option<&Arc<SpanRecord>>) -> Option<RunId> {
        self.state.lock().catalog.as_mut()?.run_of(stage?)
    }

    /// Takes in new spans, and names the runs that they changed, each once.
    pub(super) fn absorb(&self, batch: &StoredBatch) -> Vec<RunId> {
        let mut state = self.state.lock();
        if state.catalog.is_none() && state.arriving.is_none() {
            return Vec::new();
        }
        let is_shown = !state.open.is_empty() || state.arriving.is_some();
        let record = |span: SpanRef<'_>| Arc::new(span.record(self.parts_of(span, is_shown)));
        let batch: &[Arc<SpanRecord>] = &batch.spans().map(record).collect::<Vec<_>>();
        if !state.is_behind
            && let Some(arriving) = &mut state.arriving
        {
            arriving.absorb(batch);
        }
        let by_run = state.absorb(batch);
        if let Some(catalog) = state.catalog.take_if(|catalog| catalog.is_stale()) {
            state.forget(catalog);
            return by_run.into_keys().collect();
        }
        for (run_id, records) in by_run.iter().filter(|(_, records)| !records.is_empty()) {
            if let Some(run) = state.open.get(run_id) {
                run.absorb(records.iter().copied(), self.tick());
            }
        }
        by_run.into_keys().collect()
    }

    /// What the catalog, or a run that is shown, has to know of a span. Most spans are neither
    /// training's nor name a run, and only their times and their outcome count.
    fn parts_of(&self, span: SpanRef<'_>, is_shown: bool) -> SpanParts {
        let head = span.head();
        let is_plain = matches!(self.names.role(span.name()), Role::Other | Role::StepPart)
            && head.parent_span_id.is_some_and(|id| id != head.span_id)
            && !span
                .origin()
                .service_name()
                .starts_with(names::UNKNOWN_SERVICE)
            && !span.view().attributes().any(|it| names_run(it.key));
        if is_plain && !is_shown {
            SpanParts::NONE
        } else {
            SpanParts::ALL
        }
    }

    /// Notes that batches were missed.
    pub(super) fn lagged(&self) {
        let mut state = self.state.lock();
        if state.catalog.is_some() {
            state.is_behind = true;
        } else if let Some(arriving) = &mut state.arriving {
            arriving.miss();
        }
    }

    /// The run with this id, read from the store unless it is open already.
    pub(super) fn open(
        &self,
        run_id: RunId,
        budget: &QueryBudget,
    ) -> Result<Option<OpenRun>, LookupError> {
        let Some(run_id) = self.current_id(run_id, budget)? else {
            return Ok(None);
        };
        if let Some(run) = self.already_open(run_id) {
            return Ok(Some(run));
        }
        let _reading = self.wait_to_read(budget)?;
        if let Some(run) = self.already_open(run_id) {
            return Ok(Some(run));
        }
        let mut damaged = self.store.left_out_blocks();
        let mut fold = RunFold::new(self.names.clone());
        let mut blocks = kept_blocks(&self.store)?;
        let mut from_seq = 0;
        loop {
            let mut state = self.state.lock();
            let (until_seq, generation) = (state.seen_until_seq, state.generation);
            let catalog = state.catalog.as_ref();
            let Some((catalog, digest)) = catalog.and_then(|it| Some((it, it.run(run_id)?.1)))
            else {
                return Ok(None);
            };
            let seqs = from_seq..until_seq;
            let (kept, except) = kept_run(&blocks, &seqs, catalog, run_id)?;
            let requests = requests(digest, seqs, &except, budget);
            fold.set_digest(digest.clone());
            state.arriving = Some(Arriving::default());
            drop(state);
            let mut observe = |record: &Arc<SpanRecord>| {
                let before = fold.row_count();
                fold.observe_counted(record);
                budget.hold(fold.row_count().saturating_sub(before) * ROW_BYTES)
            };
            let read = self.visit_run(run_id, &requests, &mut damaged, &mut observe);
            let read = read.and_then(|()| kept.fold_into(&mut fold, budget, &mut damaged));
            let mut state = self.state.lock();
            let arriving = state.arriving.take().unwrap_or_default();
            read?;
            if arriving.is_incomplete {
                from_seq = until_seq;
                blocks.clear();
                continue;
            }
            if let Some(catalog) = &mut state.catalog {
                let arrived = arriving.records.iter();
                for record in arrived.filter(|record| record.seq >= until_seq) {
                    if catalog.run_of(record) == Some(run_id) {
                        fold.observe(record);
                    }
                }
            }
            let run = OpenRun::new(run_id, fold, damaged, self.tick());
            if state.generation == generation {
                state.open.insert(run_id, run.clone());
                self.close_unused(&mut state, run_id);
            }
            return Ok(Some(run));
        }
    }

    /// Keeps everybody else from reading, as somebody does who takes long.
    #[cfg(test)]
    pub(super) fn hold_reading(&self) -> MutexGuard<'_, ()> {
        self.reading.lock()
    }

    /// Waits until nobody else reads, as long as the budget lasts.
    fn wait_to_read(&self, budget: &QueryBudget) -> Result<MutexGuard<'_, ()>, Exhausted> {
        loop {
            if let Some(turn) = self.reading.try_lock_for(PAUSE) {
                return Ok(turn);
            }
            budget.check()?;
        }
    }

    fn visit_run(
        &self,
        run_id: RunId,
        requests: &[ScanRequest],
        damaged: &mut Damaged,
        visit: &mut Visit<'_>,
    ) -> Result<(), LookupError> {
        for request in requests {
            scan(&self.store, request, damaged, &mut |record| {
                let mut state = self.state.lock();
                let catalog = state.catalog.as_mut();
                let run = catalog.and_then(|catalog| catalog.run_of(record));
                drop(state);
                match run == Some(run_id) {
                    true => visit(record),
                    false => Ok(()),
                }
            })?;
        }
        Ok(())
    }

    /// The traces of a run, in no order, and damage for which some may be missing; `None` if there is no
    /// such run.
    pub(super) fn trace_ids(
        &self,
        run_id: RunId,
        budget: &QueryBudget,
    ) -> Result<Option<(Vec<TraceId>, Damaged)>, LookupError> {
        let Some(run_id) = self.current_id(run_id, budget)? else {
            return Ok(None);
        };
        let state = self.state.lock();
        let seqs = 0..state.seen_until_seq;
        let catalog = state.catalog.as_ref();
        let run = catalog.and_then(|catalog| catalog.run(run_id));
        let requests =
            run.map(|(_, digest)| requests(digest, seqs, &ReadBlocks::default(), budget));
        drop(state);
        let Some(requests) = requests else {
            return Ok(None);
        };
        let (mut trace_ids, mut damaged) = (HashSet::new(), self.store.left_out_blocks());
        self.visit_run(
            run_id,
            &requests,
            &mut damaged,
            &mut |record| match trace_ids.insert(record.span.trace_id) {
                true => budget.hold(2 * size_of::<TraceId>()),
                false => Ok(()),
            },
        )?;
        Ok(Some((trace_ids.into_iter().collect(), damaged)))
    }

    /// The id that the run has by now; `None` if there is no such run.
    fn current_id(
        &self,
        run_id: RunId,
        budget: &QueryBudget,
    ) -> Result<Option<RunId>, LookupError> {
        let state = self.with_catalog(budget)?;
        let catalog = state.catalog.as_ref();
        let run = catalog.and_then(|catalog| catalog.run(run_id));
        Ok(run.map(|(run_id, _)| run_id))
    }

    fn already_open(&self, run_id: RunId) -> Option<OpenRun> {
        let run = self.state.lock().open.get(&run_id)?.clone();
        run.touch(self.tick());
        Some(run)
    }

    /// Closes the runs that were not asked for the longest, until the rest is small enough.
    fn close_unused(&self, state: &mut State, keep: RunId) {
        let mut runs: Vec<(u64, RunId, usize)> = state
            .open
            .values()
            .filter(|run| run.run_id != keep)
            .filter_map(|run| Some((run.last_used(), run.run_id, run.row_count()?)))
            .collect();
        runs.sort_unstable();
        let mut rows: usize = runs.iter().map(|(_, _, rows)| rows).sum();
        for (_, run_id, count) in runs {
            if rows <= self.row_limit {
                break;
            }
            state.open.remove(&run_id);
            rows -= count;
        }
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }
}

/// Takes a span, and says if the budget does not suffice for it.
type Visit<'a> = dyn FnMut(&Arc<SpanRecord>) -> Result<(), Exhausted> + 'a;

/// Hands out what `request` asks for, all of it: a question that would have only a part of a run is given
/// up. What is damaged is left out, and noted in `damaged`.
fn scan(
    store: &Store,
    request: &ScanRequest,
    damaged: &mut Damaged,
    visit: &mut Visit<'_>,
) -> Result<(), LookupError> {
    let mut refused = None;
    let stats = store.scan(request, &mut |record| match visit(&record) {
        Ok(()) => ControlFlow::Continue(()),
        Err(exhausted) => {
            refused = Some(exhausted);
            ControlFlow::Break(())
        }
    })?;
    damaged.extend(stats.damaged);
    match refused.or(stats.exhausted) {
        None => Ok(()),
        Some(exhausted) => Err(exhausted.into()),
    }
}

/// The sequence number after the last of a batch.
fn end_seq(batch: &[Arc<SpanRecord>]) -> u64 {
    batch.last().map_or(0, |last| last.seq.saturating_add(1))
}

/// What to ask the store for so as to read the whole of a run, as far as it was stored with these
/// sequence numbers and not in these blocks: a scan for each of its services.
fn requests(
    digest: &RunDigest,
    seqs: Range<u64>,
    except: &ReadBlocks,
    budget: &QueryBudget,
) -> Vec<ScanRequest> {
    let request = |service: &String| ScanRequest {
        start_unix_nano: digest.start_unix_nano(),
        end_unix_nano: digest.last_seen_unix_nano(),
        service: Some(service.clone()),
        seqs: seqs.clone(),
        except_seqs: except.seqs(service),
        newest_first: false,
        parts: SHOWN_PARTS,
        budget: budget.clone(),
        ..ScanRequest::default()
    };
    digest.resource_services().iter().map(request).collect()
}
