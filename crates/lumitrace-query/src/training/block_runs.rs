//! What is kept of training runs beside each block of spans: digests of its runs, their steps as
//! columns, and which spans are to be read because a run shows them whole.
//!
//! The list of runs is made of digests alone, and a curve of digests and columns, whose number does not
//! grow with that of the spans within steps. A run that is made so has what one has that is made of the
//! spans themselves: the tests hold one against the other.
//!
//! Which run a span belongs to may become known only in another block, where a span names the run of a
//! whole trace. So the first traces of a process in a block have digests of their own, which then move
//! to that run; where the others may have spans of such a trace, the block is read.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;

use lumitrace_model::{Span, TraceId};
use lumitrace_store::{BlockDigester, DigestParts, SpanDigester, SpanRecord};
use serde::{Deserialize, Serialize};

use super::catalog::could_begin_a_run;
use super::digest::{Observed, RunDigest};
use super::fold::{ERRORS, PHASES, ROOTS, Row};
use super::identity::{Identity, Processes, RunId, given_run_id, process_hash, stable_hash};
use super::metrics::metrics_of;
use super::recognition::{Role, TrainingNames};
use super::step_columns::StepColumnsBuilder;
use crate::facts::is_root;

/// Raised with every change to what is kept, or to how it is read.
const VERSION: &str = "1";
/// Traces of a process in a block that have a digest of their own.
const OWN_TRACES: usize = 8;
/// Most runs of a block; one with more is read.
const RUNS: usize = 4096;
/// Steps of a run that are written as one part, ...
const PART_STEPS: usize = 16_384;
/// ... and of all runs of a block that wait for that, in about 8 MiB.
const WAITING_STEPS: usize = 65_536;

/// See [the module](self).
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct BlockRuns {
    pub(crate) runs: Vec<BlockRun>,
    /// Traces of which a span names the run.
    pub(crate) assigned: Vec<Assignment>,
    /// Whether there were too many runs: these are none.
    pub(crate) is_overfull: bool,
}

/// What a block has of one run.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct BlockRun {
    pub(crate) identity: Identity,
    /// The only trace of these spans; none if there may be several.
    pub(crate) trace_id: Option<TraceId>,
    /// Whether one of the spans could be the first of a run.
    pub(crate) could_begin: bool,
    pub(crate) digest: RunDigest,
    /// Numbers of the parts that have its steps.
    pub(crate) step_parts: Vec<u32>,
    /// Rows of the spans that are to be read, ascending.
    pub(crate) rows: Vec<u64>,
}

/// That a span names the run of its trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Assignment {
    pub(crate) trace_id: TraceId,
    pub(crate) run_id: RunId,
    /// Whose run it would be otherwise.
    pub(crate) process: Identity,
    pub(crate) start_unix_nano: u64,
    /// Whether spans of the trace came before, and count among others of their process.
    pub(crate) is_late: bool,
}

impl BlockRuns {
    /// Reads what the digester wrote; `None` if it is something else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        postcard::from_bytes(bytes).ok()
    }

    /// Whether spans of `trace_id` that belong to `process` unless their trace says otherwise are apart
    /// from others.
    pub(crate) fn tells_apart(&self, process: Identity, trace_id: TraceId) -> bool {
        let is_assigned = |it: &Assignment| it.trace_id == trace_id && !it.is_late;
        let is_own = |run: &BlockRun| run.identity == process && run.trace_id == Some(trace_id);
        self.assigned.iter().any(is_assigned) || self.runs.iter().any(is_own)
    }
}

/// Makes the [digests](lumitrace_store::digest) from which training runs are shown. The store gets it
/// when it is opened.
///
/// ```
/// use std::sync::Arc;
/// use lumitrace_query::training::RunDigester;
/// use lumitrace_store::StoreOptions;
///
/// let options = StoreOptions {
///     digester: Some(Arc::new(RunDigester::default())),
///     ..StoreOptions::new("lumitrace-data")
/// };
/// # let _ = options;
/// ```
#[derive(Debug)]
pub struct RunDigester {
    names: TrainingNames,
    format: u64,
}

impl RunDigester {
    /// Recognises training spans by these names, which must be those of the engine that reads the store:
    /// otherwise its blocks are read.
    pub fn new(names: TrainingNames) -> Self {
        let lists = [
            &names.epoch,
            &names.step,
            &names.validation,
            &names.loading,
            &names.features,
            &names.phase_parts,
            &names.step_parts,
        ];
        let mut parts = vec!["training runs", VERSION];
        for list in lists {
            parts.push("list");
            parts.extend(list.iter().map(String::as_str));
        }
        let format = stable_hash(&parts);
        Self { names, format }
    }
}

