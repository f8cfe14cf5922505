//! One exporter with its retries.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Pipeline;
use crate::exporter::{ExportBatch, ExportError, ExportReceipt, SpanExporter};
use crate::ids;
use crate::notice::Notice;

pub(crate) struct Delivery {
    pipeline: &'static Pipeline,
    exporter: Box<dyn SpanExporter>,
    /// Batches to be sent, the oldest first; more than one only after a failure.
    waiting: VecDeque<Arc<ExportBatch>>,
    failures: u32,
    retry_at: Option<Instant>,
    has_told_refusal: bool,
    has_told_failure: bool,
    /// What the receiver's last answer said about announcements; `None` before the first.
    takes_announcements: Option<bool>,
}

impl Delivery {
    pub(crate) fn new(pipeline: &'static Pipeline, exporter: Box<dyn SpanExporter>) -> Self {
        let takes_announcements = if exporter.may_take_announcements() {
            None
        } else {
            Some(false)
        };
        Self {
            pipeline,
            exporter,
            waiting: VecDeque::new(),
            failures: 0,
            retry_at: None,
            has_told_refusal: false,
            has_told_failure: false,
            takes_announcements,
        }
    }

    /// Whether it may be given a batch: it wants some, and is not waiting for a retry.
    pub(crate) fn is_ready(&self) -> bool {
        self.retry_at.is_none() && self.exporter.takes_spans()
    }

    pub(crate) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    pub(crate) fn is_unreachable(&self) -> bool {
        self.failures > 0
    }

    /// Whether a notice has said why spans of this exporter may be lost.
    pub(crate) fn has_warned(&self) -> bool {
        self.has_told_refusal || self.has_told_failure
    }

    pub(crate) fn takes_announcements(&self) -> Option<bool> {
        self.takes_announcements
    }

    /// Takes a batch over. While others are ready and this one is not, its batches wait here,
    /// bounded like the queue.
    pub(crate) fn give(&mut self, batch: &Arc<ExportBatch>) {
        if !self.exporter.takes_spans() {
            return;
        }
        let waiting: usize = self.waiting.iter().map(|batch| batch.len()).sum();
        if waiting > 0 && waiting + batch.len() > self.pipeline.settings.batch.max_queue_spans {
            let counter = &self.pipeline.counters().queue_full_spans;
            counter.fetch_add(batch.len() as u64, Ordering::Relaxed);
            return;
        }
        self.waiting.push_back(Arc::clone(batch));
    }

    /// Sends what waits, until an attempt fails or, given a deadline, the time is over.
    pub(crate) fn send(&mut self, deadline: Option<Instant>) {
        while let Some(batch) = self.waiting.front().cloned() {
            match self.attempt(&batch, deadline) {
                Ok(()) | Err(Failed::ForGood) => {
                    self.waiting.pop_front();
                }
                Err(Failed::TooLarge { reason }) => {
                    self.waiting.pop_front();
                    self.split(&batch, reason);
                }
                Err(Failed::ForNow) => break,
            }
        }
    }

    /// Puts the halves of a batch that is too large in its place.
    fn split(&mut self, batch: &ExportBatch, reason: String) {
        match batch.halves() {
            Some(halves) => {
                let counter = &self.pipeline.counters().failed_exports;
                counter.fetch_add(1, Ordering::Relaxed);
                for half in halves.into_iter().rev() {
                    self.waiting.push_front(Arc::new(half));
                }
            }
            None => self.note_refusal(batch.len() as u64, reason),
        }
    }

    /// Whether no span is left to be sent.
    pub(crate) fn is_done(&self) -> bool {
        self.waiting.iter().all(|batch| batch.is_empty())
    }

    /// Asks the receiver whether it takes announcements, where it never answered yet.
    pub(crate) fn probe(&mut self) {
        if self.takes_announcements.is_none() && self.is_ready() && self.waiting.is_empty() {
            let empty = ExportBatch::new(Arc::new(self.pipeline.resource()), Vec::new());
            // A failure is told and retried like any other.
            if let Err(Failed::ForNow) = self.attempt(&empty, None) {
                self.waiting.push_back(Arc::new(empty));
            }
        }
    }

    /// Sends announcements; they are outdated soon, so a failure is not retried.
    pub(crate) fn announce(&mut self, batch: &ExportBatch) {
        if self.takes_announcements != Some(true) || !self.is_ready() {
            return;
        }
        match self.export(batch, self.pipeline.settings.batch.export_timeout) {
            Ok(_) => {
                let counter = &self.pipeline.counters().announced_spans;
                counter.fetch_add(batch.len() as u64, Ordering::Relaxed);
            }
            Err(ExportError::TooLarge { .. }) => {
                let halves = batch.halves().into_iter().flatten();
                halves.for_each(|half| self.announce(&half));
            }
            Err(_) => {}
        }
    }

    /// Gives up what waits and closes the exporter.
    pub(crate) fn close(&mut self) {
        let unsent: usize = self.waiting.drain(..).map(|batch| batch.len()).sum();
        self.pipeline
            .counters()
            .unsent_spans
            .fetch_add(unsent as u64, Ordering::Relaxed);
        let exporter = &mut self.exporter;
        // The panic hook has already printed the panic.
        let _closed = catch_unwind(AssertUnwindSafe(|| exporter.shut_down()));
    }

