//! Windows over the bars: the three parts of the data by time, scaled on the first, and the
//! batches that are cut from them.

use std::ops::Range;

use anyhow::{Result, ensure};
use candle_core::{Device, Tensor};

use crate::{
    bars::Bar,
    features::{
        FeatureTable,
        indicators::{deviation, mean},
    },
    labels::{self, Label, LabelSettings},
    tasks::{Head, Kind, Task},
};

/// How windows are laid over the bars.
#[derive(Debug, Clone, Copy)]
pub struct WindowSettings {
    /// Bars per window.
    pub t_in: usize,
    /// Bars from the start of one window to the start of the next.
    pub stride: usize,
    /// Share of the bars, the oldest, for training.
    pub train_ratio: f64,
    /// Share of the bars after those for validation; the rest is for the test.
    pub validation_ratio: f64,
}

impl Default for WindowSettings {
    fn default() -> Self {
        Self {
            t_in: 120,
            stride: 8,
            train_ratio: 0.70,
            validation_ratio: 0.15,
        }
    }
}

/// The targets of one head for every window of a part.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// A class per window.
    Classes(Vec<u32>),
    /// `width` scaled numbers per window, one after the other.
    Values {
        /// Numbers per window.
        width: usize,
        /// All of them.
        values: Vec<f32>,
    },
}

/// The windows of training, validation or test.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The last bar of each window.
    pub ends: Vec<usize>,
    /// The targets, one entry per head of the dataset.
    pub targets: Vec<Targets>,
}

/// Everything that training needs to know about one pair.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The heads that there are targets for.
    pub heads: Vec<Head>,
    /// Standard deviation of each regression target in the training part, 1 for the other heads.
    /// What the model predicts times this is in the task's own unit.
    pub target_scales: Vec<f64>,
    /// Features per bar.
    pub feature_count: usize,
    /// The oldest windows.
    pub train: Part,
    /// The windows after them.
    pub validation: Part,
    /// The newest windows.
    pub test: Part,
    t_in: usize,
    /// The scaled features, bar by bar.
    rows: Vec<f32>,
}

/// Some windows of a part, as tensors.
#[derive(Debug)]
pub struct Batch {
    /// How many windows.
    pub size: usize,
    /// Features, (window, bar, feature).
    pub inputs: Tensor,
    /// Per head: classes (window), or numbers (window, width).
    pub targets: Vec<Tensor>,
}

impl Dataset {
    /// Cuts `bars` into windows and scales features and targets by the training part.
    ///
    /// # Errors
    /// When a part is too short for a single window.
    pub fn new(
        bars: &[Bar],
        table: &FeatureTable,
        heads: &[Head],
        labels: &LabelSettings,
        settings: &WindowSettings,
    ) -> Result<Self> {
        let ends = split(bars.len(), table.warm_up, labels, settings)?;
        let [mut train, mut validation, mut test] =
            ends.map(|ends| part(bars, ends, heads, labels));
        let target_scales: Vec<f64> = heads
            .iter()
            .zip(&train.targets)
            .map(|(head, targets)| scale(head, targets))
            .collect();
        for part in [&mut train, &mut validation, &mut test] {
            part.scale(&target_scales);
        }
        let last_train_bar = train.ends[train.ends.len() - 1];
        Ok(Self {
            heads: heads.to_vec(),
            target_scales,
            feature_count: table.columns.len(),
            t_in: settings.t_in,
            rows: scaled_rows(table, table.warm_up..last_train_bar + 1),
            train,
            validation,
            test,
        })
    }

    /// The windows of `part` numbered `samples`.
    ///
    /// # Errors
    /// Those of candle.
    pub fn batch(&self, part: &Part, samples: &[usize]) -> candle_core::Result<Batch> {
        let device = &Device::Cpu;
        let width = self.feature_count;
        let mut inputs = Vec::with_capacity(samples.len() * self.t_in * width);
        for &sample in samples {
            let after = part.ends[sample] + 1;
            inputs.extend_from_slice(&self.rows[(after - self.t_in) * width..after * width]);
        }
        let targets = part.targets.iter().map(|targets| match targets {
            Targets::Classes(classes) => {
                let chosen: Vec<u32> = samples.iter().map(|&sample| classes[sample]).collect();
                Tensor::from_vec(chosen, samples.len(), device)
            }
            Targets::Values { width, values } => {
                let row = |&sample: &usize| &values[sample * width..(sample + 1) * width];
                let chosen: Vec<f32> = samples.iter().flat_map(row).copied().collect();
                Tensor::from_vec(chosen, (samples.len(), *width), device)
            }
        });
        Ok(Batch {
            size: samples.len(),
            targets: targets.collect::<candle_core::Result<_>>()?,
            inputs: Tensor::from_vec(inputs, (samples.len(), self.t_in, width), device)?,
        })
    }
}

