//! Training runs kept up to date: the catalog of all, and the folds of those that were opened.
//!
//! Both are read from the store when first asked for, without holding up the arrival of new spans.
//! Sequence numbers divide the work, so that no span is lost and none counts twice: what was
//! stored before a certain number is read, what comes from there on is absorbed. After a lag only
//! the numbers that were missed are read.

mod kept;
mod open_run;

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lumitrace_model::{TraceId, names};
use lumitrace_store::{ReadError, ScanRequest, SpanParts, SpanRecord, SpanRef, Store, StoredBatch};
use parking_lot::{Mutex, MutexGuard};

use crate::training::catalog::{AssignedTraces, RunCatalog};
use crate::training::digest::RunDigest;
use crate::training::fold::RunFold;
use crate::training::identity::names_run;
use crate::training::recognition::{Role, TrainingNames};
use crate::training::{RunId, RunQuery, RunSummary};
use kept::{ReadBlocks, SHOWN_PARTS, close_ended, kept_blocks, kept_run, merge_blocks};
pub(super) use open_run::OpenRun;

const DEFAULT_LIMIT: usize = 100;
/// Most spans kept that arrive while the store is read: of more, the store is asked once again.
const ARRIVING_SPANS: usize = 65_536;
/// How often the catalog is made anew because an assignment came late, before it is taken as it is.
const ATTEMPTS: u32 = 3;

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
    pub(super) fn warm_up(&self) -> Result<(), ReadError> {
        self.with_catalog().map(|_| ())
    }

    /// Runs, newest first.
    pub(super) fn list(
        &self,
        query: &RunQuery,
        now_unix_nano: u64,
    ) -> Result<Vec<RunSummary>, ReadError> {
        let limit = if query.limit == 0 {
            DEFAULT_LIMIT
        } else {
            query.limit
        };
        let state = self.with_catalog()?;
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
        Ok(newest
            .map(|(run_id, digest)| digest.summary(run_id, now_unix_nano))
            .collect())
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
    pub(super) fn open(&self, run_id: RunId) -> Result<Option<OpenRun>, ReadError> {
        let Some(run_id) = self.current_id(run_id)? else {
            return Ok(None);
        };
        if let Some(run) = self.already_open(run_id) {
            return Ok(Some(run));
        }
        let _reading = self.reading.lock();
        if let Some(run) = self.already_open(run_id) {
            return Ok(Some(run));
        }
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
            let requests = requests(digest, seqs, &except);
            fold.set_digest(digest.clone());
            state.arriving = Some(Arriving::default());
            drop(state);
            let mut observe = |record: &Arc<SpanRecord>| fold.observe_counted(record);
            let read = self.visit_run(run_id, &requests, &mut observe);
            let read = read.and_then(|()| kept.fold_into(&mut fold));
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
            let run = OpenRun::new(run_id, fold, self.tick());
            if state.generation == generation {
                state.open.insert(run_id, run.clone());
                self.close_unused(&mut state, run_id);
            }
            return Ok(Some(run));
        }
    }

    fn visit_run(
        &self,
        run_id: RunId,
        requests: &[ScanRequest],
        visit: &mut dyn FnMut(&Arc<SpanRecord>),
    ) -> Result<(), ReadError> {
        for request in requests {
            self.store.scan(request, &mut |record| {
                let mut state = self.state.lock();
                let catalog = state.catalog.as_mut();
                let run = catalog.and_then(|catalog| catalog.run_of(&record));
                drop(state);
                if run == Some(run_id) {
                    visit(&record);
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(())
    }

    /// The traces of a run, in no order; `None` if there is no such run.
    pub(super) fn trace_ids(&self, run_id: RunId) -> Result<Option<Vec<TraceId>>, ReadError> {
        let Some(run_id) = self.current_id(run_id)? else {
            return Ok(None);
        };
        let state = self.state.lock();
        let seqs = 0..state.seen_until_seq;
        let catalog = state.catalog.as_ref();
        let run = catalog.and_then(|catalog| catalog.run(run_id));
        let requests = run.map(|(_, digest)| requests(digest, seqs, &ReadBlocks::default()));
        drop(state);
        let Some(requests) = requests else {
            return Ok(None);
        };
        let mut trace_ids = HashSet::new();
        self.visit_run(run_id, &requests, &mut |record| {
            trace_ids.insert(record.span.trace_id);
        })?;
        Ok(Some(trace_ids.into_iter().collect()))
    }

    /// The id that the run has by now; `None` if there is no such run.
    fn current_id(&self, run_id: RunId) -> Result<Option<RunId>, ReadError> {
        let state = self.with_catalog()?;
        let run = state
            .catalog
            .as_ref()
            .and_then(|catalog| catalog.run(run_id));
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

    /// The state, with a catalog in it that has missed nothing: read from the store if need be.
    fn with_catalog(&self) -> Result<MutexGuard<'_, State>, ReadError> {
        let state = self.state.lock();
        if state.is_current() {
            return Ok(state);
        }
        drop(state);
        let _reading = self.reading.lock();
        let mut attempt = 1;
        loop {
            let mut state = self.state.lock();
            if state.is_current() {
                return Ok(state);
            }
            let (mut catalog, from_seq) = match state.catalog.take() {
                Some(catalog) => (catalog, state.seen_until_seq),
                None => {
                    let assigned = std::mem::take(&mut state.assigned);
                    (RunCatalog::new(self.names.clone(), assigned), 0)
                }
            };
            state.is_behind = false;
            let read = self.catch_up(state, &mut catalog, from_seq);
            let mut state = match read {
                Ok(state) => state,
                Err(error) => {
                    self.state.lock().forget(catalog);
                    return Err(error);
                }
            };
            if catalog.is_stale() && attempt < ATTEMPTS {
                // What was learned about assignments makes the next attempt succeed.
                attempt += 1;
                state.forget(catalog);
                continue;
            }
            catalog.accept();
            state.catalog = Some(catalog);
            return Ok(state);
        }
    }

    /// Shows `catalog`, which was taken out of `state`, and the runs that are open everything from
    /// this sequence number on, until nothing is missing.
    fn catch_up<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        catalog: &mut RunCatalog,
        mut from_seq: u64,
    ) -> Result<MutexGuard<'a, State>, ReadError> {
        let open = state.open.clone();
        let mut except = ReadBlocks::default();
        if from_seq == 0 && open.is_empty() {
            drop(state);
            // What blocks keep is no more than the store has by then.
            let seqs = 0..self.store.end_seq();
            except = merge_blocks(&kept_blocks(&self.store)?, &seqs, catalog)?;
            state = self.state.lock();
        }
        let observe = |catalog: &mut RunCatalog, record: &Arc<SpanRecord>| {
            let run = catalog.observe(record).and_then(|id| open.get(&id));
            if let Some(run) = run {
                run.observe(record, self.tick());
            }
        };
        loop {
            state.arriving = Some(Arriving::default());
            drop(state);
            let until_seq = self.store.end_seq();
            let mut visit = |record: &Arc<SpanRecord>| observe(catalog, record);
            let read = self.read_catalog(from_seq..until_seq, &except, &mut visit);
            let read = read.and_then(|()| match except.is_empty() {
                true => Ok(()),
                false => {
                    catalog.end_merging();
                    close_ended(&self.store, catalog)
                }
            });
            state = self.state.lock();
            let arriving = state.arriving.take().unwrap_or_default();
            read?;
            if !arriving.is_incomplete {
                let arrived = arriving.records.iter();
                arrived
                    .filter(|record| record.seq >= until_seq)
                    .for_each(|record| observe(catalog, record));
                state.seen_until_seq = until_seq.max(end_seq(&arriving.records));
                return Ok(state);
            }
            from_seq = until_seq;
        }
    }

    /// Hands out the spans of the services that train with these sequence numbers, oldest first.
    fn read_catalog(
        &self,
        seqs: Range<u64>,
        except: &ReadBlocks,
        observe: &mut dyn FnMut(&Arc<SpanRecord>),
    ) -> Result<(), ReadError> {
        let trains = |service: &str| {
            let mut operations = self.store.operations(service).into_iter();
            operations.any(|operation| self.names.role(&operation.name).is_stage())
        };
        // Runs that are open show errors, which need events.
        let parts = SpanParts {
            attributes: true,
            events: seqs.start > 0,
            links: false,
            large_values: false,
        };
        let services = self
            .store
            .services()
            .into_iter()
            .map(|service| service.name);
        for service in services.filter(|service| trains(service)) {
            let request = ScanRequest {
                seqs: seqs.clone(),
                except_seqs: except.seqs(&service),
                service: Some(service),
                newest_first: false,
                parts,
                ..ScanRequest::default()
            };
            self.store.scan(&request, &mut |record| {
                observe(&record);
                ControlFlow::Continue(())
            })?;
        }
        Ok(())
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }
}

/// The sequence number after the last of a batch.
fn end_seq(batch: &[Arc<SpanRecord>]) -> u64 {
    batch.last().map_or(0, |last| last.seq.saturating_add(1))
}

/// What to ask the store for so as to read the whole of a run, as far as it was stored with these
/// sequence numbers and not in these blocks: a scan for each of its services.
fn requests(digest: &RunDigest, seqs: Range<u64>, except: &ReadBlocks) -> Vec<ScanRequest> {
    let request = |service: &String| ScanRequest {
        start_unix_nano: digest.start_unix_nano(),
        end_unix_nano: digest.last_seen_unix_nano(),
        service: Some(service.clone()),
        seqs: seqs.clone(),
        except_seqs: except.seqs(service),
        newest_first: false,
        parts: SHOWN_PARTS,
        ..ScanRequest::default()
    };
    digest.resource_services().iter().map(request).collect()
}
