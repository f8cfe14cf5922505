//! A training run of one pair, from files to the evaluation, as one `training_run` span:
//! `data_loading`, `feature_engineering`, the epochs with their checkpoints, `evaluation`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use lumitrace::{
    KeyValue, Span, Tracer,
    training::{data_loading, feature_engineering},
};

use crate::{
    bars::Bar,
    checkpoint::Checkpoints,
    data::{self, DataSettings, PairBars},
    evaluation::{self, EvaluationSettings, Measurement, Metrics},
    features::{self, FeatureSettings, FeatureTable},
    labels::LabelSettings,
    model::ForecastModel,
    progress::{say, warn},
    spans::in_span,
    tasks::{Task, heads},
    train::{
        TrainSettings, Training, TrainingOutcome, multitask::train_multitask, single::train_model,
    },
    windows::{Dataset, WindowSettings},
};

/// How many bad rows are printed; the rest is only counted.
const BAD_ROWS_SHOWN: usize = 5;

/// Everything that decides about a run, apart from the pair.
#[derive(Debug, Clone)]
pub struct RunSettings {
    /// The tasks with the weights of their losses: one, or several.
    pub tasks: Vec<(Task, f64)>,
    /// Where the bars come from.
    pub data: DataSettings,
    /// What is computed from them.
    pub features: FeatureSettings,
    /// How they are cut.
    pub windows: WindowSettings,
    /// What is predicted.
    pub labels: LabelSettings,
    /// How it is learned.
    pub train: TrainSettings,
    /// File of the best model; `{pair}` stands for the pair.
    pub checkpoint_path: String,
    /// How many of the best epochs to keep.
    pub top_n_checkpoints: usize,
    /// Whether the evaluation uses the risk gate.
    pub use_risk_gate: bool,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq)]
pub struct RunOutcome {
    /// The losses.
    pub training: TrainingOutcome,
    /// On the test part.
    pub test: Metrics,
}

/// Trains, keeps and evaluates a model of `pair`.
///
/// # Errors
/// Bars that cannot be used, a folder that cannot be written, a loss that is not finite; each is
/// recorded on the span that it ended.
pub fn run_pair(tracer: &Tracer, pair: &str, settings: &RunSettings) -> Result<RunOutcome> {
    let span = tracer
        .span("training_run")
        .root()
        .attributes(settings.attributes(pair));
    in_span(span, |span| {
        let bars = load_bars(tracer, pair, &settings.data)?;
        let table = compute_features(tracer, pair, &bars, &settings.features)?;
        let (tasks, weights): (Vec<_>, Vec<_>) = settings.tasks.iter().copied().unzip();
        let heads = heads(&tasks, settings.labels.top_k);
        let dataset = Dataset::new(&bars, &table, &heads, &settings.labels, &settings.windows)?;
        let model = ForecastModel::new(dataset.feature_count, &heads, settings.train.seed)?;
        announce(span, pair, &dataset, &model);

        let path = PathBuf::from(settings.checkpoint_path.replace("{pair}", pair));
        let mut checkpoints = Checkpoints::new(path, settings.top_n_checkpoints);
        let training = Training {
            tracer,
            model: &model,
            dataset: &dataset,
            weights: &weights,
            settings: &settings.train,
        };
        let training = match heads.len() {
            1 => train_model(training, &mut checkpoints),
            _ => train_multitask(training, &mut checkpoints),
        }?;
        span.set_attribute("epochs_trained", training.val_losses.len());
        span.set_attribute("stopped_early", training.stopped_early);
        say(format_args!(
            "{pair}: best model in {}",
            checkpoints.best_path().display()
        ));

        let measurement = Measurement {
            model: &model,
            dataset: &dataset,
            weights: &weights,
        };
        let evaluation = EvaluationSettings {
            pair,
            bars: &bars,
            t_out: settings.labels.t_out,
            batch_size: settings.train.batch_size,
            use_risk_gate: settings.use_risk_gate,
        };
        let test = evaluation::evaluate(tracer, measurement, &evaluation)?;
        Ok(RunOutcome { training, test })
    })
}

fn announce(span: &Span, pair: &str, dataset: &Dataset, model: &ForecastModel) {
    let counts = [&dataset.train, &dataset.validation, &dataset.test].map(|part| part.ends.len());
    span.set_attribute("model.parameter_count", model.parameter_count());
    span.set_attribute("train_samples", counts[0]);
    span.set_attribute("val_samples", counts[1]);
    span.set_attribute("test_samples", counts[2]);
    say(format_args!(
        "{pair}: {} features, {} / {} / {} windows to train/validate/test, {} parameters",
        dataset.feature_count,
        counts[0],
        counts[1],
        counts[2],
        model.parameter_count()
    ));
}

