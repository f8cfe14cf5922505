//! The newest points, by metric, series and time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::RwLock;

use super::batch::{MetricInfo, MetricKind, StoredPoint, StoredPoints};
use super::row::{self, SortKey, sort_key};
use crate::manifest::BlockId;
use crate::memtable::MemtableSize;
use crate::signal;
use crate::summary::Summaries;

/// Points in the order of blocks.
#[derive(Debug, Default)]
pub(crate) struct MetricMemtable {
    content: RwLock<Content>,
}

#[derive(Debug, Default)]
struct Content {
    points: BTreeMap<SortKey, Arc<StoredPoint>>,
    summaries: Summaries,
    bytes: usize,
    seqs: Option<BlockId>,
    first_insert: Option<Instant>,
}

impl MetricMemtable {
    /// All points, or those of one metric, in the order of blocks.
    pub(crate) fn points(&self, name: Option<&str>) -> Vec<Arc<StoredPoint>> {
        let content = self.content.read();
        let Some(name) = name else {
            return content.points.values().cloned().collect();
        };
        let from = SortKey::first_of(name);
        let points = content.points.range(from..).map(|(_, point)| point);
        let of_metric = points.take_while(|point| point.metric.name == name);
        of_metric.cloned().collect()
    }

    /// What the metric of this name and kind is, if points of it are here.
    pub(crate) fn info(&self, name: &str, kind: MetricKind) -> Option<Arc<MetricInfo>> {
        let content = self.content.read();
        let points = content.points.range(SortKey::first_of(name)..);
        let metrics = points.map(|(_, point)| &point.metric);
        let mut of_name = metrics.take_while(|metric| metric.name == name);
        of_name.find(|metric| metric.kind == kind).cloned()
    }

    pub(crate) fn add_summaries_to(&self, total: &mut Summaries) {
        total.merge(&self.content.read().summaries);
    }
}

impl signal::Memtable for MetricMemtable {
    type Stored = StoredPoints;

    fn insert(&self, batch: &Arc<StoredPoints>, _: &[Arc<Self>]) {
        let (Some(first), Some(last)) = (batch.points.first(), batch.points.last()) else {
            return;
        };
        let mut content = self.content.write();
        content.first_insert.get_or_insert_with(Instant::now);
        let first_seq = content.seqs.map_or(first.seq, |own| own.first_seq);
        content.seqs = Some(BlockId {
            first_seq,
            end_seq: last.seq + 1,
        });
        let mut last_origin = None;
        for point in &batch.points {
            content.bytes += point.memory_bytes();
            let origin = Arc::as_ptr(&point.origin);
            if last_origin.replace(origin) != Some(origin) {
                content.bytes += point.origin.memory_bytes();
            }
            row::add_to(&mut content.summaries, point);
            content.points.insert(sort_key(point), Arc::clone(point));
        }
    }

    fn size(&self) -> MemtableSize {
        let content = self.content.read();
        MemtableSize {
            records: content.points.len(),
            bytes: content.bytes,
            first_insert: content.first_insert,
        }
    }

    fn block_id(&self) -> Option<BlockId> {
        self.content.read().seqs
    }
}
