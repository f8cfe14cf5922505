//! What ends up in a span, and how spans are related.
#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod support;

use std::collections::HashSet;

use lumitrace::distributed::{Job, Launcher};
use lumitrace::exporter::InMemoryExporter;
use lumitrace::model::{SpanId, TraceId};
use lumitrace::sampler::{AlwaysOff, ParentBased, TraceIdRatio};
use lumitrace::training::{
    TrainingSpan, batch_processing, data_loading, feature_engineering, training_epoch,
    training_run, validation,
};
use lumitrace::{
    Context, FutureExt, KeyValue, SpanContext, SpanKind, SpanLimits, StatusCode, TracerProvider,
    Value, current_span,
};
use support::{PATIENCE, exceptions, flushed, in_memory, named};

#[test]
fn t3_a_tracer_without_set_up_has_the_whole_api_and_does_nothing() {
    for tracer in [
        lumitrace::tracer("nobody"),
        TracerProvider::disabled().tracer("nobody"),
    ] {
        assert!(!tracer.is_enabled());
        let span = tracer
            .span("work")
            .attribute("a", 1)
            .kind(SpanKind::Client)
            .start();
        span.set_attribute("b", 2);
        span.set_attributes([KeyValue::new("c", 3)]);
        span.add_event("event", vec![]);
        span.add_link(&SpanContext::default(), vec![]);
        span.set_status(StatusCode::Error, "no");
        span.rename("other");
        span.record_error("failed");
        span.record_exception("Type", "message", "stack");
        assert!(!span.is_recording() && !span.context().is_valid() && span.snapshot().is_none());
        let entered = tracer.span("entered").enter();
        assert!(!current_span().is_recording());
        drop(entered);
        assert_eq!(tracer.in_span("in", |span| span.scope(|| 7)), 7);
        span.end();
        span.end();
    }
}

#[test]
fn a_parent_is_passed_on_through_a_tracer_that_does_nothing() {
    let (provider, exporter) = in_memory();
    let recorded = provider.tracer("recorded");
    let outer = recorded.span("outer").enter();
    let ignored = TracerProvider::disabled()
        .tracer("ignored")
        .span("ignored")
        .enter();
    recorded.span("inner").start().end();
    drop(ignored);
    drop(outer);
    let spans = flushed(provider, &exporter);
    let outer = named(&spans, "outer");
    assert_eq!(named(&spans, "inner").parent_span_id, Some(outer.span_id));
}

#[test]
fn s23_ranks_of_one_job_have_a_first_span_each_in_one_trace() {
    let trace_id = TraceId::from_bytes([7; 16]);
    let ranks = [0, 1].map(|rank| {
        let (provider, exporter) = in_memory();
        let job = Job {
            launcher: Launcher::Slurm,
            rank,
            world_size: 2,
            local_rank: None,
            local_world_size: None,
            node_rank: None,
            trace_id: Some(trace_id),
        };
        let tracer = provider.tracer("train");
        let _outside = tracer.span("outside").enter();
        let run = tracer.span("training_run").root_of_job(&job).enter();
        training_epoch(&tracer, 1, 1).start().end();
        drop(run);
        flushed(provider, &exporter)
    });
    for (rank, spans) in ranks.iter().enumerate() {
        let run = named(spans, "training_run");
        assert_eq!((run.trace_id, run.parent_span_id), (trace_id, None));
        assert_eq!(run.attribute("rank"), Some(&Value::Int(rank as i64)));
        let run_id = run.attribute("run.id").and_then(Value::as_str);
        assert_eq!(run_id, Some(&*trace_id.to_string()));
        let epoch = named(spans, "training_epoch");
        assert_eq!(epoch.parent_span_id, Some(run.span_id));
        assert_eq!(epoch.trace_id, trace_id);
    }
    let [first, second] = ranks.map(|spans| named(&spans, "training_run").span_id);
    assert_ne!(first, second);
}

