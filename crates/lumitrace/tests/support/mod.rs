//! What the integration tests share: providers that export into memory, and a small HTTP
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
use lumitrace_wire::otlp::{json, protobuf};

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

    /// The spans of a request of OTLP.
    pub(crate) fn spans(&self) -> Vec<(Resource, Span)> {
        let (body, limits) = (self.plain_body(), Default::default());
        let decoded = match self.header("content-type") {
            Some("application/x-protobuf") => protobuf::decode_traces(&body, &limits).unwrap(),
            Some("application/json") => json::decode_traces(&body, &limits).unwrap(),
            other => panic!("{other:?} is not OTLP"),
        };
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

/// A small HTTP receiver on a port of its own. Dropped, it closes all connections.
pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

type AnswerBy = dyn Fn(usize, &Request) -> Answer + Send + Sync;

struct Shared {
    max_body_bytes: usize,
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
        Self::start_taking(usize::MAX, address, answer)
    }

    /// One that closes the connection on larger bodies, without reading them.
    pub(crate) fn start_taking(
        max_body_bytes: usize,
        address: SocketAddr,
        answer: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            max_body_bytes,
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
    let size = |request: &Request| format!("{}: {} bytes", request.path, request.body.len());
    requests.iter().map(size).collect()
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
        while let Some(request) = read_head(&mut reader) {
            let Some(request) = self.read_body(request, &mut reader, &stream) else {
                return;
            };
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

    /// The request with its body; nothing, where the connection is over.
    fn read_body(
        &self,
        mut request: Request,
        reader: &mut impl BufRead,
        mut stream: &TcpStream,
    ) -> Option<Request> {
        let length = request.header("content-length");
        let length = length.map_or(0, |length| length.parse().unwrap());
        if length > self.max_body_bytes {
            let answer = "HTTP/1.1 413 x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer.as_bytes()).ok()?;
            let _ = stream.shutdown(Shutdown::Both);
            return None;
        }
        if request.header("expect").is_some() {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
        }
        request.body = vec![0; length];
        reader.read_exact(&mut request.body).ok()?;
        Some(request)
    }
}

/// The next request, but for its body.
fn read_head(reader: &mut impl BufRead) -> Option<Request> {
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
    Some(Request {
        path,
        headers,
        body: Vec::new(),
    })
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
