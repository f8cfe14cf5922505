//! Training runs kept up to date: the catalog of all, and the folds of those that were opened.
//!
//! Both are read from the store when first asked for, without holding up the arrival of new spans:
//! what arrives meanwhile waits in a buffer and is folded in afterwards. Spans that come both ways
//! count once.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lumitrace_store::{ReadError, ScanRequest, SpanParts, SpanRecord, Store};
use parking_lot::{Mutex, MutexGuard};

use crate::training::catalog::{AssignedTraces, RunCatalog};
use crate::training::fold::RunFold;
use crate::training::recognition::{Role, TrainingNames};
use crate::training::{RunId, RunQuery, RunSummary};

const DEFAULT_LIMIT: usize = 100;

/// A run that was opened.
#[derive(Clone)]
pub(super) struct OpenRun {
    pub(super) run_id: RunId,
    pub(super) fold: Arc<Mutex<RunFold>>,
    revision: Arc<AtomicU64>,
    /// When it was last asked for, in questions.
    used: u64,
}

impl OpenRun {
    /// Grows with every change.
    pub(super) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }
}

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
    /// What arrived since the catalog, or a run, began to be read.
    arrived: Option<Vec<Arc<SpanRecord>>>,
    /// Counts how often everything was forgotten.
    generation: u64,
    assigned: AssignedTraces,
}

impl State {
    fn forget(&mut self) {
        if let Some(catalog) = self.catalog.take() {
            self.assigned = catalog.into_assigned();
        }
        self.open.clear();
        self.generation += 1;
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
    pub(super) fn run_of<'a>(
        &self,
        records: impl IntoIterator<Item = &'a Arc<SpanRecord>>,
    ) -> Option<RunId> {
        let record = records.into_iter().find(|record| {
            let role = self.names.role(&record.span.name);
            matches!(role, Role::Epoch | Role::Step | Role::Validation)
        })?;
        let mut state = self.state.lock();
        let catalog = state.catalog.as_mut()?;
        let identity = catalog.identify(record);
        let run = catalog.resolve(identity, record.span.start_unix_nano);
        run.map(|(run_id, _)| run_id)
    }

    /// Takes in new spans, and names the runs that they changed, each once.
    pub(super) fn absorb(&self, batch: &[Arc<SpanRecord>]) -> Vec<RunId> {
        let mut state = self.state.lock();
        if let Some(arrived) = &mut state.arrived {
            arrived.extend_from_slice(batch);
        }
        let Some(catalog) = &mut state.catalog else {
            return Vec::new();
        };
        let mut by_run: HashMap<RunId, Vec<&Arc<SpanRecord>>> = HashMap::new();
        for record in batch {
            if let Some(run_id) = catalog.observe(record) {
                by_run.entry(run_id).or_default().push(record);
            }
        }
        if catalog.is_stale() {
            state.forget();
            return by_run.into_keys().collect();
        }
        let open: Vec<_> = by_run
            .iter()
            .filter_map(|(run_id, records)| Some((state.open.get(run_id)?.clone(), records)))
            .collect();
        // A run that is being shown is locked for a while: the others need not wait for that.
        drop(state);
        for (run, records) in open {
            let mut fold = run.fold.lock();
            records.iter().for_each(|record| fold.observe(record));
            run.revision.store(self.tick(), Ordering::Release);
        }
        by_run.into_keys().collect()
    }

    /// Forgets everything: batches were missed.
    pub(super) fn forget(&self) {
        self.state.lock().forget();
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
        let mut state = self.state.lock();
        let Some(requests) = state
            .catalog
            .as_ref()
            .and_then(|catalog| requests(catalog, run_id))
        else {
            return Ok(None);
        };
        let generation = state.generation;
        state.arrived = Some(Vec::new());
        drop(state);
        let mut read = Ok(());
        for request in &requests {
            read = self
                .store
                .scan(request, &mut |record| {
                    if self.is_of(run_id, &record) {
                        fold.observe(&record);
                    }
                    ControlFlow::Continue(())
                })
                .map(|_| ());
            if read.is_err() {
                break;
            }
        }
        let mut state = self.state.lock();
        let arrived = state.arrived.take().unwrap_or_default();
        read?;
        if let Some(catalog) = &mut state.catalog {
            for record in &arrived {
                let identity = catalog.identify(record);
                let run = catalog.resolve(identity, record.span.start_unix_nano);
                if run.is_some_and(|(id, _)| id == run_id) {
                    fold.observe(record);
                }
            }
        }
        let run = OpenRun {
            run_id,
            fold: Arc::new(Mutex::new(fold)),
            revision: Arc::new(AtomicU64::new(self.tick())),
            used: self.tick(),
        };
        if state.generation == generation {
            state.open.insert(run_id, run.clone());
            self.close_unused(&mut state, run_id);
        }
        Ok(Some(run))
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
        let mut state = self.state.lock();
        let run = state.open.get_mut(&run_id)?;
        run.used = self.tick();
        Some(run.clone())
    }

