//! Exporting to Jaeger, Zipkin and files, and to all of them at once.
#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex};

use lumitrace::environment::{Environment, ExporterName};
use lumitrace::exporter::{
    Compression, ConsoleExporter, ConsoleFormat, FileExporter, FileSettings, HttpSettings,
    InMemoryExporter, JaegerAgentExporter, JaegerAgentSettings, JaegerHttpExporter, SpanExporter,
    ZipkinExporter,
};
use lumitrace::{FlushError, Notice, TracerProvider, setup_tracing};
use lumitrace_wire::otlp::json::decode_traces;
use serde_json::Value as Json;
use support::{Answer, Notices, PATIENCE, Receiver, without_schedule};
use thrift::protocol::{TBinaryInputProtocol, TCompactInputProtocol, TInputProtocol, TType};

/// A provider that sends to this exporter when it is flushed, and the notices that it gives.
fn exporting_by(exporter: impl SpanExporter + Clone + Sync + 'static) -> (TracerProvider, Notices) {
    let notices = Notices::default();
    let told = notices.clone();
    let provider = TracerProvider::builder()
        .exporter(exporter)
        .batch(without_schedule())
        .on_notice(move |notice| told.0.lock().unwrap().push(notice.clone()))
        .build();
    (provider, notices)
}

fn record(provider: TracerProvider, names: impl IntoIterator<Item = usize>) {
    for name in names {
        provider.tracer("test").span(name.to_string()).start().end();
    }
}

fn names(range: std::ops::Range<usize>) -> BTreeSet<String> {
    range.map(|name| name.to_string()).collect()
}

/// The names of the spans in a Jaeger `Batch`, read by apache/thrift's own library.
fn names_in_batch(protocol: &mut dyn TInputProtocol) -> Vec<String> {
    let mut names = Vec::new();
    each_field(protocol, |protocol, number, field_type| match number {
        2 => {
            let list = protocol.read_list_begin().unwrap();
            for _ in 0..list.size {
                each_field(protocol, |protocol, number, field_type| match number {
                    5 => names.push(protocol.read_string().unwrap()),
                    _ => protocol.skip(field_type).unwrap(),
                });
            }
        }
        _ => protocol.skip(field_type).unwrap(),
    });
    names
}

fn each_field(
    protocol: &mut dyn TInputProtocol,
    mut read: impl FnMut(&mut dyn TInputProtocol, i16, TType),
) {
    protocol.read_struct_begin().unwrap();
    loop {
        let field = protocol.read_field_begin().unwrap();
        if field.field_type == TType::Stop {
            break;
        }
        read(protocol, field.id.unwrap(), field.field_type);
        protocol.read_field_end().unwrap();
    }
    protocol.read_struct_end().unwrap();
}

/// An agent on a port of its own, as far as it receives.
struct Agent(UdpSocket);

impl Agent {
    fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap())
    }

    fn start_at(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    fn settings(&self) -> JaegerAgentSettings {
        let address = self.0.local_addr().unwrap();
        JaegerAgentSettings::new(address.ip().to_string(), address.port())
    }

    /// The size of the next datagram, and the names of the spans in it.
    fn receive(&self) -> (usize, Vec<String>) {
        let mut bytes = vec![0; 65_536];
        let size = self.0.recv(&mut bytes).unwrap();
        let mut protocol = TCompactInputProtocol::new(&bytes[..size]);
        let message = protocol.read_message_begin().unwrap();
        assert_eq!(message.name, "emitBatch");
        let mut names = Vec::new();
        each_field(&mut protocol, |protocol, _, _| {
            names = names_in_batch(protocol)
        });
        (size, names)
    }

    /// The names of so many spans.
    fn receive_spans(&self, count: usize) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        while names.len() < count {
            names.extend(self.receive().1);
        }
        names
    }
}

