//! What the signals differ in: how a payload becomes records, what memory that takes, and where they
//! are stored. The rest of the way of a request is the same for all of them.

use super::ingest::Format;
use crate::admit::{Refusal, Reservation};
use bytes::Bytes;
use lumitrace_store::{Append, LogBatch, MetricBatch, SpanBatch, Store};
use lumitrace_wire::otlp::{Signal, json};
use lumitrace_wire::{DecodeError, DecodeLimits, DecodedTraces};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// How many bytes in memory one byte of an ordinary request becomes, at most: spans and log records
/// with a few numbers as attributes take two to three.
const TYPICAL_EXPANSION: usize = 4;
/// Memory that a request of spans in protobuf takes for each of its bytes while it waits for the
/// store, at most, beside itself: a span has at least 30 bytes, and its place in the index about 90;
/// most takes a span with a scope of its own.
const INDEX_EXPANSION: u64 = 5;

/// Which signal a request was sent as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Addressee {
    /// The one that its path names.
    Signal(Signal),
    /// Its path names none: its content must say.
    Unnamed,
}

/// The refusal of what OTLP knows and this server does not store.
pub(super) fn not_stored(what: &str) -> Refusal {
    Refusal::NotFound(format!(
        "this server stores traces, logs and metrics; it does not take {what}"
    ))
}

/// Records to be stored, and how many cannot be.
pub(super) struct Batch {
    records: Records,
    /// How many records are left out.
    pub(super) rejected: u64,
    /// Why, for the sender's eyes.
    pub(super) rejection: Option<String>,
}

enum Records {
    Spans(SpanBatch),
    Logs(LogBatch),
    Metrics(MetricBatch),
}

impl Batch {
    fn of_spans(spans: SpanBatch) -> Self {
        let (rejected, rejection) = spans.rejected();
        Self {
            rejected,
            rejection: rejection.map(str::to_owned),
            records: Records::Spans(spans),
        }
    }

    fn of_decoded_spans(decoded: DecodedTraces) -> Result<Self, DecodeError> {
        let spans = SpanBatch::from_resource_spans(&decoded.resource_spans)?;
        Ok(Self {
            records: Records::Spans(spans),
            rejected: decoded.rejected_spans,
            rejection: decoded.rejection,
        })
    }

    /// Log records lack nothing that the store could not do without.
    fn of_logs(logs: LogBatch) -> Self {
        Self {
            records: Records::Logs(logs),
            rejected: 0,
            rejection: None,
        }
    }

    fn of_metrics(metrics: MetricBatch) -> Self {
        let (rejected, rejection) = metrics.rejected();
        Self {
            rejected,
            rejection: rejection.map(str::to_owned),
            records: Records::Metrics(metrics),
        }
    }

    pub(super) fn signal(&self) -> Signal {
        match self.records {
            Records::Spans(_) => Signal::Traces,
            Records::Logs(_) => Signal::Logs,
            Records::Metrics(_) => Signal::Metrics,
        }
    }

    pub(super) fn record_count(&self) -> usize {
        match &self.records {
            Records::Spans(spans) => spans.span_count(),
            Records::Logs(logs) => logs.record_count(),
            Records::Metrics(metrics) => metrics.point_count(),
        }
    }

    pub(super) fn append_to(self, store: &Store) -> Append {
        match self.records {
            Records::Spans(spans) => store.append(spans),
            Records::Logs(logs) => store.append_logs(logs),
            Records::Metrics(metrics) => store.append_metrics(metrics),
        }
    }
}

/// Reads a batch out of `bytes`, holding no more memory than the budget knows of.
pub(super) fn read_batch(
    addressee: Addressee,
    bytes: Bytes,
    format: Format,
    limits: &DecodeLimits,
    reservation: &mut Reservation,
) -> Result<Result<Batch, DecodeError>, Refusal> {
    match (addressee, format) {
        (Addressee::Signal(signal), _) => read_signal(signal, bytes, format, limits, reservation),
        (Addressee::Unnamed, Format::Json) => {
            read_signal(signal_of_json(&bytes), bytes, format, limits, reservation)
        }
        (Addressee::Unnamed, Format::Protobuf) => read_unnamed_protobuf(bytes, limits, reservation),
    }
}

