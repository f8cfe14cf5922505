//! A run small enough for tests.

use std::path::Path;

use fx_trainer::{
    data::DataSettings,
    features::FeatureSettings,
    labels::LabelSettings,
    progress,
    run::RunSettings,
    tasks::{self, Task},
    train::TrainSettings,
    windows::WindowSettings,
};

/// Two epochs of four batches, the last of them short, on generated bars below `folder`.
pub(crate) fn tiny(tasks: &[Task], folder: &Path) -> RunSettings {
    progress::silence();
    RunSettings {
        tasks: tasks.iter().map(|&task| (task, 1.0)).collect(),
        data: DataSettings {
            input_root: folder.join("bars"),
            years: Vec::new(),
            bars: 400,
            seed: 7,
            skip_bad_rows: false,
        },
        features: FeatureSettings::default(),
        windows: WindowSettings {
            t_in: 12,
            stride: 1,
            ..Default::default()
        },
        labels: LabelSettings {
            t_out: 4,
            lookahead: 4,
            ..Default::default()
        },
        train: TrainSettings {
            epochs: 2,
            log_every: 3,
            ..Default::default()
        },
        checkpoint_path: folder.join("{pair}.safetensors").display().to_string(),
        top_n_checkpoints: 1,
        use_risk_gate: true,
    }
}

pub(crate) fn single(folder: &Path) -> RunSettings {
    tiny(&[Task::Direction], folder)
}

pub(crate) fn multitask(folder: &Path) -> RunSettings {
    tiny(&tasks::multitask(true), folder)
}
