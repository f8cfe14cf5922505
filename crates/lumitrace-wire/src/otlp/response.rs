//! What a server answers: `ExportTraceServiceResponse` and its likes for logs and metrics, and
//! `google.rpc.Status`.
//!
//! The answers to the three signals differ in a name alone, and in protobuf not at all.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};

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

/// Decodes the answer to `signal` in OTLP/JSON; `None` when everything was accepted. Reads a number
/// of refused items as text, as it is specified, and as a number.
///
/// # Errors
/// The bytes are not JSON.
pub fn decode_export_json(
    signal: Signal,
    bytes: &[u8],
) -> Result<Option<PartialSuccess>, DecodeError> {
    let answer = read_json(bytes)?;
    let Some(partial) = answer.get("partialSuccess").filter(|it| it.is_object()) else {
        return Ok(None);
    };
    let rejected = partial.get(rejected_key(signal));
    let rejected = rejected.and_then(|it| it.as_u64().or_else(|| it.as_str()?.parse().ok()));
    Ok(Some(PartialSuccess {
        rejected: rejected.unwrap_or(0),
        error_message: text_of(partial, "errorMessage"),
    }))
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

/// Decodes the code and message of a `google.rpc.Status` in JSON.
///
/// # Errors
/// The bytes are not JSON.
pub fn decode_status_json(bytes: &[u8]) -> Result<(i32, String), DecodeError> {
    let status = read_json(bytes)?;
    let code = status.get("code").and_then(Json::as_i64).unwrap_or(0);
    Ok((code as i32, text_of(&status, "message")))
}

fn read_json(bytes: &[u8]) -> Result<Json, DecodeError> {
    serde_json::from_slice(bytes).map_err(|error| DecodeError::Json(error.to_string()))
}

fn text_of(object: &Json, key: &str) -> String {
    let text = object.get(key).and_then(Json::as_str);
    text.unwrap_or_default().to_owned()
}

/// Decodes how long a sender should wait, by the `google.rpc.RetryInfo` among the details of a
/// `google.rpc.Status`, as gRPC sends it in `grpc-status-details-bin`; `None` without one.
///
/// # Errors
/// The bytes are not such a message.
pub fn decode_retry_info(status: &[u8]) -> Result<Option<Duration>, DecodeError> {
    let mut status = Reader::new(status);
    while let Some(field) = status.next()? {
        if field.number != 3 {
            continue;
        }
        let (mut detail, mut is_retry_info, mut retry_delay) = (field.message()?, false, None);
        while let Some(field) = detail.next()? {
            match field.number {
                1 => is_retry_info = field.string()?.ends_with("/google.rpc.RetryInfo"),
                2 => retry_delay = Some(field),
                _ => {}
            }
        }
        if is_retry_info {
            let delay = retry_delay.map(|field| decode_retry_delay(field.message()?));
            return delay.unwrap_or(Ok(Duration::ZERO)).map(Some);
        }
    }
    Ok(None)
}

/// The delay in a `RetryInfo`; zero without one, or where it lies in the past.
fn decode_retry_delay(mut info: Reader<'_>) -> Result<Duration, DecodeError> {
    let (mut seconds, mut nanos) = (0, 0);
    while let Some(field) = info.next()? {
        if field.number != 1 {
            continue;
        }
        let mut duration = field.message()?;
        while let Some(field) = duration.next()? {
            match field.number {
                1 => seconds = field.varint()? as i64,
                2 => nanos = field.varint()? as i32,
                _ => {}
            }
        }
    }
    let nanos = u32::try_from(nanos).unwrap_or(0).min(999_999_999);
    Ok(u64::try_from(seconds).map_or(Duration::ZERO, |seconds| Duration::new(seconds, nanos)))
}

/// Decodes the code and message of a `google.rpc.Status` in protobuf.
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
        let bytes = encode_status_json(3, "no");
        assert_eq!(decode_status_json(&bytes), Ok((3, "no".to_owned())));
    }

    #[test]
    fn a_partial_success_in_json_is_read_with_its_number_as_text_or_as_a_number() {
        let partial = PartialSuccess {
            rejected: 3,
            error_message: "bad ids".to_owned(),
        };
        let ours = encode_export_json(Signal::Traces, Some(&partial));
        let number = br#"{"partialSuccess":{"rejectedSpans":3,"errorMessage":"bad ids"}}"#;
        for bytes in [&ours[..], number] {
            assert_eq!(
                decode_export_json(Signal::Traces, bytes),
                Ok(Some(partial.clone()))
            );
        }
        for bytes in [&b"{}"[..], br#"{"partialSuccess":null}"#, b"[]"] {
            assert_eq!(decode_export_json(Signal::Traces, bytes), Ok(None));
        }
        assert!(decode_export_json(Signal::Traces, b"<html>").is_err());
        assert!(decode_status_json(b"").is_err());
    }

    /// A status with one detail of this type.
    fn status_with(type_url: &str, value: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut status = Writer::default();
        status.varint(1, 8);
        status.message(3, |detail| {
            detail.bytes(1, type_url.as_bytes());
            detail.message(2, value);
        });
        status.into_bytes()
    }

    #[test]
    fn the_time_to_wait_is_read_from_retry_info_and_nothing_else() {
        const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";
        let delay = |seconds: i64, nanos| {
            status_with(RETRY_INFO, |info| {
                info.message(1, |duration| {
                    duration.varint(1, seconds as u64);
                    duration.varint(2, nanos);
                });
            })
        };
        for (status, expected) in [
            (delay(5, 250_000_000), Some(Duration::from_millis(5250))),
            (delay(-5, 0), Some(Duration::ZERO)),
            (status_with(RETRY_INFO, |_| ()), Some(Duration::ZERO)),
            (
                status_with("type.googleapis.com/google.rpc.Help", |_| ()),
                None,
            ),
            (Vec::new(), None),
        ] {
            assert_eq!(decode_retry_info(&status), Ok(expected), "{status:?}");
        }
        assert!(decode_retry_info(&[0x1a, 9, 1]).is_err());
    }
}
