//! A point on its way into a block.

use std::sync::Arc;

use lumitrace_model::Value;

use super::batch::{Point, StoredPoint};
use super::columns;
use crate::block::index::IndexContent;
use crate::block::large_values::{LargeValue, Owner, Restorable};
use crate::block::layout::OptionalColumns;
use crate::block::row::{BlockRow, RowHead};
use crate::block::value::ValueRef;
use crate::summary::Summaries;

/// See [`sort_key`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SortKey {
    name: Arc<str>,
    series_hash: u64,
    time_unix_nano: u64,
    seq: u64,
}

impl SortKey {
    /// The least key of a metric's points.
    pub(crate) fn first_of(name: &str) -> Self {
        Self {
            name: name.into(),
            series_hash: 0,
            time_unix_nano: 0,
            seq: 0,
        }
    }
}

/// The order of points in a block: by metric, then so that those of a series lie together, by time.
pub(crate) fn sort_key(point: &StoredPoint) -> SortKey {
    SortKey {
        name: point.metric.name.as_ref().into(),
        series_hash: point.series_hash,
        time_unix_nano: point.point.time_unix_nano(),
        seq: point.seq,
    }
}

/// Counts a point as summaries do: by service, metric name and kind.
pub(crate) fn add_to(summaries: &mut Summaries, point: &StoredPoint) {
    let (metric, time) = (&point.metric, point.point.time_unix_nano());
    summaries.add_one(
        point.service_name(),
        &metric.name,
        metric.kind.code(),
        time,
        false,
    );
}

impl Restorable for StoredPoint {
    fn is_read(&self, _owner: Owner) -> bool {
        true
    }

    /// Blocks of points have their values whole in their columns.
    fn kept_mut(&mut self, _large: &LargeValue) -> Option<&mut Value> {
        None
    }
}

impl BlockRow for StoredPoint {
    fn head(&self) -> RowHead<'_> {
        let time = self.point.time_unix_nano();
        RowHead {
            trace_id: None,
            start_unix_nano: time,
            end_unix_nano: time,
            seq: self.seq,
            received_unix_nano: self.received_unix_nano,
            resource: &self.origin.resource,
            resource_schema_url: &self.origin.resource_schema_url,
            scope: &self.origin.scope,
            scope_schema_url: &self.origin.scope_schema_url,
        }
    }

    fn each_attribute(&self, mut take: impl FnMut(&str, ValueRef<'_>)) {
        for attribute in self.point.attributes() {
            take(&attribute.key, (&attribute.value).into());
        }
    }

    fn add_to_index(&self, index: &mut IndexContent) {
        add_to(&mut index.summaries, self);
        index.time_ranges.add_unsorted(self.point.time_unix_nano());
    }

    fn note_used_columns(&self, used: &mut OptionalColumns) {
        let metric = &self.metric;
        used.insert_used([
            (columns::UNIT, !metric.unit.is_empty()),
            (columns::DESCRIPTION, !metric.description.is_empty()),
            (columns::METADATA, !metric.metadata.is_empty()),
            (columns::EXEMPLARS, !self.point.exemplars().is_empty()),
        ]);
        match &self.point {
            Point::Number(_) => used.insert_used([(columns::INT, true), (columns::DOUBLE, true)]),
            Point::Histogram(_) => columns::HISTOGRAM
                .into_iter()
                .for_each(|it| used.insert(it)),
            Point::ExponentialHistogram(_) => {
                let names = columns::EXPONENTIAL_HISTOGRAM.into_iter();
                names.for_each(|name| used.insert(name));
            }
            Point::Summary(_) => columns::SUMMARY.into_iter().for_each(|it| used.insert(it)),
        }
    }
}