impl Part {
    fn scale(&mut self, scales: &[f64]) {
        for (targets, scale) in self.targets.iter_mut().zip(scales) {
            if let Targets::Values { values, .. } = targets {
                values.iter_mut().for_each(|value| *value /= *scale as f32);
            }
        }
    }
}

/// The last bars of the windows of the three parts. Windows and labels lie within their part, so
/// that nothing of one part is seen in another.
fn split(
    bar_count: usize,
    warm_up: usize,
    labels: &LabelSettings,
    settings: &WindowSettings,
) -> Result<[Vec<usize>; 3]> {
    let share = |ratio: f64| (bar_count as f64 * ratio) as usize;
    let train_end = share(settings.train_ratio);
    let validation_end = share(settings.train_ratio + settings.validation_ratio);
    let parts = [
        warm_up..train_end,
        train_end..validation_end,
        validation_end..bar_count,
    ];
    let ends = parts.map(|part| window_ends(part, labels, settings));
    for (ends, name) in ends.iter().zip(["training", "validation", "test"]) {
        ensure!(
            !ends.is_empty(),
            "{bar_count} bars are too few: no window of {} bars with {} bars after it fits into \
             the {name} part; use more bars, shorter windows or other ratios",
            settings.t_in,
            labels.horizon()
        );
    }
    Ok(ends)
}

fn window_ends(
    part: Range<usize>,
    labels: &LabelSettings,
    settings: &WindowSettings,
) -> Vec<usize> {
    let bars_before = (settings.t_in - 1).max(labels.t_out);
    let end = part.end.saturating_sub(labels.horizon());
    (part.start + bars_before..end)
        .step_by(settings.stride)
        .collect()
}

fn part(bars: &[Bar], ends: Vec<usize>, heads: &[Head], settings: &LabelSettings) -> Part {
    let targets = heads
        .iter()
        .map(|head| targets(head, bars, &ends, settings))
        .collect();
    Part { ends, targets }
}

fn targets(head: &Head, bars: &[Bar], ends: &[usize], settings: &LabelSettings) -> Targets {
    let mut classes = Vec::new();
    let mut values = Vec::new();
    for &end in ends {
        // Prices are learned as the distance from the window's last close: the level drifts.
        let base = match head.task {
            Task::NextClose | Task::TopkPrices => bars[end].close,
            _ => 0.0,
        };
        match labels::label(head.task, bars, end, settings) {
            Label::Class(class) if head.kind == Kind::Binary => values.push(class as f32),
            Label::Class(class) => classes.push(class),
            Label::Values(label) => values.extend(label.iter().map(|value| (value - base) as f32)),
        }
    }
    match head.kind {
        Kind::Classes(_) => Targets::Classes(classes),
        kind => Targets::Values {
            width: kind.outputs(),
            values,
        },
    }
}

fn scale(head: &Head, targets: &Targets) -> f64 {
    match (head.kind, targets) {
        (Kind::Regression(_), Targets::Values { values, .. }) => {
            let values: Vec<f64> = values.iter().map(|&value| value.into()).collect();
            positive_or_one(deviation(&values))
        }
        _ => 1.0,
    }
}

/// Every feature, less its mean over `train` and divided by its deviation there, bar by bar. Bars
/// before the warm-up are in no window; zeros keep them harmless.
fn scaled_rows(table: &FeatureTable, train: Range<usize>) -> Vec<f32> {
    let width = table.columns.len();
    let bar_count = table
        .columns
        .first()
        .map_or(0, |column| column.values.len());
    let mut rows = vec![0.0; bar_count * width];
    for (index, column) in table.columns.iter().enumerate() {
        let centre = mean(&column.values[train.clone()]);
        let scale = positive_or_one(deviation(&column.values[train.clone()]));
        for bar in table.warm_up..bar_count {
            rows[bar * width + index] = ((column.values[bar] - centre) / scale) as f32;
        }
    }
    rows
}

