//! The x axis of a run's curves, and their points.
//!
//! A step that counts within its epoch becomes `epoch * steps per epoch + step`. Points go process
//! by process in order of time, so a training that resumed from a checkpoint, or another rank,
//! shows as a step that is lower than the one before: a branch, never a silent overwrite.

use std::collections::BTreeMap;

use super::fold::{Row, RunFold, Table};
use super::metrics::{
    Column, LOSS_AT_STEP, SeriesGroup, SeriesInfo, XAxis, better, group, is_curve,
};
use super::recognition::{Role, StepSource};
use crate::series::Point;

/// A curve with all its points.
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) group: SeriesGroup,
    pub(crate) x: XAxis,
    pub(crate) points: Vec<Point>,
}

impl Curve {
    fn info(&self) -> Option<SeriesInfo> {
        let last = self
            .points
            .iter()
            .max_by_key(|point| point.time_unix_nano)?;
        let finite = || {
            self.points
                .iter()
                .map(|point| point.value)
                .filter(|value| value.is_finite())
        };
        Some(SeriesInfo {
            name: self.name.clone(),
            group: self.group,
            better: better(&self.name),
            x: self.x,
            point_count: self.points.len() as u64,
            last: last.value,
            min: finite().reduce(f64::min),
            max: finite().reduce(f64::max),
        })
    }
}

/// The order of a table's rows and the x of each.
struct Axis {
    x: XAxis,
    /// By row.
    values: Vec<i64>,
    /// By row: its place in the order of process and time.
    places: Vec<u32>,
}

impl Axis {
    fn points(&self, table: &Table, column: &Column) -> Vec<Point> {
        let mut rows: Vec<(u32, f64)> = column
            .iter()
            .filter(|&(row, _)| !table.rows[row as usize].is_final_test())
            .collect();
        rows.sort_by_key(|&(row, _)| self.places[row as usize]);
        let point = |(row, value): (u32, f64)| Point {
            step: self.values[row as usize],
            time_unix_nano: table.rows[row as usize].end_unix_nano,
            value,
        };
        rows.into_iter().map(point).collect()
    }
}

impl RunFold {
    /// The curves there are, by chart and name.
    pub(super) fn series_infos(&mut self) -> Vec<SeriesInfo> {
        if let Some(infos) = &self.series_infos {
            return infos.clone();
        }
        let mut infos = Vec::new();
        self.visit_curves(&[], &mut |curve| infos.extend(curve.info()));
        infos.sort_by(|one, other| {
            (one.group, &one.name, one.x).cmp(&(other.group, &other.name, other.x))
        });
        self.series_infos = Some(infos.clone());
        infos
    }

    /// Makes the curves with these names, or all if there are no names, one after the other: each
    /// may be large.
    ///
    /// What validations tell under a name replaces what epochs tell under the same.
    pub(crate) fn visit_curves(&self, names: &[String], visit: &mut dyn FnMut(Curve)) {
        let is_wanted = |name: &str| {
            is_curve(name) && (names.is_empty() || names.iter().any(|wanted| wanted == name))
        };
        let told_by_validations = |name: &str| {
            let column = self.validations.columns.get(name);
            column.is_some_and(|column| {
                let mut rows = column.iter().map(|(row, _)| row);
                rows.any(|row| !self.validations.rows[row as usize].is_final_test())
            })
        };
        let tables = [
            (Role::Step, &self.steps, self.step_axis()),
            (Role::Epoch, &self.epochs, self.epoch_axis()),
            (Role::Validation, &self.validations, self.validation_axis()),
        ];
        for (role, table, axis) in tables {
            for (name, column) in &table.columns {
                if is_wanted(name) && !(role == Role::Epoch && told_by_validations(name)) {
                    let points = axis.points(table, column);
                    if points.is_empty() {
                        continue;
                    }
                    visit(Curve {
                        name: name.clone(),
                        group: group(name, role),
                        x: axis.x,
                        points,
                    });
                }
            }
        }
        if let Some(curve) = self
            .losses_at_steps()
            .filter(|curve| is_wanted(&curve.name))
        {
            visit(curve);
        }
    }

