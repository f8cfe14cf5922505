//! From a folded run to the answers that pages show.
//!
//! `epochs` groups batches and validations by epoch, and `timing` measures how fast the run goes.

mod epochs;
#[cfg(test)]
mod tests;
mod timing;

use std::collections::HashMap;

use lumitrace_model::SpanId;

use super::RunId;
use super::fold::{Failure, RunFold};
use super::metrics::{BATCH_SIZE, LOSS};
use super::recognition::Role;
use super::view::{
    BatchPage, BatchRow, EpochView, ErrorView, PhaseView, RunState, RunView, StageState,
};
use crate::facts::SpanState;
use crate::recent::SpanKey;

impl RunFold {
    /// All of the run but its curves' points.
    pub(crate) fn view(&mut self, run_id: RunId, revision: u64, now_unix_nano: u64) -> RunView {
        let series = self.series_infos();
        let summary = self.digest.summary(run_id, now_unix_nano);
        let groups = self.batches_by_epoch();
        let validations = self.validations_by_epoch(now_unix_nano);
        let epochs: Vec<EpochView> = groups
            .iter()
            .map(|group| {
                let validations = group.epoch.and_then(|epoch| validations.get(&Some(epoch)));
                let validations = validations.cloned().unwrap_or_default();
                self.epoch_view(group, validations, now_unix_nano)
            })
            .collect();
        let eta_nano = match summary.state {
            RunState::Running => self.eta_nano(now_unix_nano),
            _ => None,
        };
        RunView {
            revision,
            attributes: self
                .digest
                .resource()
                .map_or_else(Vec::new, |of| of.attributes.clone()),
            parameters: self
                .root()
                .map_or_else(Vec::new, |root| root.span.attributes.clone()),
            phases: self.phase_views(now_unix_nano),
            errors: self.error_views(),
            series,
            step_time: self.step_time(&groups),
            samples_per_second: self.recent_samples_per_second(),
            eta_nano,
            epochs,
            summary,
        }
    }

    /// A page of the batches of the epoch that a view named by this span id.
    pub(crate) fn batch_page(
        &self,
        epoch_span_id: SpanId,
        (offset, limit): (usize, usize),
        now_unix_nano: u64,
    ) -> Option<BatchPage> {
        let groups = self.batches_by_epoch();
        let group = groups
            .iter()
            .find(|group| self.shown_span(group).1 == epoch_span_id)?;
        let batch = |&step: &u32| {
            let row = &self.steps.rows[step as usize];
            BatchRow {
                trace_id: row.trace_id,
                span_id: row.span_id,
                label: row.indices.label(Role::Step),
                step: row.indices.step,
                start_unix_nano: row.start_unix_nano,
                duration_nano: row.duration_nano(),
                state: row.state(now_unix_nano),
                status: row.status,
                loss: self.steps.metric(step, LOSS),
                batch_size: self.steps.metric(step, BATCH_SIZE),
            }
        };
        let batches = group
            .steps
            .iter()
            .skip(offset)
            .take(limit)
            .map(batch)
            .collect();
        Some(BatchPage {
            total: group.steps.len(),
            batches,
        })
    }

    fn phase_views(&self, now_unix_nano: u64) -> Vec<PhaseView> {
        let is_of_an_epoch = |key: SpanKey| {
            let row = self.validations.row_of(key);
            row.is_some_and(|row| {
                self.epoch_of_validation(&self.validations.rows[row as usize])
                    .is_some()
            })
        };
        let validations = self.validation_spans.iter();
        let validations = validations.filter(|((_, key), _)| !is_of_an_epoch(*key));
        let mut phases: Vec<_> = self.phases.iter().chain(validations).collect();
        phases.sort_by_key(|(place, _)| **place);
        phases
            .into_iter()
            .map(|(_, record)| {
                let span = &record.span;
                let state = SpanState::of(span, now_unix_nano);
                PhaseView {
                    name: span.name.to_string(),
                    trace_id: span.trace_id,
                    span_id: span.span_id,
                    start_unix_nano: span.start_unix_nano,
                    duration_nano: span.duration_nano(),
                    state: StageState::of(state, span.status.code),
                    attributes: span.attributes.clone(),
                }
            })
            .collect()
    }

    /// What went wrong, each error once: at the innermost span that it passed through.
    fn error_views(&self) -> Vec<ErrorView> {
        let passed_on: HashMap<SpanKey, Vec<&Failure>> =
            self.failures
                .values()
                .fold(HashMap::new(), |mut by_parent, failure| {
                    if let Some(parent) = failure.parent_key {
                        by_parent.entry(parent).or_default().push(failure);
                    }
                    by_parent
                });
        let is_innermost = |key: &SpanKey, failure: &Failure| {
            let below = passed_on.get(key).into_iter().flatten();
            !below.into_iter().any(|inner| {
                inner.message == failure.message && inner.error_type == failure.error_type
            })
        };
        let innermost = self
            .failures
            .iter()
            .filter(|((_, key), failure)| is_innermost(key, failure));
        let mut views: Vec<ErrorView> = innermost
            .map(|(_, failure)| ErrorView {
                trace_id: failure.trace_id,
                span_id: failure.span_id,
                name: failure.name.clone(),
                label: failure.label.clone(),
                error_type: failure.error_type.clone(),
                message: failure.message.clone(),
                time_unix_nano: failure.time_unix_nano,
            })
            .collect();
        views.sort_by_key(|view| view.time_unix_nano);
        views
    }
}
