//! The command line of the two programs: flags are checked here, before any work is done.

mod parsers;

use std::{collections::BTreeSet, path::PathBuf};

use clap::{Args, Parser, ValueEnum};

use crate::{
    data::DataSettings,
    features::{FeatureGroup, FeatureSettings},
    labels::LabelSettings,
    run::RunSettings,
    tasks::{self, Task},
    train::TrainSettings,
    windows::WindowSettings,
};
use parsers::{GroupChoice, count, group, not_negative, pair, positive, share};

/// Trains a model of one task per currency pair, on minute bars, traced with Lumitrace.
///
/// Example: run_training --pairs gbpusd --epochs 3 --batch-size 32
#[derive(Debug, Parser)]
#[command(name = "run_training", version)]
pub struct SingleArguments {
    /// What to predict.
    #[arg(long, value_enum, default_value = "direction")]
    task: Task,
    /// What both programs know.
    #[command(flatten)]
    pub shared: SharedArguments,
}

/// Trains one model for all tasks per currency pair, on minute bars, traced with Lumitrace.
///
/// Example: run_training_multitask --pairs gbpusd --epochs 3 --batch-size 32
#[derive(Debug, Parser)]
#[command(name = "run_training_multitask", version)]
pub struct MultitaskArguments {
    /// Add the eleventh task: whether to sell now.
    #[arg(long)]
    predict_sell_now: bool,
    #[command(flatten)]
    weights: LossWeights,
    /// What both programs know.
    #[command(flatten)]
    pub shared: SharedArguments,
}

