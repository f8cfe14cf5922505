//! Log records.

use lumitrace_model::{KeyValue, LogRecord, ResourceLogs, ScopeLogs, Severity, SpanId, TraceId};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{attributes, resource, scope, span_id, text, trace_id, value};

/// One resource with one scope with one log record.
pub(crate) fn one_log_record() -> Vec<ResourceLogs> {
    let record = LogRecord {
        time_unix_nano: 1_544_712_660_300_000_000,
        severity: Severity::WARN,
        body: "the loss is not finite".into(),
        attributes: vec![KeyValue::new("epoch", 1)],
        trace_id: Some(TraceId::from_bytes([1; 16])),
        span_id: Some(SpanId::from_bytes([2; 8])),
        ..LogRecord::default()
    };
    let scope_logs = vec![ScopeLogs {
        log_records: vec![record],
        ..ScopeLogs::default()
    }];
    vec![ResourceLogs {
        scope_logs,
        ..ResourceLogs::default()
    }]
}

pub(crate) fn logs() -> impl Strategy<Value = Vec<ResourceLogs>> {
    let scope_logs =
        (scope(), text(), vec(log_record(), 0..4)).prop_map(|(scope, schema_url, log_records)| {
            ScopeLogs {
                scope,
                schema_url,
                log_records,
            }
        });
    let group = (resource(), text(), vec(scope_logs, 0..3)).prop_map(
        |(resource, schema_url, scope_logs)| ResourceLogs {
            resource,
            schema_url,
            scope_logs,
        },
    );
    vec(group, 0..3)
}

fn log_record() -> impl Strategy<Value = LogRecord> {
    let times = (any::<u64>(), any::<u64>());
    // Numbers without a name, and negative ones, are kept as well.
    let severity = prop_oneof![0..25_i32, any::<i32>()].prop_map(Severity::from_number);
    let texts = (text(), text());
    let ids = (option::of(trace_id()), option::of(span_id()));
    let counts = (any::<u32>(), any::<u32>());
    let content = (value(), attributes());
    (times, severity, texts, ids, counts, content).prop_map(
        |(times, severity, texts, ids, counts, content)| LogRecord {
            time_unix_nano: times.0,
            observed_time_unix_nano: times.1,
            severity,
            severity_text: texts.0,
            event_name: texts.1,
            trace_id: ids.0,
            span_id: ids.1,
            dropped_attributes_count: counts.0,
            flags: counts.1,
            body: content.0,
            attributes: content.1,
        },
    )
}
