//! What waits, what is sent when, and what is lost and counted.
#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use lumitrace::exporter::{
    ExportBatch, ExportError, ExportReceipt, InMemoryExporter, SpanExporter,
};
use lumitrace::{BatchSettings, TracerProvider};

const PATIENCE: Duration = Duration::from_secs(30);

/// Tells how many spans each batch has.
#[derive(Clone)]
struct Telling(SyncSender<usize>);

impl SpanExporter for Telling {
    fn name(&self) -> String {
        "telling".to_owned()
    }

    fn export(&mut self, batch: &ExportBatch, _: Duration) -> Result<ExportReceipt, ExportError> {
        // The test may have heard enough.
        let _told = self.0.send(batch.len());
        Ok(ExportReceipt::default())
    }
}

#[test]
fn a_few_large_spans_are_sent_when_they_fill_the_queue_although_they_are_no_batch() {
    let (sender, batches) = sync_channel(1000);
    let mut batch = BatchSettings::default();
    batch.schedule_delay = Some(Duration::from_secs(3600));
    batch.max_queue_bytes = 1 << 20;
    let provider = TracerProvider::builder()
        .batch(batch)
        .exporter(Telling(sender))
        .build();
    let tracer = provider.tracer("large");
    // The first span of a program is sent soon, whatever the delay.
    tracer.span("first").start().end();
    assert_eq!(batches.recv_timeout(PATIENCE), Ok(1));
    let mut sent = 0;
    while sent < 20 {
        let span = tracer.span("large").start();
        span.set_attribute("text", "x".repeat(300_000));
        span.end();
        sent += 1;
        if sent % 2 == 0 {
            // Two of them are more than half of the queue.
            let mut told = 0;
            while told < 2 {
                told += batches.recv_timeout(PATIENCE).unwrap();
            }
        }
    }
    assert_eq!(provider.stats().queue_full_spans, 0);
}

#[test]
fn a_span_that_ends_after_tracing_did_is_lost_and_counted() {
    let exporter = InMemoryExporter::default();
    let provider = TracerProvider::builder().exporter(exporter.clone()).build();
    let tracer = provider.tracer("late");
    let open = tracer.span("open").start();
    tracer.span("ended").start().end();
    provider.shutdown().unwrap();
    open.end();
    assert_eq!(exporter.finished_spans().len(), 1);
    let stats = provider.stats();
    assert_eq!((stats.exported_spans, stats.unsent_spans), (1, 1));
    assert_eq!(stats.waiting_spans, 0);
}

#[test]
fn a_burst_is_sent_in_batches_of_the_given_size_and_none_is_larger() {
    let (sender, batches) = sync_channel(1000);
    let mut batch = BatchSettings::default();
    batch.max_batch_spans = 64;
    let provider = TracerProvider::builder()
        .batch(batch)
        .exporter(Telling(sender))
        .build();
    let tracer = provider.tracer("burst");
    (0..1000).for_each(|_| tracer.span("work").start().end());
    provider.force_flush(PATIENCE).unwrap();
    let sizes: Vec<usize> = batches.try_iter().collect();
    assert_eq!(sizes.iter().sum::<usize>(), 1000);
    assert!(sizes.iter().all(|size| *size <= 64), "{sizes:?}");
    // What one thread has recorded is cut into whole batches.
    let whole = sizes.iter().filter(|size| **size == 64).count();
    assert!(whole >= 10, "{sizes:?}");
}
