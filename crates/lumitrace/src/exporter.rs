//! Where spans go.
//!
//! Modules in reading order: `endpoint` (which address and protocol an endpoint means), `otlp`
//! (settings of both OTLP exporters), `http`, `grpc`, `console`, `in_memory`; and `thread` (which threads export).

mod console;
mod endpoint;
#[cfg(feature = "grpc")]
mod grpc;
mod http;
mod in_memory;
mod otlp;
mod thread;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lumitrace_model::{Resource, Scope, Span};
use lumitrace_wire::otlp::protobuf::RequestEncoder;

use crate::ended::EndedSpans;

pub use console::{ConsoleExporter, ConsoleFormat};
pub use endpoint::{Endpoint, EndpointError, OtlpProtocol};
#[cfg(feature = "grpc")]
pub use grpc::OtlpGrpcExporter;
pub use http::OtlpHttpExporter;
pub use in_memory::{FinishedSpan, InMemoryExporter};
pub use otlp::{Compression, OtlpSettings};
pub use thread::{begin_exporting_thread, is_exporting_thread};

/// Sends batches of finished spans somewhere.
///
/// Called on the worker thread only, one call at a time; it may block. A provider keeps the
/// exporter that it was given as a template and works with a clone of it, so that a forked child,
/// which must not share its parent's connections, can begin with a fresh one.
///
/// ```
/// use std::time::Duration;
/// use lumitrace::exporter::{ExportBatch, ExportError, ExportReceipt, SpanExporter};
///
/// #[derive(Clone)]
/// struct Counting;
///
/// impl SpanExporter for Counting {
///     fn name(&self) -> String {
///         "counter".to_owned()
///     }
///     fn export(&mut self, batch: &ExportBatch, _: Duration) -> Result<ExportReceipt, ExportError> {
///         println!("{} spans", batch.len());
///         Ok(ExportReceipt::default())
///     }
/// }
/// # let provider = lumitrace::TracerProvider::builder().exporter(Counting).build();
/// ```
pub trait SpanExporter: Send {
    /// What it is and where it sends to, for messages.
    fn name(&self) -> String;

    /// Sends one batch; an empty one asks whether the receiver is there. Must return within about
    /// `timeout`.
    ///
    /// # Errors
    /// The batch did not arrive: [`ExportError`] says whether another attempt makes sense. An
    /// exporter that panics is treated as one that refused.
    fn export(
        &mut self,
        batch: &ExportBatch,
        timeout: Duration,
    ) -> Result<ExportReceipt, ExportError>;

    /// Whether its receiver may be one that takes announcements of open spans.
    fn may_take_announcements(&self) -> bool {
        false
    }

    /// Whether it wants spans at the moment. One that does not is passed over, and no span waits
    /// for it.
    fn takes_spans(&self) -> bool {
        true
    }

    /// The last call: sends what it holds back itself.
    fn shut_down(&mut self) {}
}

/// The receiver's answer to a batch that arrived.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExportReceipt {
    /// Spans that it refused for good.
    pub refused_spans: u64,
    /// Why, for people.
    pub message: String,
    /// Whether it understands announcements of open spans.
    pub takes_announcements: bool,
}

/// Why a batch did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// It may arrive later.
    #[error("{reason}")]
    Retryable {
        /// What happened, for people.
        reason: String,
        /// How long the receiver asks to wait.
        retry_after: Option<Duration>,
    },
    /// It never will.
    #[error("{reason}")]
    Refused {
        /// What happened, for people.
        reason: String,
    },
}

/// Spans on their way out. OTLP bytes are made at most once, however many exporters ask for them.
#[derive(Debug)]
pub struct ExportBatch {
    resource: Arc<Resource>,
    /// As they were recorded, or else there are `spans`.
    ended: Option<EndedSpans>,
    /// As nouns: made for the first exporter that asks for them.
    spans: OnceLock<Vec<ScopedSpan>>,
    otlp: OnceLock<Vec<u8>>,
}

/// A span and the library or module that recorded it.
#[derive(Debug, Clone)]
pub struct ScopedSpan {
    /// Who recorded it.
    pub scope: &'static Scope,
    /// The span.
    pub span: Span,
}

impl ExportBatch {
    /// A batch of `spans` of the process that `resource` describes.
    pub fn new(resource: Arc<Resource>, spans: Vec<ScopedSpan>) -> Self {
        Self {
            resource,
            ended: None,
            spans: spans.into(),
            otlp: OnceLock::new(),
        }
    }

    pub(crate) fn of_ended(resource: Arc<Resource>, ended: EndedSpans) -> Self {
        Self {
            resource,
            ended: Some(ended),
            spans: OnceLock::new(),
            otlp: OnceLock::new(),
        }
    }

    /// The process that recorded the spans.
    pub fn resource(&self) -> &Arc<Resource> {
        &self.resource
    }

    /// The spans, made for whoever asks first: their OTLP bytes cost less.
    pub fn spans(&self) -> &[ScopedSpan] {
        self.spans.get_or_init(|| {
            self.ended
                .as_ref()
                .map_or_else(Vec::new, EndedSpans::to_spans)
        })
    }

    /// How many spans it holds.
    pub fn len(&self) -> usize {
        match &self.ended {
            Some(ended) => ended.len(),
            None => self.spans().len(),
        }
    }

    /// Whether it holds no span and only asks whether the receiver is there.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn into_ended(self) -> Option<EndedSpans> {
        self.ended
    }

    /// The batch as an OTLP `ExportTraceServiceRequest` in protobuf.
    pub fn otlp_protobuf(&self) -> &[u8] {
        self.otlp.get_or_init(|| {
            if self.is_empty() {
                return Vec::new();
            }
            let mut request = RequestEncoder::new(&self.resource, "");
            match &self.ended {
                Some(ended) => ended.encode(&mut request),
                None => {
                    for ScopedSpan { scope, span } in self.spans() {
                        request.span(scope, span);
                    }
                }
            }
            request.finish()
        })
    }
}