    fn losses_at_steps(&self) -> Option<Curve> {
        let has_losses = |epoch: &u32| {
            !self.epoch_contents[*epoch as usize]
                .losses_at_steps
                .is_empty()
        };
        let order = self.epochs_in_order();
        let ordinals = self.epoch_ordinals();
        let in_points = self.epoch_contents.iter().filter_map(|content| {
            content
                .losses_at_steps
                .last_key_value()
                .map(|(&step, _)| step.saturating_add(1))
        });
        let steps_per_epoch = self.steps_per_epoch().or(in_points.max())?;
        let epochs: Vec<u32> = order.into_iter().filter(has_losses).collect();
        let count_on = self.losses_count_on(&epochs);
        let points = epochs.into_iter().flat_map(|epoch| {
            let offset = if count_on {
                0
            } else {
                ordinals[epoch as usize].saturating_mul(steps_per_epoch)
            };
            let time_unix_nano = self.epochs.rows[epoch as usize].end_unix_nano;
            let losses = &self.epoch_contents[epoch as usize].losses_at_steps;
            losses.iter().map(move |(&step, &value)| Point {
                step: offset.saturating_add(step),
                time_unix_nano,
                value,
            })
        });
        let points: Vec<Point> = points.collect();
        (!points.is_empty()).then(|| Curve {
            name: LOSS_AT_STEP.to_owned(),
            group: SeriesGroup::Loss,
            x: XAxis::Step,
            points,
        })
    }

    /// Whether the N of `loss_at_step_N` counts through the whole training: each epoch then begins
    /// beyond where the one before ended.
    fn losses_count_on(&self, epochs: &[u32]) -> bool {
        let losses = |epoch: &u32| &self.epoch_contents[*epoch as usize].losses_at_steps;
        epochs.windows(2).all(|pair| {
            let last = losses(&pair[0]).last_key_value();
            let first = losses(&pair[1]).first_key_value();
            matches!((last, first), (Some(last), Some(first)) if first.0 > last.0)
        })
    }

    /// The steps of the whole training, whatever the program counts.
    fn step_axis(&self) -> Axis {
        let rows = &self.steps.rows;
        let places = places(rows);
        let steps_per_epoch = self.steps_per_epoch().unwrap_or(0);
        let ordinals = self.epoch_ordinals();
        let step_is_local = self.step_starts_anew();
        let open_epoch = ordinals.iter().max().map_or(0, |last| last + 1);
        let value = |(row, place): (&Row, &u32)| {
            let Some(step) = row.indices.step else {
                return i64::from(*place);
            };
            let is_local = match row.indices.step_source {
                StepSource::Global | StepSource::None => false,
                StepSource::Step => step_is_local,
                StepSource::Batch | StepSource::Name => true,
            };
            if !is_local {
                return step;
            }
            let named = || Some(i64::from(row.indices.epoch?) - self.digest.first_epoch());
            let ordinal = row
                .epoch
                .map(|epoch| ordinals[epoch as usize])
                .or_else(named);
            let ordinal = ordinal.unwrap_or(open_epoch);
            ordinal.saturating_mul(steps_per_epoch).saturating_add(step)
        };
        Axis {
            x: XAxis::Step,
            values: rows.iter().zip(&places).map(value).collect(),
            places,
        }
    }

    fn epoch_axis(&self) -> Axis {
        let ordinals = self.epoch_ordinals();
        let number = |(row, ordinal): (&Row, i64)| row.indices.epoch.map_or(ordinal, i64::from);
        let values = self.epochs.rows.iter().zip(ordinals).map(number).collect();
        Axis {
            x: XAxis::Epoch,
            values,
            places: places(&self.epochs.rows),
        }
    }

    /// Validations count by epoch, unless they tell their step and an epoch has several.
    fn validation_axis(&self) -> Axis {
        let rows = &self.validations.rows;
        let places = places(rows);
        let epoch_number = |row: &Row| match row.indices.epoch {
            Some(number) => Some(i64::from(number)),
            None => {
                let epoch = self.epoch_of_validation(row)?;
                self.epochs.rows[epoch as usize]
                    .indices
                    .epoch
                    .map(i64::from)
            }
        };
        let epochs: Vec<Option<i64>> = rows.iter().map(epoch_number).collect();
        let mut distinct: Vec<_> = epochs.iter().flatten().collect();
        distinct.sort_unstable();
        distinct.dedup();
        let shown = || rows.iter().filter(|row| !row.is_final_test());
        let have_steps = shown().all(|row| row.indices.step.is_some());
        if have_steps && distinct.len() < shown().count() {
            let step = |row: &Row| row.indices.step.unwrap_or_default();
            let values = rows.iter().map(step).collect();
            return Axis {
                x: XAxis::Step,
                values,
                places,
            };
        }
        let value = |(epoch, place): (&Option<i64>, &u32)| {
            epoch.unwrap_or(i64::from(*place) + self.digest.first_epoch())
        };
        Axis {
            x: XAxis::Epoch,
            values: epochs.iter().zip(&places).map(value).collect(),
            places,
        }
    }

