//! The engine over a real store: what was stored before it, and what arrives while it answers.

use super::{LiveChanges, QueryEngine, QueryError};
use crate::facts::SpanState;
use crate::fixture::{SECOND, SpanBuilder, T0, append, span, span_id, store, trace_id};
use crate::search::TraceQuery;
use crate::training::{RunQuery, RunState};
use lumitrace_store::{Exhausted, QueryBudget, QueryLimits, QueryMemory};
use std::sync::Arc;

const NOW: u64 = T0 + 1000 * SECOND;

/// A run of one process: an epoch of batches, each a trace of its own.
fn run(pid: i64, batches: u64) -> Vec<SpanBuilder> {
    let base = pid as u64 * 1000;
    let batch = |index: u64| {
        let at = base as f64 + index as f64;
        span("batch", base + index)
            .trace(base + index)
            .at(at, at + 0.5)
            .with("step", index)
    };
    let epoch = span("epoch_1", base)
        .trace(base)
        .at(base as f64, base as f64 + 999.0);
    (1..=batches)
        .map(|index| batch(index).with("loss", 1.0 / index as f64))
        .chain([epoch])
        .map(|span| span.resource("process.pid", pid))
        .collect()
}

/// Stores these spans, and hands them to the engine the way the server does.
fn arrive(engine: &QueryEngine, spans: Vec<SpanBuilder>) -> LiveChanges {
    let mut stored = engine.store().subscribe();
    append(engine.store(), spans);
    engine.absorb(&stored.blocking_recv().unwrap())
}

/// The runs as pid and number of batches, newest first.
fn runs(engine: &QueryEngine) -> Vec<(Option<i64>, u64)> {
    let runs = engine
        .runs(&RunQuery::default(), &engine.budget(), NOW)
        .unwrap()
        .answer;
    runs.iter().map(|run| (run.pid, run.batch_count)).collect()
}

#[test]
fn runs_are_found_in_memory_and_in_blocks_and_listed_newest_first() {
    let (_dir, store) = store();
    append(&store, run(1, 3));
    store.flush().unwrap();
    append(&store, run(2, 2));
    append(&store, [span("GET /", 1).trace(99).service("web")]);
    let engine = QueryEngine::new(store);
    assert_eq!(runs(&engine), [(Some(2), 2), (Some(1), 3)]);
    let query = RunQuery {
        service: Some("web".to_owned()),
        limit: 0,
    };
    assert!(
        engine
            .runs(&query, &engine.budget(), NOW)
            .unwrap()
            .answer
            .is_empty()
    );
    let query = RunQuery {
        service: None,
        limit: 1,
    };
    assert_eq!(
        engine
            .runs(&query, &engine.budget(), NOW)
            .unwrap()
            .answer
            .len(),
        1
    );
}

#[test]
fn an_opened_run_follows_what_arrives() {
    let (_dir, store) = store();
    append(&store, run(1, 3));
    let engine = QueryEngine::new(store);
    let run_id = engine
        .runs(&RunQuery::default(), &engine.budget(), NOW)
        .unwrap()
        .answer[0]
        .run_id;
    let before = engine
        .run(run_id, &engine.budget(), NOW)
        .unwrap()
        .unwrap()
        .answer;
    assert_eq!(before.epochs[0].batch_count, 3);

    let changes = arrive(&engine, run(1, 4));
    assert_eq!(changes.run_ids, [run_id]);
    assert_eq!(changes.trace_ids.len(), 5);
    let after = engine
        .run(run_id, &engine.budget(), NOW)
        .unwrap()
        .unwrap()
        .answer;
    assert!(after.revision > before.revision);
    assert_eq!(
        engine.run_revision(run_id, &engine.budget()).unwrap(),
        Some(after.revision)
    );
    assert_eq!(
        (after.epochs[0].batch_count, after.summary.batch_count),
        (4, 4)
    );
    assert_eq!(runs(&engine), [(Some(1), 4)]);

    let page = engine
        .run_batches(
            run_id,
            after.epochs[0].span_id,
            (2, 10),
            &engine.budget(),
            NOW,
        )
        .unwrap()
        .unwrap()
        .answer;
    let steps: Vec<_> = page.batches.iter().map(|batch| batch.step).collect();
    assert_eq!((page.total, steps), (4, vec![Some(3), Some(4)]));
    let series = engine
        .run_series(run_id, &["loss".to_owned()], 100, &engine.budget())
        .unwrap()
        .unwrap()
        .answer;
    assert_eq!(series[0].points.len(), 4);
}

