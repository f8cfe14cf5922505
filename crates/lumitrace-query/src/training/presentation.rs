//! From a folded run to the answers that pages show.

use std::collections::HashMap;

use lumitrace_model::SpanId;

use super::RunId;
use super::fold::{Failure, Row, RunFold, Table};
use super::metrics::{BATCH_SIZE, EPOCH_VAL_LOSS, LOSS, TRAIN_LOSS, VAL_LOSS, VAL_METRIC};
use super::recognition::Role;
use super::view::{
    BatchPage, BatchRow, EpochView, ErrorView, Metric, PhaseView, RunState, RunView, StageState,
    StepTime, ValidationView,
};
use crate::facts::SpanState;
use crate::recent::SpanKey;

/// Over how many of the newest batches the throughput is taken.
const THROUGHPUT_BATCHES: usize = 1000;

/// Batches that belong together: those of an epoch, or of what may be one.
struct Batches {
    /// The epoch's row, where its span arrived.
    epoch: Option<u32>,
    /// Rows of the batches, by start.
    steps: Vec<u32>,
}

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

    /// Batches by epoch in order of start. Batches without one stand together by what they tell of
    /// it: its number, or else the parent they name, unless that is the run's root.
    fn batches_by_epoch(&self) -> Vec<Batches> {
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
    fn shown_span(&self, group: &Batches) -> (lumitrace_model::TraceId, SpanId) {
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

    fn epoch_view(
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
    fn validations_by_epoch(
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

    fn phase_views(&self, now_unix_nano: u64) -> Vec<PhaseView> {
        let is_of_an_epoch = |key: SpanKey| {
            let row = self.validations.row_of(key);
            row.is_some_and(|row| {
                self.epoch_of_validation(&self.validations.rows[row as usize])
                    .is_some()
            })
        };
        let phases = self
            .phases
            .iter()
            .filter(|((_, key), _)| !is_of_an_epoch(*key));
        phases
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

    fn step_time(&self, groups: &[Batches]) -> Option<StepTime> {
        let finished = self.steps.rows.iter().filter(|row| !row.pending);
        let mut durations: Vec<u64> = finished.map(Row::duration_nano).collect();
        let mut gaps: Vec<u64> = Vec::new();
        let pauses = self.pauses();
        for group in groups {
            let mut previous: HashMap<u16, u64> = HashMap::new();
            for &step in &group.steps {
                let row = &self.steps.rows[step as usize];
                let ended = previous.insert(row.process, row.end_unix_nano);
                if let Some(ended) = ended.filter(|&ended| ended <= row.start_unix_nano) {
                    let paused = overlap(&pauses, ended, row.start_unix_nano);
                    gaps.push((row.start_unix_nano - ended).saturating_sub(paused));
                }
            }
        }
        Some(StepTime {
            p50_nano: percentile(&mut durations, 50)?,
            p95_nano: percentile(&mut durations, 95)?,
            between_p50_nano: percentile(&mut gaps, 50),
        })
    }

    /// Start and end of validations and of phases other than loading, by start: time between
    /// batches that is no wait for data.
    fn pauses(&self) -> Vec<(u64, u64)> {
        let validations = self.validations.rows.iter();
        let phases = self.phases.values().map(|record| &record.span);
        let phases = phases.filter(|span| self.names.role(&span.name) == Role::Phase);
        let mut pauses: Vec<(u64, u64)> = validations
            .map(|row| (row.start_unix_nano, row.end_unix_nano))
            .chain(phases.map(|span| (span.start_unix_nano, span.end_unix_nano)))
            .collect();
        pauses.sort_unstable();
        pauses
    }

    fn recent_samples_per_second(&self) -> Option<f64> {
        let newest = (0..self.steps.rows.len() as u32)
            .rev()
            .take(THROUGHPUT_BATCHES);
        self.samples_per_second(newest)
    }

    fn samples_per_second(&self, steps: impl Iterator<Item = u32>) -> Option<f64> {
        let (samples, nanos) = steps.fold((0.0, 0_u64), |(samples, nanos), step| {
            let row = &self.steps.rows[step as usize];
            match self.steps.metric(step, BATCH_SIZE).filter(|_| !row.pending) {
                Some(size) if size.is_finite() => {
                    (samples + size, nanos.saturating_add(row.duration_nano()))
                }
                _ => (samples, nanos),
            }
        });
        (nanos > 0).then(|| samples * 1e9 / nanos as f64)
    }

    /// What is left of the plan, at the median duration of the finished epochs.
    fn eta_nano(&self, now_unix_nano: u64) -> Option<u64> {
        let total = self.digest.total_epochs()?;
        let finished = self
            .epochs
            .rows
            .iter()
            .filter(|row| !row.pending && !row.is_error());
        let mut durations: Vec<u64> = finished.map(Row::duration_nano).collect();
        let typical = percentile(&mut durations, 50)?;
        let latest = self
            .epochs
            .rows
            .iter()
            .max_by_key(|row| row.start_unix_nano)?;
        let number = i64::from(latest.indices.epoch?) - self.digest.first_epoch() + 1;
        let after_this = u64::try_from(total - number)
            .unwrap_or(0)
            .saturating_mul(typical);
        let elapsed = now_unix_nano.saturating_sub(latest.start_unix_nano);
        let of_this = if latest.pending {
            typical.saturating_sub(elapsed)
        } else {
            0
        };
        Some(after_this.saturating_add(of_this))
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

/// The value below which this percentage of `values` lies; reorders them.
fn percentile(values: &mut [u64], percent: usize) -> Option<u64> {
    let last = values.len().checked_sub(1)?;
    let (_, value, _) = values.select_nth_unstable((values.len() * percent / 100).min(last));
    Some(*value)
}

/// How much of the time from `start` to `end` the intervals take, which are ordered by start.
fn overlap(intervals: &[(u64, u64)], start: u64, end: u64) -> u64 {
    let until = intervals.partition_point(|&(other_start, _)| other_start < end);
    let overlapping = intervals[..until]
        .iter()
        .rev()
        .take_while(|&&(other_start, _)| other_start >= start);
    overlapping
        .map(|&(other_start, other_end)| other_end.min(end).saturating_sub(other_start))
        .fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{SECOND, SpanBuilder, T0, span};
    use crate::training::recognition::TrainingNames;
    use proptest::prelude::*;

    fn fold(spans: impl IntoIterator<Item = SpanBuilder>) -> RunFold {
        let mut fold = RunFold::new(TrainingNames::default());
        spans
            .into_iter()
            .for_each(|span| fold.observe(&span.record()));
        fold
    }

    fn view(spans: impl IntoIterator<Item = SpanBuilder>, after: f64) -> RunView {
        fold(spans).view(RunId(7), 1, T0 + (after * SECOND as f64) as u64)
    }

    /// The page as text: what a person would compare.
    fn render(view: &RunView) -> Vec<String> {
        let number = |name: &str, value: Option<f64>| {
            value
                .map(|value| format!(" {name} {value}"))
                .unwrap_or_default()
        };
        let seconds = |nanos: u64| nanos as f64 / SECOND as f64;
        let mut lines = vec![format!(
            "run {} batches {} errors {}",
            view.summary.state.as_str(),
            view.summary.batch_count,
            view.summary.error_count
        )];
        for epoch in &view.epochs {
            lines.push(format!(
                "epoch {:?} {} batches {}{}{}",
                epoch.label,
                epoch.state.as_str(),
                epoch.batch_count,
                number("train_loss", epoch.train_loss),
                number("val_loss", epoch.val_loss),
            ));
            lines.extend(epoch.validations.iter().map(|validation| {
                let metrics = validation.metrics.iter();
                let metrics: String = metrics
                    .map(|metric| number(&metric.name, Some(metric.value)))
                    .collect();
                format!("  validation{metrics}")
            }));
        }
        lines.extend(
            view.phases
                .iter()
                .map(|phase| format!("phase {} {} s", phase.name, seconds(phase.duration_nano))),
        );
        lines.extend(view.errors.iter().map(|error| {
            format!(
                "error {}{}: {} {}",
                error.name,
                error.label.as_deref().unwrap_or_default(),
                error.error_type.as_deref().unwrap_or_default(),
                error.message.as_deref().unwrap_or_default(),
            )
        }));
        lines.extend(view.series.iter().map(|series| {
            let better = series.better.map_or("", |better| better.as_str());
            let (group, x, count) = (series.group.as_str(), series.x.as_str(), series.point_count);
            format!(
                "{group} {} by {x}: {count} points, last {} {better}",
                series.name, series.last
            )
        }));
        lines
    }

    fn check(spans: impl IntoIterator<Item = SpanBuilder>, after: f64, expected: &[&str]) {
        assert_eq!(render(&view(spans, after)), expected);
    }

    fn epoch(id: u64, number: i64, start: f64) -> SpanBuilder {
        let span = span("training_epoch", id).at(start, start + 10.0).parent(1);
        span.with("epoch", number)
            .with("total_epochs", 3)
            .with("train_loss", 1.0 / number as f64)
    }

    fn batch(id: u64, epoch: u64, index: i64, start: f64) -> SpanBuilder {
        let span = span("batch_processing", id)
            .parent(epoch)
            .at(start, start + 1.0);
        span.with("batch_index", index)
            .with("batch_size", 32)
            .with("loss", 1.0 / id as f64)
    }

    /// Three epochs of two batches and a validation, with loading before and a root around.
    fn whole_run() -> Vec<SpanBuilder> {
        let mut spans = vec![
            span("train", 1).at(0.0, 40.0).with("learning_rate", 0.001),
            span("data_loading", 2)
                .parent(1)
                .at(0.0, 2.0)
                .with("pair", "gbpusd"),
        ];
        for number in 1..=3_u64 {
            let (id, start) = (number * 10, number as f64 * 10.0);
            spans.push(epoch(id, number as i64, start));
            spans.push(batch(id + 1, id, 0, start));
            spans.push(batch(id + 2, id, 1, start + 3.0));
            let validation = span("validation", id + 3)
                .parent(id)
                .at(start + 8.0, start + 9.0);
            spans.push(
                validation
                    .with("val_loss", 2.0 / number as f64)
                    .with("val.dir_acc", 0.5),
            );
        }
        spans
    }

    const WHOLE_RUN: [&str; 13] = [
        "run finished batches 6 errors 0",
        "epoch \"1/3\" complete batches 2 train_loss 1 val_loss 2",
        "  validation val.dir_acc 0.5 val_loss 2",
        "epoch \"2/3\" complete batches 2 train_loss 0.5 val_loss 1",
        "  validation val.dir_acc 0.5 val_loss 1",
        "epoch \"3/3\" complete batches 2 train_loss 0.3333333333333333 val_loss 0.6666666666666666",
        "  validation val.dir_acc 0.5 val_loss 0.6666666666666666",
        "phase data_loading 2 s",
        "loss loss by step: 6 points, last 0.03125 lower",
        "validation val.dir_acc by epoch: 3 points, last 0.5 higher",
        "validation val_loss by epoch: 3 points, last 0.6666666666666666 lower",
        "epoch train_loss by epoch: 3 points, last 0.3333333333333333 lower",
        "other batch_size by step: 6 points, last 32 ",
    ];

    #[test]
    fn a_whole_run_is_shown_with_all_its_parts() {
        let view = view(whole_run(), 50.0);
        assert_eq!(render(&view), WHOLE_RUN);
        assert_eq!(view.parameters[0].key, "learning_rate");
        let second = |seconds: f64| (seconds * SECOND as f64) as u64;
        let step_time = view.step_time.unwrap();
        assert_eq!(
            (step_time.p50_nano, step_time.p95_nano),
            (second(1.0), second(1.0))
        );
        assert_eq!(step_time.between_p50_nano, Some(second(2.0)));
        assert_eq!(view.samples_per_second, Some(32.0));
        assert_eq!(
            (view.summary.best_val_loss, view.eta_nano),
            (Some(2.0 / 3.0), None)
        );
    }

    proptest! {
        #[test]
        fn spans_may_come_in_any_order_and_more_than_once(
            order in Just((0..14_usize).collect::<Vec<_>>()).prop_shuffle(),
            announced_first in any::<bool>(),
        ) {
            let spans = whole_run();
            let mut shuffled: Vec<_> = order.iter().map(|&index| spans[index].clone()).collect();
            let announced = shuffled.iter().map(|span| span.clone().pending()).collect::<Vec<_>>();
            let place = if announced_first { 0 } else { 7 };
            shuffled.splice(place..place, announced);
            let view = view(shuffled, 500.0);
            prop_assert_eq!(render(&view), &WHOLE_RUN);
        }
    }

    #[test]
    fn a_run_in_progress_shows_its_open_epoch_and_when_it_may_end() {
        let spans = [
            span("train", 1).at(0.0, 23.0).pending(),
            epoch(10, 1, 10.0),
            epoch(20, 2, 20.0).at(20.0, 23.0).pending(),
            batch(21, 20, 0, 20.0),
        ];
        let view = view(spans, 24.0);
        assert_eq!(
            view.eta_nano,
            Some(16 * SECOND),
            "6 s of this epoch and 10 s of the next"
        );
        assert_eq!(
            render(&view)[..3],
            [
                "run running batches 1 errors 0",
                "epoch \"1/3\" complete batches 0 train_loss 1",
                "epoch \"2/3\" running batches 1 train_loss 0.5",
            ]
        );
    }

    #[test]
    fn batches_show_before_the_span_of_their_epoch_arrives() {
        let spans = [
            epoch(10, 1, 10.0),
            batch(21, 20, 0, 21.0),
            batch(22, 20, 1, 22.0),
        ];
        let view = view(spans.clone(), 24.0);
        assert_eq!(render(&view)[2], "epoch \"\" running batches 2");
        let page = |epoch: SpanId| fold(spans.clone()).batch_page(epoch, (1, 10), T0).unwrap();
        let page = page(view.epochs[1].span_id);
        assert_eq!((page.total, page.batches.len()), (2, 1));
        assert_eq!(page.batches[0].label.as_deref(), Some("(1)"));
        assert_eq!(page.batches[0].batch_size, Some(32.0));
    }

    #[test]
    fn names_with_numbers_and_traces_of_their_own_make_the_same_page() {
        let own =
            |name: &str, id: u64, start: f64, end: f64| span(name, id).trace(id).at(start, end);
        check(
            [
                own("batch_1", 1, 1.0, 2.0)
                    .with("step", 1)
                    .with("loss", 0.5),
                own("batch_2", 2, 2.0, 3.0)
                    .with("step", 2)
                    .with("loss", "0.25"),
                own("validation_1", 3, 4.0, 5.0).with("val.rmse", 0.125),
                own("epoch_1", 4, 0.0, 6.0).with("train_loss", 0.5),
                own("batch_1", 5, 7.0, 8.0)
                    .with("step", 1)
                    .with("loss", f64::NAN),
                own("epoch_2", 6, 6.0, 9.0).with("train_loss", f64::NAN),
            ],
            500.0,
            &[
                "run finished batches 3 errors 0",
                "epoch \"1\" complete batches 2 train_loss 0.5",
                "  validation val.rmse 0.125",
                "epoch \"2\" complete batches 1 train_loss NaN",
                "loss loss by step: 3 points, last NaN lower",
                "validation val.rmse by epoch: 1 points, last 0.125 lower",
                "epoch train_loss by epoch: 2 points, last NaN lower",
            ],
        );
    }

    #[test]
    fn a_repeated_epoch_after_a_resume_stands_beside_the_first() {
        check(
            [
                epoch(10, 1, 10.0),
                epoch(20, 2, 20.0).failed("killed"),
                epoch(30, 2, 60.0),
                epoch(40, 3, 70.0),
            ],
            500.0,
            &[
                "run finished batches 0 errors 1",
                "epoch \"1/3\" complete batches 0 train_loss 1",
                "epoch \"2/3\" failed batches 0 train_loss 0.5",
                "epoch \"2/3\" complete batches 0 train_loss 0.5",
                "epoch \"3/3\" complete batches 0 train_loss 0.3333333333333333",
                "error training_epoch(2/3):  killed",
                "epoch train_loss by epoch: 4 points, last 0.3333333333333333 lower",
            ],
        );
    }

    #[test]
    fn an_error_is_shown_once_where_it_began() {
        let spans = [
            span("train", 1)
                .at(0.0, 15.0)
                .exception("ValueError", "bad batch"),
            epoch(10, 1, 10.0).exception("ValueError", "bad batch"),
            batch(11, 10, 37, 10.0).exception("ValueError", "bad batch"),
        ];
        let view = view(spans, 20.0);
        let errors: Vec<_> = view
            .errors
            .iter()
            .map(|error| error.label.as_deref())
            .collect();
        assert_eq!(errors, [Some("(37)")]);
        assert_eq!(
            (view.summary.error_count, view.epochs[0].error_count),
            (3, 2)
        );
        assert_eq!(view.summary.state, RunState::Failed);
    }

    #[test]
    fn an_error_that_is_delivered_twice_counts_once() {
        let failed = |name: &str, id| {
            let span = span(name, id).parent(10).at(11.0, 12.0);
            span.exception("OSError", "disk full")
        };
        let spans = [
            epoch(10, 1, 10.0),
            failed("write_log", 11),
            failed("backward", 12),
            failed("save_checkpoint", 13),
            failed("batch_processing", 14),
        ];
        let twice = [spans.clone(), spans].concat();
        let view = view(twice, 20.0);
        assert_eq!((view.summary.error_count, view.errors.len()), (4, 4));
    }

    #[test]
    fn a_final_test_and_constants_make_no_curves() {
        let evaluation = span("evaluation", 50)
            .parent(1)
            .at(41.0, 43.0)
            .with("val_loss", 0.5)
            .with("test_accuracy", 0.5);
        let mut spans = whole_run();
        for span in &mut spans {
            *span = span.clone().with("num_samples", 1000);
        }
        spans.push(evaluation);
        let view = view(spans, 50.0);
        let curves: Vec<_> = view
            .series
            .iter()
            .map(|series| (series.name.as_str(), series.point_count))
            .collect();
        assert_eq!(
            curves,
            [
                ("loss", 6),
                ("val.dir_acc", 3),
                ("val_loss", 3),
                ("train_loss", 3),
                ("batch_size", 6)
            ]
        );
        let phase = view.phases.iter().find(|phase| phase.name == "evaluation");
        assert_eq!(phase.unwrap().attributes[1].key, "test_accuracy");
    }

    #[test]
    fn time_between_batches_leaves_validation_and_checkpoints_out() {
        let spans = [
            epoch(10, 1, 0.0),
            batch(11, 10, 0, 0.0),
            span("validation", 12).parent(10).at(1.0, 4.0),
            span("save_checkpoint", 13).parent(10).at(4.0, 6.0),
            span("data_loading", 14).parent(10).at(6.0, 7.0),
            batch(15, 10, 1, 8.0),
        ];
        let step_time = view(spans, 20.0).step_time.unwrap();
        assert_eq!(step_time.between_p50_nano, Some(2 * SECOND));
    }

    #[test]
    fn an_evaluation_outside_all_epochs_is_a_phase() {
        let evaluation = span("evaluation", 50)
            .parent(1)
            .at(41.0, 43.0)
            .with("val.rmse", 0.5);
        let view = view([whole_run(), vec![evaluation]].concat(), 50.0);
        let phases: Vec<_> = view
            .phases
            .iter()
            .map(|phase| phase.name.as_str())
            .collect();
        assert_eq!(phases, ["data_loading", "evaluation"]);
    }
}