#[test]
fn c22_spans_reach_an_agent_in_datagrams_of_the_right_size() {
    let agent = Agent::start();
    let mut settings = agent.settings();
    // All of them together fit into the socket's buffer.
    settings.max_packet_bytes = 2_000;
    let (provider, notices) = exporting_by(JaegerAgentExporter::new(settings));
    record(provider, 0..100);
    provider.force_flush(PATIENCE).unwrap();
    let mut received = BTreeSet::new();
    while received.len() < 100 {
        let (size, names) = agent.receive();
        assert!(size <= 2_000, "{size}");
        received.extend(names);
    }
    assert_eq!(received, names(0..100));
    let stats = provider.stats();
    assert_eq!((stats.exported_spans, stats.refused_spans), (100, 0));
    assert_eq!(notices.all(), []);
}

#[test]
fn c22_a_datagram_of_the_largest_size_arrives_and_a_larger_span_is_refused_and_counted() {
    let agent = Agent::start();
    let (provider, notices) = exporting_by(JaegerAgentExporter::new(agent.settings()));
    for (name, bytes) in [("large", 64_000), ("too large", 66_000), ("small", 1)] {
        let span = provider.tracer("test").span(name);
        span.attribute("prompt", "x".repeat(bytes)).start().end();
    }
    provider.force_flush(PATIENCE).unwrap();
    let received = agent.receive_spans(2);
    assert_eq!(received, ["large", "small"].map(str::to_owned).into());
    let stats = provider.stats();
    assert_eq!((stats.exported_spans, stats.refused_spans), (2, 1));
    let all = notices.all();
    let [
        Notice::SpansRefused {
            spans: 1, reason, ..
        },
    ] = &all[..]
    else {
        panic!("{all:?}");
    };
    assert!(reason.contains("65000 bytes"), "{reason}");
}

#[test]
fn c22_spans_wait_for_an_agent_that_is_not_there_and_one_warning_says_so() {
    let agent = Agent::start();
    let (settings, address) = (agent.settings(), agent.0.local_addr().unwrap());
    drop(agent);
    let (provider, notices) = exporting_by(JaegerAgentExporter::new(settings));
    record(provider, 0..10);
    assert_eq!(provider.force_flush(PATIENCE), Err(FlushError::Failed));
    assert_eq!(provider.force_flush(PATIENCE), Err(FlushError::Failed));
    let all = notices.all();
    let [Notice::ExportFails { reason, .. }] = &all[..] else {
        panic!("{all:?}");
    };
    assert!(reason.contains("nobody listens"), "{reason}");
    let agent = Agent::start_at(address);
    provider.force_flush(PATIENCE).unwrap();
    assert_eq!(agent.receive_spans(10), names(0..10));
    assert_eq!(provider.stats().exported_spans, 10);
    provider.shutdown().unwrap();
}

#[test]
fn c22_a_name_that_is_no_host_does_not_stop_the_program() {
    let settings = JaegerAgentSettings::new("", 6831);
    let (provider, notices) = exporting_by(JaegerAgentExporter::new(settings));
    record(provider, 0..10);
    assert_eq!(provider.shutdown(), Err(FlushError::Failed));
    assert_eq!(provider.stats().unsent_spans, 10);
    assert!(matches!(notices.all()[0], Notice::ExportFails { .. }));
}

#[test]
fn a22_spans_reach_a_collector_over_http_compressed_or_not() {
    for compression in [Compression::None, Compression::Gzip] {
        let receiver = Receiver::start(|_, _| Answer::status(202));
        let mut settings = HttpSettings::jaeger(&receiver.address().to_string()).unwrap();
        settings.compression = compression;
        settings.headers = vec![("authorization".to_owned(), "secret".to_owned())];
        let (provider, notices) = exporting_by(JaegerHttpExporter::new(settings));
        record(provider, 0..100);
        provider.force_flush(PATIENCE).unwrap();
        let mut received = BTreeSet::new();
        for request in receiver.requests() {
            assert_eq!(request.path, "/api/traces");
            assert_eq!(request.header("content-type"), Some("application/x-thrift"));
            assert_eq!(request.header("authorization"), Some("secret"));
            let body = request.plain_body();
            let mut protocol = TBinaryInputProtocol::new(&body[..], true);
            received.extend(names_in_batch(&mut protocol));
        }
        assert_eq!(received, names(0..100));
        assert_eq!(provider.stats().exported_spans, 100);
        assert_eq!(notices.all(), []);
    }
}

