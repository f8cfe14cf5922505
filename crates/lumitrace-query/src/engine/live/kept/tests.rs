//! Runs made of what blocks keep, held against the same runs made of their spans.

use std::ops::ControlFlow;
use std::sync::Arc;

use lumitrace_store::compact::compact;
use lumitrace_store::{Durability, SpanDigester, Store, StoreOptions};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::QueryEngine;
use crate::fixture::{SECOND, SpanBuilder, T0, append, span, store};
use crate::training::{RunDigester, RunQuery, RunSummary};

const NOW: u64 = T0 + 1_000_000 * SECOND;

/// Which span it is, and what is special about it.
#[derive(Debug, Clone, Copy)]
struct Drawn {
    /// Of what kind.
    kind: u8,
    process: u8,
    trace: u8,
    /// In steps of 100 seconds, so that a service falls silent at times.
    start: u8,
    number: u8,
    special: u8,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    (0..12_u8, 0..4_u8, 0..12_u8, 0..60_u8, 0..8_u8, 0..12_u8).prop_map(
        |(kind, process, trace, start, number, special)| Drawn {
            kind,
            process,
            trace,
            start,
            number,
            special,
        },
    )
}

/// The span with this id. A trace is of one process. No two have the same start, as their order would be that of chance.
fn span_of(drawn: Drawn, id: u64) -> SpanBuilder {
    let number = i64::from(drawn.number);
    let name = match drawn.kind {
        0 | 1 => "epoch",
        2..=5 => "batch",
        6 => "validation",
        7 => "checkpoint",
        8 => "data_loading",
        9 => "forward",
        10 => "train",
        _ => "evaluation",
    };
    let start = 1_000.0 + f64::from(drawn.start) * 100.0 + id as f64 * 0.001;
    // Of a part of a step nobody knows whose run it is before the first stage.
    let start = if drawn.kind == 9 {
        start + 8_000.0
    } else {
        start
    };
    let length = if drawn.kind < 2 { 90.0 } else { 0.5 };
    let span = span(name, id)
        .trace(u64::from(drawn.process) * 100 + u64::from(drawn.trace) + 1)
        .at(start, start + length);
    let span = match drawn.kind {
        0 | 1 => span
            .with("epoch", number)
            .with("train_loss", 1.0 / (id + 1) as f64),
        2..=5 => span.with("step", number).with("loss", id as f64),
        6 => span.with("val_loss", 0.25).with("epoch", number),
        _ => span,
    };
    let span = match drawn.process {
        0 => span,
        1 => span.service("other"),
        process => span.resource("process.pid", i64::from(process)),
    };
    let span = if drawn.kind != 10 && drawn.trace > 3 {
        span.parent(7_000)
    } else {
        span
    };
    match drawn.special {
        0 => span.failed("NaN"),
        1 => span.exception("ValueError", "NaN"),
        2 => span.pending(),
        3 => span.with("lr", f64::NAN),
        4 if drawn.process > 1 && drawn.kind < 7 => span.with("run.id", "night"),
        5 => span.with("loss", f64::INFINITY).with("batch_index", number),
        _ => span,
    }
}