/// The flags of both programs.
#[derive(Debug, Args)]
pub struct SharedArguments {
    /// Currency pairs, as a comma list; one model and one trace each.
    #[arg(long, value_delimiter = ',', default_value = "gbpusd", value_parser = pair)]
    pub pairs: Vec<String>,
    /// Print problems only.
    #[arg(long)]
    pub quiet: bool,
    #[command(flatten)]
    data: DataArguments,
    #[command(flatten)]
    windows: WindowArguments,
    #[command(flatten)]
    features: FeatureArguments,
    #[command(flatten)]
    training: TrainingArguments,
    /// Where the spans go.
    #[command(flatten)]
    pub tracing: TracingArguments,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Bars")]
struct DataArguments {
    /// Folder of <pair>/*.csv or *.zip in HistData's format.
    #[arg(long, default_value = "output_central")]
    input_root: PathBuf,
    /// Years to read, as a comma list [default: all that are there].
    #[arg(long, value_delimiter = ',')]
    years: Vec<i16>,
    /// Use the newest so many bars, 0 for all; where there are none, generate so many per year.
    #[arg(long, default_value_t = 60_000)]
    bars: usize,
    /// Seed of generated bars and of the training.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Leave out rows that cannot be read, and count them, instead of stopping.
    #[arg(long)]
    skip_bad_rows: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Windows and labels")]
struct WindowArguments {
    /// Bars of a window.
    #[arg(long, default_value_t = 120, value_parser = count)]
    t_in: usize,
    /// Bars from a window to the horizon.
    #[arg(long, default_value_t = 10, value_parser = count)]
    t_out: usize,
    /// Bars from one window to the next. Neighbours are nearly the same, so time is better spent on
    /// more bars than on every one of them.
    #[arg(long, default_value_t = 8, value_parser = count)]
    stride: usize,
    /// Bars in which the largest returns are looked for [default: --t-out].
    #[arg(long, value_parser = count)]
    lookahead_window: Option<usize>,
    /// How many of the largest.
    #[arg(long, default_value_t = 3, value_parser = count)]
    top_k: usize,
    /// Share of the bars, the oldest, for training.
    #[arg(long, default_value_t = 0.70, value_parser = share)]
    train_ratio: f64,
    /// Share of the bars after those for validation; the rest is for the test.
    #[arg(long, default_value_t = 0.15, value_parser = share)]
    val_ratio: f64,
    /// Log returns between minus and plus this are flat.
    #[arg(long, default_value_t = 1e-4, value_parser = not_negative)]
    flat_threshold: f64,
    /// By how much volatility must grow to count as rising.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    vol_min_change: f64,
    /// Changes of volatility between minus and plus this leave the regime as it is.
    #[arg(long, default_value_t = 2e-5, value_parser = not_negative)]
    vol_regime_cut: f64,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Features")]
struct FeatureArguments {
    /// `all`, or a comma list of: price, sma, ema, rsi, bollinger, atr, volatility, spread,
    /// wick_imbalance, microstructure, intrinsic_time.
    #[arg(long, value_delimiter = ',', default_value = "all", value_parser = group)]
    feature_groups: Vec<GroupChoice>,
    /// Groups to leave out, as a comma list.
    #[arg(long, value_delimiter = ',', value_enum)]
    exclude_feature_groups: Vec<FeatureGroup>,
    /// Bars of the simple moving averages.
    #[arg(long, value_delimiter = ',', default_value = "10,20,50", value_parser = count)]
    sma_windows: Vec<usize>,
    /// Bars of the exponential moving averages.
    #[arg(long, value_delimiter = ',', default_value = "10,20,50", value_parser = count)]
    ema_windows: Vec<usize>,
    /// Bars of the relative strength index.
    #[arg(long, default_value_t = 14, value_parser = count)]
    rsi_window: usize,
    /// Bars of the Bollinger bands.
    #[arg(long, default_value_t = 20, value_parser = count)]
    bollinger_window: usize,
    /// Half the width of the Bollinger bands, in standard deviations.
    #[arg(long, default_value_t = 2.0, value_parser = positive)]
    bollinger_deviations: f64,
    /// Bars of the average true range.
    #[arg(long, default_value_t = 14, value_parser = count)]
    atr_window: usize,
    /// Bars of the short volatility.
    #[arg(long, default_value_t = 10, value_parser = count)]
    short_vol_window: usize,
    /// Bars of the long volatility.
    #[arg(long, default_value_t = 50, value_parser = count)]
    long_vol_window: usize,
    /// Bars of the spread.
    #[arg(long, default_value_t = 20, value_parser = count)]
    spread_window: usize,
    /// Bars of the wick imbalance.
    #[arg(long, default_value_t = 5, value_parser = count)]
    wick_imbalance_window: usize,
    /// Bars of the microstructure.
    #[arg(long, value_delimiter = ',', default_value = "5,10,20", value_parser = count)]
    microstructure_windows: Vec<usize>,
    /// Log change of the price that is a turn in intrinsic time.
    #[arg(long, default_value_t = 0.001, value_parser = positive)]
    directional_change: f64,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Training")]
struct TrainingArguments {
    /// Windows per batch.
    #[arg(long, default_value_t = 64, value_parser = count)]
    batch_size: usize,
    /// Epochs, at most [default: 20, multi-task 10].
    #[arg(long, value_parser = count)]
    epochs: Option<usize>,
    /// Learning rate of AdamW.
    #[arg(long, default_value_t = 1e-3, value_parser = positive)]
    learning_rate: f64,
    /// Weight decay of AdamW.
    #[arg(long, default_value_t = 0.0, value_parser = not_negative)]
    weight_decay: f64,
    /// Largest gradient norm; 0 lets gradients be.
    #[arg(long, default_value_t = 1.0, value_parser = not_negative)]
    grad_clip: f64,
    /// Epochs without a better validation loss after which to stop; 0 never stops.
    #[arg(long, default_value_t = 3)]
    patience: usize,
    /// Batches from one report of the loss to the next.
    #[arg(long, default_value_t = 50, value_parser = count)]
    log_every: usize,
    /// Batches per epoch at most, for quick trials [default: all].
    #[arg(long, value_parser = count)]
    max_batches: Option<usize>,
    /// Where to compute; this program has been built for the CPU only.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// File of the best model; {pair} stands for the pair
    /// [default: checkpoints/{pair}.safetensors, multi-task checkpoints/{pair}_multitask.safetensors].
    #[arg(long)]
    checkpoint_path: Option<String>,
    /// How many of the best epochs to keep.
    #[arg(long, default_value_t = 3, value_parser = count)]
    top_n_checkpoints: usize,
    /// Evaluate predicted directions without the risk gate.
    #[arg(long)]
    disable_risk: bool,
}

/// Where the spans go.
#[derive(Debug, Args)]
#[command(next_help_heading = "Tracing")]
pub struct TracingArguments {
    /// Send no spans.
    #[arg(long)]
    pub no_tracing: bool,
    /// Wins over OTEL_EXPORTER_OTLP_ENDPOINT [default: http://localhost:4318].
    #[arg(long)]
    pub otlp_endpoint: Option<String>,
    /// Deployment environment [default: development].
    #[arg(long)]
    pub environment: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Weights of the losses")]
struct LossWeights {
    /// Weight of direction.
    #[arg(long, default_value_t = 1.0, value_parser = not_negative)]
    loss_w_direction: f64,
    /// Weight of volatility.
    #[arg(long, default_value_t = 1.0, value_parser = not_negative)]
    loss_w_volatility: f64,
    /// Weight of trend.
    #[arg(long, default_value_t = 1.0, value_parser = not_negative)]
    loss_w_trend: f64,
    /// Weight of vol_regime.
    #[arg(long, default_value_t = 1.0, value_parser = not_negative)]
    loss_w_vol_regime: f64,
    /// Weight of candle_pattern.
    #[arg(long, default_value_t = 1.0, value_parser = not_negative)]
    loss_w_candle_pattern: f64,
    /// Weight of return.
    #[arg(long, default_value_t = 1.0, value_parser = not_negative)]
    loss_w_return: f64,
    /// Weight of next_close.
    #[arg(long, default_value_t = 1.0, value_parser = not_negative)]
    loss_w_next_close: f64,
    /// Weight of max_return.
    #[arg(long, default_value_t = 1.0, value_parser = not_negative)]
    loss_w_max_return: f64,
    /// Weight of topk_returns.
    #[arg(long, default_value_t = 1.0, value_parser = not_negative)]
    loss_w_topk_returns: f64,
    /// Weight of topk_prices.
    #[arg(long, default_value_t = 1.0, value_parser = not_negative)]
    loss_w_topk_prices: f64,
    /// Weight of sell_now.
    #[arg(long, default_value_t = 1.0, value_parser = not_negative)]
    loss_w_sell_now: f64,
}

impl LossWeights {
    fn of(&self, task: Task) -> f64 {
        match task {
            Task::Direction => self.loss_w_direction,
            Task::Volatility => self.loss_w_volatility,
            Task::Trend => self.loss_w_trend,
            Task::VolRegime => self.loss_w_vol_regime,
            Task::CandlePattern => self.loss_w_candle_pattern,
            Task::Return => self.loss_w_return,
            Task::NextClose => self.loss_w_next_close,
            Task::MaxReturn => self.loss_w_max_return,
            Task::TopkReturns => self.loss_w_topk_returns,
            Task::TopkPrices => self.loss_w_topk_prices,
            Task::SellNow => self.loss_w_sell_now,
        }
    }
}

impl SingleArguments {
    /// What the run is to do.
    ///
    /// # Errors
    /// Flags that contradict each other.
    pub fn settings(&self) -> Result<RunSettings, clap::Error> {
        self.shared
            .settings(vec![(self.task, 1.0)], 20, "checkpoints/{pair}.safetensors")
    }
}

impl MultitaskArguments {
    /// What the run is to do.
    ///
    /// # Errors
    /// Flags that contradict each other.
    pub fn settings(&self) -> Result<RunSettings, clap::Error> {
        let tasks = tasks::multitask(self.predict_sell_now);
        let tasks = tasks
            .into_iter()
            .map(|task| (task, self.weights.of(task)))
            .collect();
        self.shared
            .settings(tasks, 10, "checkpoints/{pair}_multitask.safetensors")
    }
}

impl SharedArguments {
    /// The device asked for, if it is not the one that is used.
    pub fn ignored_device(&self) -> Option<&str> {
        Some(self.training.device.as_str()).filter(|device| *device != "cpu")
    }

