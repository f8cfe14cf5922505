//! OTLP over gRPC. Requests are encoded by us, so that tonic only carries bytes.

use std::time::Duration;

use anyhow::Context;
use bytes::{Buf, BufMut, Bytes};
use lumitrace_wire::otlp::Signal;
use lumitrace_wire::otlp::response::decode_export_protobuf;
use tokio::runtime::Runtime;
use tonic::client::Grpc;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use super::{Answer, Sink, Transport, chain};
use crate::record_file::Batch;

/// Where requests of a signal go.
fn export_path(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    }
}

pub(super) struct GrpcSink {
    runtime: Runtime,
    client: Grpc<Channel>,
    metadata: MetadataMap,
    timeout: Duration,
}

impl GrpcSink {
    pub(super) fn new(url: &str, transport: &Transport) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the async runtime")?;
        let mut endpoint = Endpoint::from_shared(url.to_owned())?;
        if url.starts_with("https:") {
            endpoint = endpoint.tls_config(ClientTlsConfig::new().with_webpki_roots())?;
        }
        let channel = {
            let _in_runtime = runtime.enter();
            endpoint.connect_lazy()
        };
        let mut client = Grpc::new(channel);
        if transport.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        let mut metadata = MetadataMap::new();
        for (name, value) in &transport.headers {
            let key: AsciiMetadataKey = name
                .to_ascii_lowercase()
                .parse()
                .with_context(|| format!("{name:?} cannot be the name of a header"))?;
            let value: AsciiMetadataValue = value
                .parse()
                .with_context(|| format!("the value of the header {name} is malformed"))?;
            metadata.insert(key, value);
        }
        Ok(Self {
            runtime,
            client,
            metadata,
            timeout: transport.timeout,
        })
    }
}

impl Sink for GrpcSink {
    fn encode(&self, batch: &Batch) -> anyhow::Result<Vec<u8>> {
        Ok(batch.encode_protobuf())
    }

    fn send(&mut self, request: &super::Request) -> anyhow::Result<Answer> {
        let mut message = Request::new(Bytes::copy_from_slice(&request.bytes));
        *message.metadata_mut() = self.metadata.clone();
        let (client, timeout) = (&mut self.client, self.timeout);
        let path = export_path(request.signal);
        let response = self.runtime.block_on(async move {
            let call = async {
                client
                    .ready()
                    .await
                    .map_err(|error| Status::unavailable(chain(&error)))?;
                let path = tonic::codegen::http::uri::PathAndQuery::from_static(path);
                client.unary(message, path, RawCodec).await
            };
            let late = |_| Status::deadline_exceeded(format!("no answer within {timeout:?}"));
            tokio::time::timeout(timeout, call)
                .await
                .map_err(late)
                .flatten()
        });
        Ok(match response {
            Ok(response) => {
                let partial = decode_export_protobuf(response.get_ref()).ok().flatten();
                let partial = partial.unwrap_or_default();
                Answer::Accepted {
                    rejected: partial.rejected,
                    message: partial.error_message,
                }
            }
            Err(status) => judge(&status),
        })
    }
}

/// OTLP specification, "Failures" of OTLP/gRPC; an exhausted resource is waited for in any case,
/// since the load is meant to find the receiver's limit.
fn judge(status: &Status) -> Answer {
    let reason = match std::error::Error::source(status) {
        Some(source) => format!("{}: {}", status.message(), chain(source)),
        None => format!(
            "the receiver answered {:?}: {}",
            status.code(),
            status.message()
        ),
    };
    let after = || {
        status
            .get_details_retry_info()
            .and_then(|info| info.retry_delay)
    };
    match status.code() {
        // From our own side of the connection; tonic has no better code for it.
        Code::Unknown | Code::Unavailable if std::error::Error::source(status).is_some() => {
            Answer::Unreachable { reason }
        }
        Code::Unavailable if status.details().is_empty() && status.metadata().is_empty() => {
            Answer::Unreachable { reason }
        }
        Code::ResourceExhausted
        | Code::Unavailable
        | Code::Aborted
        | Code::Cancelled
        | Code::DeadlineExceeded
        | Code::OutOfRange
        | Code::DataLoss => Answer::Busy {
            after: after(),
            reason,
        },
        _ => Answer::Refused { reason },
    }
}

/// Passes messages through as they are.
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
    use tonic_types::ErrorDetails;

    #[test]
    fn an_exhausted_receiver_is_given_the_time_it_asks_for() {
        let wish = Duration::from_secs(3);
        let details = ErrorDetails::with_retry_info(Some(wish));
        let status = Status::with_error_details(Code::ResourceExhausted, "busy", details);
        assert!(matches!(judge(&status), Answer::Busy { after, .. } if after == Some(wish)));
        let status = Status::invalid_argument("no");
        assert!(matches!(judge(&status), Answer::Refused { .. }));
    }
}
