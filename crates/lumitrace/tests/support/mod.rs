//! What the integration tests share: providers that export into memory, and a small OTLP/HTTP
//! receiver.
#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use lumitrace::exporter::{Endpoint, InMemoryExporter, OtlpHttpExporter, OtlpSettings};
use lumitrace::model::{Event, Resource, Scope, Span, TraceId};
use lumitrace::provider::TracerProviderBuilder;
use lumitrace::sampler::{Sampler, SamplingParameters, SamplingResult};
use lumitrace::{BatchSettings, Notice, SpanKind, TracerProvider};
use lumitrace_wire::otlp::protobuf::decode_traces;

/// Longer than anything here takes; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A provider that exports into memory, and the memory.
pub(crate) fn in_memory() -> (TracerProvider, InMemoryExporter) {
    let exporter = InMemoryExporter::default();
    (
        TracerProvider::builder().exporter(exporter.clone()).build(),
        exporter,
    )
}

/// The spans that have ended so far.
pub(crate) fn flushed(provider: TracerProvider, exporter: &InMemoryExporter) -> Vec<Span> {
    provider.force_flush(PATIENCE).unwrap();
    exporter
        .finished_spans()
        .into_iter()
        .map(|finished| finished.span)
        .collect()
}

/// The one span with this name.
pub(crate) fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found
        .next()
        .unwrap_or_else(|| panic!("no span {name} in {spans:#?}"));
    assert!(found.next().is_none(), "several spans {name}");
    span
}

/// The exception events of a span.
pub(crate) fn exceptions(span: &Span) -> Vec<&Event> {
    span.events
        .iter()
        .filter(|event| event.name == "exception")
        .collect()
}

/// A builder that exports to `receiver`, and the notices that its provider gives.
pub(crate) fn exporting_to(address: SocketAddr) -> (TracerProviderBuilder, Notices) {
    let endpoint = Endpoint::parse(&address.to_string(), None).unwrap();
    exporting_with(OtlpSettings::new(endpoint))
}

pub(crate) fn exporting_with(settings: OtlpSettings) -> (TracerProviderBuilder, Notices) {
    let notices = Notices::default();
    let told = notices.clone();
    let builder = TracerProvider::builder()
        .exporter(OtlpHttpExporter::new(settings))
        .on_notice(move |notice| told.0.lock().unwrap().push(notice.clone()));
    (builder, notices)
}

/// Batches that are sent when full or flushed, not by time.
pub(crate) fn without_schedule() -> BatchSettings {
    let mut batch = BatchSettings::default();
    batch.schedule_delay = Some(Duration::from_secs(3600));
    batch
}

#[derive(Clone, Default)]
pub(crate) struct Notices(pub(crate) Arc<Mutex<Vec<Notice>>>);

impl Notices {
    pub(crate) fn all(&self) -> Vec<Notice> {
        self.0.lock().unwrap().clone()
    }
}

/// A request that the receiver got.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body without compression.
    pub(crate) fn plain_body(&self) -> Vec<u8> {
        if self.header("content-encoding") != Some("gzip") {
            return self.body.clone();
        }
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&self.body[..])
            .read_to_end(&mut plain)
            .unwrap();
        plain
    }

    pub(crate) fn spans(&self) -> Vec<(Resource, Span)> {
        let decoded = decode_traces(&self.plain_body(), &Default::default()).unwrap();
        let groups = decoded.resource_spans.into_iter();
        groups
            .flat_map(|group| {
                let resource = group.resource;
                let spans = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
                spans
                    .map(move |span| (resource.clone(), span))
                    .collect::<Vec<_>>()
            })
            .collect()
    }
}

/// What the receiver answers.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// A small OTLP/HTTP receiver on a port of its own. Dropped, it closes all connections.
pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

type AnswerBy = dyn Fn(usize, &Request) -> Answer + Send + Sync;

struct Shared {
    answer: Box<AnswerBy>,
    requests: Mutex<Vec<Request>>,
    arrived: Condvar,
    connections: Mutex<Vec<TcpStream>>,
    is_closed: AtomicBool,
}

impl Receiver {
    /// One that accepts everything.
    pub(crate) fn accepting() -> Self {
        Self::start(|_, _| Answer::status(200))
    }

    /// One that answers by `answer(number of the request, request)`.
    pub(crate) fn start(
        answer: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), answer)
    }

    pub(crate) fn start_at(
        address: SocketAddr,
        answer: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            answer: Box::new(answer),
            requests: Mutex::default(),
            arrived: Condvar::new(),
            connections: Mutex::default(),
            is_closed: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.is_closed.load(Ordering::SeqCst) {
                    return;
                }
                let stream = stream.unwrap();
                accepting
                    .connections
                    .lock()
                    .unwrap()
                    .push(stream.try_clone().unwrap());
                let serving = Arc::clone(&accepting);
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// All spans so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let requests = self.requests();
        requests
            .iter()
            .flat_map(Request::spans)
            .map(|(_, span)| span)
            .collect()
    }

    /// Waits until `found` finds something in the requests so far.
    pub(crate) fn wait_for<T>(&self, found: impl Fn(&[Request]) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut requests = self.shared.requests.lock().unwrap();
        loop {
            if let Some(found) = found(&requests) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "waited in vain; so far: {:#?}",
                summary(&requests)
            );
            requests = self.shared.arrived.wait_timeout(requests, left).unwrap().0;
        }
    }

    /// Waits for the first span that is as wanted.
    pub(crate) fn wait_for_span(&self, wanted: impl Fn(&Span) -> bool) -> Span {
        self.wait_for(|requests| {
            let spans = requests.iter().flat_map(Request::spans);
            spans.map(|(_, span)| span).find(&wanted)
        })
    }
}

fn summary(requests: &[Request]) -> Vec<String> {
    let spans = |request: &Request| request.spans().into_iter().map(|(_, span)| span.name);
    requests
        .iter()
        .map(|r| format!("{} {:?}", r.path, spans(r).collect::<Vec<_>>()))
        .collect()
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::SeqCst);
        for connection in self.shared.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
        // Wakes the accepting thread, so that it closes the port.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while let Some(request) = read_request(&mut reader) {
            let answer = {
                let mut requests = self.requests.lock().unwrap();
                if self.is_closed.load(Ordering::SeqCst) {
                    return;
                }
                let answer = (self.answer)(requests.len(), &request);
                requests.push(request);
                answer
            };
            let mut text = format!("HTTP/1.1 {} x\r\n", answer.status);
            for (name, value) in &answer.headers {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
            text.push_str(&format!("content-length: {}\r\n\r\n", answer.body.len()));
            let sent = (&stream).write_all(&[text.as_bytes(), &answer.body].concat());
            self.arrived.notify_all();
            if sent.is_err() {
                return;
            }
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            None => break,
            Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
        }
    }
    let mut request = Request {
        path,
        headers,
        body: Vec::new(),
    };
    let length = request
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    request.body = vec![0; length];
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

/// Asks a sampler about a root span.
pub(crate) fn ask(sampler: &dyn Sampler) -> SamplingResult {
    sampler.should_sample(&SamplingParameters {
        parent: None,
        trace_id: TraceId::from_bytes([0x80; 16]),
        scope: &Scope::default(),
        name: "work",
        kind: SpanKind::Internal,
        attributes: &[],
        links: &[],
    })
}
