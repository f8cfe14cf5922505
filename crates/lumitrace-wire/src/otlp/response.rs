//! What a server answers: `ExportTraceServiceResponse` and `google.rpc.Status`.

use serde_json::{Map, json};

use crate::DecodeError;
use crate::proto::{Reader, Writer};

/// Part of a request was refused for good: the sender must not resend it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartialSuccess {
    /// How many spans were refused. Zero with a message is a warning.
    pub rejected_spans: u64,
    /// Why, for people.
    pub error_message: String,
}

/// Encodes an `ExportTraceServiceResponse` in protobuf; empty when everything was accepted.
pub fn encode_export_protobuf(partial_success: Option<&PartialSuccess>) -> Vec<u8> {
    let mut response = Writer::default();
    if let Some(partial) = partial_success {
        response.message(1, |message| {
            message.varint(1, partial.rejected_spans);
            message.bytes(2, partial.error_message.as_bytes());
        });
    }
    response.into_bytes()
}

/// Encodes an `ExportTraceServiceResponse` in OTLP/JSON; `{}` when everything was accepted.
///
/// ```
/// assert_eq!(lumitrace_wire::otlp::response::encode_export_json(None), b"{}");
/// ```
pub fn encode_export_json(partial_success: Option<&PartialSuccess>) -> Vec<u8> {
    let mut response = Map::new();
    if let Some(partial) = partial_success {
        let detail = json!({
            "rejectedSpans": partial.rejected_spans.to_string(),
            "errorMessage": partial.error_message,
        });
        response.insert("partialSuccess".to_owned(), detail);
    }
    serde_json::Value::Object(response).to_string().into_bytes()
}

/// Decodes an `ExportTraceServiceResponse`; `None` when everything was accepted.
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
                1 => partial.rejected_spans = field.varint()?,
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
            rejected_spans: 3,
            error_message: "bad ids".to_owned(),
        };
        let bytes = encode_export_protobuf(Some(&partial));
        assert_eq!(decode_export_protobuf(&bytes), Ok(Some(partial)));
        assert_eq!(decode_export_protobuf(&[]), Ok(None));
    }

    #[test]
    fn a_status_survives_the_way() {
        let bytes = encode_status_protobuf(3, "no");
        assert_eq!(decode_status_protobuf(&bytes), Ok((3, "no".to_owned())));
    }
}