/// By the names that an engine knows if it is told no others.
impl Default for RunDigester {
    fn default() -> Self {
        Self::new(TrainingNames::default())
    }
}

impl SpanDigester for RunDigester {
    fn format(&self) -> u64 {
        self.format
    }

    fn concerns(&self, span_name: &str) -> bool {
        self.names.role(span_name).is_stage()
    }

    fn begin(&self) -> Box<dyn BlockDigester> {
        Box::new(BlockRunsBuilder {
            names: self.names.clone(),
            runs: Vec::new(),
            by_owner: HashMap::new(),
            own_traces: HashMap::new(),
            assigned: BTreeMap::new(),
            processes: Processes::default(),
            waiting_steps: 0,
            is_overfull: false,
        })
    }
}

/// Whose spans share digests: those of a run or service, and of one trace or the others.
type Owner = (Identity, Option<TraceId>);

struct BlockRunsBuilder {
    names: TrainingNames,
    runs: Vec<RunBuilder>,
    /// Places in `runs`, of several only where a service was silent in between.
    by_owner: HashMap<Owner, Vec<usize>>,
    own_traces: HashMap<Identity, HashSet<TraceId>>,
    assigned: BTreeMap<TraceId, Assignment>,
    processes: Processes,
    waiting_steps: usize,
    is_overfull: bool,
}

#[derive(Default)]
struct RunBuilder {
    could_begin: bool,
    digest: RunDigest,
    steps: StepColumnsBuilder,
    step_parts: Vec<u32>,
    /// Of epochs, validations, and steps that are more than a row of numbers.
    stages: Vec<u64>,
    phases: NewestRows<PHASES>,
    failures: NewestRows<ERRORS>,
    roots: NewestRows<ROOTS>,
    /// The earliest span: it tells the process.
    first: Option<(u64, u64)>,
}

/// Rows of the spans that started last.
#[derive(Default)]
struct NewestRows<const LIMIT: usize>(BTreeSet<(u64, u64)>);

impl<const LIMIT: usize> NewestRows<LIMIT> {
    fn add(&mut self, start_unix_nano: u64, row: u64) {
        self.0.insert((start_unix_nano, row));
        if self.0.len() > LIMIT {
            self.0.pop_first();
        }
    }

    fn rows(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(|(_, row)| *row)
    }
}

impl BlockDigester for BlockRunsBuilder {
    fn add(
        &mut self,
        row: u64,
        record: &SpanRecord,
        parts: &mut DigestParts<'_>,
    ) -> io::Result<()> {
        if self.is_overfull {
            return Ok(());
        }
        let names = std::mem::take(&mut self.names);
        let observed = Observed::new(record, &names);
        let place = self.place_of(&observed);
        let run = &mut self.runs[place];
        run.digest.observe(&observed, &names);
        run.could_begin |= could_begin_a_run(&observed);
        let waited = run.steps.len();
        run.keep(row, &observed);
        self.waiting_steps += run.steps.len() - waited;
        if run.steps.len() >= PART_STEPS {
            self.write_steps(place, parts)?;
        } else if self.waiting_steps >= WAITING_STEPS {
            let longest = (0..self.runs.len()).max_by_key(|it| self.runs[*it].steps.len());
            self.write_steps(longest.unwrap_or(place), parts)?;
        }
        self.names = names;
        self.is_overfull = self.runs.len() > RUNS;
        Ok(())
    }

    fn finish(mut self: Box<Self>, parts: &mut DigestParts<'_>) -> io::Result<Vec<u8>> {
        if self.is_overfull {
            let overfull = BlockRuns {
                is_overfull: true,
                ..BlockRuns::default()
            };
            return encode(&overfull);
        }
        for place in 0..self.runs.len() {
            self.write_steps(place, parts)?;
        }
        let mut owners: Vec<Option<Owner>> = vec![None; self.runs.len()];
        for (owner, places) in self.by_owner {
            places
                .into_iter()
                .for_each(|place| owners[place] = Some(owner));
        }
        let runs = self.runs.into_iter().zip(owners);
        let runs = runs.filter_map(|(run, owner)| Some(run.finish(owner?)));
        encode(&BlockRuns {
            runs: runs.collect(),
            assigned: self.assigned.into_values().collect(),
            is_overfull: false,
        })
    }
}

fn encode<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    postcard::to_stdvec(value).map_err(io::Error::other)
}