#[test]
fn a_first_span_of_no_trace_begins_one() {
    let (provider, exporter) = in_memory();
    let tracer = provider.tracer("train");
    tracer.span("work").root_of(TraceId::INVALID).start().end();
    assert!(
        named(&flushed(provider, &exporter), "work")
            .trace_id
            .is_valid()
    );
    let nobody = TracerProvider::disabled().tracer("nobody");
    let span = nobody
        .span("work")
        .root_of(TraceId::from_bytes([7; 16]))
        .start();
    assert!(!span.context().is_valid());
}

#[test]
fn s27_a_training_run_is_below_what_is_around_it() {
    let (provider, exporter) = in_memory();
    let tracer = provider.tracer("train");
    let experiment = tracer.span("experiment").enter();
    training_run(&tracer).start().end();
    drop(experiment);
    let spans = flushed(provider, &exporter);
    let experiment = named(&spans, "experiment");
    let run = named(&spans, "training_run");
    assert_eq!(run.parent_span_id, Some(experiment.span_id));
}

#[test]
fn t11_the_in_memory_exporter_returns_finished_spans_with_scope_and_resource() {
    let (provider, exporter) = in_memory();
    let open = provider.tracer("train").span("open").start();
    provider
        .tracer("train")
        .span("done")
        .attribute("epoch", 3)
        .start()
        .end();
    let spans = flushed(provider, &exporter);
    assert_eq!(spans.len(), 1, "the open one is not finished");
    assert_eq!(spans[0].attribute("epoch"), Some(&Value::Int(3)));
    assert!(spans[0].end_unix_nano >= spans[0].start_unix_nano);
    assert_eq!(exporter.finished_spans()[0].scope.name, "train");
    exporter.clear();
    open.end();
    assert_eq!(flushed(provider, &exporter)[0].name, "open");
}

#[test]
fn t12_several_exporters_each_receive_every_span() {
    let (first, second) = (InMemoryExporter::default(), InMemoryExporter::default());
    let provider = TracerProvider::builder()
        .exporter(first.clone())
        .exporter(second.clone())
        .build();
    for _ in 0..1000 {
        provider.tracer("t").span("work").start().end();
    }
    let (first, second) = (flushed(provider, &first), flushed(provider, &second));
    assert_eq!((first.len(), second.len()), (1000, 1000));
    assert_eq!(first, second);
}

#[test]
fn every_span_of_busy_threads_is_exported_or_counted() {
    let (provider, exporter) = in_memory();
    let record = move || {
        let tracer = provider.tracer("busy");
        for index in 0..20_000 {
            tracer.span("work").enter().set_attribute("index", index);
        }
    };
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(record)).collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    let spans = flushed(provider, &exporter);
    let stats = provider.stats();
    assert_eq!(spans.len() as u64, stats.exported_spans);
    assert_eq!(stats.exported_spans + stats.queue_full_spans, 80_000);
    assert_eq!(stats.waiting_spans, 0);
    let ids: std::collections::HashSet<_> = spans.iter().map(|span| span.span_id).collect();
    assert_eq!(ids.len(), spans.len(), "none twice");
    assert!(
        spans
            .iter()
            .all(|span| span.attributes.len() == 1 && span.parent_span_id.is_none())
    );
}

#[test]
fn c42_spans_that_were_started_and_have_ended_are_counted_over_all_threads() {
    let (provider, _memory) = in_memory();
    let open = provider.tracer("test").span("open").start();
    std::thread::spawn(move || {
        for _ in 0..1_000 {
            provider.tracer("test").span("work").start().end();
        }
    })
    .join()
    .unwrap();
    let stats = provider.stats();
    assert_eq!((stats.started_spans, stats.ended_spans), (1_001, 1_000));
    open.end();
    let stats = provider.stats();
    assert_eq!((stats.started_spans, stats.ended_spans), (1_001, 1_001));
}

