//! The thread that gathers, encodes and sends. The traced program never waits for it, except in
//! `force_flush` and `shutdown`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lumitrace_model::Resource;

use super::Pipeline;
use super::control::Request;
use super::delivery::Delivery;
use crate::clock;
use crate::ended::Backlog;
use crate::exporter::{ExportBatch, ScopedSpan, begin_exporting_thread};
use crate::notice::Notice;
use crate::recording::AnnouncementRule;

/// How soon after the first span something is sent: live views start then, not after the first
/// batch delay, and a receiver that is not there is told early.
const FIRST_SEND_AFTER: Duration = Duration::from_millis(200);
/// How often open spans are looked at, at least.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// While an exporter waits for its retry, others are served at least this often.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// The life of the worker.
pub(crate) fn run(pipeline: &'static Pipeline) {
    begin_exporting_thread();
    let mut worker = Worker::new(pipeline);
    loop {
        let request = worker.rest();
        clock::refresh();
        if let Some(deadline) = request.shut_down_by {
            let has_failed = worker.finish(deadline);
            pipeline.control.ended(has_failed);
            return;
        }
        worker.work(request);
    }
}

struct Worker {
    pipeline: &'static Pipeline,
    resource: Arc<Resource>,
    deliveries: Vec<Delivery>,
    /// Collected from the lanes, but not sent yet; still counted as waiting.
    backlog: Backlog,
    next_send: Instant,
    next_look: Instant,
}

impl Worker {
    fn new(pipeline: &'static Pipeline) -> Self {
        let exporters = pipeline.settings.exporters.iter();
        let deliveries = exporters
            .map(|make| Delivery::new(pipeline, make()))
            .collect();
        let now = Instant::now();
        let mut worker = Self {
            pipeline,
            resource: Arc::new(pipeline.resource()),
            deliveries,
            backlog: Backlog::default(),
            next_send: now + FIRST_SEND_AFTER,
            next_look: now,
        };
        if let Some(delay) = pipeline.settings.batch.schedule_delay {
            worker.next_send = now + delay.min(FIRST_SEND_AFTER);
        }
        worker.note_answers();
        worker
    }

    fn rest(&self) -> Request {
        let retries = self.deliveries.iter().filter_map(Delivery::retry_at);
        let look = self.wants_announcements().then_some(self.next_look);
        // A due batch is no reason to wake up while nobody can take it.
        let send = self.is_anybody_ready().then_some(self.next_send);
        let wakings = retries.chain(look).chain(send);
        let until = wakings
            .min()
            .unwrap_or_else(|| Instant::now() + LONGEST_REST);
        let is_full = || self.pipeline.load.is_batch_full();
        let is_batch_full: Option<&dyn Fn() -> bool> = if self.is_anybody_ready() {
            Some(&is_full)
        } else {
            None
        };
        self.pipeline.control.rest(until, is_batch_full)
    }

    fn work(&mut self, request: Request) {
        self.collect();
        self.retry(request.is_urgent());
        let is_time = Instant::now() >= self.next_send;
        self.send_batches(is_time || request.is_urgent(), None);
        if is_time {
            self.deliveries.iter_mut().for_each(Delivery::probe);
            self.next_send = Instant::now() + self.delay();
        }
        self.note_answers();
        if Instant::now() >= self.next_look {
            self.announce(self.announcement_rule());
            self.next_look = Instant::now() + self.look_every();
        }
        if let Some(flush) = request.flush {
            self.pipeline.control.flushed(flush, !self.is_done());
        }
    }

    /// Takes what has ended out of the lanes.
    fn collect(&mut self) {
        for lane in self.pipeline.lanes.all() {
            let to_come = self.backlog.collect(lane);
            self.pipeline.load.give_back(to_come);
        }
    }

    /// Tries again what failed: where the time has come, or at once where somebody waits for it.
    fn retry(&mut self, is_urgent: bool) {
        let now = Instant::now();
        for delivery in &mut self.deliveries {
            if delivery.retry_at().is_some_and(|at| is_urgent || at <= now) {
                delivery.send(None);
            }
        }
    }

    /// Sends full batches, and if `all` the rest too, as long as somebody can take them.
    fn send_batches(&mut self, all: bool, deadline: Option<Instant>) {
        while self.is_worth_sending(all) && self.is_anybody_ready() {
            let batch = Arc::new(self.next_batch());
            for delivery in &mut self.deliveries {
                delivery.give(&batch);
                if delivery.is_ready() {
                    delivery.send(deadline);
                }
            }
            self.recycle(batch);
        }
    }

