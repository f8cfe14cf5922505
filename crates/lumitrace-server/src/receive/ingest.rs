//! Decodes a request's payload and stores it: the part of the way that HTTP and gRPC share.

use super::body::{self, BodyLimits, Encoding, INLINE_BYTES};
use super::route::Route;
use crate::admit::{Budget, Refusal, Reservation};
use crate::config::Limits;
use crate::metrics::{Metrics, Protocol};
use bytes::Bytes;
use lumitrace_store::{AppendError, SpanBatch, Store};
use lumitrace_wire::otlp::json;
use lumitrace_wire::otlp::response::PartialSuccess;
use lumitrace_wire::{DecodeError, DecodeLimits, DecodedTraces};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many bytes in memory one byte of an ordinary request becomes, at most: spans with a few
/// numbers as attributes take two to three.
const TYPICAL_EXPANSION: usize = 4;

/// Takes requests into the store, within the limits.
pub struct Receiver {
    store: Store,
    pub(super) metrics: Arc<Metrics>,
    budget: Budget,
    warnings: WarningGate,
    pub(super) body_limits: BodyLimits,
    decode_limits: DecodeLimits,
    /// Where people find the web interface: told to those who ask an OTLP port with a browser.
    pub(super) ui_url: String,
}

/// Keeps a sender that is refused a thousand times a second from filling the log.
#[derive(Default)]
struct WarningGate {
    last: Mutex<HashMap<&'static str, Instant>>,
}

impl WarningGate {
    const PAUSE: Duration = Duration::from_secs(10);

    fn opens(&self, reason: &'static str) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let open = last
            .get(reason)
            .is_none_or(|last| now.duration_since(*last) >= Self::PAUSE);
        if open {
            last.insert(reason, now);
        }
        open
    }
}

/// How a payload is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Protobuf,
    Json,
}

/// A payload as it was sent.
pub(super) struct Payload {
    pub(super) bytes: Bytes,
    pub(super) encoding: Encoding,
    pub(super) format: Format,
    pub(super) route: Route,
}

impl Receiver {
    /// A receiver that stores in `store`, holds at most `budget` at a time and counts in `metrics`.
    pub fn new(
        store: Store,
        budget: Budget,
        metrics: Arc<Metrics>,
        limits: &Limits,
        ui_url: String,
    ) -> Self {
        Self {
            store,
            metrics,
            budget,
            warnings: WarningGate::default(),
            body_limits: BodyLimits {
                max_bytes: limits.max_request_bytes.0,
                timeout: limits.body_timeout.0,
            },
            decode_limits: DecodeLimits {
                // Nothing deeper could be read back.
                max_depth: limits
                    .max_value_depth
                    .min(DecodeLimits::own_data().max_depth),
                max_expansion: limits.max_expansion,
            },
            ui_url,
        }
    }

    /// Counts a refusal and says it in the log, at most once in a while for each reason.
    pub(super) fn refused(&self, refusal: &Refusal) {
        let reason = refusal.answer().reason;
        self.metrics.refused(reason);
        if self.warnings.opens(reason) {
            tracing::warn!(reason, "request refused: {refusal}");
        }
    }

    /// An empty share of the bytes that may be in flight.
    pub(super) fn reserve(&self) -> Reservation {
        self.budget.reserve()
    }

    /// Stores the spans of `payload`. When this returns they are durable and searchable; spans
    /// that cannot be kept are told in the partial success.
    pub(super) async fn ingest(
        &self,
        payload: Payload,
        reservation: &mut Reservation,
        protocol: Protocol,
    ) -> Result<Option<PartialSuccess>, Refusal> {
        let begun = Instant::now();
        let decoded = self.decode(payload, reservation).await?;
        let Decoded {
            batch:
                Batch {
                    spans,
                    rejected_spans,
                    rejection,
                },
            payload_bytes,
        } = decoded;
        let span_count = spans.span_count();
        if span_count > 0 {
            self.store.append(spans).await.map_err(refusal_of_store)?;
        }
        self.metrics
            .accepted(protocol, span_count, payload_bytes, begun.elapsed());
        if rejected_spans == 0 {
            return Ok(None);
        }
        self.metrics.rejected_spans(rejected_spans);
        let error_message = rejection.unwrap_or_default();
        tracing::debug!(rejected_spans, error_message, "spans rejected");
        Ok(Some(PartialSuccess {
            rejected: rejected_spans,
            error_message,
        }))
    }

