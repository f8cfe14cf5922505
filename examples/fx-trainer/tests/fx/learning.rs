//! That the model learns, the same way each time, and is measured rightly.

use fx_trainer::{
    bars,
    evaluation::Measurement,
    features, market,
    model::ForecastModel,
    run::run_pair,
    tasks::{self, Task, heads},
    windows::Dataset,
};
use lumitrace::TracerProvider;

use crate::settings::{single, tiny};

#[test]
fn the_loss_falls_and_the_same_seed_learns_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = single(folder.path());
    settings.train.epochs = 6;
    settings.train.patience = 0;
    settings.train.learning_rate = 5e-3;
    settings.train.batch_size = 32;
    let tracer = TracerProvider::disabled().tracer("test");
    let first = run_pair(&tracer, "gbpusd", &settings).unwrap();
    let losses = &first.training.train_losses;
    assert!(losses[5] < 0.8 * losses[0], "{losses:?}");
    let second = run_pair(&tracer, "gbpusd", &settings).unwrap();
    assert_eq!(first, second);
}

#[test]
fn a_validation_that_gets_no_better_stops_the_training_early() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = single(folder.path());
    // Steps too large to settle down.
    settings.train.learning_rate = 0.5;
    settings.train.epochs = 40;
    settings.train.patience = 2;
    let tracer = TracerProvider::disabled().tracer("test");
    let outcome = run_pair(&tracer, "gbpusd", &settings).unwrap().training;
    assert!(outcome.stopped_early);
    let losses = &outcome.val_losses;
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(
        losses.iter().position(|loss| *loss == best),
        Some(losses.len() - 3),
        "{losses:?}"
    );
}

#[test]
fn t35_every_batch_size_measures_the_same_also_with_a_last_batch_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let settings = tiny(&tasks::multitask(true), folder.path());
    let zone = bars::central_time().unwrap();
    let bars = market::simulate("gbpusd", 2024, 400, 7, &zone).unwrap();
    let table = features::compute(&bars, &settings.features).unwrap();
    let heads = heads(&Task::ALL, settings.labels.top_k);
    let dataset = Dataset::new(&bars, &table, &heads, &settings.labels, &settings.windows).unwrap();
    let model = ForecastModel::new(dataset.feature_count, &heads, 7).unwrap();
    let weights = [1.0; 11];
    let measurement = Measurement {
        model: &model,
        dataset: &dataset,
        weights: &weights,
    };
    let count = dataset.validation.ends.len();
    let measure = |batch_size| {
        measurement
            .of(&dataset.validation, batch_size, |_| Ok(()))
            .unwrap()
    };
    let whole = measure(count);
    for batch_size in [1, 7, count - 1] {
        let parts = measure(batch_size);
        assert!((parts.loss - whole.loss).abs() < 1e-5, "{batch_size}");
        for (part, whole) in parts.values.iter().zip(&whole.values) {
            assert!(
                (part.1 - whole.1).abs() <= 1e-5 * whole.1,
                "{batch_size}: {part:?} {whole:?}"
            );
        }
    }
}
