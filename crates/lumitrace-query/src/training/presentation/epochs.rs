//! Epochs with their batches and validations, also where the epoch's own span is still to come.

use std::collections::HashMap;

use lumitrace_model::{SpanId, TraceId};

use super::timing::percentile;
use crate::facts::SpanState;
use crate::training::fold::{Row, RunFold, Table};
use crate::training::metrics::{EPOCH_VAL_LOSS, TRAIN_LOSS, VAL_LOSS, VAL_METRIC};
use crate::training::view::{EpochView, Metric, StageState, ValidationView};

/// Batches that belong together: those of an epoch, or of what may be one.
pub(super) struct Batches {
    /// The epoch's row, where its span arrived.
    pub(super) epoch: Option<u32>,
    /// Rows of the batches, by start.
    pub(super) steps: Vec<u32>,
}

impl RunFold {
    /// Batches by epoch in order of start. Batches without one stand together by what they tell of
    /// it: its number, or else the parent they name, unless that is the run's root.
    pub(super) fn batches_by_epoch(&self) -> Vec<Batches> {
        let by_start = |mut steps: Vec<u32>| {
            steps.sort_by_key(|&step| self.steps.rows[step as usize].start_unix_nano);
            steps
        };
        let contents = self.epoch_contents.iter().zip(0..);
        let mut groups: Vec<Batches> = contents
            .map(|(content, epoch)| Batches {
                epoch: Some(epoch),
                steps: by_start(content.steps.clone()),
            })
            .collect();
        let root = self.root().map(|root| root.span.span_id);
        let mut loose: HashMap<(Option<i32>, Option<SpanId>), Vec<u32>> = HashMap::new();
        for &step in &self.loose_steps {
            let row = &self.steps.rows[step as usize];
            let number = row.indices.epoch;
            let parent = row
                .parent_span_id
                .filter(|&id| number.is_none() && Some(id) != root);
            loose.entry((number, parent)).or_default().push(step);
        }
        let loose = loose.into_values();
        groups.extend(loose.map(|steps| Batches {
            epoch: None,
            steps: by_start(steps),
        }));
        groups.sort_by_key(|group| self.start_of(group));
        groups
    }

    fn start_of(&self, group: &Batches) -> u64 {
        let first = || {
            group
                .steps
                .first()
                .map(|&step| self.steps.rows[step as usize].start_unix_nano)
        };
        let epoch = group
            .epoch
            .map(|epoch| self.epochs.rows[epoch as usize].start_unix_nano);
        epoch.or_else(first).unwrap_or(0)
    }

    /// Trace and span by which an epoch is shown and its batches are found.
    pub(super) fn shown_span(&self, group: &Batches) -> (TraceId, SpanId) {
        if let Some(epoch) = group.epoch {
            let row = &self.epochs.rows[epoch as usize];
            return (row.trace_id, row.span_id);
        }
        let root = self.root().map(|root| root.span.span_id);
        group
            .steps
            .first()
            .map(|&step| &self.steps.rows[step as usize])
            .map_or_else(Default::default, |row| {
                let parent = row.parent_span_id.filter(|&parent| Some(parent) != root);
                (row.trace_id, parent.unwrap_or(row.span_id))
            })
    }

    pub(super) fn epoch_view(
        &self,
        group: &Batches,
        validations: Vec<ValidationView>,
        now_unix_nano: u64,
    ) -> EpochView {
        let row = group.epoch.map(|epoch| &self.epochs.rows[epoch as usize]);
        let steps = || {
            group
                .steps
                .iter()
                .map(|&step| &self.steps.rows[step as usize])
        };
        let metric = |spellings| self.epochs.metric(group.epoch?, spellings);
        let (trace_id, span_id) = self.shown_span(group);
        let start_unix_nano = self.start_of(group);
        let end_unix_nano = steps()
            .chain(row)
            .map(|row| row.end_unix_nano)
            .max()
            .unwrap_or(0);
        let end_unix_nano = match row {
            Some(row) if !row.pending => row.end_unix_nano,
            _ => end_unix_nano,
        };
        let mut durations: Vec<u64> = steps()
            .filter(|row| !row.pending)
            .map(Row::duration_nano)
            .collect();
        let validation_failed =
            |validation: &&ValidationView| validation.state == StageState::Failed;
        let last = |of: fn(&ValidationView) -> Option<f64>| validations.iter().rev().find_map(of);
        EpochView {
            epoch: self
                .epoch_indices(group)
                .and_then(|row| row.indices.epoch)
                .map(i64::from),
            label: self
                .epoch_indices(group)
                .and_then(|row| row.indices.epoch_of_total())
                .unwrap_or_default(),
            trace_id,
            span_id,
            state: match row {
                Some(row) => StageState::of(row.state(now_unix_nano), row.status),
                // Its span is still to come: it is as alive as its latest batch.
                None => StageState::of(
                    SpanState::from_announcement(Some(end_unix_nano), now_unix_nano),
                    Default::default(),
                ),
            },
            start_unix_nano,
            duration_nano: end_unix_nano.saturating_sub(start_unix_nano),
            train_loss: metric(TRAIN_LOSS),
            val_loss: metric(EPOCH_VAL_LOSS).or_else(|| last(|validation| validation.val_loss)),
            val_metric: metric(VAL_METRIC).or_else(|| last(|validation| validation.val_metric)),
            batch_count: durations.len() as u64,
            batch_p50_nano: percentile(&mut durations, 50),
            batch_p95_nano: percentile(&mut durations, 95),
            samples_per_second: self.samples_per_second(group.steps.iter().copied()),
            error_count: steps().chain(row).filter(|row| row.is_error()).count() as u64
                + validations.iter().filter(validation_failed).count() as u64,
            validations,
        }
    }

    /// The row that tells an epoch's number: its own, or its first batch.
    fn epoch_indices(&self, group: &Batches) -> Option<&Row> {
        match group.epoch {
            Some(epoch) => self.epochs.rows.get(epoch as usize),
            None => self.steps.rows.get(*group.steps.first()? as usize),
        }
    }

    /// Validations in order of start, by the row of their epoch.
    pub(super) fn validations_by_epoch(
        &self,
        now_unix_nano: u64,
    ) -> HashMap<Option<u32>, Vec<ValidationView>> {
        let mut by_epoch: HashMap<Option<u32>, Vec<ValidationView>> = HashMap::new();
        for (row, index) in self.validations.rows.iter().zip(0..) {
            let view = ValidationView {
                trace_id: row.trace_id,
                span_id: row.span_id,
                start_unix_nano: row.start_unix_nano,
                duration_nano: row.duration_nano(),
                state: StageState::of(row.state(now_unix_nano), row.status),
                val_loss: self.validations.metric(index, VAL_LOSS),
                val_metric: self.validations.metric(index, VAL_METRIC),
                metrics: metrics_of_row(&self.validations, index),
            };
            by_epoch
                .entry(self.epoch_of_validation(row))
                .or_default()
                .push(view);
        }
        for views in by_epoch.values_mut() {
            views.sort_by_key(|view| view.start_unix_nano);
        }
        by_epoch
    }
}

fn metrics_of_row(table: &Table, row: u32) -> Vec<Metric> {
    let columns = table.columns.iter();
    columns
        .filter_map(|(name, column)| {
            Some(Metric {
                name: name.clone(),
                value: column.get(row)?,
            })
        })
        .collect()
}