fn read_signal(
    signal: Signal,
    bytes: Bytes,
    format: Format,
    limits: &DecodeLimits,
    reservation: &mut Reservation,
) -> Result<Result<Batch, DecodeError>, Refusal> {
    match (signal, format) {
        (Signal::Traces, Format::Protobuf) => {
            if !reservation.grow(INDEX_EXPANSION * bytes.len() as u64) {
                return Err(Refusal::Overloaded);
            }
            Ok(SpanBatch::from_payload(bytes, limits).map(Batch::of_spans))
        }
        (Signal::Traces, Format::Json) => {
            let decode = |limits: &DecodeLimits| json::decode_traces(&bytes, limits);
            let decoded = within_budget(bytes.len(), limits, reservation, decode)?;
            Ok(decoded.and_then(Batch::of_decoded_spans))
        }
        (Signal::Logs, Format::Protobuf) => {
            let decode = |limits: &DecodeLimits| LogBatch::from_payload(bytes.clone(), limits);
            let decoded = within_budget(bytes.len(), limits, reservation, decode)?;
            Ok(decoded.map(Batch::of_logs))
        }
        (Signal::Logs, Format::Json) => {
            let decode = |limits: &DecodeLimits| json::decode_logs(&bytes, limits);
            let decoded = within_budget(bytes.len(), limits, reservation, decode)?;
            let logs = decoded.and_then(|decoded| LogBatch::from_resource_logs(&decoded));
            Ok(logs.map(Batch::of_logs))
        }
        (Signal::Metrics, Format::Protobuf) => {
            let decode = |limits: &DecodeLimits| MetricBatch::from_payload(bytes.clone(), limits);
            let decoded = within_budget(bytes.len(), limits, reservation, decode)?;
            Ok(decoded.map(Batch::of_metrics))
        }
        (Signal::Metrics, Format::Json) => {
            let decode = |limits: &DecodeLimits| json::decode_metrics(&bytes, limits);
            let decoded = within_budget(bytes.len(), limits, reservation, decode)?;
            let metrics = decoded.and_then(|it| MetricBatch::from_resource_metrics(&it));
            Ok(metrics.map(Batch::of_metrics))
        }
    }
}

/// The signal that JSON says it is, by the name of its list. What names none is read as traces, and
/// so gets its refusal there.
fn signal_of_json(bytes: &[u8]) -> Signal {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Lists {
        #[serde(rename = "resourceLogs", alias = "resource_logs")]
        logs: Option<IgnoredAny>,
        #[serde(rename = "resourceMetrics", alias = "resource_metrics")]
        metrics: Option<IgnoredAny>,
    }
    let lists: Lists = serde_json::from_slice(bytes).unwrap_or_default();
    match lists {
        Lists { logs: Some(_), .. } => Signal::Logs,
        Lists {
            metrics: Some(_), ..
        } => Signal::Metrics,
        _ => Signal::Traces,
    }
}

/// Reads spans or, where none are, log records or else metrics. The three signals have the same outer
/// shape, but no item is two of them: where a span has its trace id, a log record has a time and a
/// metric its name.
fn read_unnamed_protobuf(
    bytes: Bytes,
    limits: &DecodeLimits,
    reservation: &mut Reservation,
) -> Result<Result<Batch, DecodeError>, Refusal> {
    let format = Format::Protobuf;
    let spans = read_signal(Signal::Traces, bytes.clone(), format, limits, reservation)?;
    if let Ok(batch) = &spans
        && (batch.record_count() > 0 || batch.rejected == 0)
    {
        return Ok(spans);
    }
    for signal in [Signal::Logs, Signal::Metrics] {
        let others = read_signal(signal, bytes.clone(), format, limits, reservation)?;
        if let Ok(batch) = others
            && batch.record_count() > 0
        {
            return Ok(Ok(batch));
        }
    }
    match spans {
        Err(error) => Ok(Err(error)),
        Ok(_) => Err(Refusal::NotFound(
            "this holds neither spans nor log records nor points of metrics; name the signal in \
             the path, such as /v1/traces, /v1/logs or /v1/metrics"
                .to_owned(),
        )),
    }
}

