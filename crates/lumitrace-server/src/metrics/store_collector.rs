//! The store's own figures, asked for at each scrape.

use crate::admit::Budget;
use crate::ops;
use lumitrace_store::{ShelfName, ShelfStats, Store};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A metric's name, its help and its value.
type Sample = (&'static str, &'static str, u64);

/// What is asked.
pub(super) struct Sources {
    pub(super) store: Store,
    pub(super) budget: Budget,
}

/// Asks the store and the budget when someone scrapes, once there are any.
pub(super) struct StoreCollector {
    pub(super) sources: Arc<OnceLock<Sources>>,
}

impl fmt::Debug for StoreCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreCollector")
    }
}

impl Collector for StoreCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let Some(Sources { store, budget }) = self.sources.get() else {
            return Ok(());
        };
        let stats = Figures::of(store);
        let in_flight = budget.used_bytes();
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
        let sync_times = stats.shelves.iter().map(|shelf| shelf.sync_time);
        let seconds = ConstCounter::new(sync_times.sum::<Duration>().as_secs_f64());
        seconds.encode(encoder.encode_descriptor(
            "store_sync",
            "Time spent syncing the log",
            Some(&Unit::Seconds),
            seconds.metric_type(),
        )?)
    }
}

/// The figures of all shelves as of one moment.
struct Figures {
    spans: ShelfStats,
    logs: ShelfStats,
    metrics: ShelfStats,
    /// Of all that there are.
    shelves: Vec<ShelfStats>,
    is_healthy: bool,
}

impl Figures {
    fn of(store: &Store) -> Self {
        let shelves = ShelfName::ALL.into_iter();
        Self {
            spans: store.stats(),
            logs: store.stats_of(ShelfName::Logs).unwrap_or_default(),
            metrics: store.stats_of(ShelfName::Metrics).unwrap_or_default(),
            shelves: shelves.filter_map(|shelf| store.stats_of(shelf)).collect(),
            is_healthy: ops::problem(store).is_none(),
        }
    }

    fn sum(&self, figure: impl Fn(&ShelfStats) -> u64) -> u64 {
        self.shelves.iter().map(figure).sum()
    }
}

#[rustfmt::skip] // A table: one metric a line.
fn gauges(stats: &Figures) -> [Sample; 16] {
    [
        ("store_spans", "Spans stored, in memory and in blocks", stats.spans.records),
        ("store_log_records", "Log records stored, in memory and in blocks", stats.logs.records),
        ("store_metric_points", "Points of metrics stored, in memory and in blocks", stats.metrics.records),
        ("store_blocks", "Blocks", stats.sum(|shelf| shelf.blocks)),
        ("store_damaged_blocks", "Blocks that cannot be opened", stats.sum(|shelf| shelf.damaged_blocks)),
        ("store_damaged_files", "Files in which damage was met", stats.sum(|shelf| shelf.damages.len() as u64)),
        ("store_block_bytes", "Size of all blocks", stats.sum(|shelf| shelf.block_bytes)),
        ("store_log_bytes", "Size of what is in the write-ahead logs", stats.sum(|shelf| shelf.log_bytes)),
        ("store_disk_bytes", "Size of the data folder's files", stats.sum(|shelf| shelf.disk_bytes)),
        ("store_memtable_spans", "Spans in memory that no block holds yet", stats.spans.memtable_records),
        ("store_memtable_log_records", "Log records in memory that no block holds yet", stats.logs.memtable_records),
        (
            "store_memtable_metric_points",
            "Points of metrics in memory that no block holds yet",
            stats.metrics.memtable_records,
        ),
        ("store_memtable_bytes", "Size in memory of what no block holds yet", stats.sum(|shelf| shelf.memtable_bytes)),
        ("store_queue_bytes", "Bytes waiting for the log", stats.sum(|shelf| shelf.queue_bytes)),
        ("store_merging", "Shelves of which blocks are being merged", stats.sum(|shelf| u64::from(shelf.is_merging))),
        ("store_healthy", "0 where it refuses records or cannot write blocks", u64::from(stats.is_healthy)),
    ]
}

#[rustfmt::skip] // A table: one metric a line.
fn work(stats: &Figures) -> [Sample; 18] {
    [
        ("store_appended_batches", "Batches acknowledged", stats.sum(|shelf| shelf.appended_batches)),
        ("store_repeated_batches", "Batches that had been stored before", stats.sum(|shelf| shelf.repeated_batches)),
        ("store_appended_spans", "Spans acknowledged", stats.spans.appended_records),
        ("store_appended_log_records", "Log records acknowledged", stats.logs.appended_records),
        ("store_appended_metric_points", "Points of metrics acknowledged", stats.metrics.appended_records),
        ("store_syncs", "Times a log was synced", stats.sum(|shelf| shelf.syncs)),
        ("store_flushes", "Memtables written out as blocks", stats.sum(|shelf| shelf.flushes)),
        ("store_flush_failures", "Failed attempts to write a block", stats.sum(|shelf| shelf.flush_failures)),
        ("store_compactions", "Merges of blocks", stats.sum(|shelf| shelf.compactions)),
        ("store_compaction_failures", "Failed attempts to merge blocks", stats.sum(|shelf| shelf.compaction_failures)),
        (
            "store_expired_blocks",
            "Blocks removed because they were kept long enough",
            stats.sum(|shelf| shelf.expired_blocks),
        ),
        (
            "store_expired_spans",
            "Spans removed because they were kept long enough",
            stats.spans.expired_records,
        ),
        (
            "store_expired_log_records",
            "Log records removed because they were kept long enough",
            stats.logs.expired_records,
        ),
        (
            "store_expired_metric_points",
            "Points of metrics removed because they were kept long enough",
            stats.metrics.expired_records,
        ),
        (
            "store_damaged_reads",
            "Times that something was left out of an answer because it is damaged",
            stats.sum(|shelf| shelf.damaged_reads),
        ),
        ("store_replayed_spans", "Spans replayed from the log at the start", stats.spans.replayed_records),
        (
            "store_replayed_log_records",
            "Log records replayed from the log at the start",
            stats.logs.replayed_records,
        ),
        (
            "store_replayed_metric_points",
            "Points of metrics replayed from the log at the start",
            stats.metrics.replayed_records,
        ),
    ]
}

#[rustfmt::skip] // A table: one metric a line.
fn refusals(stats: &Figures) -> [Sample; 5] {
    [
        ("store_refused_full", "Batches refused: queue full", stats.sum(|shelf| shelf.refused.full)),
        ("store_refused_disk_full", "Batches refused: disk full", stats.sum(|shelf| shelf.refused.disk_full)),
        ("store_refused_read_only", "Batches refused: read-only", stats.sum(|shelf| shelf.refused.read_only)),
        ("store_refused_too_large", "Batches refused: too large", stats.sum(|shelf| shelf.refused.too_large)),
        ("store_refused_failed", "Batches refused: store failed", stats.sum(|shelf| shelf.refused.failed)),
    ]
}
