//! Decodes a request's payload and stores it: the part of the way that HTTP and gRPC share.

use super::body::{self, BodyLimits, Encoding};
use super::records::{Addressee, Batch, read_batch};
use crate::admit::{Budget, Refusal, Reservation};
use crate::config::Limits;
use crate::metrics::{Metrics, Protocol};
use bytes::Bytes;
use lumitrace_store::{AppendError, Store};
use lumitrace_wire::DecodeLimits;
use lumitrace_wire::otlp::Signal;
use lumitrace_wire::otlp::response::PartialSuccess;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

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
    pub(super) addressee: Addressee,
}

/// What was stored of a request.
pub(super) struct Outcome {
    /// What it turned out to carry.
    pub(super) signal: Signal,
    /// What could not be kept of it.
    pub(super) partial_success: Option<PartialSuccess>,
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

    /// Stores what `payload` carries. When this returns, it is durable and searchable; records that
    /// cannot be kept are told in the partial success.
    pub(super) async fn ingest(
        &self,
        payload: Payload,
        reservation: &mut Reservation,
        protocol: Protocol,
    ) -> Result<Outcome, Refusal> {
        let begun = Instant::now();
        let Decoded {
            mut batch,
            payload_bytes,
        } = self.decode(payload, reservation).await?;
        let (signal, record_count, rejected) =
            (batch.signal(), batch.record_count(), batch.rejected);
        let rejection = batch.rejection.take();
        if record_count > 0 {
            let stored = batch.append_to(&self.store).await;
            stored.map_err(refusal_of_store)?;
        }
        self.metrics.accepted(
            signal,
            protocol,
            record_count,
            payload_bytes,
            begun.elapsed(),
        );
        if rejected == 0 {
            return Ok(Outcome {
                signal,
                partial_success: None,
            });
        }
        self.metrics.rejected(signal, rejected);
        let error_message = rejection.unwrap_or_default();
        tracing::debug!(?signal, rejected, error_message, "records rejected");
        Ok(Outcome {
            signal,
            partial_success: Some(PartialSuccess {
                rejected,
                error_message,
            }),
        })
    }

    async fn decode(
        &self,
        payload: Payload,
        reservation: &mut Reservation,
    ) -> Result<Decoded, Refusal> {
        let limits = self.decode_limits;
        let max_bytes = self.body_limits.max_bytes;
        // Not on a thread of the network's, so that it holds up nobody's answer. Its share of the
        // budget goes along: this future may be dropped while the thread still works.
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

fn decode(
    payload: &Payload,
    max_bytes: u64,
    limits: &DecodeLimits,
    reservation: &mut Reservation,
) -> Result<Decoded, Refusal> {
    let bytes = body::decompress(payload.encoding, &payload.bytes, max_bytes, reservation)?;
    let payload_bytes = bytes.len();
    let batch = read_batch(
        payload.addressee,
        bytes,
        payload.format,
        limits,
        reservation,
    )?;
    Ok(Decoded {
        batch: batch.map_err(|error| Refusal::Malformed(error.to_string()))?,
        payload_bytes,
    })
}

struct Decoded {
    batch: Batch,
    payload_bytes: usize,
}

fn refusal_of_store(error: AppendError) -> Refusal {
    match error {
        AppendError::Full { .. } => Refusal::StoreBusy,
        AppendError::TooLarge { limit_bytes, .. } => Refusal::TooLarge {
            limit_bytes: limit_bytes as u64,
        },
        // Even a store that has failed for good takes records again after a restart, and until then
        // the sender had better keep them.
        AppendError::DiskFull { .. }
        | AppendError::ReadOnly { .. }
        | AppendError::Failed { .. } => Refusal::StoreUnavailable(error.to_string()),
    }
}
