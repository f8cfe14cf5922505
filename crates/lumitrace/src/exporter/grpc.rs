//! OTLP over gRPC.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use lumitrace_model::names::PENDING_SPANS_HEADER;
use lumitrace_wire::otlp::response::{decode_export_protobuf, decode_retry_info};
use tokio::runtime::Runtime;
use tonic::client::Grpc;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};
use tonic::transport::{Channel, Endpoint as ChannelEndpoint};
use tonic::{Code, Request, Status};

use super::answer::is_about_size;
use super::otlp::{USER_AGENT, receipt};
use super::{Compression, ExportBatch, ExportError, ExportReceipt, OtlpSettings, SpanExporter};

/// Sends spans to the trace service of an OTLP/gRPC receiver.
pub struct OtlpGrpcExporter {
    settings: OtlpSettings,
    /// Made at the first request: the connection belongs to the process that opened it, and
    /// runs on the worker thread.
    connection: Option<Connection>,
}

struct Connection {
    runtime: Runtime,
    client: Grpc<Channel>,
    metadata: MetadataMap,
}

const EXPORT_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

impl OtlpGrpcExporter {
    /// An exporter with these settings; connects when there is something to send.
    pub fn new(settings: OtlpSettings) -> Self {
        Self {
            settings,
            connection: None,
        }
    }

    fn connection(&mut self) -> Result<&mut Connection, ExportError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.settings).map_err(|reason| ExportError::Refused {
                reason: reason.to_string(),
            })?,
        };
        Ok(self.connection.insert(connection))
    }
}

impl Connection {
    fn open(settings: &OtlpSettings) -> Result<Self, Box<dyn std::error::Error>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let url = settings.endpoint.url().to_owned();
        let endpoint = ChannelEndpoint::from_shared(url)?.user_agent(USER_AGENT)?;
        #[cfg(feature = "tls")]
        let endpoint = if settings.endpoint.url().starts_with("https") {
            endpoint.tls_config(tonic::transport::ClientTlsConfig::new().with_webpki_roots())?
        } else {
            endpoint
        };
        let channel = {
            let _in_runtime = runtime.enter();
            endpoint.connect_lazy()
        };
        let client = match settings.compression {
            Compression::None => Grpc::new(channel),
            Compression::Gzip => Grpc::new(channel).send_compressed(CompressionEncoding::Gzip),
        };
        let mut metadata = MetadataMap::new();
        for (name, value) in &settings.headers {
            let key: AsciiMetadataKey = name.to_ascii_lowercase().parse()?;
            let value: AsciiMetadataValue = value.parse()?;
            metadata.insert(key, value);
        }
        Ok(Self {
            runtime,
            client,
            metadata,
        })
    }

    fn call(&mut self, body: Bytes, timeout: Duration) -> Result<ExportReceipt, Status> {
        let mut request = Request::new(body);
        *request.metadata_mut() = self.metadata.clone();
        let client = &mut self.client;
        let response = self.runtime.block_on(async move {
            let call = async {
                client
                    .ready()
                    .await
                    .map_err(|error| Status::unavailable(chain(&error)))?;
                let path = PathAndQuery::from_static(EXPORT_PATH);
                client.unary(request, path, RawCodec).await
            };
            let late = |_| Status::deadline_exceeded(format!("no answer within {timeout:?}"));
            tokio::time::timeout(timeout, call)
                .await
                .map_err(late)
                .flatten()
        })?;
        let announcements = response.metadata().get(PENDING_SPANS_HEADER);
        Ok(receipt(
            decode_export_protobuf(response.get_ref()),
            announcements.map(AsciiMetadataValue::as_bytes),
        ))
    }
}

impl Clone for OtlpGrpcExporter {
    /// A fresh exporter with the same settings and no connection.
    fn clone(&self) -> Self {
        Self::new(self.settings.clone())
    }
}

impl SpanExporter for OtlpGrpcExporter {
    fn name(&self) -> String {
        format!("OTLP exporter to {} (gRPC)", self.settings.endpoint.url())
    }

    fn export(
        &mut self,
        batch: &ExportBatch,
        timeout: Duration,
    ) -> Result<ExportReceipt, ExportError> {
        let timeout = timeout.min(self.settings.timeout);
        let body = Bytes::copy_from_slice(batch.otlp_protobuf());
        let body_bytes = body.len();
        self.connection()?
            .call(body, timeout)
            .map_err(|status| error_of(&status, body_bytes))
    }

