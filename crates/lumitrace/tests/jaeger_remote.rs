//! The sampler that does what a server says, with a server over HTTP.
#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use lumitrace::environment::Environment;
use lumitrace::exporter::InMemoryExporter;
use lumitrace::model::{SpanId, TraceId};
use lumitrace::sampler::{JaegerRemote, JaegerRemoteSettings};
use lumitrace::{KeyValue, Notice, SpanContext, TracerProvider, setup_tracing};
use support::{Answer, Notices, PATIENCE, Receiver, Request, flushed};

/// The answer of a server that has all traces recorded, or none.
fn share(rate: u8) -> Answer {
    let body = format!(
        r#"{{"strategyType":"PROBABILISTIC","probabilisticSampling":{{"samplingRate":{rate}}}}}"#
    );
    Answer {
        body: body.into_bytes(),
        ..Answer::status(200)
    }
}

/// A server that answers when the test lets it.
struct Server {
    receiver: Receiver,
    arrived: mpsc::Receiver<usize>,
    release: mpsc::SyncSender<()>,
}

impl Server {
    fn answering(answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        let (say, arrived) = mpsc::sync_channel(16);
        let (release, is_released) = mpsc::sync_channel(16);
        let is_released = Mutex::new(is_released);
        let receiver = Receiver::start(move |number, _| {
            // Both fail once the test is over.
            let _said = say.send(number);
            let _over = is_released.lock().unwrap().recv();
            answer(number)
        });
        Self {
            receiver,
            arrived,
            release,
        }
    }

    /// Waits for the next question; the answer before it is in force then.
    fn wait_for_question(&self) -> usize {
        self.arrived.recv_timeout(PATIENCE).unwrap()
    }

    fn answer(&self) {
        self.release.send(()).unwrap();
    }

    /// The questions, when there are no more.
    fn close(self) -> Vec<Request> {
        drop(self.release);
        self.receiver.requests()
    }
}

/// A provider of a program that is started with this sampler, and the notices that it gives.
fn asking(server: &Server, sampler: &str) -> (TracerProvider, InMemoryExporter, Notices) {
    let argument = format!(
        "endpoint=http://{},pollingIntervalMs=1,initialSamplingRate=0",
        server.receiver.address()
    );
    let environment = Environment::from_lookup(|name| match name {
        "OTEL_TRACES_SAMPLER" => Some(sampler.to_owned()),
        "OTEL_TRACES_SAMPLER_ARG" => Some(argument.clone()),
        _ => None,
    });
    assert_eq!(environment.notices, []);
    let (exporter, notices) = (InMemoryExporter::default(), Notices::default());
    let told = notices.clone();
    let provider = setup_tracing("fx & co")
        .with_environment(environment)
        .exporter(exporter.clone())
        .on_notice(move |notice| told.0.lock().unwrap().push(notice.clone()))
        .build();
    (provider, exporter, notices)
}

#[test]
fn s19_a_span_never_waits_for_the_server_and_the_answer_counts_once_it_is_there() {
    let server = Server::answering(|_| share(1));
    let (provider, exporter, notices) = asking(&server, "parentbased_jaeger_remote");
    let tracer = provider.tracer("t");
    let early = tracer.span("early").enter();
    assert!(!early.is_recording(), "the initial rate is 0");
    assert_eq!(server.wait_for_question(), 0);
    server.answer();
    assert_eq!(server.wait_for_question(), 1);
    // The decision about a trace stays.
    assert!(!tracer.span("child of early").start().is_recording());
    drop(early);
    let root = tracer.span("root").enter();
    tracer.span("child").start().end();
    drop(root);
    let spans = flushed(provider, &exporter);
    provider.shutdown().unwrap();

    let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["child", "root"]);
    let why = [
        KeyValue::new("sampler.type", "probabilistic"),
        KeyValue::new("sampler.param", 1.0),
    ];
    assert_eq!(spans[1].attributes, why);
    assert_eq!(
        spans[0].attributes,
        [],
        "only who was decided about says why"
    );
    for request in server.close() {
        assert_eq!(request.path, "/sampling?service=fx%20%26%20co");
    }
    assert_eq!(notices.all(), []);
}

