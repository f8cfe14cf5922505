//! Which signal a request is of, by what is in it: its type is written nowhere.

use lumitrace_wire::otlp::Signal;

/// The signal of a request in JSON, by its first key. One that has none of the three is taken for spans,
/// whose reader says what is wrong with it.
pub(super) fn signal_of_json(request: &[u8]) -> Signal {
    let object = request.trim_ascii_start().strip_prefix(b"{");
    let key = object.and_then(|rest| rest.trim_ascii_start().strip_prefix(b"\""));
    let key = key.unwrap_or_default();
    let is = |name: &str| {
        key.strip_prefix(name.as_bytes())
            .is_some_and(|rest| rest.starts_with(b"\""))
    };
    if is("resourceLogs") || is("resource_logs") {
        Signal::Logs
    } else if is("resourceMetrics") || is("resource_metrics") {
        Signal::Metrics
    } else {
        Signal::Traces
    }
}

/// The signal of a request in protobuf, by the fields of its records: those of a span, a log record and
/// a metric have other types. None if no record says it.
///
/// All three kinds of requests have records in field 2 of field 2 of field 1.
pub(super) fn signal_of_protobuf(request: &[u8]) -> Option<Signal> {
    records_in(request).find_map(signal_of_record)
}

/// Whether a request in protobuf has records, of whatever signal.
pub(super) fn has_records(request: &[u8]) -> bool {
    records_in(request).next().is_some()
}

fn records_in(request: &[u8]) -> impl Iterator<Item = &[u8]> {
    let groups = Fields(request).messages(1);
    let scopes = groups.flat_map(|group| Fields(group).messages(2));
    scopes.flat_map(|scope| Fields(scope).messages(2))
}

/// OTLP's numbers: a log record has its times in fields 1 and 11 and its severity in field 2, a span its
/// times in fields 7 and 8 and its ids in fields 1 and 2, a metric its name in field 1 and its points,
/// by kind, in 5, 7, 9, 10 or 11.
fn signal_of_record(record: &[u8]) -> Option<Signal> {
    let (mut has_id, mut has_name, mut has_points) = (false, false, false);
    for field in Fields(record) {
        match field {
            (1 | 11, Value::Fixed64) | (2 | 7, Value::Varint) | (8, Value::Fixed32) => {
                return Some(Signal::Logs);
            }
            (7 | 8, Value::Fixed64) | (6, Value::Varint) => return Some(Signal::Traces),
            (1, Value::Bytes(bytes)) => {
                has_name = true;
                has_id = bytes.len() == 16;
            }
            (2, Value::Bytes(bytes)) => has_id &= bytes.len() == 8,
            (5 | 7 | 9 | 10 | 11, Value::Bytes(bytes)) => has_points |= are_points(bytes),
            _ => {}
        }
    }
    // A name may be as long as an id.
    if has_name && has_points {
        return Some(Signal::Metrics);
    }
    has_id.then_some(Signal::Traces)
}

/// Whether these are the points of a metric: messages in field 1, with the temporality and whether a
/// sum is monotonic in 2 and 3.
fn are_points(bytes: &[u8]) -> bool {
    let mut fields = Fields(bytes);
    let is_expected = |field| matches!(field, (1, Value::Bytes(_)) | (2 | 3, Value::Varint));
    !bytes.is_empty() && fields.by_ref().all(is_expected) && fields.0.is_empty()
}

/// What a field holds, as far as it matters here.
enum Value<'a> {
    Varint,
    Fixed32,
    Fixed64,
    Bytes(&'a [u8]),
}

/// The fields of a message, up to where it is malformed.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The messages in the fields with this number.
    fn messages(self, wanted: u64) -> impl Iterator<Item = &'a [u8]> {
        self.filter_map(move |field| match field {
            (number, Value::Bytes(bytes)) if number == wanted => Some(bytes),
            _ => None,
        })
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(len).ok()?)?;
        self.0 = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => self.varint().map(|_| Value::Varint)?,
            1 => self.take(8).map(|_| Value::Fixed64)?,
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Fixed32)?,
            _ => return None,
        };
        Some((tag >> 3, value))
    }
}

#[cfg(test)]
mod tests {
    use lumitrace_model::{
        LogRecord, Metric, MetricData, NumberPoint, ResourceLogs, ResourceMetrics, ResourceSpans,
        ScopeLogs, ScopeMetrics, ScopeSpans, Severity, Span, SpanId, TraceId, Value,
    };

    use super::*;
    use crate::record_file::Batch;

    fn spans(span: Span) -> Batch {
        Batch::Spans(vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: vec![span],
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }])
    }

    fn logs(log: LogRecord) -> Batch {
        Batch::Logs(vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: vec![log],
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }])
    }

    fn metrics(data: MetricData) -> Batch {
        Batch::Metrics(vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![Metric {
                    // As long as a trace id.
                    name: "sixteen letters.".into(),
                    description: "eight of".into(),
                    data: Some(data),
                    ..Metric::default()
                }],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }])
    }

    #[test]
    fn the_signal_of_a_request_shows_in_its_records() {
        let span = Span {
            trace_id: TraceId::from_bytes([1; 16]),
            span_id: SpanId::from_bytes([1; 8]),
            ..Span::default()
        };
        let timeless = LogRecord {
            severity: Severity::INFO,
            body: Value::from("said"),
            ..LogRecord::default()
        };
        let observed = LogRecord {
            observed_time_unix_nano: 1,
            ..LogRecord::default()
        };
        let points = vec![NumberPoint::default()];
        for batch in [
            spans(span),
            logs(timeless),
            logs(observed),
            metrics(MetricData::Gauge { points }),
        ] {
            let signal = batch.signal();
            assert_eq!(signal_of_json(&batch.encode_json()), signal);
            let found = signal_of_protobuf(&batch.encode_protobuf());
            assert_eq!(found, Some(signal), "{batch:?}");
        }
    }

    #[test]
    fn what_could_be_of_any_signal_is_not_guessed() {
        let bytes = logs(LogRecord::default()).encode_protobuf();
        assert!(has_records(&bytes));
        assert_eq!(signal_of_protobuf(&bytes), None);
        assert!(!has_records(&spans(Span::default()).encode_protobuf()[..2]));
        assert_eq!(signal_of_protobuf(b"\xff\xff\xff"), None);
    }
}