    fn may_take_announcements(&self) -> bool {
        true
    }

    fn shut_down(&mut self) {
        self.connection = None;
    }
}

/// What gRPC servers accept, unless told otherwise.
const USUAL_MAX_MESSAGE_BYTES: usize = 4 << 20;

/// OTLP specification, "Failures" of OTLP/gRPC: which codes may pass. An exhausted resource may
/// only where the receiver says after what time; without, the request of `body_bytes` may have been
/// too large.
fn error_of(status: &Status, body_bytes: usize) -> ExportError {
    let reason = match std::error::Error::source(status) {
        Some(source) => format!("{}: {}", status.message(), chain(source)),
        None => format!(
            "the receiver answered {:?}: {}",
            status.code(),
            status.message()
        ),
    };
    // Details that cannot be read ask for nothing.
    let retry_after = decode_retry_info(status.details()).ok().flatten();
    let is_too_large = is_about_size(status.message());
    let is_retryable = match status.code() {
        Code::ResourceExhausted if retry_after.is_some() => true,
        Code::ResourceExhausted if is_too_large || body_bytes > USUAL_MAX_MESSAGE_BYTES => {
            return ExportError::TooLarge { reason };
        }
        // tonic's servers have this code for it.
        Code::OutOfRange if is_too_large => return ExportError::TooLarge { reason },
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        // A broken connection: tonic has no better code for it.
        Code::Unknown => std::error::Error::source(status).is_some(),
        _ => false,
    };
    if is_retryable {
        ExportError::Retryable {
            reason,
            retry_after,
        }
    } else {
        ExportError::Refused { reason }
    }
}

/// The error and what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Passes messages through as they are: the batch is encoded already.
#[derive(Debug, Clone, Copy, Default)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.put(message);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exhausted_resource_is_tried_again_only_when_the_receiver_says_when() {
        // A detail of the type RetryInfo with a delay of 5 seconds.
        let details =
            b"\x1a\x30\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x04\x0a\x02\x08\x05";
        let busy = |message, details: &'static [u8]| {
            Status::with_details(
                Code::ResourceExhausted,
                message,
                Bytes::from_static(details),
            )
        };
        for message in ["busy", "too large"] {
            let ExportError::Retryable { retry_after, .. } = error_of(&busy(message, details), 100)
            else {
                panic!("{message}");
            };
            assert_eq!(retry_after, Some(Duration::from_secs(5)));
        }
        let quota = error_of(&busy("quota exceeded", b""), 100);
        assert!(matches!(quota, ExportError::Refused { .. }), "{quota:?}");
        let unreadable = error_of(&busy("quota exceeded", b"\x1a\x30"), 100);
        assert!(matches!(unreadable, ExportError::Refused { .. }));
    }

    #[test]
    fn a_message_that_is_too_large_is_known_by_the_words_or_by_its_size() {
        let go = Status::resource_exhausted("grpc: received message larger than max (9 vs. 4)");
        let tonic = Status::out_of_range("Error, decoded message length too large: found 9 bytes");
        for status in [go, tonic] {
            let error = error_of(&status, 100);
            assert!(matches!(error, ExportError::TooLarge { .. }), "{error:?}");
        }
        let wordless = Status::resource_exhausted("");
        let large = error_of(&wordless, 5 << 20);
        assert!(matches!(large, ExportError::TooLarge { .. }), "{large:?}");
        let small = error_of(&wordless, 100);
        assert!(matches!(small, ExportError::Refused { .. }), "{small:?}");
    }

    #[test]
    fn only_the_codes_of_the_specification_are_tried_again() {
        for (status, is_retryable) in [
            (Status::unavailable(""), true),
            (Status::out_of_range(""), true),
            (Status::data_loss(""), true),
            (Status::invalid_argument(""), false),
            (Status::unauthenticated(""), false),
            (Status::unknown(""), false),
        ] {
            let error = error_of(&status, 100);
            let retryable = matches!(error, ExportError::Retryable { .. });
            assert_eq!(retryable, is_retryable, "{status:?}");
        }
    }
}
