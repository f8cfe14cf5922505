//! Exporting over OTLP/HTTP to a receiver that behaves well, badly, or not at all.
#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod support;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use lumitrace::environment::Environment;
use lumitrace::exporter::{Compression, Endpoint, InMemoryExporter, OtlpProtocol, OtlpSettings};
use lumitrace::model::{Span, names, value};
use lumitrace::notice::Severity;
use lumitrace::{BatchSettings, FlushError, Notice, TracerProvider, setup_tracing};
use lumitrace_wire::otlp::Signal;
use lumitrace_wire::otlp::response::{
    PartialSuccess, encode_export_json, encode_export_protobuf, encode_status_json,
};
use support::{
    Answer, PATIENCE, Receiver, Request, exporting_to, exporting_with, without_schedule,
};

fn record(provider: TracerProvider, count: usize) {
    let tracer = provider.tracer("test");
    for index in 0..count {
        tracer.span("work").attribute("index", index).start().end();
    }
}

fn is_failing(notice: &Notice) -> bool {
    matches!(notice, Notice::ExportFails { .. })
}

fn is_recovered(notice: &Notice) -> bool {
    matches!(notice, Notice::ExportRecovered { .. })
}

#[test]
fn t5_t6_spans_arrive_at_the_traces_path_with_the_service_on_the_resource() {
    let receiver = Receiver::accepting();
    let no_environment = Environment::default();
    let provider = setup_tracing("sequence-training")
        .endpoint(format!("http://{}", receiver.address()))
        .environment("staging")
        .service_version("1.2")
        .with_environment(no_environment)
        .build();
    record(provider, 1);
    provider.force_flush(PATIENCE).unwrap();
    let requests = receiver.requests();
    let request = requests
        .iter()
        .find(|request| !request.spans().is_empty())
        .unwrap();
    assert_eq!(request.path, "/v1/traces");
    assert_eq!(
        request.header("content-type"),
        Some("application/x-protobuf")
    );
    let (resource, span) = &request.spans()[0];
    let fact = |key| value::find(&resource.attributes, key).and_then(|value| value.as_str());
    assert_eq!(resource.service_name(), "sequence-training");
    assert_eq!(fact(names::SERVICE_VERSION), Some("1.2"));
    assert_eq!(fact(names::DEPLOYMENT_ENVIRONMENT_NAME), Some("staging"));
    assert_eq!(fact(names::DEPLOYMENT_ENVIRONMENT), Some("staging"));
    assert_eq!(fact("telemetry.sdk.name"), Some("lumitrace"));
    assert_eq!(span.name, "work");
}

#[test]
fn headers_and_gzip_are_sent_as_set() {
    let receiver = Receiver::accepting();
    let endpoint = Endpoint::parse(&receiver.address().to_string(), None).unwrap();
    let mut settings = OtlpSettings::new(endpoint);
    settings.headers = vec![("api-key".to_owned(), "secret".to_owned())];
    settings.compression = Compression::Gzip;
    let provider = exporting_with(settings).0.build();
    record(provider, 100);
    provider.force_flush(PATIENCE).unwrap();
    assert_eq!(receiver.spans().len(), 100);
    for request in receiver.requests() {
        assert_eq!(request.header("api-key"), Some("secret"));
        assert_eq!(request.header("content-encoding"), Some("gzip"));
    }
}

fn json_to(receiver: &Receiver) -> OtlpSettings {
    let json = Some(OtlpProtocol::HttpJson);
    OtlpSettings::new(Endpoint::parse(&receiver.address().to_string(), json).unwrap())
}

#[test]
fn s20_json_carries_the_same_spans_compressed_or_not() {
    for compression in [Compression::None, Compression::Gzip] {
        let receiver = understanding();
        let mut settings = json_to(&receiver);
        settings.compression = compression;
        let memory = InMemoryExporter::default();
        let builder = exporting_with(settings).0;
        let provider = builder.exporter(memory.clone()).build();
        record(provider, 100);
        let open = provider.tracer("test").span("open").start();
        provider.force_flush(PATIENCE).unwrap();
        let sent: Vec<_> = memory
            .finished_spans()
            .into_iter()
            .map(|it| it.span)
            .collect();
        assert_eq!(receiver.spans(), sent);
        for request in receiver.requests() {
            assert_eq!(request.path, "/v1/traces");
            assert_eq!(request.header("content-type"), Some("application/json"));
        }
        provider.shutdown().unwrap();
        let announced = receiver.wait_for_span(is_pending);
        assert_eq!(announced.name, "open", "announcements work as in protobuf");
        open.end();
    }
}