/// What never changes is not scaled.
fn positive_or_one(deviation: f64) -> f64 {
    if deviation > 0.0 { deviation } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bars::central_time,
        features::{self, FeatureSettings},
        market, tasks,
    };

    const LABELS: LabelSettings = LabelSettings {
        t_out: 10,
        lookahead: 15,
        top_k: 3,
        flat_threshold: 1e-4,
        vol_min_change: 0.0,
        vol_regime_cut: 2e-5,
    };

    fn dataset(settings: &WindowSettings) -> (Vec<Bar>, FeatureTable, Dataset) {
        let bars = market::simulate("gbpusd", 2024, 1000, 7, &central_time().unwrap()).unwrap();
        let table = features::compute(&bars, &FeatureSettings::default()).unwrap();
        let heads = tasks::heads(&Task::ALL, LABELS.top_k);
        let dataset = Dataset::new(&bars, &table, &heads, &LABELS, settings).unwrap();
        (bars, table, dataset)
    }

    #[test]
    fn windows_and_their_labels_stay_within_their_part() {
        let settings = WindowSettings {
            t_in: 20,
            stride: 3,
            ..Default::default()
        };
        let (_, table, dataset) = dataset(&settings);
        let parts = [
            (&dataset.train, table.warm_up, 700),
            (&dataset.validation, 700, 850),
            (&dataset.test, 850, 1000),
        ];
        for (part, start, end) in parts {
            let ends = &part.ends;
            assert_eq!(ends[0], start + 19, "the first window starts with the part");
            assert!(
                ends[ends.len() - 1] + 15 < end,
                "the last label ends with it"
            );
            assert!(
                ends[ends.len() - 1] + 15 + 3 >= end,
                "and no window is left out"
            );
            assert!(ends.windows(2).all(|pair| pair[1] - pair[0] == 3));
        }
    }

    #[test]
    fn a_batch_holds_the_scaled_features_and_targets_of_its_windows() {
        let settings = WindowSettings {
            t_in: 20,
            stride: 1,
            ..Default::default()
        };
        let (bars, table, dataset) = dataset(&settings);
        let batch = dataset.batch(&dataset.validation, &[4, 0]).unwrap();
        assert_eq!((batch.size, batch.inputs.dims()), (2, &[2, 20, 27][..]));
        let last_train_bar = dataset.train.ends[dataset.train.ends.len() - 1];
        let column = &table.columns[3].values;
        let train = &column[table.warm_up..=last_train_bar];
        let end = dataset.validation.ends[4];
        let expected = (column[end - 1] - mean(train)) / deviation(train);
        let inputs: Vec<Vec<Vec<f32>>> = batch.inputs.to_vec3().unwrap();
        assert!((f64::from(inputs[0][18][3]) - expected).abs() < 1e-5);

        for (index, head) in dataset.heads.iter().enumerate() {
            match labels::label(head.task, &bars, end, &LABELS) {
                Label::Class(class) if head.kind != Kind::Binary => {
                    assert_eq!(batch.targets[index].to_vec1::<u32>().unwrap()[0], class);
                }
                Label::Class(class) => {
                    assert_eq!(
                        batch.targets[index].to_vec2::<f32>().unwrap()[0],
                        [class as f32]
                    );
                }
                Label::Values(values) => {
                    let target = &batch.targets[index].to_vec2::<f32>().unwrap()[0];
                    let is_price = matches!(head.task, Task::NextClose | Task::TopkPrices);
                    let base = if is_price { bars[end].close } else { 0.0 };
                    for (target, value) in target.iter().zip(values) {
                        let natural = f64::from(*target) * dataset.target_scales[index] + base;
                        assert!((natural - value).abs() < 1e-6, "{:?}", head.task);
                    }
                }
            }
        }
    }

    #[test]
    fn too_few_bars_are_an_error_that_names_the_part() {
        let bars = market::simulate("gbpusd", 2024, 300, 7, &central_time().unwrap()).unwrap();
        let table = features::compute(&bars, &FeatureSettings::default()).unwrap();
        let heads = tasks::heads(&[Task::Direction], 3);
        let error = Dataset::new(&bars, &table, &heads, &LABELS, &WindowSettings::default());
        let message = error.unwrap_err().to_string();
        assert!(message.contains("300 bars are too few") && message.contains("validation part"));
    }
}