    fn is_of(&self, run_id: RunId, record: &SpanRecord) -> bool {
        let mut state = self.state.lock();
        let Some(catalog) = &mut state.catalog else {
            return false;
        };
        let identity = catalog.identify(record);
        let run = catalog.resolve(identity, record.span.start_unix_nano);
        run.is_some_and(|(id, _)| id == run_id)
    }

    /// Closes the runs that were not asked for the longest, until the rest is small enough.
    fn close_unused(&self, state: &mut State, keep: RunId) {
        let mut runs: Vec<(u64, RunId, usize)> = state
            .open
            .values()
            .filter(|run| run.run_id != keep)
            .filter_map(|run| Some((run.used, run.run_id, run.fold.try_lock()?.row_count())))
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

    /// The state, with a catalog in it: read from the store if need be.
    fn with_catalog(&self) -> Result<MutexGuard<'_, State>, ReadError> {
        let state = self.state.lock();
        if state.catalog.is_some() {
            return Ok(state);
        }
        drop(state);
        let _reading = self.reading.lock();
        loop {
            let mut state = self.state.lock();
            if state.catalog.is_some() {
                return Ok(state);
            }
            let generation = state.generation;
            let mut catalog =
                RunCatalog::new(self.names.clone(), std::mem::take(&mut state.assigned));
            state.arrived = Some(Vec::new());
            drop(state);
            let read = self.read_catalog(&mut catalog);
            let mut state = self.state.lock();
            let arrived = state.arrived.take().unwrap_or_default();
            read?;
            for record in &arrived {
                catalog.observe(record);
            }
            if state.generation != generation || catalog.is_stale() {
                // What was learned about assignments makes the next attempt succeed.
                state.assigned = catalog.into_assigned();
                continue;
            }
            state.catalog = Some(catalog);
            return Ok(state);
        }
    }

    /// Shows the catalog every span of the services that train, oldest first.
    fn read_catalog(&self, catalog: &mut RunCatalog) -> Result<(), ReadError> {
        let trains = |service: &str| {
            let mut operations = self.store.operations(service).into_iter();
            operations.any(|operation| {
                matches!(
                    self.names.role(&operation.name),
                    Role::Epoch | Role::Step | Role::Validation
                )
            })
        };
        let services = self
            .store
            .services()
            .into_iter()
            .map(|service| service.name);
        for service in services.filter(|service| trains(service)) {
            let request = ScanRequest {
                service: Some(service),
                newest_first: false,
                parts: SpanParts {
                    attributes: true,
                    events: false,
                    links: false,
                },
                ..ScanRequest::default()
            };
            self.store.scan(&request, &mut |record| {
                catalog.observe(&record);
                ControlFlow::Continue(())
            })?;
        }
        Ok(())
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }
}

/// What to ask the store for so as to read the whole of a run: a scan for each of its services.
fn requests(catalog: &RunCatalog, run_id: RunId) -> Option<Vec<ScanRequest>> {
    let (_, digest) = catalog.run(run_id)?;
    let request = |service: &String| ScanRequest {
        start_unix_nano: digest.start_unix_nano(),
        end_unix_nano: digest.last_seen_unix_nano(),
        service: Some(service.clone()),
        newest_first: false,
        parts: SpanParts {
            attributes: true,
            events: true,
            links: false,
        },
        ..ScanRequest::default()
    };
    Some(digest.resource_services().iter().map(request).collect())
}
