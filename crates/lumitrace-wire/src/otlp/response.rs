//! What a server answers: `ExportTraceServiceResponse` and its likes for logs and metrics, and
//! `google.rpc.Status`.
//!
//! The answers to the three signals differ in a name alone, and in protobuf not at all.

use serde_json::{Map, json};

use super::Signal;
use crate::DecodeError;
use crate::proto::{Reader, Writer};

/// Part of a request was refused for good: the sender must not resend it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartialSuccess {
    /// How many spans, log records or data points were refused. Zero with a message is a warning.
    pub rejected: u64,
    /// Why, for people.
    pub error_message: String,
}

/// Encodes the answer to any signal in protobuf; empty when everything was accepted.
pub fn encode_export_protobuf(partial_success: Option<&PartialSuccess>) -> Vec<u8> {
    let mut response = Writer::default();
    if let Some(partial) = partial_success {
        response.message(1, |message| {
            message.varint(1, partial.rejected);
            message.bytes(2, partial.error_message.as_bytes());
        });
    }
    response.into_bytes()
}

/// Encodes the answer to `signal` in OTLP/JSON; `{}` when everything was accepted.
///
/// ```
/// use lumitrace_wire::otlp::{Signal, response::encode_export_json};
/// assert_eq!(encode_export_json(Signal::Logs, None), b"{}");
/// ```
pub fn encode_export_json(signal: Signal, partial_success: Option<&PartialSuccess>) -> Vec<u8> {
    let mut response = Map::new();
    if let Some(partial) = partial_success {
        let detail = json!({
            rejected_key(signal): partial.rejected.to_string(),
            "errorMessage": partial.error_message,
        });
        response.insert("partialSuccess".to_owned(), detail);
    }
    serde_json::Value::Object(response).to_string().into_bytes()
}

fn rejected_key(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Logs => "rejectedLogRecords",
        Signal::Metrics => "rejectedDataPoints",
    }
}

/// Decodes the answer to any signal in protobuf; `None` when everything was accepted.
///
/// # Errors
/// The bytes are not such a message.
pub fn decode_export_protobuf(bytes: &[u8]) -> Result<Option<PartialSuccess>, DecodeError> {
    let mut response = Reader::new(bytes);
    let mut partial_success = None;
    while let Some(field) = response.next()? {
        if field.number != 1 {
            continue;
        }
        let mut message = field.message()?;
        let partial: &mut PartialSuccess = partial_success.get_or_insert_default();
        while let Some(field) = message.next()? {
            match field.number {
                1 => partial.rejected = field.varint()?,
                2 => partial.error_message = field.string()?.to_owned(),
                _ => {}
            }
        }
    }
    Ok(partial_success)
}

/// Encodes a `google.rpc.Status` in protobuf: the body of a refused OTLP/HTTP request.
pub fn encode_status_protobuf(code: i32, message: &str) -> Vec<u8> {
    let mut status = Writer::default();
    // A negative enum would be sign-extended; gRPC's codes are 0 to 16.
    status.varint(1, i64::from(code) as u64);
    status.bytes(2, message.as_bytes());
    status.into_bytes()
}

/// Encodes a `google.rpc.Status` in JSON.
pub fn encode_status_json(code: i32, message: &str) -> Vec<u8> {
    json!({ "code": code, "message": message })
        .to_string()
        .into_bytes()
}

/// Decodes the code and message of a `google.rpc.Status`.
///
/// # Errors
/// The bytes are not such a message.
pub fn decode_status_protobuf(bytes: &[u8]) -> Result<(i32, String), DecodeError> {
    let mut reader = Reader::new(bytes);
    let (mut code, mut message) = (0, String::new());
    while let Some(field) = reader.next()? {
        match field.number {
            1 => code = field.varint()? as i32,
            2 => message = field.string()?.to_owned(),
            _ => {}
        }
    }
    Ok((code, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_success_survives_the_way() {
        let partial = PartialSuccess {
            rejected: 3,
            error_message: "bad ids".to_owned(),
        };
        let bytes = encode_export_protobuf(Some(&partial));
        assert_eq!(decode_export_protobuf(&bytes), Ok(Some(partial)));
        assert_eq!(decode_export_protobuf(&[]), Ok(None));
    }

    #[test]
    fn each_signal_has_its_own_name_for_what_was_rejected() {
        let partial = PartialSuccess {
            rejected: 3,
            error_message: "no".to_owned(),
        };
        for (signal, name) in [
            (Signal::Traces, "rejectedSpans"),
            (Signal::Logs, "rejectedLogRecords"),
            (Signal::Metrics, "rejectedDataPoints"),
        ] {
            let json = encode_export_json(signal, Some(&partial));
            let expected = format!(r#"{{"partialSuccess":{{"errorMessage":"no","{name}":"3"}}}}"#);
            assert_eq!(String::from_utf8(json), Ok(expected));
        }
    }

    #[test]
    fn the_generated_types_read_what_we_answer_to_each_signal() {
        use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
        use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
        use prost::Message as _;
        let bytes = encode_export_protobuf(Some(&PartialSuccess {
            rejected: 3,
            error_message: "no".to_owned(),
        }));
        let logs = ExportLogsServiceResponse::decode(&bytes[..]).unwrap();
        assert_eq!(logs.partial_success.unwrap().rejected_log_records, 3);
        let metrics = ExportMetricsServiceResponse::decode(&bytes[..]).unwrap();
        assert_eq!(metrics.partial_success.unwrap().rejected_data_points, 3);
    }

    #[test]
    fn a_status_survives_the_way() {
        let bytes = encode_status_protobuf(3, "no");
        assert_eq!(decode_status_protobuf(&bytes), Ok((3, "no".to_owned())));
    }
}
