//! Where spans go.
//!
//! Modules in reading order: `endpoint` (which address and protocol an endpoint means), `answer`
//! and `http` (what all exporters over HTTP share), `otlp` (settings of both OTLP exporters),
//! `otlp_http`, `grpc`; `jaeger_agent`, `jaeger_http`, `zipkin`; `file`, `console`, `in_memory`; and
//! `thread` (which threads export).

mod answer;
mod console;
mod endpoint;
mod file;
#[cfg(feature = "grpc")]
mod grpc;
mod http;
mod in_memory;
mod jaeger_agent;
mod jaeger_http;
mod otlp;
mod otlp_http;
mod thread;
mod zipkin;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lumitrace_model::{Resource, Scope, Span};
use lumitrace_wire::otlp::json;
use lumitrace_wire::otlp::protobuf::RequestEncoder;

use crate::ended::EndedSpans;

pub use console::{ConsoleExporter, ConsoleFormat};
pub use endpoint::{Endpoint, EndpointError, OtlpProtocol};
pub use file::{FileExporter, FileSettings};
#[cfg(feature = "grpc")]
pub use grpc::OtlpGrpcExporter;
pub use http::HttpSettings;
pub use in_memory::{FinishedSpan, InMemoryExporter};
pub use jaeger_agent::{JaegerAgentExporter, JaegerAgentSettings};
pub use jaeger_http::JaegerHttpExporter;
pub use otlp::{Compression, OtlpSettings};
pub use otlp_http::OtlpHttpExporter;
pub use thread::{begin_exporting_thread, is_exporting_thread};
pub use zipkin::ZipkinExporter;

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
    /// It is too large for the receiver; parts of it may arrive. Of a single span, the same as
    /// [`Refused`](ExportError::Refused).
    #[error("{reason}")]
    TooLarge {
        /// What happened, for people.
        reason: String,
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
    otlp_protobuf: OnceLock<Vec<u8>>,
    otlp_json: OnceLock<Vec<u8>>,
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
            otlp_protobuf: OnceLock::new(),
            otlp_json: OnceLock::new(),
        }
    }

    pub(crate) fn of_ended(resource: Arc<Resource>, ended: EndedSpans) -> Self {
        Self {
            resource,
            ended: Some(ended),
            spans: OnceLock::new(),
            otlp_protobuf: OnceLock::new(),
            otlp_json: OnceLock::new(),
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

    /// The spans and who recorded them, as encoders take them.
    fn scoped_spans(&self) -> impl Iterator<Item = (&Scope, &Span)> {
        self.spans()
            .iter()
            .map(|ScopedSpan { scope, span }| (*scope, span))
    }

    /// Two batches of half its spans each; nothing, where it holds one at most.
    pub(crate) fn halves(&self) -> Option<[Self; 2]> {
        if self.len() < 2 {
            return None;
        }
        let (first, second) = self.spans().split_at(self.len() / 2);
        let part = |spans: &[ScopedSpan]| Self::new(Arc::clone(&self.resource), spans.to_vec());
        Some([part(first), part(second)])
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
        self.otlp_protobuf.get_or_init(|| {
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
    /// The batch as an OTLP `ExportTraceServiceRequest` in JSON.
    pub fn otlp_json(&self) -> &[u8] {
        self.otlp_json.get_or_init(|| {
            if self.is_empty() {
                return json::encode_traces(&[]);
            }
            json::encode_spans(&self.resource, self.scoped_spans())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_hold_every_span_once_and_a_single_span_has_none() {
        static SCOPE: Scope = Scope {
            name: std::borrow::Cow::Borrowed("t"),
            version: std::borrow::Cow::Borrowed(""),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
        };
        let batch_of = |count: usize| {
            let spans = (0..count).map(|number| ScopedSpan {
                scope: &SCOPE,
                span: Span {
                    name: number.to_string().into(),
                    ..Span::default()
                },
            });
            ExportBatch::new(Arc::default(), spans.collect())
        };
        for (count, sizes) in [(2, [1, 1]), (5, [2, 3])] {
            let halves = batch_of(count).halves().unwrap();
            assert_eq!([halves[0].len(), halves[1].len()], sizes);
            let spans = halves.iter().flat_map(ExportBatch::spans);
            let names: Vec<_> = spans.map(|scoped| scoped.span.name.to_string()).collect();
            let expected: Vec<_> = (0..count).map(|number| number.to_string()).collect();
            assert_eq!(names, expected);
        }
        assert!(batch_of(1).halves().is_none());
        assert!(batch_of(0).halves().is_none());
    }
}