    /// By row: how many epochs come before it in the plan.
    fn epoch_ordinals(&self) -> Vec<i64> {
        let mut by_start = vec![0_i64; self.epochs.rows.len()];
        let mut next: BTreeMap<u16, i64> = BTreeMap::new();
        for epoch in self.epochs_in_order() {
            let ordinal = next
                .entry(self.epochs.rows[epoch as usize].process)
                .or_default();
            by_start[epoch as usize] = *ordinal;
            *ordinal += 1;
        }
        let first = self.digest.first_epoch();
        let ordinal = |(row, by_start): (&Row, i64)| {
            row.indices
                .epoch
                .map_or(by_start, |number| i64::from(number) - first)
        };
        self.epochs.rows.iter().zip(by_start).map(ordinal).collect()
    }

    /// Epochs by process and start.
    pub(super) fn epochs_in_order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.epochs.rows.len() as u32).collect();
        order.sort_by_key(|&epoch| {
            let row = &self.epochs.rows[epoch as usize];
            (row.process, row.start_unix_nano)
        });
        order
    }

    /// Lowest and highest step of each epoch that has batches with steps, with its row.
    fn step_ranges(&self) -> impl Iterator<Item = (u32, i64, i64)> + '_ {
        self.epochs_in_order().into_iter().filter_map(|epoch| {
            let steps = &self.epoch_contents[epoch as usize].steps;
            let numbers = || {
                steps
                    .iter()
                    .filter_map(|&step| self.steps.rows[step as usize].indices.step)
            };
            Some((epoch, numbers().min()?, numbers().max()?))
        })
    }

    /// How many steps an epoch has: as many as the longest finished one, or the longest of all
    /// while none is finished.
    fn steps_per_epoch(&self) -> Option<i64> {
        let ranges: Vec<(u32, i64, i64)> = self.step_ranges().collect();
        let first = i64::from(ranges.iter().map(|&(_, lowest, _)| lowest).min()? == 1);
        let is_finished = |epoch: u32| !self.epochs.rows[epoch as usize].pending;
        let longest = |only_finished: bool| {
            let counted = ranges
                .iter()
                .filter(|&&(epoch, ..)| !only_finished || is_finished(epoch));
            let count = |&(_, _, highest): &(u32, i64, i64)| {
                highest.saturating_sub(first).saturating_add(1)
            };
            counted.map(count).max()
        };
        longest(true).or(longest(false))
    }

    /// Whether `step` counts within the epoch: then a later epoch begins lower than one before it
    /// ended. A repeated epoch, which resumed from a checkpoint, does not count.
    fn step_starts_anew(&self) -> bool {
        let ranges: Vec<(u32, i64, i64)> = self.step_ranges().collect();
        ranges.windows(2).any(|pair| {
            let [(before, _, highest), (after, lowest, _)] = [pair[0], pair[1]];
            let [before, after] = [before, after].map(|epoch| &self.epochs.rows[epoch as usize]);
            before.process == after.process
                && after.indices.epoch > before.indices.epoch
                && lowest <= highest
        })
    }
}

