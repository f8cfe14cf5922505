//! What a page shows of a run, as text.

use lumitrace_model::SpanId;
use proptest::prelude::*;

use crate::fixture::{SECOND, SpanBuilder, T0, span};
use crate::training::RunId;
use crate::training::fold::RunFold;
use crate::training::recognition::TrainingNames;
use crate::training::view::{RunState, RunView};

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
    let own = |name: &str, id: u64, start: f64, end: f64| span(name, id).trace(id).at(start, end);
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
