//! Everything of one opened run, folded span by span, in whatever order they come.
//!
//! A batch takes about a hundred bytes and twelve more for each of its metrics, so that a run of a
//! million steps fits in memory; of phases and errors only the newest are kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use lumitrace_model::{Event, Span, SpanId, StatusCode, TraceId, names};
use lumitrace_store::SpanRecord;

use super::digest::{Observed, RunDigest};
use super::identity::process_hash;
use super::metrics::{Column, SeriesInfo, losses_at_steps, metrics_of};
use super::recognition::{Indices, Role, TrainingNames};
use super::step_columns::{Step, StepColumns};
use crate::facts::{SpanState, is_root};
use crate::recent::{RecentSpans, SpanKey};

pub(super) const PHASES: usize = 1000;
pub(super) const ERRORS: usize = 1000;
pub(super) const ROOTS: usize = 16;
/// Most distinct metrics of one table; a program that makes a name per step runs into it.
const COLUMNS: usize = 2000;

/// An epoch, a batch or a validation.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) parent_span_id: Option<SpanId>,
    pub(super) start_unix_nano: u64,
    pub(super) end_unix_nano: u64,
    pub(super) indices: Indices,
    /// The row of its epoch, where that is known; of an epoch, none.
    pub(super) epoch: Option<u32>,
    /// Which of the run's processes made it.
    pub(super) process: u16,
    pub(super) pending: bool,
    pub(super) status: StatusCode,
    /// Whether its name says that it stands for itself (`evaluation`), not for an epoch.
    pub(super) is_evaluation: bool,
}

/// About what a row takes in memory, with its place in the index and a metric or two.
pub(crate) const ROW_BYTES: usize = size_of::<Row>() + 48;

impl Row {
    pub(super) fn of(observed: &Observed<'_>, process: u16) -> Self {
        let span = &observed.record.span;
        Self {
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent_span_id: span.parent_span_id.filter(|_| !is_root(span)),
            start_unix_nano: span.start_unix_nano,
            end_unix_nano: span.end_unix_nano,
            indices: observed.indices,
            epoch: None,
            process,
            pending: span.pending,
            status: span.status.code,
            is_evaluation: observed.role == Role::Validation && span.name.starts_with("eval"),
        }
    }

    pub(super) fn duration_nano(&self) -> u64 {
        self.end_unix_nano.saturating_sub(self.start_unix_nano)
    }

    pub(super) fn state(&self, now_unix_nano: u64) -> SpanState {
        let announced = self.pending.then_some(self.end_unix_nano);
        SpanState::from_announcement(announced, now_unix_nano)
    }

    /// Whether it evaluates the result rather than a stage of the training: its numbers are no
    /// points of a curve.
    pub(super) fn is_final_test(&self) -> bool {
        let Indices { epoch, step, .. } = self.indices;
        self.is_evaluation && self.epoch.is_none() && epoch.is_none() && step.is_none()
    }

    pub(super) fn is_error(&self) -> bool {
        self.status == StatusCode::Error
    }
}

/// Rows of one kind and the metrics they carry.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
    by_key: HashMap<SpanKey, u32>,
    pub(super) columns: BTreeMap<String, Column>,
}

/// What a span did to a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upsert {
    /// It is new, as this row.
    Inserted(u32),
    /// It replaced an earlier announcement in this row.
    Replaced(u32),
    /// What is there already counts.
    Ignored,
}

impl Table {
    /// Puts a row in, or in the place of an announcement of the same span.
    fn upsert(&mut self, key: SpanKey, row: Row, span: &Span) -> Upsert {
        let change = self.upsert_row(key, row);
        if let Upsert::Inserted(index) | Upsert::Replaced(index) = change {
            self.set_metrics(index, span);
        }
        change
    }

    fn upsert_row(&mut self, key: SpanKey, row: Row) -> Upsert {
        match self.by_key.get(&key) {
            Some(&index) => {
                let known = &mut self.rows[index as usize];
                let is_stale = row.pending && row.end_unix_nano <= known.end_unix_nano;
                if !known.pending || is_stale {
                    return Upsert::Ignored;
                }
                *known = Row {
                    epoch: known.epoch,
                    ..row
                };
                Upsert::Replaced(index)
            }
            None => {
                let index = self.rows.len() as u32;
                self.by_key.insert(key, index);
                self.rows.push(row);
                Upsert::Inserted(index)
            }
        }
    }

    fn set_metrics(&mut self, index: u32, span: &Span) {
        for (name, value) in metrics_of(span) {
            if let Some(column) = self.column_mut(name) {
                column.set(index, value);
            }
        }
    }