/// By row: its place in the order of process and start.
fn places(rows: &[Row]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..rows.len() as u32).collect();
    order.sort_by_key(|&row| {
        let row = &rows[row as usize];
        (row.process, row.start_unix_nano)
    });
    let mut places = vec![0; rows.len()];
    for (place, row) in order.into_iter().enumerate() {
        places[row as usize] = place as u32;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{SpanBuilder, span};
    use crate::training::recognition::TrainingNames;

    fn check(name: &str, spans: impl IntoIterator<Item = SpanBuilder>, expected: &str) {
        let mut fold = RunFold::new(TrainingNames::default());
        spans
            .into_iter()
            .for_each(|span| fold.observe(&span.record()));
        let mut shown = Vec::new();
        fold.visit_curves(&[name.to_owned()], &mut |curve| {
            let points = curve
                .points
                .iter()
                .map(|point| format!("{}:{}", point.step, point.value));
            let points = points.collect::<Vec<_>>().join(" ");
            shown.push(format!("{} {points}", curve.x.as_str()));
        });
        assert_eq!(shown.join("; "), expected);
    }

    fn epoch(id: u64, number: i64, start: f64) -> SpanBuilder {
        span("epoch", id)
            .at(start, start + 10.0)
            .with("epoch", number)
    }

    /// Batches of an epoch, one per second, whose loss is the time.
    fn batches(
        key: &'static str,
        parent: u64,
        steps: std::ops::Range<i64>,
        start: f64,
    ) -> Vec<SpanBuilder> {
        let batch = |(at, step): (f64, i64)| {
            let id = parent * 1000 + step as u64;
            let span = span("batch", id)
                .parent(parent)
                .at(start + at, start + at + 0.5);
            span.with(key, step).with("loss", start + at)
        };
        (0..).map(f64::from).zip(steps).map(batch).collect()
    }

    #[test]
    fn steps_that_count_within_the_epoch_become_global() {
        let spans = || {
            let first = [
                vec![epoch(10, 1, 0.0)],
                batches("batch_index", 10, 0..3, 0.0),
            ]
            .concat();
            [
                first,
                vec![epoch(20, 2, 10.0)],
                batches("batch_index", 20, 0..2, 10.0),
            ]
            .concat()
        };
        check("loss", spans(), "step 0:0 1:1 2:2 3:10 4:11");
        check(
            "loss",
            spans().into_iter().rev(),
            "step 0:0 1:1 2:2 3:10 4:11",
        );
    }

    #[test]
    fn a_step_is_taken_as_global_unless_it_starts_anew() {
        let run = |second: std::ops::Range<i64>| {
            let first = [vec![epoch(10, 0, 0.0)], batches("step", 10, 1..3, 0.0)].concat();
            [
                first,
                vec![epoch(20, 1, 10.0)],
                batches("step", 20, second, 10.0),
            ]
            .concat()
        };
        check("loss", run(3..5), "step 1:0 2:1 3:10 4:11");
        check("loss", run(1..3), "step 1:0 2:1 3:10 4:11");
        check(
            "loss",
            batches("global_step", 10, 7..9, 0.0),
            "step 7:0 8:1",
        );
    }

    #[test]
    fn losses_at_steps_are_taken_as_global_unless_they_start_anew() {
        let run = |second: &'static str| {
            [
                epoch(10, 1, 0.0).with("loss_at_step_1", 0.5),
                epoch(20, 2, 10.0).with(second, 0.25),
            ]
        };
        check("loss_at_step", run("loss_at_step_3"), "step 1:0.5 3:0.25");
        check("loss_at_step", run("loss_at_step_1"), "step 1:0.5 3:0.25");
    }

    #[test]
    fn a_resumed_training_shows_as_a_step_back() {
        let first = [
            vec![epoch(10, 1, 0.0)],
            batches("batch_index", 10, 0..4, 0.0),
        ]
        .concat();
        let again = [
            vec![epoch(20, 1, 50.0)],
            batches("batch_index", 20, 2..4, 50.0),
        ]
        .concat();
        check(
            "loss",
            [first, again].concat(),
            "step 0:0 1:1 2:2 3:3 2:50 3:51",
        );
    }

    #[test]
    fn batches_of_an_epoch_that_is_still_to_come_follow_the_finished_ones() {
        let first = [
            vec![epoch(10, 1, 0.0)],
            batches("batch_index", 10, 0..2, 0.0),
        ]
        .concat();
        let open = batches("batch_index", 20, 0..2, 50.0);
        check("loss", [first, open].concat(), "step 0:0 1:1 2:50 3:51");
    }

    #[test]
    fn losses_at_steps_of_an_epoch_become_one_curve() {
        let epochs = [
            epoch(10, 1, 0.0)
                .with("loss_at_step_0", 0.5)
                .with("loss_at_step_100", 0.25),
            epoch(20, 2, 10.0).with("loss_at_step_0", "NaN"),
        ];
        check("loss_at_step", epochs, "step 0:0.5 100:0.25 101:NaN");
    }

    #[test]
    fn several_validations_in_an_epoch_go_by_step_if_they_tell_it() {
        let validation = |id: u64, step: i64| {
            let span = span("validation", id)
                .parent(10)
                .at(id as f64, id as f64 + 0.5);
            span.with("step", step).with("val_loss", id as f64)
        };
        let one = [epoch(10, 1, 0.0), validation(1, 100)];
        check("val_loss", one.clone(), "epoch 1:1");
        check(
            "val_loss",
            one.into_iter().chain([validation(2, 200)]),
            "step 100:1 200:2",
        );
    }

    #[test]
    fn what_validations_tell_replaces_what_epochs_repeat() {
        let spans = [
            epoch(10, 1, 0.0).with("val_loss", 0.5),
            span("validation", 11)
                .parent(10)
                .at(8.0, 9.0)
                .with("val_loss", 0.5),
        ];
        check("val_loss", spans, "epoch 1:0.5");
    }
}