#[test]
fn t17_start_without_context_takes_the_current_span() {
    let (provider, exporter) = in_memory();
    let tracer = provider.tracer("train");
    {
        let _epoch = training_epoch(&tracer, 1, 3).enter();
        batch_processing(&tracer, 0, 32).enter().record_loss(0.5);
        batch_processing(&tracer, 1, 32).start().end();
        validation(&tracer).enter().record_validation(0.25, None);
    }
    data_loading(&tracer, "gbpusd", Some(20_000)).start().end();
    let spans = flushed(provider, &exporter);
    let epoch = named(&spans, "training_epoch");
    assert_eq!(epoch.parent_span_id, None);
    let children: Vec<_> = spans
        .iter()
        .filter(|span| span.parent_span_id == Some(epoch.span_id))
        .collect();
    assert_eq!(children.len(), 3);
    assert!(
        children
            .iter()
            .all(|child| child.trace_id == epoch.trace_id)
    );
    let after = named(&spans, "data_loading");
    assert_eq!(after.parent_span_id, None, "the epoch is over");
    assert_ne!(after.trace_id, epoch.trace_id);
}

#[test]
fn t18_names_of_training_spans_are_constant_and_numbers_are_attributes() {
    let (provider, exporter) = in_memory();
    let tracer = provider.tracer("train");
    for epoch in 1..=2 {
        let span = training_epoch(&tracer, epoch, 2).enter();
        span.record_epoch(0.5, Some(f64::NAN), None);
        span.record_step_loss(50, 0.75);
        let batch = batch_processing(&tracer, 37, 16).enter();
        batch.record_task_loss("direction", 1.5);
    }
    feature_engineering(&tracer, "gbpusd", Some(76))
        .start()
        .end();
    let spans = flushed(provider, &exporter);
    assert!(
        spans
            .iter()
            .all(|span| !span.name.contains(|c: char| c.is_ascii_digit()))
    );
    let epochs: Vec<_> = spans
        .iter()
        .filter(|span| span.name == "training_epoch")
        .collect();
    assert_eq!(epochs[1].attribute("epoch"), Some(&Value::Int(2)));
    assert_eq!(epochs[1].attribute("total_epochs"), Some(&Value::Int(2)));
    assert_eq!(
        epochs[1].attribute("loss_at_step_50"),
        Some(&Value::Double(0.75))
    );
    assert!(
        epochs[1]
            .attribute("val_loss")
            .unwrap()
            .as_f64()
            .unwrap()
            .is_nan()
    );
    let batch = spans
        .iter()
        .find(|span| span.name == "batch_processing")
        .unwrap();
    assert_eq!(batch.attribute("batch_index"), Some(&Value::Int(37)));
    assert_eq!(batch.attribute("batch_size"), Some(&Value::Int(16)));
    assert_eq!(batch.attribute("task.direction"), Some(&Value::Double(1.5)));
    let features = named(&spans, "feature_engineering");
    assert_eq!(features.attribute("feature_count"), Some(&Value::Int(76)));
    assert_eq!(features.attribute("pair"), Some(&Value::from("gbpusd")));
}

#[test]
fn t19_the_validation_span_covers_the_evaluation_and_knows_its_epoch() {
    let (provider, exporter) = in_memory();
    let tracer = provider.tracer("train");
    {
        let _epoch = training_epoch(&tracer, 2, 3).enter();
        let span = validation(&tracer).enter();
        tracer.span("evaluate_batch").start().end();
        span.record_validation(0.25, Some(0.75));
        span.record_validation_metric("dir_acc", 0.75);
    }
    let spans = flushed(provider, &exporter);
    let (validation, inner) = (named(&spans, "validation"), named(&spans, "evaluate_batch"));
    assert_eq!(inner.parent_span_id, Some(validation.span_id));
    assert!(validation.start_unix_nano <= inner.start_unix_nano);
    assert!(validation.end_unix_nano >= inner.end_unix_nano);
    assert_eq!(validation.attribute("epoch"), Some(&Value::Int(2)));
    assert_eq!(validation.attribute("val_loss"), Some(&Value::Double(0.25)));
    assert_eq!(
        validation.attribute("val.dir_acc"),
        Some(&Value::Double(0.75))
    );
}