    async fn decode(
        &self,
        payload: Payload,
        reservation: &mut Reservation,
    ) -> Result<Decoded, Refusal> {
        let limits = self.decode_limits;
        let max_bytes = self.body_limits.max_bytes;
        if payload.bytes.len() <= INLINE_BYTES && payload.encoding == Encoding::Identity {
            return decode(&payload, max_bytes, &limits, reservation);
        }
        // Large work goes to a thread of its own, so that it holds up nobody's answer. Its share of
        // the budget goes along: this future may be dropped while the thread still works.
        let mut moved = self.reserve();
        std::mem::swap(&mut moved, reservation);
        let work = tokio::task::spawn_blocking(move || {
            let decoded = decode(&payload, max_bytes, &limits, &mut moved);
            (decoded, moved)
        });
        let (decoded, moved) = work.await.map_err(|error| {
            tracing::error!(%error, "decoding a request failed; this is a bug");
            Refusal::Malformed("the request could not be decoded".to_owned())
        })?;
        *reservation = moved;
        decoded
    }
}

/// Memory that a protobuf message takes for each of its bytes while it waits for the store, at most,
/// beside itself: a span has at least 30 bytes, and its place in the index about 90; most takes a span
/// with a scope of its own.
const INDEX_EXPANSION: u64 = 5;

/// Reads a batch out of `bytes`, holding no more memory than the budget knows of.
fn read_batch(
    bytes: Bytes,
    format: Format,
    limits: &DecodeLimits,
    reservation: &mut Reservation,
) -> Result<Result<Batch, DecodeError>, Refusal> {
    match format {
        Format::Protobuf => {
            if !reservation.grow(INDEX_EXPANSION * bytes.len() as u64) {
                return Err(Refusal::Overloaded);
            }
            Ok(SpanBatch::from_payload(bytes, limits).map(Batch::of_protobuf))
        }
        Format::Json => Ok(decode_json(&bytes, limits, reservation)?.and_then(Batch::of_json)),
    }
}

/// Spans to be stored, and those that cannot be.
struct Batch {
    spans: SpanBatch,
    rejected_spans: u64,
    rejection: Option<String>,
}

impl Batch {
    fn of_protobuf(spans: SpanBatch) -> Self {
        let (rejected_spans, rejection) = spans.rejected();
        Self {
            rejected_spans,
            rejection: rejection.map(str::to_owned),
            spans,
        }
    }

    fn of_json(decoded: DecodedTraces) -> Result<Self, DecodeError> {
        Ok(Self {
            spans: SpanBatch::from_resource_spans(&decoded.resource_spans)?,
            rejected_spans: decoded.rejected_spans,
            rejection: decoded.rejection,
        })
    }
}