    fn settings(
        &self,
        tasks: Vec<(Task, f64)>,
        default_epochs: usize,
        default_checkpoint: &str,
    ) -> Result<RunSettings, clap::Error> {
        let Self {
            pairs,
            data,
            windows,
            training,
            ..
        } = self;
        let lookahead = windows.lookahead_window.unwrap_or(windows.t_out);
        let checkpoint_path = training
            .checkpoint_path
            .clone()
            .unwrap_or_else(|| default_checkpoint.to_owned());
        refuse(
            windows.train_ratio + windows.val_ratio >= 1.0,
            "--train-ratio and --val-ratio must leave a part for the test",
        )?;
        refuse(
            windows.top_k > lookahead,
            "--top-k must not exceed --lookahead-window",
        )?;
        refuse(
            pairs.len() > 1 && !checkpoint_path.contains("{pair}"),
            "--checkpoint-path needs {pair} in it when there are several pairs",
        )?;
        Ok(RunSettings {
            tasks,
            data: DataSettings {
                input_root: data.input_root.clone(),
                years: data.years.clone(),
                bars: data.bars,
                seed: data.seed,
                skip_bad_rows: data.skip_bad_rows,
            },
            features: self.features.settings()?,
            windows: WindowSettings {
                t_in: windows.t_in,
                stride: windows.stride,
                train_ratio: windows.train_ratio,
                validation_ratio: windows.val_ratio,
            },
            labels: LabelSettings {
                t_out: windows.t_out,
                lookahead,
                top_k: windows.top_k,
                flat_threshold: windows.flat_threshold,
                vol_min_change: windows.vol_min_change,
                vol_regime_cut: windows.vol_regime_cut,
            },
            train: training.settings(default_epochs, data.seed),
            checkpoint_path,
            top_n_checkpoints: training.top_n_checkpoints,
            use_risk_gate: !training.disable_risk,
        })
    }
}

impl TrainingArguments {
    fn settings(&self, default_epochs: usize, seed: u64) -> TrainSettings {
        TrainSettings {
            batch_size: self.batch_size,
            epochs: self.epochs.unwrap_or(default_epochs),
            learning_rate: self.learning_rate,
            weight_decay: self.weight_decay,
            grad_clip: self.grad_clip,
            log_every: self.log_every,
            patience: self.patience,
            seed,
            max_batches: self.max_batches,
        }
    }
}

impl FeatureArguments {
    fn settings(&self) -> Result<FeatureSettings, clap::Error> {
        let chosen = |group: &FeatureGroup| {
            self.feature_groups
                .iter()
                .any(|choice| choice.includes(*group))
                && !self.exclude_feature_groups.contains(group)
        };
        let groups: BTreeSet<FeatureGroup> = FeatureGroup::value_variants()
            .iter()
            .copied()
            .filter(chosen)
            .collect();
        refuse(groups.is_empty(), "no feature group is left")?;
        Ok(FeatureSettings {
            groups,
            sma_windows: self.sma_windows.clone(),
            ema_windows: self.ema_windows.clone(),
            rsi_window: self.rsi_window,
            bollinger_window: self.bollinger_window,
            bollinger_deviations: self.bollinger_deviations,
            atr_window: self.atr_window,
            short_vol_window: self.short_vol_window,
            long_vol_window: self.long_vol_window,
            spread_window: self.spread_window,
            wick_imbalance_window: self.wick_imbalance_window,
            microstructure_windows: self.microstructure_windows.clone(),
            directional_change: self.directional_change,
        })
    }
}

fn refuse(is_wrong: bool, message: &str) -> Result<(), clap::Error> {
    if is_wrong {
        return Err(clap::Error::raw(
            clap::error::ErrorKind::ValueValidation,
            format!("{message}\n"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single(flags: &str) -> Result<RunSettings, clap::Error> {
        let words = std::iter::once("run_training").chain(flags.split_whitespace());
        SingleArguments::try_parse_from(words)?.settings()
    }

    fn multitask(flags: &str) -> Result<RunSettings, clap::Error> {
        let words = std::iter::once("run_training_multitask").chain(flags.split_whitespace());
        MultitaskArguments::try_parse_from(words)?.settings()
    }

    #[test]
    fn the_defaults_of_the_flags_are_those_of_the_settings() {
        let settings = single("").unwrap();
        let expected = (
            FeatureSettings::default(),
            WindowSettings::default(),
            LabelSettings::default(),
            TrainSettings::default(),
        );
        let found = (
            settings.features,
            settings.windows,
            settings.labels,
            settings.train,
        );
        assert_eq!(format!("{found:?}"), format!("{expected:?}"));
        assert_eq!(settings.tasks, [(Task::Direction, 1.0)]);
        assert_eq!(multitask("").unwrap().train.epochs, 10);
    }

    #[test]
    fn the_documented_command_line_is_understood() {
        let settings = single("--pairs gbpusd --epochs 3 --batch-size 32").unwrap();
        assert_eq!((settings.train.epochs, settings.train.batch_size), (3, 32));
        let settings = multitask(
            "--pairs gbpusd,EURUSD --years 2023,2024 --predict-sell-now --loss-w-return 0.5 \
             --exclude-feature-groups rsi,atr --t-out 20 --disable-risk",
        )
        .unwrap();
        assert_eq!(settings.tasks.len(), 11);
        assert!(settings.tasks.contains(&(Task::Return, 0.5)));
        assert_eq!(
            (settings.features.groups.len(), settings.labels.lookahead),
            (9, 20)
        );
        assert!(!settings.use_risk_gate);
    }

    #[test]
    fn flags_that_make_no_sense_are_refused_with_a_reason() {
        for (flags, reason) in [
            ("--pairs ../../etc", "letters and digits"),
            ("--epochs 0", "1 or more"),
            ("--learning-rate nan", "above zero"),
            ("--train-ratio 1.5", "between 0 and 1"),
            (
                "--train-ratio 0.9 --val-ratio 0.1",
                "leave a part for the test",
            ),
            ("--top-k 11", "--top-k must not exceed"),
            (
                "--feature-groups rsi --exclude-feature-groups rsi",
                "no feature group is left",
            ),
            ("--feature-groups astrology", "unknown feature group"),
            ("--pairs gbpusd,eurusd --checkpoint-path x", "needs {pair}"),
            ("--task everything", "possible values"),
        ] {
            let error = single(flags).unwrap_err().to_string();
            assert!(error.contains(reason), "{flags}: {error}");
        }
    }
}