#[test]
fn t20_an_error_gives_status_one_exception_event_and_error_attributes() {
    let (provider, exporter) = in_memory();
    let error = "seven".parse::<u32>().unwrap_err();
    provider
        .tracer("t")
        .in_span("work", |span| span.record_error(&error));
    let spans = flushed(provider, &exporter);
    assert_eq!(spans[0].status.code, StatusCode::Error);
    assert_eq!(spans[0].status.message, "invalid digit found in string");
    let events = exceptions(&spans[0]);
    assert_eq!(events.len(), 1);
    let fact = |key| lumitrace::model::value::find(&events[0].attributes, key).unwrap();
    assert_eq!(
        fact("exception.type").as_str(),
        Some("core::num::error::ParseIntError")
    );
    assert_eq!(
        fact("exception.message").as_str(),
        Some("invalid digit found in string")
    );
    assert!(
        fact("exception.stacktrace")
            .as_str()
            .unwrap()
            .contains("spans.rs")
    );
    assert_eq!(
        spans[0].attribute("error.type"),
        Some(fact("exception.type"))
    );
    assert_eq!(
        spans[0].attribute("error.message"),
        Some(fact("exception.message"))
    );
}

#[test]
fn t21_an_error_recorded_twice_is_one_event() {
    let (provider, exporter) = in_memory();
    provider.tracer("t").in_span("failing", |span| {
        span.record_exception("ValueError", "bad", "line 1");
        span.record_exception("ValueError", "bad", "line 1\nline 2");
    });
    let spans = flushed(provider, &exporter);
    assert_eq!(exceptions(&spans[0]).len(), 1);
}

#[test]
fn t21_a_parent_that_handles_the_error_of_its_child_has_neither_status_nor_event() {
    let (provider, exporter) = in_memory();
    let tracer = provider.tracer("t");
    let epochs = tracer.in_span("parent", |_| {
        let given = tracer.in_span("failing", |span| span.record_result("many".parse::<u32>()));
        given.unwrap_or(3)
    });
    assert_eq!(epochs, 3, "the parent went on");
    let spans = flushed(provider, &exporter);
    let failing = named(&spans, "failing");
    assert_eq!(failing.status.code, StatusCode::Error);
    assert_eq!(exceptions(failing).len(), 1);
    let parent = named(&spans, "parent");
    assert_eq!(failing.parent_span_id, Some(parent.span_id));
    assert_eq!(parent.status.code, StatusCode::Unset);
    assert!(parent.events.is_empty() && parent.attributes.is_empty());
}

#[test]
fn t20_t21_a_panic_is_an_exception_on_the_innermost_span_and_an_error_on_those_around_it() {
    let (provider, exporter) = in_memory();
    let tracer = provider.tracer("t");
    let panicked = std::thread::spawn(move || {
        let _outer = tracer.span("outer").enter();
        let _inner = tracer.span("inner").enter();
        panic!("on purpose, {}", "said the test");
    });
    assert!(panicked.join().is_err());
    let spans = flushed(provider, &exporter);
    let (inner, outer) = (named(&spans, "inner"), named(&spans, "outer"));
    let events = exceptions(inner);
    assert_eq!(events.len(), 1);
    let fact = |key| {
        lumitrace::model::value::find(&events[0].attributes, key)
            .unwrap()
            .as_str()
            .unwrap()
    };
    assert_eq!(fact("exception.type"), "panic");
    assert_eq!(fact("exception.message"), "on purpose, said the test");
    assert!(fact("exception.stacktrace").contains("spans.rs:"));
    assert_eq!(inner.attribute("error.type"), Some(&Value::from("panic")));
    assert_eq!(
        inner.attribute("error.message"),
        Some(&Value::from("on purpose, said the test"))
    );
    for span in [inner, outer] {
        assert_eq!(span.status.code, StatusCode::Error, "{}", span.name);
    }
    assert!(exceptions(outer).is_empty());
}

#[test]
fn t21_a_panic_that_was_caught_leaves_the_parent_as_it_was_and_a_second_one_is_told_again() {
    let (provider, exporter) = in_memory();
    let tracer = provider.tracer("t");
    let attempt = |name: &'static str| {
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _span = tracer.span(name).enter();
            panic!("in {name}");
        }));
        assert!(panicked.is_err());
    };
    tracer.in_span("parent", |_| {
        attempt("first");
        attempt("second");
    });
    let spans = flushed(provider, &exporter);
    for name in ["first", "second"] {
        let span = named(&spans, name);
        assert_eq!(exceptions(span).len(), 1, "{name}");
        assert_eq!(span.status.message, format!("in {name}"));
    }
    let parent = named(&spans, "parent");
    assert_eq!(
        (parent.status.code, parent.events.len()),
        (StatusCode::Unset, 0)
    );
}