/// Everything that is shown of every run, in lines that do not depend on the order of processes.
fn shown(engine: &QueryEngine) -> Vec<String> {
    let mut lines = Vec::new();
    for summary in engine
        .runs(&RunQuery::default(), &engine.budget(), NOW)
        .unwrap()
        .answer
    {
        let run_id = summary.run_id;
        lines.push(format!("{summary:?}"));
        let mut view = engine
            .run(run_id, &engine.budget(), NOW)
            .unwrap()
            .unwrap()
            .answer;
        view.revision = 0;
        lines.push(format!("{:?} {:?}", view.summary, view.attributes));
        lines.push(format!("{:?} {:?}", view.parameters, view.phases));
        lines.push(format!("{:?} {:?}", view.errors, view.step_time));
        let mut series: Vec<_> = view.series.iter().map(|it| format!("{it:?}")).collect();
        series.sort();
        lines.extend(series);
        let mut epochs: Vec<_> = view.epochs.iter().map(|it| format!("{it:?}")).collect();
        epochs.sort();
        lines.extend(epochs);
        let mut batches = Vec::new();
        for epoch in &view.epochs {
            let page = engine.run_batches(run_id, epoch.span_id, (0, 1_000), &engine.budget(), NOW);
            let page = page.unwrap().unwrap().answer;
            batches.extend(page.batches.iter().map(|it| format!("{it:?}")));
        }
        batches.sort();
        lines.extend(batches);
        let series = engine.run_series(run_id, &[], 1_000, &engine.budget());
        for curve in series.unwrap().unwrap().answer {
            let mut points: Vec<_> = curve.points.iter().map(|it| format!("{it:?}")).collect();
            points.sort();
            lines.push(format!("{} {points:?}", curve.name));
        }
    }
    lines
}

/// The spans in order of arrival: in blocks of so many, which are merged or not, and the rest in memory.
fn engine_with_blocks(
    spans: &[SpanBuilder],
    block: usize,
    is_merged: bool,
    digester: Option<Arc<dyn SpanDigester>>,
) -> (TempDir, QueryEngine) {
    let dir = tempfile::tempdir().unwrap();
    let options = || StoreOptions {
        durability: Durability::None,
        digester: digester.clone(),
        compact_below_bytes: 0,
        ..StoreOptions::new(dir.path())
    };
    let store = Store::open(options()).unwrap();
    let mut blocks = spans.chunks_exact(block);
    for spans in &mut blocks {
        append(&store, spans.iter().cloned());
        store.flush().unwrap();
    }
    append(&store, blocks.remainder().iter().cloned());
    if is_merged {
        store.flush().unwrap();
        drop(store);
        let keep_on = &mut |_| ControlFlow::Continue(());
        compact(options(), 64 << 20, keep_on).unwrap();
        let store = Store::open(options()).unwrap();
        return (dir, QueryEngine::new(store));
    }
    (dir, QueryEngine::new(store))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn runs_made_of_what_blocks_keep_are_those_made_of_their_spans(
        drawn in vec(drawn(), 1..60),
        block in 1..30_usize,
        is_merged: bool,
    ) {
        let mut spans: Vec<_> = (1..).zip(drawn).map(|(id, drawn)| span_of(drawn, id)).collect();
        // What a process does before its first root or stage counts where that is known from another
        // block, and not where spans are read by time. So each has a batch before all else, which may
        // arrive last where no span names a run.
        let first = |process| {
            let drawn = Drawn { kind: 2, process, trace: 50, start: 0, number: 0, special: 11 };
            span_of(drawn, u64::from(process) + 100).at(f64::from(process), f64::from(process) + 0.5)
        };
        spans.extend((0..2).map(first));
        spans.splice(0..0, (2..4).map(first));
        let digester = RunDigester::default();
        let (_dir, kept) = engine_with_blocks(&spans, block, is_merged, Some(Arc::new(digester)));
        let (_dir, plain) = engine_with_blocks(&spans, block, is_merged, None);
        prop_assert_eq!(shown(&kept), shown(&plain));
    }
}

/// An engine whose store has a block of each of these lists of spans.
fn engine_of_blocks(blocks: Vec<Vec<SpanBuilder>>) -> (TempDir, QueryEngine) {
    let (dir, store) = store();
    for spans in blocks {
        append(&store, spans);
        store.flush().unwrap();
    }
    (dir, QueryEngine::new(store))
}

/// Process, name of the run, batches, errors and state of each run.
fn listed(engine: &QueryEngine) -> Vec<String> {
    let runs = engine
        .runs(&RunQuery::default(), &engine.budget(), NOW)
        .unwrap()
        .answer;
    let line = |run: RunSummary| {
        let (pid, name) = (run.pid.unwrap_or(0), run.instance.unwrap_or_default());
        let (batches, errors, state) = (run.batch_count, run.error_count, run.state.as_str());
        format!("{pid} {name:?}: {batches} batches, {errors} errors, {state}")
    };
    let mut lines: Vec<_> = runs.into_iter().map(line).collect();
    lines.sort();
    lines
}