/// Decodes a payload holding no more memory than the budget knows of.
///
/// A message may take up to `max_expansion` times its size, but hardly any honest one takes more
/// than [`TYPICAL_EXPANSION`] times: only what turns out to need more is given more, and decoded
/// again.
fn within_budget<T>(
    payload_bytes: usize,
    limits: &DecodeLimits,
    reservation: &mut Reservation,
    decode: impl Fn(&DecodeLimits) -> Result<T, DecodeError>,
) -> Result<Result<T, DecodeError>, Refusal> {
    let reserve = |reservation: &mut Reservation, times: usize| {
        let decoded_bytes = payload_bytes.saturating_mul(times) as u64;
        if reservation.grow(decoded_bytes) {
            Ok(())
        } else {
            Err(Refusal::Overloaded)
        }
    };
    let within = |max_expansion| DecodeLimits {
        max_expansion,
        ..*limits
    };
    let typical = limits.max_expansion.min(TYPICAL_EXPANSION);
    // Once more for texts, which no limit on items counts.
    reserve(reservation, typical.saturating_add(1))?;
    let decoded = decode(&within(typical));
    if typical == limits.max_expansion || !matches!(decoded, Err(DecodeError::TooManyItems { .. }))
    {
        return Ok(decoded);
    }
    // What could never be reserved is refused for good rather than for now.
    let room = reservation.room_bytes() / payload_bytes.max(1) as u64;
    let more = (limits.max_expansion - typical).min(usize::try_from(room).unwrap_or(usize::MAX));
    reserve(reservation, more)?;
    Ok(decode(&within(typical + more)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit::Budget;
    use lumitrace_model::{
        LogRecord, Metric, MetricData, NumberPoint, ResourceLogs, ResourceMetrics, ResourceSpans,
        ScopeLogs, ScopeMetrics, ScopeSpans, Span, SpanId, TraceId, Value,
    };
    use lumitrace_wire::otlp::protobuf;

    const LIMITS: DecodeLimits = DecodeLimits {
        max_depth: 64,
        max_expansion: 1 << 10,
    };

    fn read(
        addressee: Addressee,
        bytes: &[u8],
        format: Format,
        budget: &Budget,
    ) -> Result<Batch, Refusal> {
        let mut reservation = budget.reserve();
        let bytes = Bytes::copy_from_slice(bytes);
        let batch = read_batch(addressee, bytes, format, &LIMITS, &mut reservation)?;
        batch.map_err(|error| Refusal::Malformed(error.to_string()))
    }

    const TRACES: Addressee = Addressee::Signal(Signal::Traces);
    const LOGS: Addressee = Addressee::Signal(Signal::Logs);
    const METRICS: Addressee = Addressee::Signal(Signal::Metrics);

    #[test]
    fn decoding_draws_on_the_budget_before_it_fills_memory() {
        // Three bytes of JSON, or two of protobuf, make one empty group.
        let json = |list: &str| format!(r#"{{"{list}":[{}{{}}]}}"#, "{},".repeat(1000));
        for (addressee, dense, format) in [
            (TRACES, json("resourceSpans").into_bytes(), Format::Json),
            (LOGS, json("resourceLogs").into_bytes(), Format::Json),
            (LOGS, [0x0a, 0].repeat(1000), Format::Protobuf),
            (METRICS, json("resourceMetrics").into_bytes(), Format::Json),
            (METRICS, [0x0a, 0].repeat(1000), Format::Protobuf),
        ] {
            let decoded = |budget: &Budget| read(addressee, &dense, format, budget).map(drop);
            assert_eq!(decoded(&Budget::new(4 << 20)), Ok(()));
            let budget = Budget::new(4 << 20);
            let mut others = budget.reserve();
            assert!(others.grow((4 << 20) - 50_000));
            assert_eq!(decoded(&budget), Err(Refusal::Overloaded));
            // More than all of the budget: it would be no use to come again.
            let refusal = decoded(&Budget::new(50_000)).unwrap_err();
            assert!(matches!(refusal, Refusal::Malformed(_)), "{refusal:?}");
        }
    }

    #[test]
    fn an_ordinary_message_reserves_no_more_than_it_may_need() {
        // One field that is unknown, and so skipped.
        let ordinary = [&[0x7a, 100][..], &[0; 100]].concat();
        let budget = Budget::new(102 * INDEX_EXPANSION);
        let read = read(TRACES, &ordinary, Format::Protobuf, &budget);
        assert_eq!(read.map(|batch| batch.record_count()), Ok(0));
        assert_eq!(budget.used_bytes(), 0);
    }

    fn one_span() -> Vec<ResourceSpans> {
        let span = Span {
            trace_id: TraceId::from_bytes([1; 16]),
            span_id: SpanId::from_bytes([1; 8]),
            ..Span::default()
        };
        vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: vec![span],
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }]
    }

    fn one_log(log: LogRecord) -> Vec<ResourceLogs> {
        vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: vec![log],
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }]
    }

    fn one_metric(name: &'static str, times: &[u64]) -> Vec<ResourceMetrics> {
        let point = |time: &u64| NumberPoint {
            time_unix_nano: *time,
            ..NumberPoint::default()
        };
        let metric = Metric {
            name: name.into(),
            data: Some(MetricData::Gauge {
                points: times.iter().map(point).collect(),
            }),
            ..Metric::default()
        };
        vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![metric],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }]
    }

    #[test]
    fn points_that_nobody_could_ask_for_are_rejected_and_the_rest_is_kept() {
        for (name, kept, rejection) in [
            ("loss", 2, Some("a data point has no time")),
            ("", 0, Some("a metric has no name")),
        ] {
            let metrics = one_metric(name, &[5, 0, 7]);
            for (bytes, format) in [
                (protobuf::encode_metrics(&metrics), Format::Protobuf),
                (json::encode_metrics(&metrics), Format::Json),
            ] {
                let batch = read(METRICS, &bytes, format, &Budget::new(1 << 20)).unwrap();
                assert_eq!(batch.record_count(), kept);
                assert_eq!(batch.rejected, 3 - kept as u64);
                assert_eq!(batch.rejection.as_deref(), rejection);
            }
        }
    }

    fn signal_without_path(bytes: &[u8], format: Format) -> Option<Signal> {
        let read = read(Addressee::Unnamed, bytes, format, &Budget::new(1 << 20));
        read.map(|batch| batch.signal()).ok()
    }

    #[test]
    fn protobuf_that_is_posted_to_no_path_says_itself_which_signal_it_is() {
        let said = one_log(LogRecord {
            time_unix_nano: 5,
            body: Value::from("said"),
            ..LogRecord::default()
        });
        let observed = one_log(LogRecord {
            observed_time_unix_nano: 5,
            trace_id: Some(TraceId::from_bytes([1; 16])),
            ..LogRecord::default()
        });
        let measured = one_metric("loss", &[5]);
        // Metric{name: "loss"} in its scope and resource.
        let no_points = [&[0x0a, 10, 0x12, 8, 0x12, 6, 0x0a, 4][..], b"loss"].concat();
        for (bytes, expected) in [
            (protobuf::encode_traces(&one_span()), Some(Signal::Traces)),
            (protobuf::encode_logs(&said), Some(Signal::Logs)),
            (protobuf::encode_logs(&observed), Some(Signal::Logs)),
            (protobuf::encode_metrics(&measured), Some(Signal::Metrics)),
            (no_points, None),
        ] {
            let signal = signal_without_path(&bytes, Format::Protobuf);
            assert_eq!(signal, expected, "{bytes:?}");
        }
    }

    #[test]
    fn json_that_is_posted_to_no_path_says_itself_which_signal_it_is() {
        let logs = one_log(LogRecord::default());
        for (bytes, expected) in [
            (json::encode_traces(&one_span()), Some(Signal::Traces)),
            (json::encode_logs(&logs), Some(Signal::Logs)),
            (br#"{"resource_logs":[]}"#.to_vec(), Some(Signal::Logs)),
            (
                json::encode_metrics(&one_metric("loss", &[5])),
                Some(Signal::Metrics),
            ),
            (
                br#"{"resource_metrics":[]}"#.to_vec(),
                Some(Signal::Metrics),
            ),
            (b"{}".to_vec(), Some(Signal::Traces)),
            (b"[".to_vec(), None),
        ] {
            let shown = String::from_utf8_lossy(&bytes);
            let signal = signal_without_path(&bytes, Format::Json);
            assert_eq!(signal, expected, "{shown}");
        }
    }

    #[test]
    fn no_index_takes_more_memory_than_is_reserved_for_it() {
        // The shortest spans there are.
        let span = Span {
            trace_id: TraceId::from_bytes([1; 16]),
            span_id: SpanId::from_bytes([1; 8]),
            kind: lumitrace_model::SpanKind::Unspecified,
            ..Span::default()
        };
        let scope_of = |spans| ScopeSpans {
            spans,
            ..ScopeSpans::default()
        };
        let together = vec![scope_of(vec![span.clone(); 1000])];
        let apart = vec![scope_of(vec![span]); 1000];
        for scope_spans in [together, apart] {
            let batch = SpanBatch::from_resource_spans(&[ResourceSpans {
                scope_spans,
                ..ResourceSpans::default()
            }])
            .unwrap();
            let index_bytes = batch.memory_bytes() - batch.payload_bytes();
            assert!(index_bytes as u64 <= INDEX_EXPANSION * batch.payload_bytes() as u64);
        }
    }
}