    fn is_worth_sending(&self, all: bool) -> bool {
        let is_full = || {
            self.backlog.len() >= self.pipeline.batch_size.spans
                || self.backlog.size_bytes() >= self.pipeline.load.batch_bytes()
        };
        !self.backlog.is_empty() && (all || is_full())
    }

    fn next_batch(&mut self) -> ExportBatch {
        let spans = self.backlog.next_batch(self.pipeline.batch_size);
        self.pipeline.load.release(spans.len(), spans.size_bytes());
        ExportBatch::of_ended(Arc::clone(&self.resource), spans)
    }

    /// Keeps the memory of a batch that was sent for spans to come.
    fn recycle(&mut self, batch: Arc<ExportBatch>) {
        // A batch that could not be sent stays with its delivery.
        if let Some(ended) = Arc::into_inner(batch).and_then(ExportBatch::into_ended) {
            self.backlog.keep(ended);
        }
    }

    fn announce(&mut self, rule: AnnouncementRule) {
        if self
            .deliveries
            .iter()
            .all(|delivery| delivery.takes_announcements() != Some(true))
        {
            return;
        }
        let (now_nano, mut due) = (clock::monotonic_nano(), Vec::new());
        for lane in self.pipeline.lanes.all() {
            lane.announce(now_nano, &rule, &mut due);
        }
        let mut spans = due
            .into_iter()
            .map(|(scope, span)| ScopedSpan { scope, span })
            .peekable();
        while spans.peek().is_some() {
            let some = spans
                .by_ref()
                .take(self.pipeline.settings.batch.max_batch_spans.max(1));
            let batch = ExportBatch::new(Arc::clone(&self.resource), some.collect());
            for delivery in &mut self.deliveries {
                delivery.announce(&batch);
            }
        }
    }

    fn announcement_rule(&self) -> AnnouncementRule {
        let nano = |duration: Duration| duration.as_nanos() as u64;
        let batch = &self.pipeline.settings.batch;
        AnnouncementRule {
            after_nano: nano(batch.announce_after),
            repeat_nano: nano(batch.announce_every),
        }
    }

    /// The end: one last attempt for everything, then the account of what was lost. Returns
    /// whether something was left.
    fn finish(&mut self, deadline: Instant) -> bool {
        // What ends from here on is lost, and counted as such.
        self.pipeline.load.close();
        self.collect();
        for delivery in &mut self.deliveries {
            delivery.send(Some(deadline));
        }
        self.send_batches(true, Some(deadline));
        if self.is_done() {
            // Spans that are still open show as interrupted with their last values.
            self.announce(AnnouncementRule {
                after_nano: 0,
                repeat_nano: 0,
            });
        }
        let has_failed = !self.is_done();
        let unsent = self.backlog.len() as u64;
        let counters = self.pipeline.counters();
        counters.unsent_spans.fetch_add(unsent, Ordering::Relaxed);
        self.deliveries.iter_mut().for_each(Delivery::close);
        let stats = self.pipeline.stats();
        if stats.queue_full_spans + stats.refused_spans + stats.unsent_spans > 0 {
            self.pipeline
                .settings
                .notice_handler
                .tell(&Notice::SpansLost {
                    is_expected: self.deliveries.iter().any(Delivery::has_warned),
                    queue_full: stats.queue_full_spans,
                    refused: stats.refused_spans,
                    unsent: stats.unsent_spans,
                });
        }
        has_failed
    }

    fn is_done(&self) -> bool {
        self.backlog.is_empty() && self.deliveries.iter().all(Delivery::is_done)
    }

    /// One that is ready is enough: the others keep their batches, and a single one that is not
    /// leaves the spans in the queue.
    fn is_anybody_ready(&self) -> bool {
        self.deliveries.iter().any(Delivery::is_ready)
    }

    fn wants_announcements(&self) -> bool {
        self.deliveries
            .iter()
            .any(|delivery| delivery.takes_announcements() != Some(false))
    }

    fn delay(&self) -> Duration {
        let takes = |delivery: &Delivery| delivery.takes_announcements() == Some(true);
        self.pipeline
            .settings
            .batch
            .delay(self.deliveries.iter().any(takes))
    }

    fn look_every(&self) -> Duration {
        LOOK_EVERY.min(self.pipeline.settings.batch.announce_after / 2)
    }

    /// Makes what the exporters have learned visible to the program's threads.
    fn note_answers(&self) {
        let is_unreachable = self.deliveries.iter().any(Delivery::is_unreachable);
        self.pipeline.control.set_unreachable(is_unreachable);
    }
}