fn batch(id: u64, pid: i64) -> SpanBuilder {
    let batch = span("batch", id).at(id as f64, id as f64 + 0.5);
    batch.with("loss", 0.5).resource("process.pid", pid)
}

#[test]
fn an_epoch_that_was_announced_in_one_block_has_ended_where_another_has_its_end() {
    let epoch = span("epoch", 9).with("epoch", 1).with("total_epochs", 1);
    let epoch = epoch.resource("process.pid", 1);
    let announced = epoch.clone().at(0.0, 2.0).pending();
    let (_dir, engine) = engine_of_blocks(vec![
        vec![announced, batch(1, 1)],
        vec![epoch.at(0.0, 9.0), batch(2, 1)],
    ]);
    assert_eq!(listed(&engine), ["1 \"\": 2 batches, 0 errors, finished"]);
}

#[test]
fn a_trace_among_many_of_a_process_still_moves_to_the_run_that_another_block_names() {
    let traces = (1..=20).map(|id| batch(id, 1).trace(id)).collect();
    let naming = span("epoch", 21)
        .trace(20)
        .at(20.0, 30.0)
        .with("run.id", "night");
    let naming = naming.with("epoch", 1).resource("process.pid", 1);
    let (_dir, engine) = engine_of_blocks(vec![traces, vec![naming]]);
    assert_eq!(
        listed(&engine),
        [
            "1 \"\": 19 batches, 0 errors, finished",
            "1 \"night\": 1 batches, 0 errors, finished",
        ]
    );
}

#[test]
fn what_a_block_has_of_a_process_counts_once_a_later_block_says_that_it_trains() {
    let part = span("forward", 7).parent(8).at(7.0, 7.5).failed("NaN");
    let part = part.resource("process.pid", 2);
    let (_dir, engine) = engine_of_blocks(vec![vec![batch(1, 1), part], vec![batch(9, 2)]]);
    assert_eq!(
        listed(&engine),
        [
            "1 \"\": 1 batches, 0 errors, finished",
            "2 \"\": 1 batches, 1 errors, finished",
        ]
    );
}

#[test]
fn a_run_is_shown_without_what_is_damaged_of_it_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let options = StoreOptions {
            durability: Durability::None,
            digester: Some(Arc::new(RunDigester::default())),
            compact_below_bytes: 0,
            ..StoreOptions::new(dir.path())
        };
        Store::open(options).unwrap()
    };
    let store = open();
    for ids in [1..=20, 21..=50] {
        append(&store, ids.map(|id| batch(id, 1)));
        store.flush().unwrap();
    }
    drop(store);
    let entries = std::fs::read_dir(dir.path().join("blocks")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let payloads = paths.filter(|path| path.extension().is_some_and(|it| it == "payload"));
    let first = payloads.min().unwrap();
    let mut bytes = std::fs::read(&first).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&first, bytes).unwrap();

    let engine = QueryEngine::new(open());
    let budget = engine.budget();
    let runs = engine.runs(&RunQuery::default(), &budget, NOW).unwrap();
    let [run] = &runs.answer[..] else {
        panic!("{runs:?}");
    };
    assert_eq!(run.batch_count, 50, "the list needs no steps");
    let loss = ["loss".to_owned()];
    let curves = engine
        .run_series(run.run_id, &loss, 100, &budget)
        .unwrap()
        .unwrap();
    // Those of the other block, and what the first one shows whole.
    let points = curves.answer[0].points.len();
    assert!((30..50).contains(&points), "{points}");
    let view = engine.run(run.run_id, &budget, NOW).unwrap().unwrap();
    for damaged in [curves.damaged, view.damaged] {
        assert_eq!(damaged.len(), 1, "{damaged:?}");
        assert_eq!(damaged[0].file, first);
    }
}