#[test]
fn s20_answers_in_json_say_what_was_refused_and_why() {
    let partial = PartialSuccess {
        rejected: 2,
        error_message: "two are too old".to_owned(),
    };
    let answers = [
        (
            200,
            encode_export_json(Signal::Traces, Some(&partial)),
            "two are too old",
            (3, 2),
        ),
        (
            400,
            encode_status_json(3, "no such tenant"),
            "no such tenant",
            (0, 5),
        ),
    ];
    for (status, body, reason, counts) in answers {
        let receiver = Receiver::start(move |_, request| match request.spans().len() {
            0 => Answer::status(200),
            _ => Answer {
                body: body.clone(),
                ..Answer::status(status)
            },
        });
        let (builder, notices) = exporting_with(json_to(&receiver));
        let provider = builder.batch(without_schedule()).build();
        record(provider, 5);
        provider.force_flush(PATIENCE).unwrap();
        let stats = provider.stats();
        assert_eq!(
            (stats.exported_spans, stats.refused_spans),
            counts,
            "{status}"
        );
        let told = notices.all()[0].to_string();
        assert!(told.contains(reason), "{told}");
    }
}

/// A receiver that takes only so many spans at once, and none with this attribute.
fn small(max_spans: usize, never: &'static str) -> Receiver {
    Receiver::start(move |_, request| {
        let spans = request.spans();
        let is_too_large = spans.len() > max_spans
            || spans
                .iter()
                .any(|(_, span)| span.attribute(never).is_some());
        Answer::status(if is_too_large { 413 } else { 200 })
            .with_header("lumitrace-pending-spans", "1")
    })
}

/// The spans in requests that were accepted.
fn accepted(receiver: &Receiver, max_spans: usize) -> Vec<Span> {
    let requests = receiver.requests().into_iter();
    let spans = requests
        .map(|request| request.spans())
        .filter(|spans| spans.len() <= max_spans);
    spans.flatten().map(|(_, span)| span).collect()
}

#[test]
fn a_batch_that_is_too_large_is_halved_until_it_fits_and_arrives_once_and_in_order() {
    let receiver = small(60, "none");
    let (builder, notices) = exporting_to(receiver.address());
    let provider = builder.batch(without_schedule()).build();
    record(provider, 500);
    provider.force_flush(PATIENCE).unwrap();
    let indices: Vec<_> = accepted(&receiver, 60)
        .iter()
        .map(|span| span.attribute("index").unwrap().as_i64().unwrap())
        .collect();
    assert_eq!(indices, (0..500).collect::<Vec<_>>());
    let stats = provider.stats();
    assert_eq!((stats.exported_spans, stats.refused_spans), (500, 0));
    assert_eq!(notices.all(), []);
}

#[test]
fn a_receiver_that_hangs_up_on_large_bodies_gets_smaller_ones() {
    let any_port = "127.0.0.1:0".parse().unwrap();
    let receiver = Receiver::start_taking(4 << 20, any_port, |_, _| Answer::status(200));
    let (builder, notices) = exporting_to(receiver.address());
    let mut batch = without_schedule();
    (batch.max_batch_bytes, batch.max_queue_bytes) = (64 << 20, 64 << 20);
    let provider = builder.batch(batch).build();
    for _ in 0..3 {
        let large = provider.tracer("test").span("large");
        large.attribute("prompt", "x".repeat(3 << 20)).start().end();
    }
    provider.force_flush(PATIENCE).unwrap();
    let stats = provider.stats();
    assert_eq!((stats.exported_spans, stats.refused_spans), (3, 0));
    assert_eq!(receiver.spans().len(), 3);
    assert_eq!(notices.all(), []);
}

#[test]
fn a_span_that_is_too_large_alone_is_refused_counted_and_takes_no_other_along() {
    let receiver = small(usize::MAX, "prompt");
    let (builder, notices) = exporting_to(receiver.address());
    let provider = builder.batch(without_schedule()).build();
    record(provider, 20);
    let large = provider.tracer("test").span("large");
    large.attribute("prompt", "x".repeat(1000)).start().end();
    record(provider, 20);
    provider.force_flush(PATIENCE).unwrap();
    let stats = provider.stats();
    assert_eq!((stats.exported_spans, stats.refused_spans), (40, 1));
    let all = notices.all();
    assert!(
        matches!(&all[..], [Notice::SpansRefused { spans: 1, .. }]),
        "{all:?}"
    );
    provider.shutdown().unwrap();
}