#[test]
fn what_was_missed_is_read_anew_after_a_lag() {
    let (_dir, store) = store();
    append(&store, run(1, 1));
    let engine = QueryEngine::new(store.clone());
    let run_id = engine
        .runs(&RunQuery::default(), &engine.budget(), NOW)
        .unwrap()
        .answer[0]
        .run_id;
    let before = engine
        .run_revision(run_id, &engine.budget())
        .unwrap()
        .unwrap();
    append(&store, run(1, 7));
    assert_eq!(runs(&engine), [(Some(1), 1)], "nothing was absorbed");
    engine.lagged();
    let changes = arrive(&engine, run(1, 9));
    assert_eq!(changes.run_ids, [run_id], "those who look are told");
    assert_eq!(runs(&engine), [(Some(1), 9)]);
    let view = engine
        .run(run_id, &engine.budget(), NOW)
        .unwrap()
        .unwrap()
        .answer;
    assert!(view.revision > before);
    assert_eq!(
        (view.summary.batch_count, view.epochs[0].batch_count),
        (9, 9)
    );
    arrive(&engine, run(1, 10));
    assert_eq!(runs(&engine), [(Some(1), 10)]);
}

/// Stores and absorbs runs of 2 to 200 batches on a thread of its own, while `ask` is called.
fn while_spans_arrive(engine: &QueryEngine, ask: impl Fn()) {
    std::thread::scope(|scope| {
        let arriving = scope.spawn(|| {
            for batches in 2..=200 {
                arrive(engine, run(2, batches));
            }
        });
        while !arriving.is_finished() {
            ask();
        }
    });
}

#[test]
fn nothing_that_arrives_during_the_first_reading_is_lost_or_counts_twice() {
    let (_dir, store) = store();
    let engine = QueryEngine::new(store);
    while_spans_arrive(&engine, || engine.warm_up().unwrap());
    assert_eq!(runs(&engine), [(Some(2), 200)]);
}

#[test]
fn nothing_that_arrives_while_missed_spans_are_read_is_lost_or_counts_twice() {
    let (_dir, store) = store();
    let engine = QueryEngine::new(store);
    arrive(&engine, run(2, 1));
    let run_id = engine
        .runs(&RunQuery::default(), &engine.budget(), NOW)
        .unwrap()
        .answer[0]
        .run_id;
    while_spans_arrive(&engine, || {
        engine.lagged();
        engine.run(run_id, &engine.budget(), NOW).unwrap().unwrap();
    });
    let view = engine
        .run(run_id, &engine.budget(), NOW)
        .unwrap()
        .unwrap()
        .answer;
    assert_eq!(runs(&engine), [(Some(2), 200)]);
    assert_eq!(
        (view.summary.batch_count, view.epochs[0].batch_count),
        (200, 200)
    );
}

/// Training spans of every role with the most extreme times and numbers there are.
fn hostile_spans() -> Vec<SpanBuilder> {
    let names = [
        "train",
        "epoch",
        "batch_processing",
        "validation",
        "evaluation",
        "save_checkpoint",
        "batch_9223372036854775807",
    ];
    let times = [
        (0, u64::MAX),
        (u64::MAX, 0),
        (u64::MAX, u64::MAX),
        (0, 0),
        (T0, u64::MAX),
        (T0 + 1, 0),
    ];
    let steps = [i64::MAX, i64::MIN, 0];
    let epochs = [
        i64::from(i32::MAX),
        i64::from(i32::MIN),
        i64::MAX,
        i64::MIN,
        0,
    ];
    let keys = ["batch_index", "step", "global_step"];
    let mut spans = Vec::new();
    for (number, id) in (0..names.len() * times.len() * 3).zip(2_u64..) {
        let name = names[number % names.len()];
        let (start, end) = times[number % times.len()];
        let built = span(name, id)
            .trace(1 + id % 3)
            .at_unix_nano(start, end)
            .with(keys[number % keys.len()], steps[number % steps.len()])
            .with("epoch", epochs[number % epochs.len()])
            .with("total_epochs", epochs[(number + 1) % epochs.len()])
            .with("loss", f64::MAX)
            .with("batch_size", i64::MAX)
            .with("loss_at_step_9223372036854775807", f64::INFINITY)
            .with("loss_at_step_-9223372036854775808", f64::MIN);
        let built = if number % 2 == 0 {
            built.parent(id - 1)
        } else {
            built
        };
        spans.push(if number % 5 == 0 {
            built.pending()
        } else {
            built
        });
    }
    spans
}