#[test]
fn several_attributes_may_be_computed_from_the_span_itself() {
    let (provider, exporter) = in_memory();
    let span = provider.tracer("t").span("work").start();
    span.set_attributes((0..2).map(|index| {
        span.add_event("computing", vec![]);
        span.set_attribute("latest", index);
        KeyValue::new(
            format!("value.{index}"),
            span.snapshot().unwrap().events.len(),
        )
    }));
    span.end();
    let span = &flushed(provider, &exporter)[0];
    assert_eq!(
        span.attributes,
        [
            KeyValue::new("latest", 1),
            KeyValue::new("value.0", 1),
            KeyValue::new("value.1", 2)
        ]
    );
}

#[test]
fn s40_late_attributes_are_kept_until_the_end_and_counted_after_it() {
    let (provider, exporter) = in_memory();
    let tracer = provider.tracer("train");
    let epoch = training_epoch(&tracer, 1, 1).start();
    batch_processing(&tracer, 0, 8)
        .parent(epoch.context())
        .start()
        .end();
    epoch.set_attribute("train_loss", 0.5);
    epoch.end();
    epoch.set_attribute("train_loss", 7.0);
    epoch.add_event("late", vec![]);
    let spans = flushed(provider, &exporter);
    let epoch = named(&spans, "training_epoch");
    assert_eq!(epoch.attribute("train_loss"), Some(&Value::Double(0.5)));
    assert!(epoch.events.is_empty());
    assert_eq!(provider.stats().late_changes, 2);
}

#[test]
fn a_link_says_whether_the_other_span_is_in_another_process() {
    let (provider, exporter) = in_memory();
    let here = SpanContext::new(TraceId::from_bytes([1; 16]), SpanId::from_bytes([2; 8]), 1);
    let span = provider.tracer("t").span("s").link(&here, vec![]).start();
    span.add_link(&here.remote(), vec![]);
    span.end();
    let spans = flushed(provider, &exporter);
    let flags: Vec<u32> = spans[0].links.iter().map(|link| link.flags).collect();
    assert_eq!(flags, [0x101, 0x301]);
}

#[test]
fn a_span_that_was_discarded_is_not_exported_and_can_be_recorded_elsewhere() {
    let (provider, exporter) = in_memory();
    let tracer = provider.tracer("t");
    let parent = tracer.span("parent").start();
    let span = tracer.span("moved").parent(parent.context()).start();
    span.set_attribute("a", 1);
    let mut taken = span.discard().unwrap();
    assert!(!span.is_recording() && span.discard().is_none());
    assert_eq!(provider.stats().ended_spans, 0);
    span.end();
    parent.end();
    taken.name = "recorded elsewhere".into();
    taken.attributes.push(KeyValue::new("b", 2));
    taken.dropped_events_count = 3;
    taken.end_unix_nano = taken.start_unix_nano + 7;
    tracer.record(taken.clone());
    taken.flags &= !1;
    tracer.record(taken.clone());
    let spans = flushed(provider, &exporter);
    assert_eq!(
        spans.len(),
        2,
        "the discarded and the unsampled one are not there"
    );
    taken.flags |= 1;
    assert_eq!(*named(&spans, "recorded elsewhere"), taken);
    assert_eq!(taken.parent_span_id, Some(parent.context().span_id()));
}