#[test]
fn the_strategy_follows_the_server_and_outlives_its_failures_which_are_told_once() {
    let server = Server::answering(|number| match number {
        0 | 1 => Answer::status(503),
        2 | 6 => share(1),
        3 => Answer {
            body: b"<html>".to_vec(),
            ..Answer::status(200)
        },
        4 | 5 => Answer::status(404),
        _ => share(0),
    });
    let (provider, _exporter, notices) = asking(&server, "jaeger_remote");
    let tracer = provider.tracer("t");
    // The remote sampler alone decides about every span, also below one that is not sampled.
    let caller = SpanContext::new(TraceId::from_bytes([7; 16]), SpanId::from_bytes([1; 8]), 0);
    let is_recorded = || tracer.span("work").parent(&caller).start().is_recording();
    assert!(!is_recorded());
    // What is in force when each question arrives.
    for (question, is_on) in [false, false, false, true, true, true, true, true, false]
        .into_iter()
        .enumerate()
    {
        assert_eq!(server.wait_for_question(), question);
        assert_eq!(is_recorded(), is_on, "{question}");
        server.answer();
    }
    provider.shutdown().unwrap();
    let told: Vec<_> = notices
        .all()
        .into_iter()
        .map(|notice| match notice {
            Notice::SamplingFails { reason, .. } => reason,
            Notice::SamplingRecovered { .. } => "recovered".to_owned(),
            other => panic!("{other:?}"),
        })
        .collect();
    let [first, recovered, second, recovered_again] = &told[..] else {
        panic!("{told:?}");
    };
    assert!(first.contains("503"), "{first}");
    assert!(second.contains("not the JSON"), "{second}");
    assert_eq!([recovered, recovered_again], ["recovered"; 2]);
}

#[test]
fn a_server_that_is_not_there_leaves_the_initial_rate_and_one_warning() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let (failed, has_failed) = mpsc::sync_channel(16);
    let argument = format!("endpoint=http://{address},pollingIntervalMs=1,initialSamplingRate=1");
    let environment = Environment::from_lookup(|name| match name {
        "OTEL_TRACES_SAMPLER" => Some("jaeger_remote".to_owned()),
        "OTEL_TRACES_SAMPLER_ARG" => Some(argument.clone()),
        _ => None,
    });
    let provider = setup_tracing("lonely")
        .with_environment(environment)
        .exporter(InMemoryExporter::default())
        .on_notice(move |notice| {
            // Nobody listens once the test is over.
            let _told = failed.send(notice.clone());
        })
        .build();
    let tracer = provider.tracer("t");
    assert!(tracer.span("before").start().is_recording());
    let notice = has_failed.recv_timeout(PATIENCE).unwrap();
    assert!(
        notice.to_string().contains("initial sampling rate"),
        "{notice}"
    );
    assert!(tracer.span("after").start().is_recording());
    provider.shutdown().unwrap();
    assert_eq!(has_failed.try_recv().ok(), None);
}

/// Answers one question, and says when the connection is closed.
fn answering_once() -> (String, mpsc::Receiver<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (say, said) = mpsc::sync_channel(16);
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut lines = BufReader::new(&stream).lines();
        while !lines.next().unwrap().unwrap().is_empty() {}
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
        let body = r#"{"probabilisticSampling":{"samplingRate":1}}"#;
        write!(&stream, "{head} {}\r\n\r\n{body}", body.len()).unwrap();
        say.send(false).unwrap();
        let is_closed = lines.next().is_none();
        say.send(is_closed).unwrap();
    });
    (endpoint, said)
}

#[test]
fn the_thread_ends_with_the_providers_shutdown_and_with_its_sampler() {
    let sampler = |endpoint: String| {
        let mut settings = JaegerRemoteSettings::default();
        settings.endpoint = endpoint;
        settings.polling_interval = Duration::from_secs(3600);
        JaegerRemote::new("t", settings)
    };
    let (endpoint, said) = answering_once();
    let provider = TracerProvider::builder().sampler(sampler(endpoint)).build();
    provider.tracer("t").span("work").start().end();
    assert_eq!(said.recv_timeout(PATIENCE), Ok(false), "answered");
    provider.shutdown().unwrap();
    assert_eq!(said.recv_timeout(PATIENCE), Ok(true), "closed");

    let (endpoint, said) = answering_once();
    let alone = sampler(endpoint);
    support::ask(&alone);
    assert_eq!(said.recv_timeout(PATIENCE), Ok(false), "answered");
    drop(alone);
    assert_eq!(said.recv_timeout(PATIENCE), Ok(true), "closed");
}
