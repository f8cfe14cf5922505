//! Log records in protobuf.

use lumitrace_model::{LogRecord, Severity, SpanId, TraceId, Value};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use opentelemetry_proto::tonic::logs::v1 as generated;
use prost::Message as _;

use super::super::view::LogView;
use super::*;

whole_signal!(
    samples::logs(),
    encode_logs,
    decode_logs,
    ExportLogsServiceRequest
);

/// A log record put together from its head and its view.
fn viewed(head: &LogHead, bytes: &[u8]) -> LogRecord {
    let view = LogView::new(head.message(bytes));
    LogRecord {
        time_unix_nano: head.time_unix_nano,
        observed_time_unix_nano: head.observed_time_unix_nano,
        severity: head.severity,
        severity_text: view.severity_text.to_owned().into(),
        body: view.body.into(),
        attributes: view.attributes().to_vec(),
        dropped_attributes_count: view.dropped_attributes_count,
        flags: view.flags,
        trace_id: head.trace_id,
        span_id: head.span_id,
        event_name: head.event_name(bytes).to_owned().into(),
    }
}

proptest! {
    #[test]
    fn the_index_and_its_views_say_what_decoding_says(logs in samples::logs()) {
        let bytes = encode_logs(&logs);
        let index = index_logs(&bytes, &DecodeLimits::default())?;
        let mut heads = index.logs.iter();
        for group in &decode_logs(&bytes, &DecodeLimits::default())? {
            for scope_logs in &group.scope_logs {
                for log in &scope_logs.log_records {
                    let head = heads.next().unwrap();
                    assert_origin(
                        &index.origins[head.origin as usize],
                        &bytes,
                        (&group.resource, &group.schema_url),
                        (&scope_logs.scope, &scope_logs.schema_url),
                    );
                    prop_assert_eq!(head.timestamp_unix_nano(), log.timestamp_unix_nano());
                    let decoded = decode_log_record(head.message(&bytes))?;
                    prop_assert_eq!(format!("{decoded:?}"), format!("{log:?}"));
                    prop_assert_eq!(format!("{:?}", viewed(head, &bytes)), format!("{log:?}"));
                }
            }
        }
        prop_assert!(heads.next().is_none());
    }

    #[test]
    fn views_of_random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let view = LogView::new(&bytes);
        let values: Vec<_> = view.attributes().iter().map(|it| Value::from(it.value)).collect();
        prop_assert!(values.len() <= bytes.len());
        let _ = Value::from(view.body);
    }
}

fn request(record: generated::LogRecord) -> ExportLogsServiceRequest {
    let scope_logs = vec![generated::ScopeLogs {
        scope: Some(Default::default()),
        log_records: vec![record],
        schema_url: String::new(),
    }];
    let resource_logs = vec![generated::ResourceLogs {
        resource: Some(Default::default()),
        scope_logs,
        schema_url: String::new(),
    }];
    ExportLogsServiceRequest { resource_logs }
}

/// A record of the generated types after our decoding.
fn decoded(record: generated::LogRecord) -> LogRecord {
    let bytes = request(record).encode_to_vec();
    let mut logs = decode_logs(&bytes, &DecodeLimits::default()).unwrap();
    logs.remove(0).scope_logs.remove(0).log_records.remove(0)
}

#[test]
fn every_field_means_to_the_generated_types_what_it_means_to_us() {
    let theirs = generated::LogRecord {
        time_unix_nano: 1,
        observed_time_unix_nano: 2,
        severity_number: 13,
        severity_text: "WARNING".to_owned(),
        body: Some(AnyValue {
            value: Some(any_value::Value::StringValue("body".to_owned())),
        }),
        attributes: Vec::new(),
        dropped_attributes_count: 3,
        flags: 4,
        trace_id: vec![5; 16],
        span_id: vec![6; 8],
        event_name: "event".to_owned(),
    };
    let ours = LogRecord {
        time_unix_nano: 1,
        observed_time_unix_nano: 2,
        severity: Severity::WARN,
        severity_text: "WARNING".into(),
        body: Value::from("body"),
        attributes: Vec::new(),
        dropped_attributes_count: 3,
        flags: 4,
        trace_id: Some(TraceId::from_bytes([5; 16])),
        span_id: Some(SpanId::from_bytes([6; 8])),
        event_name: "event".into(),
    };
    assert_eq!(decoded(theirs.clone()), ours);
    let mut logs = samples::one_log_record();
    logs[0].scope_logs[0].log_records = vec![ours];
    let read = ExportLogsServiceRequest::decode(&encode_logs(&logs)[..]);
    assert_eq!(read, Ok(request(theirs)));
}

#[test]
fn a_record_with_invalid_ids_belongs_to_no_span_and_is_kept() {
    for (trace_id, span_id) in [
        (vec![1; 15], vec![1; 9]),
        (vec![0; 16], vec![0; 8]),
        (vec![], vec![1]),
    ] {
        let record = decoded(generated::LogRecord {
            severity_text: "WARNING".to_owned(),
            trace_id,
            span_id,
            ..Default::default()
        });
        assert_eq!((record.trace_id, record.span_id), (None, None));
        assert_eq!(record.severity_text, "WARNING");
    }
}

#[test]
fn severities_without_a_name_are_kept_as_numbers() {
    for number in [-1, 25, i32::MIN, i32::MAX] {
        let record = decoded(generated::LogRecord {
            severity_number: number,
            ..Default::default()
        });
        assert_eq!(record.severity, Severity::from_number(number));
    }
}

#[test]
fn a_body_nested_beyond_the_limit_is_refused() {
    let nested = |depth| {
        let mut logs = samples::one_log_record();
        logs[0].scope_logs[0].log_records[0].body =
            (1..depth).fold(Value::from(1), |inner, _| Value::Array(vec![inner]));
        decode_logs(&encode_logs(&logs), &DecodeLimits::default())
    };
    assert!(nested(64).is_ok());
    assert_eq!(nested(65), Err(DecodeError::TooDeep { max_depth: 64 }));
}

#[test]
fn a_request_of_empty_items_is_refused_before_it_fills_memory() {
    // Empty resources, scopes, log records, and log records of nothing but empty attributes.
    for path in [&[1][..], &[1, 2], &[1, 2, 2], &[1, 2, 2, 6]] {
        assert_eq!(
            decode_logs(&empty_items(path), &DecodeLimits::default()),
            Err(DecodeError::TooManyItems { ratio: 16 }),
            "{path:?}"
        );
    }
}