fn zipkin_to(receiver: &Receiver) -> HttpSettings {
    HttpSettings::zipkin(&receiver.address().to_string()).unwrap()
}

/// The names of the spans that Zipkin got.
fn zipkin_names(receiver: &Receiver) -> BTreeSet<String> {
    let name = |span: Json| span["name"].as_str().unwrap().to_owned();
    let requests = receiver.requests().into_iter();
    requests
        .flat_map(|request| {
            assert_eq!(request.path, "/api/v2/spans");
            assert_eq!(request.header("content-type"), Some("application/json"));
            serde_json::from_slice::<Vec<Json>>(&request.plain_body()).unwrap()
        })
        .map(name)
        .collect()
}

#[test]
fn spans_reach_zipkin_compressed_or_not() {
    for compression in [Compression::None, Compression::Gzip] {
        let receiver = Receiver::start(|_, _| Answer::status(202));
        let mut settings = zipkin_to(&receiver);
        settings.compression = compression;
        let (provider, notices) = exporting_by(ZipkinExporter::new(settings));
        record(provider, 0..100);
        provider.force_flush(PATIENCE).unwrap();
        assert_eq!(zipkin_names(&receiver), names(0..100));
        assert_eq!(provider.stats().exported_spans, 100);
        assert_eq!(notices.all(), []);
    }
}

#[test]
fn zipkin_is_tried_again_when_it_is_busy_and_its_words_are_told_when_it_refuses() {
    let receiver = Receiver::start(|number, _| match number {
        0 => Answer::status(503).with_header("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"),
        1 => Answer::status(202),
        _ => Answer {
            body: b"Cannot parse\nstack".to_vec(),
            ..Answer::status(400)
        },
    });
    let (provider, notices) = exporting_by(ZipkinExporter::new(zipkin_to(&receiver)));
    record(provider, 0..1);
    assert_eq!(provider.force_flush(PATIENCE), Err(FlushError::Failed));
    assert_eq!(provider.force_flush(PATIENCE), Ok(()));
    assert_eq!(provider.stats().exported_spans, 1);
    record(provider, 1..2);
    assert_eq!(provider.force_flush(PATIENCE), Ok(()), "refused for good");
    assert_eq!(provider.stats().refused_spans, 1);
    let told = notices.all().last().unwrap().to_string();
    assert!(
        told.ends_with("Cannot parse. Further refusals are counted"),
        "{told}"
    );
}

/// The names of the spans in each line of a file.
fn lines_of(path: &Path) -> Vec<BTreeSet<String>> {
    let text = fs::read_to_string(path).unwrap();
    let names = |line: &str| {
        let decoded = decode_traces(line.as_bytes(), &Default::default()).unwrap();
        let scopes = decoded
            .resource_spans
            .into_iter()
            .flat_map(|it| it.scope_spans);
        scopes
            .flat_map(|scope| scope.spans)
            .map(|span| span.name.to_string())
            .collect()
    };
    text.lines().map(names).collect()
}

#[test]
fn a_file_has_a_line_for_each_batch_as_soon_as_it_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run/traces.jsonl");
    let (provider, notices) = exporting_by(FileExporter::new(FileSettings::new(&path)));
    for batch in [0..10, 10..20] {
        record(provider, batch.clone());
        provider.force_flush(PATIENCE).unwrap();
        // The worker may have had a first look before all of them had ended.
        let written = lines_of(&path).into_iter().flatten().collect();
        assert_eq!(names(0..batch.end), written);
    }
    assert_eq!(provider.stats().exported_spans, 20);
    assert_eq!(notices.all(), []);
}

#[test]
fn spans_wait_for_a_file_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let in_the_way = folder.path().join("run");
    fs::write(&in_the_way, "").unwrap();
    let path = in_the_way.join("traces.jsonl");
    let (provider, notices) = exporting_by(FileExporter::new(FileSettings::new(&path)));
    record(provider, 0..10);
    assert_eq!(provider.force_flush(PATIENCE), Err(FlushError::Failed));
    let told = notices.all()[0].to_string();
    assert!(told.contains("cannot write the file"), "{told}");
    fs::remove_file(in_the_way).unwrap();
    provider.force_flush(PATIENCE).unwrap();
    let written: BTreeSet<_> = lines_of(&path).into_iter().flatten().collect();
    assert_eq!(written, names(0..10));
}

