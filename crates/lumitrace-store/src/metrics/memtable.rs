//! The newest points, by metric.

use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashMap;
use lumitrace_model::MetricKind;
use parking_lot::RwLock;

use super::batch::MetricInfo;
use super::row;
use super::stored::StoredPoints;
use crate::manifest::BlockId;
use crate::memtable::MemtableSize;
use crate::places::{Place, PlacedRecords};
use crate::signal;
use crate::summary::Summaries;

/// Points of each metric as they came. They are put in the order of blocks when they are read, which is
/// seldom beside how often some come.
#[derive(Debug, Default)]
pub(crate) struct MetricMemtable {
    content: RwLock<Content>,
}

#[derive(Debug, Default)]
struct Content {
    batches: Vec<Arc<StoredPoints>>,
    by_metric: HashMap<String, Vec<Place>>,
    summaries: Summaries,
    records: usize,
    bytes: usize,
    seqs: Option<BlockId>,
    first_insert: Option<Instant>,
}

impl MetricMemtable {
    /// All points, or those of one metric, in the order of blocks.
    pub(crate) fn points(&self, name: Option<&str>) -> PlacedRecords<StoredPoints> {
        let (batches, mut of_metrics) = {
            let content = self.content.read();
            let all = content.by_metric.iter();
            let wanted = all.filter(|(own, _)| name.is_none_or(|name| name == own.as_str()));
            let of_metrics = wanted.map(|(own, places)| (own.clone(), places.clone()));
            let of_metrics: Vec<_> = of_metrics.collect();
            (content.batches.clone(), of_metrics)
        };
        // The memtable is free again: sorting must not hold up those that come in.
        of_metrics.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let mut places = Vec::new();
        for (_, of_metric) in of_metrics {
            let key = |place: Place| row::key_within_metric(place.of(&batches));
            let keyed = of_metric.into_iter().map(|place| (key(place), place));
            let mut keyed: Vec<_> = keyed.collect();
            keyed.sort_unstable_by_key(|(key, _)| *key);
            places.extend(keyed.into_iter().map(|(_, place)| place));
        }
        PlacedRecords::new(&batches, places)
    }

    /// What the metric of this name and kind is, if points of it are here.
    pub(crate) fn info(&self, name: &str, kind: MetricKind) -> Option<Arc<MetricInfo>> {
        let content = self.content.read();
        let newest_first = content.by_metric.get(name)?.iter().rev();
        let mut metrics = newest_first.map(|place| place.of(&content.batches).metric());
        metrics.find(|metric| metric.kind == kind).cloned()
    }

    pub(crate) fn add_summaries_to(&self, total: &mut Summaries) {
        total.merge(&self.content.read().summaries);
    }
}

impl signal::Memtable for MetricMemtable {
    type Stored = StoredPoints;

    fn insert(&self, batch: &Arc<StoredPoints>, _: &[Arc<Self>]) {
        if batch.is_empty() {
            return;
        }
        let mut content = self.content.write();
        content.first_insert.get_or_insert_with(Instant::now);
        let seqs = batch.seqs();
        let first_seq = content.seqs.map_or(seqs.start, |own| own.first_seq);
        content.seqs = Some(BlockId {
            first_seq,
            end_seq: seqs.end,
        });
        content.insert(batch);
    }

    fn size(&self) -> MemtableSize {
        let content = self.content.read();
        MemtableSize {
            records: content.records,
            bytes: content.bytes,
            first_insert: content.first_insert,
        }
    }

    fn block_id(&self) -> Option<BlockId> {
        self.content.read().seqs
    }
}

impl Content {
    fn insert(&mut self, batch: &Arc<StoredPoints>) {
        // Memory runs out long before there are 2^32 batches or points.
        let number = self.batches.len() as u32;
        self.batches.push(Arc::clone(batch));
        for (record, point) in (0..).zip(batch.points()) {
            let name = &*point.metric().name;
            self.by_metric.entry_ref(name).or_default().push(Place {
                batch: number,
                record,
            });
            row::add_to(&mut self.summaries, &point.into());
        }
        self.records += batch.len();
        self.bytes += batch.memory_bytes() + batch.len() * size_of::<Place>();
    }
}