/// Decodes JSON holding no more memory than the budget knows of.
///
/// A message may take up to `max_expansion` times its size, but hardly any honest one takes more
/// than [`TYPICAL_EXPANSION`] times: only what turns out to need more is given more, and decoded
/// again.
fn decode_json(
    bytes: &[u8],
    limits: &DecodeLimits,
    reservation: &mut Reservation,
) -> Result<Result<DecodedTraces, DecodeError>, Refusal> {
    let reserve = |reservation: &mut Reservation, times: usize| {
        let decoded_bytes = bytes.len().saturating_mul(times) as u64;
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
    let decoded = json::decode_traces(bytes, &within(typical));
    if typical == limits.max_expansion || !matches!(decoded, Err(DecodeError::TooManyItems { .. }))
    {
        return Ok(decoded);
    }
    // What could never be reserved is refused for good rather than for now.
    let room = reservation.room_bytes() / bytes.len().max(1) as u64;
    let more = (limits.max_expansion - typical).min(usize::try_from(room).unwrap_or(usize::MAX));
    reserve(reservation, more)?;
    Ok(json::decode_traces(bytes, &within(typical + more)))
}

fn decode(
    payload: &Payload,
    max_bytes: u64,
    limits: &DecodeLimits,
    reservation: &mut Reservation,
) -> Result<Decoded, Refusal> {
    let bytes = body::decompress(payload.encoding, &payload.bytes, max_bytes, reservation)?;
    let batch = read_batch(bytes.clone(), payload.format, limits, reservation)?;
    if payload.route == Route::Root
        && let Ok(batch) = &batch
    {
        check_signal(&bytes, payload.format, batch)?;
    }
    Ok(Decoded {
        batch: batch.map_err(|error| Refusal::Malformed(error.to_string()))?,
        payload_bytes: bytes.len(),
    })
}

struct Decoded {
    batch: Batch,
    payload_bytes: usize,
}

/// At `/` no path says which signal is meant. Traces are taken; what is plainly something else is
/// refused with a reason that helps.
fn check_signal(bytes: &[u8], format: Format, batch: &Batch) -> Result<(), Refusal> {
    let names = |key: &[u8]| bytes.windows(key.len()).any(|window| window == key);
    let has_spans = batch.spans.span_count() > 0;
    let foreign = match format {
        Format::Json => !has_spans && (names(b"\"resourceLogs\"") || names(b"\"resourceMetrics\"")),
        // Logs and metrics share the outer shape, but not one of their items has a trace id where
        // spans have it.
        Format::Protobuf => !has_spans && batch.rejected_spans > 0,
    };
    if foreign {
        return Err(Refusal::NotFound(
            "this holds no spans, and the server stores only traces so far; \
             name the signal in the path, such as /v1/traces"
                .to_owned(),
        ));
    }
    Ok(())
}

fn refusal_of_store(error: AppendError) -> Refusal {
    match error {
        AppendError::Full { .. } => Refusal::StoreBusy,
        AppendError::TooLarge { limit_bytes, .. } => Refusal::TooLarge {
            limit_bytes: limit_bytes as u64,
        },
        // Even a store that has failed for good takes spans again after a restart, and until then
        // the sender had better keep them.
        AppendError::DiskFull { .. }
        | AppendError::ReadOnly { .. }
        | AppendError::Failed { .. } => Refusal::StoreUnavailable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: DecodeLimits = DecodeLimits {
        max_depth: 64,
        max_expansion: 1 << 10,
    };

    fn decoded(bytes: &[u8], format: Format, budget: &Budget) -> Result<(), Refusal> {
        let mut reservation = budget.reserve();
        let bytes = Bytes::copy_from_slice(bytes);
        let batch = read_batch(bytes, format, &LIMITS, &mut reservation)?;
        batch
            .map(drop)
            .map_err(|error| Refusal::Malformed(error.to_string()))
    }

    #[test]
    fn decoding_draws_on_the_budget_before_it_fills_memory() {
        // Three bytes make one empty ResourceSpans.
        let dense = format!(r#"{{"resourceSpans":[{}{{}}]}}"#, "{},".repeat(1000));
        let decoded = |budget: &Budget| decoded(dense.as_bytes(), Format::Json, budget);
        assert_eq!(decoded(&Budget::new(4 << 20)), Ok(()));
        let budget = Budget::new(4 << 20);
        let mut others = budget.reserve();
        assert!(others.grow(3 << 20));
        assert_eq!(decoded(&budget), Err(Refusal::Overloaded));
        // More than all of the budget: it would be no use to come again.
        let refusal = decoded(&Budget::new(50_000)).unwrap_err();
        assert!(matches!(refusal, Refusal::Malformed(_)), "{refusal:?}");
    }

    #[test]
    fn an_ordinary_message_reserves_no_more_than_it_may_need() {
        // One field that is unknown, and so skipped.
        let ordinary = [&[0x7a, 100][..], &[0; 100]].concat();
        let budget = Budget::new(102 * INDEX_EXPANSION);
        assert_eq!(decoded(&ordinary, Format::Protobuf, &budget), Ok(()));
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn no_index_takes_more_memory_than_is_reserved_for_it() {
        use lumitrace_model::{ResourceSpans, ScopeSpans, Span, SpanId, TraceId};
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
