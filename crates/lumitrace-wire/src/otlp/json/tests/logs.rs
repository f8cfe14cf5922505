//! Log records in JSON.

use lumitrace_model::{LogRecord, Severity, Value};
use proptest::prelude::*;

use super::*;
use crate::otlp::samples;

fn decode(text: &str) -> Result<Vec<lumitrace_model::ResourceLogs>, DecodeError> {
    decode_logs(text.as_bytes(), &DecodeLimits::default())
}

fn record(fields: &str) -> LogRecord {
    let text = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{{fields}}}]}}]}}]}}"#);
    let mut logs = decode(&text).unwrap();
    logs.remove(0).scope_logs.remove(0).log_records.remove(0)
}

proptest! {
    #[test]
    fn every_log_record_survives_encoding_and_decoding(logs in samples::logs()) {
        let decoded = decode_logs(&encode_logs(&logs), &DecodeLimits::default())?;
        prop_assert_eq!(samples::comparable(&decoded), samples::comparable(&logs));
    }

    #[test]
    fn a_request_with_a_changed_byte_never_panics(
        logs in samples::logs(), at in any::<prop::sample::Index>(), byte: u8
    ) {
        let mut bytes = encode_logs(&logs);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = decode_logs(&bytes, &DecodeLimits::default());
        prop_assert!(decode_logs(&bytes[..at], &DecodeLimits::default()).is_err());
    }
}

#[test]
fn a_log_record_is_written_in_the_shape_of_the_specification() {
    let expected = concat!(
        r#"{"resourceLogs":[{"resource":{},"scopeLogs":[{"logRecords":[{"#,
        r#""attributes":[{"key":"epoch","value":{"intValue":"1"}}],"#,
        r#""body":{"stringValue":"the loss is not finite"},"severityNumber":13,"#,
        r#""spanId":"0202020202020202","timeUnixNano":"1544712660300000000","#,
        r#""traceId":"01010101010101010101010101010101"}],"scope":{}}]}]}"#
    );
    let text = encode_logs(&samples::one_log_record());
    assert_eq!(String::from_utf8(text).unwrap(), expected);
}

#[test]
fn what_clients_really_send_is_understood() {
    let record = record(
        r#""timeUnixNano":1544712660300000000,"observedTimeUnixNano":"1544712660300000001",
        "severityNumber":"SEVERITY_NUMBER_ERROR2","severityText":"ERROR","flags":1,
        "body":{"kvlistValue":{"values":[{"key":"loss","value":{"doubleValue":"NaN"}}]}},
        "attributes":[{"key":"none","value":null}],"droppedAttributesCount":1,
        "traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174",
        "eventName":"device.app.lifecycle","unknown":{"a":[1]}"#,
    );
    assert_eq!(record.time_unix_nano, 1_544_712_660_300_000_000);
    assert_eq!(record.observed_time_unix_nano, 1_544_712_660_300_000_001);
    assert_eq!(record.severity.name(), Some("ERROR2"));
    let trace_id = record.trace_id.unwrap().to_string();
    assert_eq!(trace_id, "5b8efff798038103d269b633813fc60c");
    assert_eq!(record.event_name, "device.app.lifecycle");
    assert_eq!(record.attribute("none"), Some(&Value::Null));
    let Value::Map(body) = record.body else {
        panic!("the body is {:?}", record.body);
    };
    assert!(body[0].value.as_f64().unwrap().is_nan());
}

#[test]
fn severities_are_read_by_number_and_by_name() {
    for (json, number) in [
        ("9", 9),
        ("99", 99),
        ("-1", -1),
        ("99999999999", 0),
        ("null", 0),
        (r#""SEVERITY_NUMBER_UNSPECIFIED""#, 0),
        (r#""SEVERITY_NUMBER_INFO""#, 9),
        (r#""SEVERITY_NUMBER_FATAL4""#, 24),
        (r#""17""#, 17),
    ] {
        let record = record(&format!(r#""severityNumber":{json}"#));
        assert_eq!(record.severity, Severity::from_number(number), "{json}");
    }
}

#[test]
fn a_record_with_invalid_ids_belongs_to_no_span_and_is_kept() {
    for id in ["", "00", "xx", "00000000000000000000000000000000"] {
        let record = record(&format!(
            r#""traceId":"{id}","spanId":"{id}","severityText":"INFO""#
        ));
        assert_eq!((record.trace_id, record.span_id), (None, None), "{id}");
        assert_eq!(record.severity_text, "INFO");
    }
}

#[test]
fn a_body_nested_beyond_the_limit_is_refused() {
    let body = (0..64).fold(r#"{"intValue":1}"#.to_owned(), |inner, _| {
        format!(r#"{{"arrayValue":{{"values":[{inner}]}}}}"#)
    });
    let text =
        format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{body}}}]}}]}}]}}"#);
    assert_eq!(decode(&text), Err(DecodeError::TooDeep { max_depth: 64 }));
}