/// Reads and cleans the bars inside a `data_loading` span; generates them where there are none.
fn load_bars(tracer: &Tracer, pair: &str, settings: &DataSettings) -> Result<Vec<Bar>> {
    in_span(data_loading(tracer, pair, None), |span| {
        let files = data::find_or_generate(pair, settings)?;
        for path in &files.written {
            say(format_args!(
                "{pair}: no bars in {}, so synthetic ones were written: {}",
                settings.input_root.join(pair).display(),
                path.display()
            ));
        }
        let loaded = data::load(&files.paths, settings)?;
        span.set_attribute("num_samples", loaded.bars.len());
        span.set_attribute("data.simulated", files.synthetic);
        span.set_attribute("dropped.nan", loaded.dropped.not_a_number);
        span.set_attribute("dropped.duplicate", loaded.dropped.duplicate);
        span.set_attribute("dropped.impossible", loaded.dropped.impossible);
        span.set_attribute("dropped.bad_row", loaded.bad_rows.len());
        report_bars(pair, &loaded, files.synthetic);
        Ok(loaded.bars)
    })
}

fn report_bars(pair: &str, loaded: &PairBars, synthetic: bool) {
    for bad in loaded.bad_rows.iter().take(BAD_ROWS_SHOWN) {
        warn(format_args!("skipped: {bad}"));
    }
    let source = if synthetic { " (synthetic)" } else { "" };
    let (first, last) = (loaded.bars.first(), loaded.bars.last());
    let (Some(first), Some(last)) = (first, last) else {
        return;
    };
    say(format_args!(
        "{pair}: {} bars{source}, {} to {}",
        loaded.bars.len(),
        first.time,
        last.time
    ));
    let bad_rows = loaded.bad_rows.len();
    if loaded.dropped.total() + bad_rows > 0 {
        say(format_args!(
            "{pair}: dropped {bad_rows} bad rows; bars {}",
            loaded.dropped
        ));
    }
}

/// Computes the features inside a `feature_engineering` span.
fn compute_features(
    tracer: &Tracer,
    pair: &str,
    bars: &[Bar],
    settings: &FeatureSettings,
) -> Result<FeatureTable> {
    in_span(feature_engineering(tracer, pair, None), |span| {
        let table = features::compute(bars, settings).context("no features")?;
        span.set_attribute("feature_count", table.columns.len());
        span.set_attribute("feature_groups", settings.group_names());
        span.set_attribute("num_samples", bars.len());
        Ok(table)
    })
}

impl RunSettings {
    /// The settings as attributes of the run's span.
    fn attributes(&self, pair: &str) -> Vec<KeyValue> {
        let RunSettings {
            windows,
            labels,
            train,
            features,
            ..
        } = self;
        let mut attributes = vec![
            KeyValue::new("pair", pair.to_owned()),
            KeyValue::new("batch_size", train.batch_size),
            KeyValue::new("epochs", train.epochs),
            KeyValue::new("learning_rate", train.learning_rate),
            KeyValue::new("weight_decay", train.weight_decay),
            KeyValue::new("grad_clip", train.grad_clip),
            KeyValue::new("log_every", train.log_every),
            KeyValue::new("patience", train.patience),
            KeyValue::new("seed", train.seed),
            KeyValue::new("t_in", windows.t_in),
            KeyValue::new("stride", windows.stride),
            KeyValue::new("train_ratio", windows.train_ratio),
            KeyValue::new("val_ratio", windows.validation_ratio),
            KeyValue::new("t_out", labels.t_out),
            KeyValue::new("lookahead_window", labels.lookahead),
            KeyValue::new("top_k", labels.top_k),
            KeyValue::new("flat_threshold", labels.flat_threshold),
            KeyValue::new("vol_min_change", labels.vol_min_change),
            KeyValue::new("vol_regime_cut", labels.vol_regime_cut),
            KeyValue::new("features.groups", features.group_names()),
            KeyValue::new("device", "cpu"),
        ];
        match &self.tasks[..] {
            [(task, _)] => attributes.push(KeyValue::new("task", task.key())),
            tasks => attributes.extend(tasks.iter().map(|(task, weight)| {
                KeyValue::new(format!("loss_weight.{}", task.key()), *weight)
            })),
        }
        attributes
    }
}
