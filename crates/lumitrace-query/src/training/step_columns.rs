//! Batches as columns of numbers: what is kept of a run's steps beside the blocks that hold their spans,
//! so that a curve of a million steps is drawn without reading a million spans.
//!
//! Ids that repeat are numbered, and what counts up is kept as the difference to the row before.

use hashbrown::HashMap;
use lumitrace_model::{SpanId, StatusCode, TraceId};
use serde::{Deserialize, Serialize};

use super::fold::Row;
use super::recognition::{Indices, StepSource};

/// Most metrics of one part; a span with others is read instead.
const METRICS: usize = 2000;

/// The steps of one part of a run, in the order of their block.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct StepColumns {
    traces: Vec<TraceId>,
    parents: Vec<SpanId>,
    processes: Vec<u64>,
    /// By row, as all below: places in the lists above; of a step without a parent zero, of others
    /// their place and one.
    trace: Vec<u32>,
    parent: Vec<u32>,
    process: Vec<u32>,
    span_ids: Vec<SpanId>,
    /// Differences.
    starts_unix_nano: Vec<i64>,
    durations_nano: Vec<u64>,
    is_ok: Vec<bool>,
    sources: Vec<u8>,
    epochs: Vec<Option<i32>>,
    total_epochs: Vec<Option<i32>>,
    /// Differences to the last step that has one.
    steps: Vec<Option<i64>>,
    batches: Vec<Option<i64>>,
    metrics: Vec<MetricColumn>,
}

/// The values of one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct MetricColumn {
    name: String,
    /// Differences.
    rows: Vec<u32>,
    values: Vec<f64>,
}

/// One step that was read back, without its metrics.
pub(crate) struct Step {
    pub(super) row: Row,
    pub(super) process: u64,
}

/// Collects [`StepColumns`].
#[derive(Debug, Default)]
pub(super) struct StepColumnsBuilder {
    columns: StepColumns,
    traces: HashMap<TraceId, u32>,
    parents: HashMap<SpanId, u32>,
    processes: HashMap<u64, u32>,
    metrics: HashMap<String, usize>,
    /// The row after the last one of each metric.
    metric_rows: Vec<u32>,
    start_unix_nano: u64,
    step: i64,
    batch: i64,
}

impl StepColumnsBuilder {
    pub(super) fn len(&self) -> usize {
        self.columns.span_ids.len()
    }

    /// Adds a step that has ended, and not failed. False if it has too many metrics: then it is not
    /// added.
    pub(super) fn push<'a>(
        &mut self,
        row: &Row,
        process: u64,
        metrics: impl Iterator<Item = (&'a str, f64)>,
    ) -> bool {
        let metrics: Vec<_> = metrics.collect();
        if self.metrics.len() + metrics.len() > METRICS {
            return false;
        }
        let number = self.len() as u32;
        let columns = &mut self.columns;
        let place = place_of(&mut self.traces, &mut columns.traces, row.trace_id);
        columns.trace.push(place);
        let parent = row.parent_span_id;
        let parent = parent.map(|id| place_of(&mut self.parents, &mut columns.parents, id) + 1);
        columns.parent.push(parent.unwrap_or(0));
        let process = place_of(&mut self.processes, &mut columns.processes, process);
        columns.process.push(process);
        columns.span_ids.push(row.span_id);
        let start = row.start_unix_nano;
        let difference = start.wrapping_sub(self.start_unix_nano) as i64;
        columns.starts_unix_nano.push(difference);
        self.start_unix_nano = start;
        // Also of a clock that ran backwards, modulo 2^64.
        columns
            .durations_nano
            .push(row.end_unix_nano.wrapping_sub(start));
        columns.is_ok.push(row.status == StatusCode::Ok);
        columns
            .sources
            .push(code_of_source(row.indices.step_source));
        columns.epochs.push(row.indices.epoch);
        columns.total_epochs.push(row.indices.total_epochs);
        columns
            .steps
            .push(difference_to(&mut self.step, row.indices.step));
        columns
            .batches
            .push(difference_to(&mut self.batch, row.indices.batch));
        for (name, value) in metrics {
            self.push_metric(number, name, value);
        }
        true
    }