#[test]
fn announcements_that_are_too_large_together_are_made_apart() {
    let receiver = small(1, "none");
    let provider = exporting_to(receiver.address()).0.build();
    let tracer = provider.tracer("train");
    let spans = ["a", "b", "c"].map(|name| tracer.span(name).start());
    record(provider, 1);
    provider.shutdown().unwrap();
    let announced = accepted(&receiver, 1).into_iter().filter(is_pending);
    let mut names: Vec<_> = announced.map(|span| span.name).collect();
    names.sort();
    assert_eq!(names, ["a", "b", "c"]);
    spans.iter().for_each(lumitrace::Span::end);
}

#[test]
fn t8_export_is_batched_and_a_full_batch_goes_at_once() {
    let receiver = Receiver::accepting();
    let mut batch = without_schedule();
    batch.max_batch_spans = 100;
    let provider = exporting_to(receiver.address()).0.batch(batch).build();
    // Whatever the schedule says, the first look comes early; after it only full batches go.
    record(provider, 1);
    receiver.wait_for_span(|span| span.name == "work");
    record(provider, 250);
    let sizes = receiver.wait_for(|requests| {
        let sizes: Vec<_> = requests
            .iter()
            .map(|request| request.spans().len())
            .collect();
        // Fewer than a batch wait for the schedule.
        (sizes.iter().sum::<usize>() > 251 - 100).then_some(sizes)
    });
    assert!(sizes.iter().all(|size| *size <= 100), "{sizes:?}");
    assert!(sizes.len() <= 4, "{sizes:?}");
    provider.force_flush(PATIENCE).unwrap();
    assert_eq!(receiver.spans().len(), 251);
    assert_eq!(provider.stats().exported_spans, 251);
}

#[test]
fn a_large_batch_is_split_by_bytes() {
    let receiver = Receiver::accepting();
    let mut batch = without_schedule();
    batch.max_batch_bytes = 100_000;
    let provider = exporting_to(receiver.address()).0.batch(batch).build();
    let tracer = provider.tracer("test");
    for _ in 0..10 {
        tracer
            .span("large")
            .attribute("prompt", "x".repeat(30_000))
            .start()
            .end();
    }
    provider.force_flush(PATIENCE).unwrap();
    assert_eq!(receiver.spans().len(), 10);
    assert!(
        receiver
            .requests()
            .iter()
            .all(|request| request.body.len() < 110_000)
    );
}

#[test]
fn a_busy_receiver_is_asked_again_and_no_span_is_lost_or_doubled() {
    let answers = [429, 502, 503, 504];
    let receiver = Receiver::start(move |number, _| {
        Answer::status(answers.get(number).copied().unwrap_or(200))
    });
    let (builder, notices) = exporting_to(receiver.address());
    let provider = builder.build();
    record(provider, 10);
    // A flush tries at once, whatever the delay.
    while provider.force_flush(PATIENCE) == Err(FlushError::Failed) {}
    let requests = receiver.requests();
    assert!(requests.len() > answers.len());
    let accepted = &requests[answers.len()..];
    assert_eq!(accepted.iter().flat_map(Request::spans).count(), 10);
    assert_eq!(
        notices
            .all()
            .iter()
            .filter(|notice| is_failing(notice))
            .count(),
        1
    );
    assert_eq!(
        notices
            .all()
            .iter()
            .filter(|notice| is_recovered(notice))
            .count(),
        1
    );
    assert_eq!(provider.stats().failed_exports, 4);
    assert_eq!(provider.stats().exported_spans, 10);
}