#[test]
fn what_exceeds_the_limits_is_dropped_and_counted_on_the_span() {
    let exporter = InMemoryExporter::default();
    let limits = SpanLimits {
        attributes: 2,
        events: 1,
        links: 1,
        attributes_per_event: 1,
        attributes_per_link: 0,
        value_length: Some(3),
        ..SpanLimits::default()
    };
    let provider = TracerProvider::builder()
        .limits(limits)
        .exporter(exporter.clone())
        .build();
    let other = SpanContext::new(TraceId::from_bytes([1; 16]), SpanId::from_bytes([2; 8]), 1);
    let fact = || vec![KeyValue::new("a", 1), KeyValue::new("b", 2)];
    let span = provider
        .tracer("t")
        .span("s")
        .attribute("text", "abcdef")
        .attributes(fact());
    let span = span.link(&other, fact()).start();
    span.set_attribute("text", "uvwxyz");
    span.add_link(&other, vec![]);
    span.add_event("first", fact());
    span.add_event("second", vec![]);
    span.end();
    let spans = flushed(provider, &exporter);
    let span = &spans[0];
    assert_eq!(
        span.attributes,
        [KeyValue::new("text", "uvw"), KeyValue::new("a", 1)]
    );
    assert_eq!(span.dropped_attributes_count, 1);
    assert_eq!((span.events.len(), span.dropped_events_count), (1, 1));
    assert_eq!(span.events[0].dropped_attributes_count, 1);
    assert_eq!((span.links.len(), span.dropped_links_count), (1, 1));
    assert_eq!(span.links[0].dropped_attributes_count, 2);
    assert_eq!(span.links[0].span_id, other.span_id());
}

#[test]
fn a_remote_parent_gives_its_trace_state_and_flags() {
    let (provider, exporter) = in_memory();
    let remote = SpanContext::new(TraceId::from_bytes([1; 16]), SpanId::from_bytes([2; 8]), 1)
        .remote()
        .with_trace_state("vendor=1");
    let tracer = provider.tracer("t");
    let _guard = Context::of_span_context(remote).attach();
    tracer.span("server").kind(SpanKind::Server).start().end();
    tracer.span("root").root().start().end();
    let spans = flushed(provider, &exporter);
    let server = named(&spans, "server");
    assert_eq!(server.trace_id, TraceId::from_bytes([1; 16]));
    assert_eq!(server.parent_span_id, Some(SpanId::from_bytes([2; 8])));
    assert_eq!(
        (server.trace_state.as_ref(), server.flags),
        ("vendor=1", 0x301)
    );
    assert_eq!(server.kind, SpanKind::Server);
    assert_eq!(named(&spans, "root").parent_span_id, None);
}

#[test]
fn what_is_not_sampled_is_not_recorded_and_tells_its_children() {
    let exporter = InMemoryExporter::default();
    let provider = TracerProvider::builder()
        .sampler(ParentBased::new(AlwaysOff))
        .exporter(exporter.clone())
        .build();
    let tracer = provider.tracer("t");
    let root = tracer.span("root").enter();
    let child = tracer.span("child").start();
    assert!(root.context().is_valid() && !root.context().is_sampled());
    assert_eq!(child.context().trace_id(), root.context().trace_id());
    assert!(!child.is_recording());
    drop((child, root));
    assert!(flushed(provider, &exporter).is_empty());
}

#[test]
fn a_ratio_keeps_traces_whole() {
    let exporter = InMemoryExporter::default();
    let provider = TracerProvider::builder()
        .sampler(TraceIdRatio::new(0.5))
        .exporter(exporter.clone())
        .build();
    let tracer = provider.tracer("t");
    for _ in 0..200 {
        let _root = tracer.span("root").enter();
        tracer.span("child").start().end();
    }
    let spans = flushed(provider, &exporter);
    let count = |name| spans.iter().filter(|span| span.name == name).count();
    assert_eq!(count("root"), count("child"));
    assert!((50..150).contains(&count("root")), "{}", count("root"));
}

#[test]
fn the_first_declared_success_is_final_and_only_errors_keep_a_message() {
    let (provider, exporter) = in_memory();
    let span = provider.tracer("t").span("work").start();
    span.set_status(StatusCode::Ok, "ignored");
    span.set_status(StatusCode::Error, "too late");
    span.end();
    let status = flushed(provider, &exporter)[0].status.clone();
    assert_eq!((status.code, status.message.as_ref()), (StatusCode::Ok, ""));
}