    fn push_metric(&mut self, row: u32, name: &str, value: f64) {
        let place = match self.metrics.get(name) {
            Some(place) => *place,
            None => {
                let place = self.columns.metrics.len();
                self.metrics.insert(name.to_owned(), place);
                self.metric_rows.push(0);
                self.columns.metrics.push(MetricColumn {
                    name: name.to_owned(),
                    rows: Vec::new(),
                    values: Vec::new(),
                });
                place
            }
        };
        let (column, next) = (
            &mut self.columns.metrics[place],
            &mut self.metric_rows[place],
        );
        match column.values.last_mut() {
            // Of several with one key the last one counts, as it does where spans are read.
            Some(last) if *next == row + 1 => *last = value,
            _ => {
                column.rows.push(row - *next);
                column.values.push(value);
                *next = row + 1;
            }
        }
    }

    /// What was collected. Nothing is left.
    pub(super) fn take(&mut self) -> StepColumns {
        std::mem::take(self).columns
    }
}

/// The number of `item` in `list`, which it is added to.
fn place_of<T: Copy + Eq + std::hash::Hash>(
    places: &mut HashMap<T, u32>,
    list: &mut Vec<T>,
    item: T,
) -> u32 {
    *places.entry(item).or_insert_with(|| {
        list.push(item);
        list.len() as u32 - 1
    })
}

fn difference_to(last: &mut i64, value: Option<i64>) -> Option<i64> {
    let difference = value?.wrapping_sub(*last);
    *last = value?;
    Some(difference)
}

fn sum_with(last: &mut i64, difference: Option<i64>) -> Option<i64> {
    *last = last.wrapping_add(difference?);
    Some(*last)
}

fn code_of_source(source: StepSource) -> u8 {
    match source {
        StepSource::None => 0,
        StepSource::Global => 1,
        StepSource::Step => 2,
        StepSource::Batch => 3,
        StepSource::Name => 4,
    }
}

fn source_of_code(code: u8) -> Option<StepSource> {
    Some(match code {
        0 => StepSource::None,
        1 => StepSource::Global,
        2 => StepSource::Step,
        3 => StepSource::Batch,
        4 => StepSource::Name,
        _ => return None,
    })
}

impl StepColumns {
    /// Reads what the digester wrote; `None` if it is something else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }

    /// The steps; `None` if the columns do not fit together.
    pub(crate) fn steps(&self) -> Option<Vec<Step>> {
        let len = self.span_ids.len();
        let lengths = [
            self.trace.len(),
            self.parent.len(),
            self.process.len(),
            self.starts_unix_nano.len(),
            self.durations_nano.len(),
            self.is_ok.len(),
            self.sources.len(),
            self.epochs.len(),
            self.total_epochs.len(),
            self.steps.len(),
            self.batches.len(),
        ];
        if lengths.iter().any(|other| *other != len) {
            return None;
        }
        let (mut start, mut step, mut batch) = (0_u64, 0, 0);
        let read = |number: usize| {
            start = start.wrapping_add(self.starts_unix_nano[number] as u64);
            let parent = match self.parent[number] {
                0 => None,
                place => Some(*self.parents.get(place as usize - 1)?),
            };
            let indices = Indices {
                epoch: self.epochs[number],
                epoch_in_name: false,
                total_epochs: self.total_epochs[number],
                step: sum_with(&mut step, self.steps[number]),
                step_source: source_of_code(self.sources[number])?,
                batch: sum_with(&mut batch, self.batches[number]),
            };
            let row = Row {
                trace_id: *self.traces.get(self.trace[number] as usize)?,
                span_id: self.span_ids[number],
                parent_span_id: parent,
                start_unix_nano: start,
                end_unix_nano: start.wrapping_add(self.durations_nano[number]),
                indices,
                epoch: None,
                process: 0,
                pending: false,
                status: match self.is_ok[number] {
                    true => StatusCode::Ok,
                    false => StatusCode::Unset,
                },
                is_evaluation: false,
            };
            let process = *self.processes.get(self.process[number] as usize)?;
            Some(Step { row, process })
        };
        (0..len).map(read).collect()
    }