#[test]
fn retry_after_is_obeyed() {
    let receiver = Receiver::start(|number, _| match number {
        0 => Answer::status(503).with_header("retry-after", "1"),
        _ => Answer::status(200),
    });
    let provider = exporting_to(receiver.address()).0.build();
    record(provider, 1);
    let started = Instant::now();
    receiver.wait_for(|requests| (requests.len() >= 2).then_some(()));
    assert!(
        started.elapsed() >= Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn what_is_refused_is_counted_told_once_and_not_sent_again() {
    let receiver = Receiver::start(|_, _| Answer::status(400));
    let (builder, notices) = exporting_to(receiver.address());
    let provider = builder.build();
    for _ in 0..3 {
        record(provider, 5);
        provider.force_flush(PATIENCE).unwrap();
    }
    assert_eq!(receiver.spans().len(), 15);
    assert_eq!(provider.stats().refused_spans, 15);
    assert_eq!(notices.all().len(), 1, "{:?}", notices.all());
    provider.shutdown().unwrap();
    assert!(matches!(
        notices.all()[1],
        Notice::SpansLost { refused: 15, .. }
    ));
}

#[test]
fn a_partial_success_counts_what_was_refused() {
    let body = encode_export_protobuf(Some(&PartialSuccess {
        rejected: 2,
        error_message: "two are too old".to_owned(),
    }));
    let receiver = Receiver::start(move |_, request| match request.spans().len() {
        0 => Answer::status(200),
        _ => Answer {
            body: body.clone(),
            ..Answer::status(200)
        },
    });
    let (builder, notices) = exporting_to(receiver.address());
    let provider = builder.batch(without_schedule()).build();
    record(provider, 5);
    provider.force_flush(PATIENCE).unwrap();
    assert_eq!(
        (
            provider.stats().exported_spans,
            provider.stats().refused_spans
        ),
        (3, 2)
    );
    assert!(notices.all()[0].to_string().contains("two are too old"));
}

#[test]
fn s24_a_collector_that_dies_costs_bounded_memory_one_warning_and_counted_spans() {
    let receiver = Receiver::accepting();
    let address = receiver.address();
    let (builder, notices) = exporting_to(address);
    let provider = builder.batch(without_schedule()).build();
    record(provider, 10);
    provider.force_flush(PATIENCE).unwrap();
    drop(receiver);
    record(provider, 10_000);
    assert_eq!(provider.force_flush(PATIENCE), Err(FlushError::Failed));
    record(provider, 10_000);
    let stats = provider.stats();
    assert!(stats.waiting_spans <= 2048, "{stats:?}");
    let kept = 20_000 - stats.queue_full_spans;
    assert!(
        (2048..=2048 + 512).contains(&kept),
        "one batch is on its way: {stats:?}"
    );
    assert_eq!(
        notices
            .all()
            .iter()
            .filter(|notice| is_failing(notice))
            .count(),
        1
    );

    let receiver = Receiver::start_at(address, |_, _| Answer::status(200));
    while provider.force_flush(PATIENCE) == Err(FlushError::Failed) {}
    assert_eq!(receiver.spans().len() as u64, kept);
    assert_eq!(
        notices
            .all()
            .iter()
            .filter(|notice| is_recovered(notice))
            .count(),
        1
    );
    let lost = stats.queue_full_spans;
    provider.shutdown().unwrap();
    let told = Notice::SpansLost {
        is_expected: true,
        queue_full: lost,
        refused: 0,
        unsent: 0,
    };
    assert_eq!(notices.all().last(), Some(&told));
}

#[test]
fn s24_a_program_without_a_collector_ends_fast_with_one_warning_and_an_account() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (builder, notices) = exporting_to(closed);
    let provider = builder.build();
    record(provider, 5_000);
    let started = Instant::now();
    assert_eq!(provider.shutdown(), Err(FlushError::Failed));
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    let stats = provider.stats();
    assert_eq!(
        stats.unsent_spans + stats.queue_full_spans,
        5_000,
        "{stats:?}"
    );
    let severities: Vec<_> = notices.all().iter().map(Notice::severity).collect();
    assert_eq!(
        severities,
        [Severity::Warning, Severity::Info],
        "{:?}",
        notices.all()
    );
    assert!(!provider.is_running());
    assert_eq!(provider.shutdown(), Ok(()), "once is enough");
    record(provider, 1);
}

#[test]
fn a_collector_that_never_answers_does_not_hold_up_the_exit() {
    // Accepts connections into the backlog and answers nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let provider = exporting_to(silent.local_addr().unwrap()).0.build();
    record(provider, 600);
    let started = Instant::now();
    let ended = provider.shutdown_within(Duration::from_millis(300));
    assert!(ended.is_err());
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn a_queue_that_is_full_drops_the_newest_and_counts_them() {
    let receiver = Receiver::accepting();
    let mut batch = without_schedule();
    // No batch is ever full, so nothing leaves before the flush but the early first look.
    batch.max_queue_spans = 50;
    batch.max_batch_spans = 50;
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let down = exporting_to(closed).0.batch(batch.clone()).build();
    record(down, 1);
    assert_eq!(down.force_flush(PATIENCE), Err(FlushError::Failed));
    record(down, 80);
    assert_eq!(down.stats().queue_full_spans, 30);
    assert_eq!(down.stats().waiting_spans, 50);

    batch.max_queue_spans = 1000;
    batch.max_queue_bytes = 10_000;
    let provider = exporting_to(closed).0.batch(batch).build();
    record(provider, 1);
    assert_eq!(provider.force_flush(PATIENCE), Err(FlushError::Failed));
    let large = provider.tracer("test").span("large");
    large.attribute("prompt", "x".repeat(20_000)).start().end();
    assert_eq!(
        provider.stats().queue_full_spans,
        1,
        "too large for the bytes that may wait"
    );
    drop(receiver);
}

#[test]
fn t12_a_dead_exporter_does_not_hold_up_another() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let memory = InMemoryExporter::default();
    let provider = exporting_to(closed).0.exporter(memory.clone()).build();
    record(provider, 3_000);
    assert_eq!(provider.force_flush(PATIENCE), Err(FlushError::Failed));
    record(provider, 100);
    assert_eq!(provider.force_flush(PATIENCE), Err(FlushError::Failed));
    let in_memory = memory.finished_spans().len() as u64;
    assert_eq!(in_memory, provider.stats().exported_spans);
    assert!(in_memory >= 2048 + 100, "{in_memory}");
}

fn announcing(receiver: &Receiver) -> (TracerProvider, BatchSettings) {
    let mut batch = BatchSettings::default();
    batch.announce_after = Duration::from_millis(50);
    batch.announce_every = Duration::from_millis(200);
    (
        exporting_to(receiver.address())
            .0
            .batch(batch.clone())
            .build(),
        batch,
    )
}

fn understanding() -> Receiver {
    Receiver::start(|_, _| Answer::status(200).with_header("lumitrace-pending-spans", "1"))
}

fn is_pending(span: &Span) -> bool {
    span.pending
}

#[test]
fn an_open_span_is_announced_with_its_attributes_and_later_replaced() {
    let receiver = understanding();
    let (provider, _) = announcing(&receiver);
    let span = provider
        .tracer("train")
        .span("training_epoch")
        .attribute("epoch", 1)
        .start();
    let first = receiver.wait_for_span(is_pending);
    assert_eq!(first.span_id, span.context().span_id());
    assert_eq!(first.attribute("epoch").unwrap().as_i64(), Some(1));
    assert!(first.duration_nano() >= 50_000_000);
    span.set_attribute("train_loss", 0.5);
    let second = receiver.wait_for_span(|s| s.pending && s.attribute("train_loss").is_some());
    assert!(second.end_unix_nano > first.end_unix_nano);
    // A sign of life although nothing changed.
    receiver.wait_for_span(|s| s.pending && s.end_unix_nano > second.end_unix_nano);
    span.end();
    provider.force_flush(PATIENCE).unwrap();
    let last = receiver.wait_for_span(|span| !span.pending);
    assert_eq!(last.span_id, first.span_id);
    assert!(provider.stats().announced_spans >= 3);
}

#[test]
fn spans_still_open_at_the_end_are_announced_a_last_time() {
    let receiver = understanding();
    let provider = exporting_to(receiver.address()).0.build();
    let span = provider.tracer("train").span("training_epoch").start();
    record(provider, 1);
    span.set_attribute("epoch", 7);
    provider.shutdown().unwrap();
    let announced = receiver.wait_for_span(is_pending);
    assert_eq!(announced.attribute("epoch").unwrap().as_i64(), Some(7));
    span.end();
}

#[test]
fn a_receiver_that_does_not_ask_for_announcements_gets_none() {
    let receiver = Receiver::accepting();
    let (provider, batch) = announcing(&receiver);
    let span = provider.tracer("train").span("training_epoch").start();
    // The question whether it does arrives early and is empty.
    let spans = receiver.wait_for(|requests| requests.first().map(|request| request.spans().len()));
    assert_eq!(spans, 0);
    let ended = Instant::now() + batch.announce_every * 3;
    while Instant::now() < ended {
        record(provider, 1);
        provider.force_flush(PATIENCE).unwrap();
    }
    assert!(receiver.spans().iter().all(|span| !span.pending));
    span.end();
}

#[test]
fn the_first_spans_are_sent_early() {
    let receiver = Receiver::accepting();
    let provider = exporting_to(receiver.address()).0.build();
    let started = Instant::now();
    record(provider, 1);
    receiver.wait_for_span(|span| span.name == "work");
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "not after the 5 seconds of a batch"
    );
}
