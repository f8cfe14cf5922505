//! What a run sends, exactly.

use std::{net::TcpListener, path::Path, time::Duration};

use fx_trainer::{
    run::{RunOutcome, RunSettings, run_pair},
    spans,
};
use lumitrace::{
    StatusCode, TracerProvider, Value, environment::Environment, exporter::FinishedSpan,
    exporter::InMemoryExporter,
};

use crate::{
    settings::{multitask, single},
    tree::tree,
};

fn run(settings: &RunSettings) -> (anyhow::Result<RunOutcome>, Vec<FinishedSpan>) {
    let spans = InMemoryExporter::default();
    let provider = TracerProvider::builder().exporter(spans.clone()).build();
    let outcome = run_pair(&provider.tracer("test"), "gbpusd", settings);
    provider.force_flush(Duration::from_secs(10)).unwrap();
    (outcome, spans.finished_spans())
}

/// The tree with the folder of the test taken out.
fn text(spans: &[FinishedSpan], folder: &Path) -> String {
    let text = tree(spans).replace(&folder.display().to_string(), "FOLDER");
    // The size follows from the model, and what is best from the weights learned.
    let words: Vec<String> = text
        .lines()
        .map(|line| {
            let is_kept = |word: &&str| {
                !word.starts_with("checkpoint.size_bytes=")
                    && !word.starts_with("checkpoint.is_best=")
            };
            line.split(' ')
                .filter(is_kept)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    words.join("\n") + "\n"
}

const GROUPS: &str = "feature_groups=price,sma,ema,rsi,bollinger,atr,volatility,spread,\
                      wick_imbalance,microstructure,intrinsic_time";

#[test]
fn t17_t18_t29_a_single_task_run_sends_exactly_the_documented_tree_and_attributes() {
    let folder = tempfile::tempdir().unwrap();
    let (outcome, spans) = run(&single(folder.path()));
    outcome.unwrap();
    let expected = format!(
        "\
training_run
  data_loading data.simulated=true dropped.bad_row=0 dropped.duplicate=0 dropped.impossible=0 \
         dropped.nan=0 num_samples=400 pair=gbpusd
  feature_engineering feature_count=27 {GROUPS} num_samples=400 pair=gbpusd
  training_epoch epoch=1 loss_at_step_3 total_epochs=2 train_loss val_loss val_metric
    batch_processing batch_index=1 batch_size=64 global_step=1 loss
    batch_processing batch_index=2 batch_size=64 global_step=2 loss
    batch_processing batch_index=3 batch_size=64 global_step=3 loss
    batch_processing batch_index=4 batch_size=23 global_step=4 loss
    validation epoch=1 val_loss val_metric
  checkpoint_save checkpoint.path=FOLDER/gbpusd.epoch-0001.safetensors \
         epoch=1 val_loss
  training_epoch epoch=2 loss_at_step_6 total_epochs=2 train_loss val_loss val_metric
    batch_processing batch_index=1 batch_size=64 global_step=5 loss
    batch_processing batch_index=2 batch_size=64 global_step=6 loss
    batch_processing batch_index=3 batch_size=64 global_step=7 loss
    batch_processing batch_index=4 batch_size=23 global_step=8 loss
    validation epoch=2 val_loss val_metric
  checkpoint_save checkpoint.path=FOLDER/gbpusd.epoch-0002.safetensors \
         epoch=2 val_loss
  evaluation num_samples=45 pair=gbpusd test.dir_acc test_loss test_metric trading.blocked=B \
         trading.mean_return trading.positions=P
"
    );
    assert_eq!(without_positions(&text(&spans, folder.path())), expected);
    let run = &spans
        .iter()
        .find(|span| span.span.name == "training_run")
        .unwrap()
        .span;
    for (key, value) in [
        ("pair", Value::from("gbpusd")),
        ("task", Value::from("direction")),
        ("batch_size", Value::from(64)),
        ("learning_rate", Value::from(1e-3)),
        ("train_samples", Value::from(215)),
        ("epochs_trained", Value::from(2)),
    ] {
        assert_eq!(run.attribute(key), Some(&value), "{key}");
    }
    assert!(
        run.attribute("model.parameter_count")
            .unwrap()
            .as_i64()
            .unwrap()
            > 10_000
    );
}

/// How many positions are taken follows from the weights learned.
fn without_positions(text: &str) -> String {
    let hide = |text: String, key: &str, sign: &str| match text.split_once(key) {
        Some((before, after)) => {
            let after = after.trim_start_matches(|digit: char| digit.is_ascii_digit());
            format!("{before}{key}{sign}{after}")
        }
        None => text,
    };
    let text = hide(text.to_owned(), "trading.blocked=", "B");
    hide(text, "trading.positions=", "P")
}

#[test]
fn t29_a_multi_task_run_sends_the_loss_of_every_task_and_every_validation_metric() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = multitask(folder.path());
    settings.train.epochs = 1;
    settings.train.max_batches = Some(1);
    let (outcome, spans) = run(&settings);
    outcome.unwrap();
    let text = text(&spans, folder.path());
    let tasks = "task.candle_pattern task.direction task.max_return task.next_close task.return \
                 task.sell_now task.topk_prices task.topk_returns task.trend task.vol_regime \
                 task.volatility";
    let metrics = |prefix: &str| {
        let names = [
            "candle_acc",
            "close_rmse",
            "dir_acc",
            "max_ret_rmse",
            "ret_rmse",
            "sell_now_acc",
            "topk_price_rmse",
            "topk_ret_rmse",
            "trend_acc",
            "vol_acc",
            "vol_regime_acc",
        ];
        names.map(|name| format!("{prefix}.{name}")).join(" ")
    };
    let expected = format!(
        "  training_epoch epoch=1 total_epochs=1 train_loss val_loss val_metric
    batch_processing batch_index=1 batch_size=64 global_step=1 loss {tasks}
    validation epoch=1 {} val_loss val_metric
  checkpoint_save",
        metrics("val")
    );
    assert!(text.contains(&expected), "{text}");
    let expected = format!(
        "  evaluation num_samples=45 pair=gbpusd {} test_loss",
        metrics("test")
    );
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn t17_t19_all_spans_of_a_run_are_one_trace_and_the_validation_covers_the_evaluation() {
    let folder = tempfile::tempdir().unwrap();
    let (outcome, spans) = run(&single(folder.path()));
    outcome.unwrap();
    let spans: Vec<_> = spans.iter().map(|finished| &finished.span).collect();
    assert!(spans.iter().all(|span| span.trace_id == spans[0].trace_id));
    let named = |name: &'static str| spans.iter().filter(move |span| span.name == name);
    for (validation, epoch) in named("validation").zip(named("training_epoch")) {
        assert_eq!(validation.parent_span_id, Some(epoch.span_id));
        let last_batch = named("batch_processing")
            .filter(|batch| batch.parent_span_id == Some(epoch.span_id))
            .map(|batch| batch.end_unix_nano)
            .max();
        assert!(Some(validation.start_unix_nano) >= last_batch);
        assert!(validation.end_unix_nano <= epoch.end_unix_nano);
        // The forward passes over 45 windows lie inside it, not before it.
        assert!(validation.duration_nano() > 100_000);
    }
}

#[test]
fn t20_t21_a_loss_that_is_not_finite_ends_the_run_with_one_exception_on_the_batch() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = single(folder.path());
    settings.train.learning_rate = 1e30;
    let (outcome, spans) = run(&settings);
    let message = format!("{:#}", spans::unrecorded(outcome.unwrap_err()));
    assert!(message.starts_with("the loss became "), "{message}");
    assert!(message.contains("in epoch 1, batch 2"), "{message}");
    assert!(message.contains("--learning-rate (now 1e30)"), "{message}");

    let text = text(&spans, folder.path());
    let tail: Vec<&str> = text.lines().skip(3).collect();
    assert_eq!(
        tail,
        [
            "  training_epoch epoch=1 total_epochs=2 ERROR".to_owned(),
            "    batch_processing batch_index=1 batch_size=64 global_step=1 loss".to_owned(),
            format!(
                "    batch_processing batch_index=2 batch_size=64 error.message={message} \
                 error.type=NonFiniteLoss global_step=2 loss ERROR !exception"
            ),
        ]
    );
    assert!(text.starts_with("training_run ERROR\n"));
    let failed = spans
        .iter()
        .find(|span| span.span.exception().is_some())
        .unwrap();
    let loss = failed.span.attribute("loss").unwrap().as_f64().unwrap();
    assert!(!loss.is_finite(), "kept as it is");
    let exception = failed.span.exception().unwrap();
    let keys: Vec<&str> = exception
        .attributes
        .iter()
        .map(|attribute| &*attribute.key)
        .collect();
    assert_eq!(
        keys,
        [
            "exception.type",
            "exception.message",
            "exception.stacktrace"
        ]
    );
}

#[test]
fn t20_t21_bars_that_cannot_be_read_fail_the_data_loading() {
    let folder = tempfile::tempdir().unwrap();
    let settings = single(folder.path());
    let bars = settings.data.input_root.join("gbpusd");
    std::fs::create_dir_all(&bars).unwrap();
    std::fs::write(
        bars.join("DAT_ASCII_GBPUSD_M1_2024.csv"),
        "20240102 170000;1;2\n",
    )
    .unwrap();
    let (outcome, spans) = run(&settings);
    let message = format!("{:#}", spans::unrecorded(outcome.unwrap_err()));
    assert!(
        message.contains("M1_2024.csv, line 1: 3 fields instead of 6"),
        "{message}"
    );
    let failed: Vec<_> = spans
        .iter()
        .filter(|span| span.span.status.code == StatusCode::Error)
        .map(|span| (&*span.span.name, span.span.events.len()))
        .collect();
    assert_eq!(failed, [("data_loading", 1), ("training_run", 0)]);
}

#[test]
fn t4_a_run_is_the_same_with_tracing_on_off_and_without_a_collector() {
    for settings in [single, multitask] {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(folder.path());
        settings.train.max_batches = Some(2);
        let (traced, spans) = run(&settings);
        let traced = traced.unwrap();
        assert!(spans.len() > 8);

        let off = TracerProvider::disabled();
        assert_eq!(
            run_pair(&off.tracer("test"), "gbpusd", &settings).unwrap(),
            traced
        );

        let closed_port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let without_collector = lumitrace::setup_tracing("test")
            .with_environment(Environment::from_lookup(|_| None))
            .endpoint(format!("http://{closed_port}"))
            .on_notice(|_| ())
            .build();
        let tracer = without_collector.tracer("test");
        assert_eq!(run_pair(&tracer, "gbpusd", &settings).unwrap(), traced);
        assert!(
            without_collector
                .shutdown_within(Duration::from_millis(50))
                .is_err()
        );
    }
}