impl BlockRunsBuilder {
    /// The place of the run that a span belongs to as far as the block tells.
    fn place_of(&mut self, observed: &Observed<'_>) -> usize {
        let span = &observed.record.span;
        let process = self.processes.identify(observed.record);
        let given = given_run_id(&span.attributes);
        if let Some(run_id) = given.filter(|_| observed.role != Role::Step) {
            self.assign(span, run_id, process);
        }
        let assigned = || self.assigned.get(&span.trace_id).map(|it| it.run_id);
        let owner = match given.or_else(assigned) {
            Some(run_id) => (Identity::Run(run_id), None),
            None => (process, self.own_trace(process, span.trace_id)),
        };
        let places = self.by_owner.entry(owner).or_default();
        let is_service = matches!(owner.0, Identity::Service(_));
        match places.as_slice() {
            [place] if !is_service => *place,
            [] => {
                places.push(self.runs.len());
                self.runs.push(RunBuilder::default());
                self.runs.len() - 1
            }
            _ => self.stretch_of(owner, span),
        }
    }

    /// The place of a service's stretch between silences.
    fn stretch_of(&mut self, owner: Owner, span: &Span) -> usize {
        let places = self.by_owner.entry(owner).or_default();
        let (start, end) = (span.start_unix_nano, span.end_unix_nano);
        let runs = &self.runs;
        let near = places.iter().copied();
        let near = near.filter(|place| runs[*place].digest.is_near(start, end));
        match near.collect::<Vec<_>>().as_slice() {
            [] => {
                places.push(self.runs.len());
                self.runs.push(RunBuilder::default());
                self.runs.len() - 1
            }
            // What closes the silence between two joins one; they join each other when they are read.
            [place, ..] => *place,
        }
    }

    /// The trace, if it has a digest of its own.
    fn own_trace(&mut self, process: Identity, trace_id: TraceId) -> Option<TraceId> {
        let traces = self.own_traces.entry(process).or_default();
        let is_own =
            traces.contains(&trace_id) || traces.len() < OWN_TRACES && traces.insert(trace_id);
        is_own.then_some(trace_id)
    }

    fn assign(&mut self, span: &Span, run_id: RunId, process: Identity) {
        let others = self.by_owner.get(&(process, None));
        let mut others = others.into_iter().flatten();
        let is_late = others.any(|place| self.runs[*place].digest.has_seen_trace(span.trace_id));
        self.assigned
            .entry(span.trace_id)
            .or_insert_with(|| Assignment {
                trace_id: span.trace_id,
                run_id,
                process,
                start_unix_nano: span.start_unix_nano,
                is_late,
            });
    }

    fn write_steps(&mut self, place: usize, parts: &mut DigestParts<'_>) -> io::Result<()> {
        let run = &mut self.runs[place];
        if run.steps.len() > 0 {
            self.waiting_steps -= run.steps.len();
            let bytes = encode(&run.steps.take())?;
            run.step_parts.push(parts.add(&bytes)?);
        }
        Ok(())
    }
}

impl RunBuilder {
    /// Keeps of a span what a run shows of it, beside what its digest says.
    fn keep(&mut self, row: u64, observed: &Observed<'_>) {
        let span = &observed.record.span;
        let start = span.start_unix_nano;
        if self.first.is_none_or(|(first, _)| start < first) {
            self.first = Some((start, row));
        }
        let has_failed = span.is_error() || span.exception().is_some();
        if has_failed {
            self.failures.add(start, row);
        }
        match observed.role {
            Role::Step if !span.pending && !has_failed && self.keep_step(observed) => {}
            Role::Step | Role::Epoch | Role::Validation => self.stages.push(row),
            Role::Loading | Role::Features | Role::Phase => self.phases.add(start, row),
            Role::Other if is_root(span) => self.roots.add(start, row),
            Role::Other | Role::StepPart => {}
        }
    }

    fn keep_step(&mut self, observed: &Observed<'_>) -> bool {
        let span = &observed.record.span;
        let process = process_hash(&observed.record.resource, span);
        let row = Row::of(observed, 0);
        self.steps.push(&row, process, metrics_of(span))
    }

    fn finish(self, (identity, trace_id): Owner) -> BlockRun {
        let mut rows: Vec<u64> = self.stages;
        rows.extend(self.phases.rows());
        rows.extend(self.failures.rows());
        rows.extend(self.roots.rows());
        rows.extend(self.first.map(|(_, row)| row));
        rows.sort_unstable();
        rows.dedup();
        BlockRun {
            identity,
            trace_id,
            could_begin: self.could_begin,
            digest: self.digest,
            step_parts: self.step_parts,
            rows,
        }
    }
}
