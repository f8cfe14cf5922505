//! OTLP over gRPC.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use lumitrace_model::names::PENDING_SPANS_HEADER;
use tokio::runtime::Runtime;
use tonic::client::Grpc;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};
use tonic::transport::{Channel, Endpoint as ChannelEndpoint};
use tonic::{Code, Request, Status};

use super::otlp::{USER_AGENT, failure, receipt};
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
            response.get_ref(),
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
        self.connection()?
            .call(body, timeout)
            .map_err(|status| error_of(&status))
    }

    fn may_take_announcements(&self) -> bool {
        true
    }

    fn shut_down(&mut self) {
        self.connection = None;
    }
}

/// OTLP specification, "Failures" of OTLP/gRPC: which codes may pass. An exhausted resource may
/// only where the receiver says after what time.
fn error_of(status: &Status) -> ExportError {
    let reason = match std::error::Error::source(status) {
        Some(source) => format!("{}: {}", status.message(), chain(source)),
        None => format!(
            "the receiver answered {:?}: {}",
            status.code(),
            status.message()
        ),
    };
    let has_retry_info = || {
        let name = b"google.rpc.RetryInfo";
        status
            .details()
            .windows(name.len())
            .any(|window| window == name)
    };
    let is_retryable = match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::ResourceExhausted => has_retry_info(),
        // A broken connection: tonic has no better code for it.
        Code::Unknown => std::error::Error::source(status).is_some(),
        _ => false,
    };
    failure(reason, is_retryable, None)
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
        let without = Status::resource_exhausted("too large");
        assert!(matches!(error_of(&without), ExportError::Refused { .. }));
        let details = Bytes::from_static(b"\x1a\x2ctype.googleapis.com/google.rpc.RetryInfo");
        let with = Status::with_details(Code::ResourceExhausted, "busy", details);
        assert!(matches!(error_of(&with), ExportError::Retryable { .. }));
        assert!(matches!(
            error_of(&Status::unavailable("")),
            ExportError::Retryable { .. }
        ));
        assert!(matches!(
            error_of(&Status::invalid_argument("")),
            ExportError::Refused { .. }
        ));
    }
}