    /// Hands each metric's name, and its values with their rows, to `visit`; `None` if they do not fit
    /// the steps.
    pub(super) fn visit_metrics(&self, mut visit: impl FnMut(&str, &[(usize, f64)])) -> Option<()> {
        for column in &self.metrics {
            let mut next = 0_usize;
            let mut values = Vec::with_capacity(column.rows.len());
            for (difference, value) in column.rows.iter().zip(&column.values) {
                let row = next.checked_add(*difference as usize)?;
                values.push((row, *value));
                next = row + 1;
            }
            if next > self.span_ids.len() || column.rows.len() != column.values.len() {
                return None;
            }
            visit(&column.name, &values);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{span, span_id, trace_id};
    use crate::training::digest::Observed;
    use crate::training::fold::RunFold;
    use crate::training::metrics::metrics_of;
    use crate::training::recognition::TrainingNames;

    #[test]
    fn steps_come_back_from_columns_as_they_were() {
        let mut builder = StepColumnsBuilder::default();
        let mut rows = Vec::new();
        for id in [3_u64, 1, 2] {
            let span = span("batch_7", id)
                .trace(id % 2 + 1)
                .at(id as f64, id as f64 + 0.5);
            let record = match id {
                1 => span.parent(9).with("step", 5),
                2 => span
                    .with("epoch", 1)
                    .with("batch_index", -3)
                    .with("loss", f64::NAN),
                _ => span
                    .with("global_step", i64::MIN)
                    .with("loss", 0.5)
                    .with("lr", 1e-3),
            }
            .record();
            let names = TrainingNames::default();
            let row = Row::of(&Observed::new(&record, &names), 0);
            assert!(builder.push(&row, id / 2, metrics_of(&record.span)));
            rows.push((format!("{row:?}"), id / 2));
        }
        let columns = builder.take();
        assert_eq!(builder.len(), 0);
        let bytes = postcard::to_stdvec(&columns).unwrap();
        let columns: StepColumns = postcard::from_bytes(&bytes).unwrap();
        let steps = columns.steps().unwrap();
        let read: Vec<_> = steps
            .iter()
            .map(|step| (format!("{:?}", step.row), step.process))
            .collect();
        assert_eq!(read, rows);
        let mut metrics = Vec::new();
        columns.visit_metrics(|name, values| {
            metrics.push(format!("{name} {values:?}"));
        });
        assert_eq!(metrics, ["loss [(0, 0.5), (2, NaN)]", "lr [(0, 0.001)]"]);
    }

    #[test]
    fn columns_that_do_not_fit_together_are_refused() {
        let columns = StepColumns {
            span_ids: vec![span_id(1)],
            traces: vec![trace_id(1)],
            ..StepColumns::default()
        };
        assert!(columns.steps().is_none());
        let metric = MetricColumn {
            name: "loss".to_owned(),
            rows: vec![1],
            values: vec![0.5],
        };
        let columns = StepColumns {
            metrics: vec![metric],
            ..columns
        };
        assert_eq!(columns.visit_metrics(|_, _| {}), None);
    }

    proptest! {
        #[test]
        fn changed_bytes_are_read_or_refused(changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
            let names = TrainingNames::default();
            let mut builder = StepColumnsBuilder::default();
            for id in 1..20 {
                let record = span("batch", id).with("step", id as i64).with("loss", 0.5).record();
                let row = Row::of(&Observed::new(&record, &names), 0);
                prop_assert!(builder.push(&row, 7, metrics_of(&record.span)));
            }
            let mut bytes = postcard::to_stdvec(&builder.take()).unwrap();
            for (place, byte) in changes {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            if let Some(columns) = StepColumns::decode(&bytes) {
                let mut fold = RunFold::new(names);
                if fold.add_steps(&columns).is_some() {
                    fold.visit_curves(&[], &mut |_| {});
                }
            }
        }
    }
}