    /// The column of a metric, which is made if there are not too many.
    fn column_mut(&mut self, name: &str) -> Option<&mut Column> {
        if !self.columns.contains_key(name) {
            if self.columns.len() >= COLUMNS {
                return None;
            }
            self.columns.insert(name.to_owned(), Column::default());
        }
        self.columns.get_mut(name)
    }

    pub(super) fn row_of(&self, key: SpanKey) -> Option<u32> {
        self.by_key.get(&key).copied()
    }

    /// The first of these metrics that `row` has.
    pub(super) fn metric(&self, row: u32, spellings: &[&str]) -> Option<f64> {
        spellings
            .iter()
            .find_map(|name| self.columns.get(*name)?.get(row))
    }
}

/// What belongs to an epoch besides its row.
#[derive(Debug, Default)]
pub(super) struct EpochContent {
    /// Rows of its batches, in order of arrival.
    pub(super) steps: Vec<u32>,
    /// Its `loss_at_step_N` attributes.
    pub(super) losses_at_steps: BTreeMap<i64, f64>,
}

/// Something that went wrong in a span.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) parent_key: Option<SpanKey>,
    pub(super) name: String,
    pub(super) label: Option<String>,
    pub(super) error_type: Option<String>,
    pub(super) message: Option<String>,
    pub(super) time_unix_nano: u64,
}

/// See [the module](self).
#[derive(Debug, Default)]
pub(crate) struct RunFold {
    pub(super) names: TrainingNames,
    pub(super) digest: RunDigest,
    pub(super) epochs: Table,
    pub(super) steps: Table,
    pub(super) validations: Table,
    /// Parallel to the rows of `epochs`.
    pub(super) epoch_contents: Vec<EpochContent>,
    /// Epochs by process and start.
    epoch_starts: BTreeMap<(u16, u64), u32>,
    /// Batches whose epoch is not known, or not yet.
    pub(super) loose_steps: Vec<u32>,
    /// Validations whose epoch is not known, or not yet.
    loose_validations: Vec<u32>,
    pub(super) phases: BTreeMap<(u64, SpanKey), Arc<SpanRecord>>,
    pub(super) validation_spans: BTreeMap<(u64, SpanKey), Arc<SpanRecord>>,
    pub(super) failures: BTreeMap<(u64, SpanKey), Failure>,
    roots: BTreeMap<(u64, SpanKey), Arc<SpanRecord>>,
    processes: Vec<u64>,
    /// Spans of which no row tells that they came before.
    recent: RecentSpans,
    /// The curves there are, until the next span.
    pub(super) series_infos: Option<Vec<SeriesInfo>>,
}

impl RunFold {
    /// A run of which nothing is known yet.
    pub(crate) fn new(names: TrainingNames) -> Self {
        Self {
            names,
            ..Self::default()
        }
    }

    /// Takes in a span of the run. Whatever comes twice counts once.
    pub(crate) fn observe(&mut self, record: &Arc<SpanRecord>) {
        if let Some(observed) = self.take_in(record) {
            self.digest.observe(&observed, &self.names);
        }
    }

    /// Takes in a span that the run's [digest](Self::set_digest) has counted.
    pub(crate) fn observe_counted(&mut self, record: &Arc<SpanRecord>) {
        self.digest.note_resource(record);
        self.take_in(record);
    }

    /// Says what the catalog has counted of the run, of which some spans may not be taken in one by one.
    pub(crate) fn set_digest(&mut self, digest: RunDigest) {
        self.series_infos = None;
        let before = std::mem::replace(&mut self.digest, digest);
        self.digest.keep_resource_of(&before);
    }

    /// Takes in steps that the run's [digest](Self::set_digest) has counted; `None` if they are damaged.
    pub(crate) fn add_steps(&mut self, columns: &StepColumns) -> Option<()> {
        self.series_infos = None;
        let mut indices = Vec::new();
        for Step { row, process } in columns.steps()? {
            let key = SpanKey::of(row.trace_id, row.span_id);
            let process = self.process_of(process);
            let change = self.steps.upsert_row(key, Row { process, ..row });
            if let Upsert::Inserted(index) = change
                && !self.place_step(index)
            {
                self.loose_steps.push(index);
            }
            indices.push(match change {
                Upsert::Inserted(index) | Upsert::Replaced(index) => Some(index),
                Upsert::Ignored => None,
            });
        }
        columns.visit_metrics(|name, values| {
            if let Some(column) = self.steps.column_mut(name) {
                for (row, value) in values {
                    if let Some(index) = indices[*row] {
                        column.set(index, *value);
                    }
                }
            }
        })
    }