    fn attempt(&mut self, batch: &ExportBatch, deadline: Option<Instant>) -> Result<(), Failed> {
        let timeout = match deadline {
            None => self.pipeline.settings.batch.export_timeout,
            Some(deadline) => deadline.saturating_duration_since(Instant::now()),
        };
        if timeout.is_zero() {
            return Err(Failed::ForNow);
        }
        match self.export(batch, timeout) {
            Ok(receipt) => {
                self.note_success(batch, &receipt);
                Ok(())
            }
            Err(ExportError::Retryable {
                reason,
                retry_after,
            }) => {
                self.note_failure(&reason, retry_after);
                Err(Failed::ForNow)
            }
            Err(ExportError::TooLarge { reason }) => {
                self.note_answer();
                Err(Failed::TooLarge { reason })
            }
            Err(ExportError::Refused { reason }) => {
                self.note_answer();
                self.note_refusal(batch.len() as u64, reason);
                Err(Failed::ForGood)
            }
        }
    }

    /// Exports; an exporter that panics has refused.
    fn export(
        &mut self,
        batch: &ExportBatch,
        timeout: Duration,
    ) -> Result<ExportReceipt, ExportError> {
        let exporter = &mut self.exporter;
        let exported = catch_unwind(AssertUnwindSafe(|| exporter.export(batch, timeout)));
        exported.unwrap_or_else(|_| {
            Err(ExportError::Refused {
                reason: "the exporter panicked".to_owned(),
            })
        })
    }

    fn note_success(&mut self, batch: &ExportBatch, receipt: &ExportReceipt) {
        self.note_answer();
        if self.exporter.may_take_announcements() {
            self.takes_announcements = Some(receipt.takes_announcements);
        }
        let accepted = (batch.len() as u64).saturating_sub(receipt.refused_spans);
        self.pipeline
            .counters()
            .exported_spans
            .fetch_add(accepted, Ordering::Relaxed);
        if receipt.refused_spans > 0 {
            self.note_refusal(receipt.refused_spans, receipt.message.clone());
        }
    }

    /// The receiver has answered, so it is there.
    fn note_answer(&mut self) {
        self.retry_at = None;
        if self.failures > 0 {
            self.failures = 0;
            let exporter = self.exporter.name();
            self.pipeline
                .settings
                .notice_handler
                .tell(&Notice::ExportRecovered { exporter });
        }
    }

    fn note_failure(&mut self, reason: &str, retry_after: Option<Duration>) {
        self.pipeline
            .counters()
            .failed_exports
            .fetch_add(1, Ordering::Relaxed);
        if self.failures == 0 {
            self.has_told_failure = true;
            let (exporter, reason) = (self.exporter.name(), reason.to_owned());
            self.pipeline
                .settings
                .notice_handler
                .tell(&Notice::ExportFails { exporter, reason });
        }
        let delay = retry_delay(self.failures, ids::fraction(), retry_after);
        self.retry_at = Some(Instant::now() + delay);
        self.failures = self.failures.saturating_add(1);
    }

    fn note_refusal(&mut self, spans: u64, reason: String) {
        self.pipeline
            .counters()
            .refused_spans
            .fetch_add(spans, Ordering::Relaxed);
        self.pipeline
            .counters()
            .failed_exports
            .fetch_add(1, Ordering::Relaxed);
        if !self.has_told_refusal {
            self.has_told_refusal = true;
            let exporter = self.exporter.name();
            let notice = Notice::SpansRefused {
                exporter,
                spans,
                reason,
            };
            self.pipeline.settings.notice_handler.tell(&notice);
        }
    }
}

enum Failed {
    ForNow,
    /// The whole, but perhaps not its parts.
    TooLarge {
        reason: String,
    },
    ForGood,
}

const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(15);
/// A receiver that asks for more would make a live view useless.
const LONGEST_WISH: Duration = Duration::from_secs(60);

/// How long to wait after so many earlier failures: doubled each time, and spread by `random`
/// (0 to 1), so that many clients do not come back at the same moment. A receiver's own wish
/// (`Retry-After`) is a lower bound.
fn retry_delay(earlier_failures: u32, random: f64, retry_after: Option<Duration>) -> Duration {
    let doubled = FIRST_DELAY * 2_u32.saturating_pow(earlier_failures.min(16));
    let spread = doubled.min(LONGEST_DELAY).mul_f64(0.5 + random);
    retry_after.map_or(spread, |wish| wish.min(LONGEST_WISH).max(spread))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_limit_and_are_spread() {
        let ms = |failures, random| retry_delay(failures, random, None).as_millis();
        assert_eq!((ms(0, 0.5), ms(1, 0.5), ms(3, 0.5)), (500, 1000, 4000));
        assert_eq!((ms(0, 0.0), ms(0, 1.0)), (250, 750));
        assert_eq!(ms(u32::MAX, 0.5), 15_000);
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_within_reason() {
        let wish = |seconds| retry_delay(0, 0.5, Some(Duration::from_secs(seconds)));
        assert_eq!(wish(7), Duration::from_secs(7));
        assert_eq!(wish(0), Duration::from_millis(500));
        assert_eq!(wish(86_400), Duration::from_secs(60));
    }
}