#[test]
fn t12_all_exporters_at_once_get_every_span_set_up_by_their_names() {
    let (agent, otlp) = (Agent::start(), Receiver::accepting());
    let zipkin = Receiver::start(|_, _| Answer::status(202));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spans.jsonl");
    let agent_port = agent.settings().port.to_string();
    let variables = |name: &str| {
        Some(match name {
            "OTEL_TRACES_EXPORTER" => "otlp,jaeger,zipkin,file".to_owned(),
            "OTEL_EXPORTER_OTLP_ENDPOINT" => format!("http://{}", otlp.address()),
            "OTEL_EXPORTER_OTLP_PROTOCOL" => "http/json".to_owned(),
            "OTEL_EXPORTER_JAEGER_AGENT_HOST" => "127.0.0.1".to_owned(),
            "OTEL_EXPORTER_JAEGER_AGENT_PORT" => agent_port.clone(),
            "OTEL_EXPORTER_ZIPKIN_ENDPOINT" => zipkin.address().to_string(),
            "LUMITRACE_FILE" => path.display().to_string(),
            _ => return None,
        })
    };
    let provider = setup_tracing("everywhere")
        .with_environment(Environment::from_lookup(variables))
        .build();
    record(provider, 0..50);
    provider.force_flush(PATIENCE).unwrap();
    let expected = names(0..50);
    assert_eq!(agent.receive_spans(50), expected);
    assert_eq!(zipkin_names(&zipkin), expected);
    let in_otlp = otlp.spans().into_iter().map(|span| span.name.to_string());
    assert_eq!(in_otlp.collect::<BTreeSet<_>>(), expected);
    let in_file: BTreeSet<_> = lines_of(&path).into_iter().flatten().collect();
    assert_eq!(in_file, expected);
    assert_eq!(provider.stats().exported_spans, 200);
}

#[test]
fn a22_jaeger_is_its_collector_where_an_address_of_it_is_set() {
    let collector = Receiver::start(|_, _| Answer::status(202));
    let address = format!("http://{}/api/traces", collector.address());
    let variables = |name: &str| match name {
        "OTEL_TRACES_EXPORTER" => Some("jaeger".to_owned()),
        "OTEL_EXPORTER_JAEGER_ENDPOINT" => Some(address.clone()),
        _ => None,
    };
    let provider = setup_tracing("by-collector")
        .with_environment(Environment::from_lookup(variables))
        .build();
    record(provider, 0..1);
    provider.force_flush(PATIENCE).unwrap();
    assert_eq!(collector.requests()[0].path, "/api/traces");
}

/// What is printed, shared with the test.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Printed {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[test]
fn a24_c25_t12_the_console_prints_both_forms_beside_exporters_chosen_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spans.jsonl");
    let file = |name: &str| (name == "LUMITRACE_FILE").then(|| path.display().to_string());
    let (lines, pretty, memory) = (
        Printed::default(),
        Printed::default(),
        InMemoryExporter::default(),
    );
    let provider = setup_tracing("console")
        .exporters_by_name([ExporterName::File])
        .exporter(ConsoleExporter::to_writer(
            ConsoleFormat::Line,
            lines.clone(),
        ))
        .exporter(ConsoleExporter::to_writer(
            ConsoleFormat::Pretty,
            pretty.clone(),
        ))
        .exporter(memory.clone())
        .with_environment(Environment::from_lookup(file))
        .build();
    let span = provider
        .tracer("test")
        .span("load")
        .attribute("pair", "gbpusd");
    span.start().end();
    provider.force_flush(PATIENCE).unwrap();
    let line = lines.text();
    assert!(line.starts_with("INFO:root:TRACE: load ("), "{line}");
    assert!(line.ends_with(") status=UNSET\n"), "{line}");
    let text = pretty.text();
    assert!(
        text.starts_with("load ") && text.contains("\n  pair = gbpusd\n"),
        "{text}"
    );
    assert_eq!(memory.finished_spans().len(), 1);
    assert_eq!(lines_of(&path), [["load".to_owned()].into()]);
}