#[test]
fn spans_can_be_timed_by_the_caller() {
    let (provider, exporter) = in_memory();
    let span = provider.tracer("t").span("work").start_time(1_000).start();
    span.add_event_at("half", 1_500, vec![]);
    span.end_at(2_000);
    span.end();
    let span = &flushed(provider, &exporter)[0];
    assert_eq!((span.start_unix_nano, span.end_unix_nano), (1_000, 2_000));
    assert_eq!(span.events[0].time_unix_nano, 1_500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_future_keeps_its_span_over_awaits_and_tasks() {
    let (provider, exporter) = in_memory();
    let tracer = provider.tracer("t");
    let work = |name: &'static str| async move {
        tokio::task::yield_now().await;
        tracer.span(name).start().end();
        tokio::task::yield_now().await;
        current_span().add_event("awaited", vec![]);
    };
    let first = tokio::spawn(work("in_first").in_span(tracer.span("first").start()));
    let second = tokio::spawn(work("in_second").in_span(tracer.span("second").start()));
    first.await.unwrap();
    second.await.unwrap();
    assert!(!current_span().is_recording());
    let spans = flushed(provider, &exporter);
    for (inner, outer) in [("in_first", "first"), ("in_second", "second")] {
        let (inner, outer) = (named(&spans, inner), named(&spans, outer));
        assert_eq!(inner.parent_span_id, Some(outer.span_id));
        let awaited = &outer.events[..];
        assert!(
            matches!(awaited, [event] if event.time_unix_nano <= outer.end_unix_nano),
            "open over its awaits: {awaited:?}"
        );
    }
}

#[test]
fn a_context_is_carried_to_another_thread_without_keeping_the_span_open() {
    let (provider, exporter) = in_memory();
    let tracer = provider.tracer("t");
    let outer = tracer.span("outer").enter();
    let context = Context::current();
    let thread = std::thread::spawn(move || {
        let _guard = context.attach();
        tracer.span("inner").start().end();
        current_span().set_attribute("from", "thread");
    });
    thread.join().unwrap();
    drop(outer);
    let spans = flushed(provider, &exporter);
    let outer = named(&spans, "outer");
    assert_eq!(named(&spans, "inner").parent_span_id, Some(outer.span_id));
    assert_eq!(outer.attribute("from"), Some(&Value::from("thread")));
}

#[test]
fn a_span_shows_nothing_of_those_before_it_and_a_handle_stays_with_its_own() {
    let (provider, exporter) = in_memory();
    let tracer = provider.tracer("reuse");
    let first = tracer.span("first").start();
    first.set_attribute("number", -1);
    first.set_status(StatusCode::Error, "failed");
    first.add_event("event", vec![]);
    first.add_link(&SpanContext::default(), vec![]);
    let context = Context::of_span(&first);
    first.end();
    for round in 0..3_i64 {
        for number in 0..100 {
            let span = tracer.span("later").attribute("number", number).start();
            if round == 1 {
                span.set_status(StatusCode::Error, "failed");
                span.set_attribute("round", round);
                span.add_event("event", vec![]);
                span.add_link(&SpanContext::default(), vec![]);
            }
        }
        provider.force_flush(PATIENCE).unwrap();
    }
    first.set_attribute("number", -2);
    assert!(first.snapshot().is_none(), "it does not see a later span");
    assert_eq!(context.span_context(), Some(first.context()));

    let spans = flushed(provider, &exporter);
    let ids: HashSet<_> = spans.iter().map(|span| span.span_id).collect();
    assert_eq!((spans.len(), ids.len()), (301, 301));
    for (index, span) in spans[1..].iter().enumerate() {
        let number = KeyValue::new("number", (index % 100) as i64);
        let is_full = (100..200).contains(&index);
        let expected = if is_full {
            vec![number, KeyValue::new("round", 1)]
        } else {
            vec![number]
        };
        assert_eq!(span.attributes, expected, "{index}");
        assert_eq!(span.status.code == StatusCode::Error, is_full, "{index}");
        let details = usize::from(is_full);
        assert_eq!((span.events.len(), span.links.len()), (details, details));
        assert_eq!(span.parent_span_id, None);
    }
}