#[test]
fn the_most_extreme_times_and_numbers_break_no_page() {
    let with_pid = |span: SpanBuilder| span.resource("process.pid", 1);
    let by_silence = hostile_spans();
    let by_process: Vec<_> = hostile_spans().into_iter().map(with_pid).collect();
    for (spans, flushed) in [
        (by_silence.clone(), false),
        (by_silence, true),
        (by_process.clone(), false),
        (by_process, true),
    ] {
        let (_dir, store) = store();
        append(&store, spans.clone());
        if flushed {
            store.flush().unwrap();
        }
        let engine = QueryEngine::new(store);
        assert!(
            !engine
                .runs(&RunQuery::default(), &engine.budget(), NOW)
                .unwrap()
                .answer
                .is_empty()
        );
        arrive(&engine, spans);
        for now in [0, NOW, u64::MAX] {
            ask_everything(&engine, now);
        }
    }
}

fn ask_everything(engine: &QueryEngine, now: u64) {
    for summary in engine
        .runs(&RunQuery::default(), &engine.budget(), now)
        .unwrap()
        .answer
    {
        let view = engine
            .run(summary.run_id, &engine.budget(), now)
            .unwrap()
            .unwrap()
            .answer;
        assert!(!view.series.is_empty());
        let series = engine.run_series(summary.run_id, &[], 4, &engine.budget());
        assert!(!series.unwrap().unwrap().answer.is_empty());
        for epoch in view.epochs {
            for (offset, limit) in [(0, usize::MAX), (usize::MAX, 1)] {
                let (id, place) = (epoch.span_id, (offset, limit));
                engine
                    .run_batches(summary.run_id, id, place, &engine.budget(), now)
                    .unwrap();
            }
        }
    }
    for trace in 1..4 {
        let tree = engine
            .trace(trace_id(trace), &engine.budget(), now)
            .unwrap()
            .unwrap();
        for row in tree.rows {
            engine.span(trace_id(trace), row.span_id, now).unwrap();
        }
    }
    let extremes = [None, Some(0), Some(u64::MAX)];
    for (limit, bound) in [1, usize::MAX]
        .into_iter()
        .flat_map(|l| extremes.map(|b| (l, b)))
    {
        let query = TraceQuery {
            limit,
            start_unix_nano: bound,
            min_duration_nano: bound,
            ..TraceQuery::default()
        };
        let page = engine.search(&query, &engine.budget(), now).unwrap();
        assert!(!page.truncated);
        let query = TraceQuery {
            before: page.next,
            end_unix_nano: bound,
            max_duration_nano: bound,
            ..query
        };
        engine.search(&query, &engine.budget(), now).unwrap();
    }
}

#[test]
fn a_run_named_only_by_its_root_is_whole_however_late_the_root_comes() {
    let (_dir, store) = store();
    let batch = |id: u64| {
        span("batch", id)
            .parent(1)
            .at(id as f64, id as f64 + 0.5)
            .with("loss", 0.5)
    };
    let process = |span: SpanBuilder| span.resource("process.pid", 7);
    append(&store, [process(batch(2))]);
    let engine = QueryEngine::new(store.clone());
    assert_eq!(runs(&engine), [(Some(7), 1)]);
    let late = vec![
        process(batch(3)),
        process(span("train", 1).at(0.0, 9.0).with("run.id", "night")),
    ];
    arrive(&engine, late);
    let listed = engine
        .runs(&RunQuery::default(), &engine.budget(), NOW)
        .unwrap()
        .answer;
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (listed[0].instance.as_deref(), listed[0].batch_count),
        (Some("night"), 2)
    );
    assert_eq!(listed[0].state, RunState::Finished);
    let view = engine
        .run(listed[0].run_id, &engine.budget(), NOW)
        .unwrap()
        .unwrap()
        .answer;
    assert_eq!(view.summary.batch_count, 2);
    assert_eq!(view.parameters[0].key, "run.id");
}

#[test]
fn a_program_without_any_resource_has_a_run_too() {
    let (_dir, store) = store();
    let batch = |id: u64| {
        let span = span("batch_7", id)
            .trace(id)
            .at(id as f64, id as f64 + 0.5)
            .anonymous();
        span.with("loss", f64::NAN).with("service.name", "hidden")
    };
    append(&store, [batch(1), batch(2)]);
    let engine = QueryEngine::new(store);
    let runs = engine
        .runs(&RunQuery::default(), &engine.budget(), NOW)
        .unwrap()
        .answer;
    assert_eq!(
        (runs[0].service_name.as_str(), runs[0].batch_count),
        ("hidden", 2)
    );
    assert!(runs[0].last_loss.unwrap().is_nan());
    let view = engine
        .run(runs[0].run_id, &engine.budget(), NOW)
        .unwrap()
        .unwrap()
        .answer;
    assert_eq!(view.series[0].point_count, 2);
    assert_eq!(view.epochs[0].batch_count, 2);
    let trace = engine
        .trace(trace_id(1), &engine.budget(), NOW)
        .unwrap()
        .unwrap();
    assert_eq!(
        (trace.run_id, trace.services),
        (Some(runs[0].run_id), vec!["hidden".to_owned()])
    );
}