    /// Takes in all of a span but what its digest counts. None if it came before.
    fn take_in<'r>(&mut self, record: &'r Arc<SpanRecord>) -> Option<Observed<'r>> {
        let observed = Observed::new(record, &self.names);
        let counts = match observed.role {
            Role::Epoch => self.observe_epoch(&observed),
            Role::Step => self.observe_step(&observed),
            Role::Validation => self.observe_validation(&observed, record),
            _ if self.recent.has_seen(observed.key, record.span.pending) => false,
            _ => self.observe_other(&observed, record),
        };
        if counts {
            self.series_infos = None;
            self.observe_failure(&observed);
        }
        counts.then_some(observed)
    }

    /// How many rows it keeps: what its memory is proportional to.
    pub(crate) fn row_count(&self) -> usize {
        self.epochs.rows.len() + self.steps.rows.len() + self.validations.rows.len()
    }

    /// The run's root span, where it has one.
    pub(super) fn root(&self) -> Option<&Arc<SpanRecord>> {
        let root = self.digest.root_key()?;
        self.roots
            .iter()
            .find(|((_, key), _)| *key == root)
            .map(|(_, record)| record)
    }

    fn observe_epoch(&mut self, observed: &Observed<'_>) -> bool {
        let span = &observed.record.span;
        let row = Row::of(observed, self.process(observed.record));
        let place = (row.process, row.start_unix_nano);
        let index = match self.epochs.upsert(observed.key, row, span) {
            Upsert::Ignored => return false,
            Upsert::Replaced(index) => index,
            Upsert::Inserted(index) => {
                self.epoch_contents.push(EpochContent::default());
                self.release_rows_after(place);
                self.epoch_starts.insert(place, index);
                self.place_loose_rows();
                index
            }
        };
        self.epoch_contents[index as usize]
            .losses_at_steps
            .extend(losses_at_steps(span));
        true
    }

    fn observe_step(&mut self, observed: &Observed<'_>) -> bool {
        let row = Row::of(observed, self.process(observed.record));
        match self.steps.upsert(observed.key, row, &observed.record.span) {
            Upsert::Ignored => return false,
            Upsert::Replaced(_) => {}
            Upsert::Inserted(index) => {
                if !self.place_step(index) {
                    self.loose_steps.push(index);
                }
            }
        }
        true
    }

    fn observe_validation(&mut self, observed: &Observed<'_>, record: &Arc<SpanRecord>) -> bool {
        let row = Row::of(observed, self.process(observed.record));
        let span = &observed.record.span;
        match self.validations.upsert(observed.key, row, span) {
            Upsert::Ignored => return false,
            Upsert::Replaced(_) => {}
            Upsert::Inserted(index) => {
                if !self.place_validation(index) {
                    self.loose_validations.push(index);
                }
            }
        }
        // While it is of no epoch it is shown as a phase: whether it is may change with every epoch.
        self.observe_other(observed, record);
        true
    }

    /// Keeps phases and possible roots; says whether the span is news.
    fn observe_other(&mut self, observed: &Observed<'_>, record: &Arc<SpanRecord>) -> bool {
        let place = (observed.record.span.start_unix_nano, observed.key);
        let (kept, limit) = match observed.role {
            Role::Loading | Role::Features | Role::Phase => (&mut self.phases, PHASES),
            Role::Validation => (&mut self.validation_spans, PHASES),
            Role::Other if is_root(&observed.record.span) => (&mut self.roots, ROOTS),
            _ => return true,
        };
        if kept.get(&place).is_some_and(|known| !known.span.pending) {
            return false;
        }
        kept.insert(place, Arc::clone(record));
        if kept.len() > limit {
            kept.pop_first();
        }
        true
    }

    fn observe_failure(&mut self, observed: &Observed<'_>) {
        let span = &observed.record.span;
        if !span.is_error() && span.exception().is_none() {
            return;
        }
        let exception = span.exception();
        let of_event = |event: &Event, key| {
            let value = lumitrace_model::value::find(&event.attributes, key)?;
            value.as_str().map(str::to_owned)
        };
        let of_span = |key: &str| span.attribute(key)?.as_str().map(str::to_owned);
        let status = Some(span.status.message.to_string()).filter(|message| !message.is_empty());
        let failure = Failure {
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent_key: span
                .parent_span_id
                .map(|parent| SpanKey::of(span.trace_id, parent)),
            name: span.name.to_string(),
            label: observed.indices.label(observed.role),
            error_type: exception
                .and_then(|event| of_event(event, names::EXCEPTION_TYPE))
                .or_else(|| of_span(names::ERROR_TYPE)),
            message: exception
                .and_then(|event| of_event(event, names::EXCEPTION_MESSAGE))
                .or_else(|| of_span(names::ERROR_MESSAGE))
                .or(status),
            time_unix_nano: exception.map_or(span.end_unix_nano, |event| event.time_unix_nano),
        };
        self.failures
            .insert((span.start_unix_nano, observed.key), failure);
        if self.failures.len() > ERRORS {
            self.failures.pop_first();
        }
    }

    fn process(&mut self, record: &SpanRecord) -> u16 {
        self.process_of(process_hash(&record.resource, &record.span))
    }

    fn process_of(&mut self, hash: u64) -> u16 {
        let known = self.processes.iter().position(|&known| known == hash);
        let index = known.unwrap_or_else(|| {
            self.processes.push(hash);
            self.processes.len() - 1
        });
        index.try_into().unwrap_or(u16::MAX)
    }

    /// Takes from the epoch before `place` what was put there only because it began after that
    /// epoch did: it may be part of the one that begins at `place`.
    fn release_rows_after(&mut self, place: (u16, u64)) {
        let Some((_, &before)) = self.epoch_starts.range((place.0, 0)..=place).next_back() else {
            return;
        };
        let parent = self.epochs.rows[before as usize].span_id;
        let is_released = |row: &Row| {
            row.epoch == Some(before)
                && row.start_unix_nano >= place.1
                && row.parent_span_id != Some(parent)
        };
        let (steps, loose_steps) = (&mut self.steps.rows, &mut self.loose_steps);
        self.epoch_contents[before as usize].steps.retain(|&step| {
            let row = &mut steps[step as usize];
            let is_released = is_released(row);
            if is_released {
                row.epoch = None;
                loose_steps.push(step);
            }
            !is_released
        });
        for (row, index) in self.validations.rows.iter_mut().zip(0..) {
            if is_released(row) {
                row.epoch = None;
                self.loose_validations.push(index);
            }
        }
    }

    /// A new epoch may be the one that loose batches and validations were waiting for.
    fn place_loose_rows(&mut self) {
        let steps = std::mem::take(&mut self.loose_steps);
        self.loose_steps = steps
            .into_iter()
            .filter(|&step| !self.place_step(step))
            .collect();
        let validations = std::mem::take(&mut self.loose_validations);
        self.loose_validations = validations
            .into_iter()
            .filter(|&row| !self.place_validation(row))
            .collect();
    }

    fn place_step(&mut self, step: u32) -> bool {
        let Some(epoch) = self.epoch_around(&self.steps.rows[step as usize]) else {
            return false;
        };
        self.steps.rows[step as usize].epoch = Some(epoch);
        self.epoch_contents[epoch as usize].steps.push(step);
        true
    }

    fn place_validation(&mut self, validation: u32) -> bool {
        let epoch = self.epoch_around(&self.validations.rows[validation as usize]);
        self.validations.rows[validation as usize].epoch = epoch;
        epoch.is_some()
    }

    /// The epoch that `row` is part of: its parent, or the one of its process in which it started.
    fn epoch_around(&self, row: &Row) -> Option<u32> {
        let parent = row
            .parent_span_id
            .map(|parent| SpanKey::of(row.trace_id, parent));
        parent
            .and_then(|parent| self.epochs.row_of(parent))
            .or_else(|| {
                let epoch = self.epoch_before(row)?;
                let Row {
                    pending,
                    end_unix_nano,
                    ..
                } = self.epochs.rows[epoch as usize];
                (pending || row.start_unix_nano <= end_unix_nano).then_some(epoch)
            })
    }

    /// The latest epoch of the same process that started before `row`.
    fn epoch_before(&self, row: &Row) -> Option<u32> {
        let until = (row.process, row.start_unix_nano);
        self.epoch_starts
            .range((row.process, 0)..=until)
            .next_back()
            .map(|(_, &epoch)| epoch)
    }

    /// The epoch that a validation belongs to: the one around it, else the latest with the number
    /// it names, else the one before it, unless it calls itself an evaluation.
    pub(super) fn epoch_of_validation(&self, row: &Row) -> Option<u32> {
        row.epoch.or_else(|| match row.indices.epoch {
            Some(number) => {
                let is_named = |epoch: u32| {
                    let epoch = &self.epochs.rows[epoch as usize];
                    epoch.indices.epoch == Some(number)
                        && epoch.start_unix_nano <= row.start_unix_nano
                };
                let named = self
                    .epoch_starts
                    .values()
                    .copied()
                    .filter(|&epoch| is_named(epoch));
                named.max_by_key(|&epoch| self.epochs.rows[epoch as usize].start_unix_nano)
            }
            None => self.epoch_before(row).filter(|_| !row.is_evaluation),
        })
    }
}
