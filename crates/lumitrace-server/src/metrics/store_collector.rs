//! The store's own figures, asked for at each scrape.

use crate::admit::Budget;
use crate::ops;
use lumitrace_store::{ShelfStats, Store};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use std::fmt;

/// A metric's name, its help and its value.
type Sample = (&'static str, &'static str, u64);

/// Asks the store and the budget when someone scrapes.
pub(super) struct StoreCollector {
    pub(super) store: Store,
    pub(super) budget: Budget,
}

impl fmt::Debug for StoreCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreCollector")
    }
}

impl Collector for StoreCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let stats = self.store.stats();
        let in_flight = self.budget.used_bytes();
        let in_flight = (
            "ingest_in_flight_bytes",
            "Bytes of requests in work",
            in_flight,
        );
        for (name, help, value) in gauges(&stats).into_iter().chain([in_flight]) {
            // Gauges are signed; no size of ours comes near the difference.
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        for (name, help, value) in work(&stats).into_iter().chain(refusals(&stats)) {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(
                name,
                help,
                None,
                counter.metric_type(),
            )?)?;
        }
        let seconds = ConstCounter::new(stats.sync_time.as_secs_f64());
        seconds.encode(encoder.encode_descriptor(
            "store_sync",
            "Time spent syncing the log",
            Some(&Unit::Seconds),
            seconds.metric_type(),
        )?)
    }
}

#[rustfmt::skip] // A table: one metric a line.
fn gauges(stats: &ShelfStats) -> [Sample; 9] {
    let healthy = ops::problem(stats).is_none();
    [
        ("store_spans", "Spans stored, in memory and in blocks", stats.records),
        ("store_blocks", "Blocks", stats.blocks),
        ("store_block_bytes", "Size of all blocks", stats.block_bytes),
        ("store_log_bytes", "Size of what is in the write-ahead log", stats.log_bytes),
        ("store_disk_bytes", "Size of the data folder's files", stats.disk_bytes),
        ("store_memtable_spans", "Spans in memory that no block holds yet", stats.memtable_records),
        ("store_memtable_bytes", "Their size in memory", stats.memtable_bytes),
        ("store_queue_bytes", "Bytes waiting for the log", stats.queue_bytes),
        ("store_healthy", "0 where it refuses spans or cannot write blocks", u64::from(healthy)),
    ]
}

#[rustfmt::skip] // A table: one metric a line.
fn work(stats: &ShelfStats) -> [Sample; 9] {
    [
        ("store_appended_batches", "Batches acknowledged", stats.appended_batches),
        ("store_appended_spans", "Spans acknowledged", stats.appended_records),
        ("store_syncs", "Times the log was synced", stats.syncs),
        ("store_flushes", "Memtables written out as blocks", stats.flushes),
        ("store_flush_failures", "Failed attempts to write a block", stats.flush_failures),
        ("store_compactions", "Merges of blocks", stats.compactions),
        (
            "store_expired_blocks",
            "Blocks removed because they were kept long enough",
            stats.expired_blocks,
        ),
        (
            "store_expired_spans",
            "Spans removed because they were kept long enough",
            stats.expired_records,
        ),
        ("store_replayed_spans", "Spans replayed from the log at the start", stats.replayed_records),
    ]
}

#[rustfmt::skip] // A table: one metric a line.
fn refusals(stats: &ShelfStats) -> [Sample; 5] {
    [
        ("store_refused_full", "Batches refused: queue full", stats.refused.full),
        ("store_refused_disk_full", "Batches refused: disk full", stats.refused.disk_full),
        ("store_refused_read_only", "Batches refused: read-only", stats.refused.read_only),
        ("store_refused_too_large", "Batches refused: too large", stats.refused.too_large),
        ("store_refused_failed", "Batches refused: store failed", stats.refused.failed),
    ]
}