#[test]
fn a_span_is_shown_with_its_state_and_label() {
    let (_dir, store) = store();
    append(
        &store,
        [span("batch_processing", 5)
            .with("batch_index", 37)
            .pending()],
    );
    let engine = QueryEngine::new(store);
    let detail = engine
        .span(trace_id(1), span_id(5), T0 + 2 * SECOND)
        .unwrap()
        .unwrap();
    assert_eq!(
        (detail.state, detail.label.as_deref()),
        (SpanState::Running, Some("(37)"))
    );
    assert!(engine.span(trace_id(1), span_id(6), NOW).unwrap().is_none());
    assert!(
        engine
            .trace(trace_id(2), &engine.budget(), NOW)
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_live_view_is_told_of_the_traces_that_match() {
    let (_dir, store) = store();
    let spans = vec![
        span("load", 1).trace(1),
        span("train", 2).trace(2),
        span("train", 3).trace(2),
    ];
    let mut stored = store.subscribe();
    append(&store, spans);
    let engine = QueryEngine::new(store);
    let query = TraceQuery {
        operation: Some("train".to_owned()),
        ..TraceQuery::default()
    };
    let matching = engine.matching_traces(&query, &stored.blocking_recv().unwrap());
    assert_eq!(matching, [trace_id(2)]);
    let summaries = engine
        .summaries(&[trace_id(1), trace_id(2)], &query, &engine.budget(), NOW)
        .unwrap();
    assert_eq!((summaries.len(), summaries[0].matched_span_count), (1, 2));
}

/// The budget of a question whose client has gone.
fn gone() -> QueryBudget {
    let budget = QueryBudget::unlimited();
    drop(budget.cancel_on_drop());
    budget
}

/// A budget with these limits.
fn budget_of(limits: QueryLimits) -> QueryBudget {
    QueryBudget::new(limits, &Arc::new(QueryMemory::new(u64::MAX)))
}

#[test]
fn a_run_is_opened_within_its_budget_and_again_with_a_larger_one() {
    let (_dir, store) = store();
    append(&store, run(1, 50));
    store.flush().unwrap();
    append(&store, run(1, 60));
    let engine = QueryEngine::new(store);
    let run_id = engine
        .runs(&RunQuery::default(), &engine.budget(), NOW)
        .unwrap()
        .answer[0]
        .run_id;
    let none = QueryLimits::NONE;
    let budgets = [
        (gone(), Exhausted::Cancelled),
        (
            budget_of(QueryLimits {
                max_spans: 10,
                ..none
            }),
            Exhausted::Spans { limit: 10 },
        ),
        (
            budget_of(QueryLimits {
                max_memory_bytes: 1000,
                ..none
            }),
            Exhausted::Memory { limit_bytes: 1000 },
        ),
    ];
    for (budget, expected) in budgets {
        let view = engine.run(run_id, &budget, NOW).unwrap_err();
        assert!(
            matches!(view, QueryError::Exhausted(it) if it == expected),
            "{view}"
        );
        let series = engine.run_series(run_id, &[], 10, &budget).unwrap_err();
        assert!(matches!(series, QueryError::Exhausted(_)), "{series}");
        let archived = engine.archive_run(run_id, &budget);
        assert!(
            matches!(archived, Err(QueryError::Exhausted(_))),
            "{archived:?}"
        );
    }
    let archived = engine.archive_trace(trace_id(1001), &gone());
    assert!(
        matches!(archived, Err(QueryError::Exhausted(Exhausted::Cancelled))),
        "{archived:?}"
    );
    let view = engine.run(run_id, &engine.budget(), NOW).unwrap().unwrap();
    assert_eq!(view.answer.epochs[0].batch_count, 60);
    assert!(view.damaged.is_empty());
}

#[test]
fn a_question_that_waits_for_the_reading_of_runs_ends_when_nobody_waits_for_it() {
    let (_dir, store) = store();
    append(&store, run(1, 3));
    let engine = QueryEngine::new(store);
    let _reading = engine.runs.hold_reading();
    let refused = engine.runs(&RunQuery::default(), &gone(), NOW).unwrap_err();
    assert!(
        matches!(refused, QueryError::Exhausted(Exhausted::Cancelled)),
        "{refused}"
    );
}
