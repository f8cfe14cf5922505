//! A point on its way into a block: borrowed, whether it lies in a request's bytes or in a record.

use std::sync::Arc;

use lumitrace_model::{Exemplar, MetricKind, Number, SpanId, TraceId, Value};
use lumitrace_wire::otlp::protobuf::view::{ExemplarView, PointView};

use super::batch::{MetricInfo, Point, StoredPoint};
use super::columns;
use super::stored::PointRef;
use crate::block::index::IndexContent;
use crate::block::large_values::{LargeValue, Owner, Restorable};
use crate::block::layout::OptionalColumns;
use crate::block::row::{AttributeList, BlockRow, RowHead};
use crate::block::value::ValueRef;
use crate::stored::Origin;
use crate::summary::Summaries;

/// The number of a kind in blocks, from 1 on.
pub(crate) fn code_of(kind: MetricKind) -> u8 {
    match kind {
        MetricKind::Gauge => 1,
        MetricKind::Sum => 2,
        MetricKind::Histogram => 3,
        MetricKind::ExponentialHistogram => 4,
        MetricKind::Summary => 5,
    }
}

/// The kind with this number.
pub(crate) fn kind_of(code: u8) -> Option<MetricKind> {
    MetricKind::ALL
        .into_iter()
        .find(|kind| code_of(*kind) == code)
}

/// See [`sort_key`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SortKey {
    name: Arc<str>,
    within: KeyWithinMetric,
}

/// The order of the points of a metric: those of a series lie together, by time.
pub(crate) type KeyWithinMetric = (u64, u64, u64);

/// The order of points in a block: by metric, then as [`KeyWithinMetric`].
pub(crate) fn sort_key(point: &StoredPoint) -> SortKey {
    let time = point.point.time_unix_nano();
    SortKey {
        name: point.metric.name.as_ref().into(),
        within: (point.series_hash, time, point.seq),
    }
}

/// See [`KeyWithinMetric`].
pub(crate) fn key_within_metric(point: PointRef<'_>) -> KeyWithinMetric {
    (point.series_hash(), point.time_unix_nano(), point.seq())
}

/// Counts a point as summaries do: by service, metric name and kind.
pub(crate) fn add_to(summaries: &mut Summaries, facts: &PointFacts<'_>) {
    let (service, metric) = (facts.origin.service_name(), facts.metric);
    let (kind, time) = (code_of(metric.kind), facts.time_unix_nano);
    summaries.add_one(service, &metric.name, kind, time, false);
}

/// What is known of a point without looking into it, wherever it lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PointFacts<'a> {
    pub(crate) metric: &'a MetricInfo,
    pub(crate) origin: &'a Origin,
    pub(crate) series_hash: u64,
    pub(crate) time_unix_nano: u64,
    pub(crate) seq: u64,
    pub(crate) received_unix_nano: u64,
}

impl<'a> From<&'a StoredPoint> for PointFacts<'a> {
    fn from(stored: &'a StoredPoint) -> Self {
        Self {
            metric: &stored.metric,
            origin: &stored.origin,
            series_hash: stored.series_hash,
            time_unix_nano: stored.point.time_unix_nano(),
            seq: stored.seq,
            received_unix_nano: stored.received_unix_nano,
        }
    }
}

impl<'a> From<PointRef<'a>> for PointFacts<'a> {
    fn from(point: PointRef<'a>) -> Self {
        Self {
            metric: point.metric(),
            origin: point.origin(),
            series_hash: point.series_hash(),
            time_unix_nano: point.time_unix_nano(),
            seq: point.seq(),
            received_unix_nano: point.received_unix_nano(),
        }
    }
}

/// What a block keeps of a point.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PointRow<'a> {
    pub(crate) facts: PointFacts<'a>,
    pub(crate) point: PointSource<'a>,
    /// About how many bytes it takes in columns.
    pub(crate) bytes: usize,
}

/// Where what was measured is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PointSource<'a> {
    Point(&'a Point),
    View(PointView<'a>),
}

impl<'a> From<&'a StoredPoint> for PointRow<'a> {
    fn from(stored: &'a StoredPoint) -> Self {
        Self {
            facts: stored.into(),
            point: PointSource::Point(&stored.point),
            bytes: stored.memory_bytes(),
        }
    }
}

impl<'a> From<PointRef<'a>> for PointRow<'a> {
    fn from(point: PointRef<'a>) -> Self {
        Self {
            facts: point.into(),
            point: PointSource::View(point.view()),
            bytes: size_of::<StoredPoint>() + point.message().len(),
        }
    }
}

impl<'a> PointSource<'a> {
    pub(crate) fn attributes(self) -> AttributeList<'a> {
        match self {
            Self::Point(point) => AttributeList::Slice(point.attributes()),
            Self::View(view) => AttributeList::View(view.attributes()),
        }
    }

    fn has_exemplars(self) -> bool {
        match self {
            Self::Point(point) => !point.exemplars().is_empty(),
            Self::View(view) => view.has_exemplars,
        }
    }

    /// Hands each exemplar to `take`.
    pub(crate) fn each_exemplar<E>(
        self,
        mut take: impl FnMut(ExemplarRow<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Point(point) => point.exemplars().iter().try_for_each(|it| take(it.into())),
            Self::View(view) => view.exemplars().try_for_each(|it| take(it.into())),
        }
    }
}

/// What a block keeps of an exemplar.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExemplarRow<'a> {
    pub(crate) time_unix_nano: u64,
    pub(crate) value: Option<Number>,
    pub(crate) trace_id: Option<TraceId>,
    pub(crate) span_id: Option<SpanId>,
    pub(crate) attributes: AttributeList<'a>,
}

impl<'a> From<&'a Exemplar> for ExemplarRow<'a> {
    fn from(exemplar: &'a Exemplar) -> Self {
        Self {
            time_unix_nano: exemplar.time_unix_nano,
            value: exemplar.value,
            trace_id: exemplar.trace_id,
            span_id: exemplar.span_id,
            attributes: AttributeList::Slice(&exemplar.filtered_attributes),
        }
    }
}

impl<'a> From<ExemplarView<'a>> for ExemplarRow<'a> {
    fn from(exemplar: ExemplarView<'a>) -> Self {
        Self {
            time_unix_nano: exemplar.time_unix_nano,
            value: exemplar.value,
            trace_id: exemplar.trace_id,
            span_id: exemplar.span_id,
            attributes: AttributeList::View(exemplar.filtered_attributes()),
        }
    }
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

impl StoredPoint {
    /// What every row has.
    pub(crate) fn row_head(&self) -> RowHead<'_> {
        row_head(self.into())
    }
}

fn row_head(facts: PointFacts<'_>) -> RowHead<'_> {
    RowHead {
        trace_id: None,
        start_unix_nano: facts.time_unix_nano,
        end_unix_nano: facts.time_unix_nano,
        seq: facts.seq,
        received_unix_nano: facts.received_unix_nano,
        resource: &facts.origin.resource,
        resource_schema_url: &facts.origin.resource_schema_url,
        scope: &facts.origin.scope,
        scope_schema_url: &facts.origin.scope_schema_url,
    }
}

impl BlockRow for PointRow<'_> {
    fn head(&self) -> RowHead<'_> {
        row_head(self.facts)
    }

    fn each_attribute(&self, take: impl FnMut(&str, ValueRef<'_>)) {
        self.point.attributes().each(take);
    }

    fn add_to_index(&self, index: &mut IndexContent) {
        add_to(&mut index.summaries, &self.facts);
        index.time_ranges.add_unsorted(self.facts.time_unix_nano);
    }

    fn note_used_columns(&self, used: &mut OptionalColumns) {
        let metric = self.facts.metric;
        used.insert_used([
            (columns::UNIT, !metric.unit.is_empty()),
            (columns::DESCRIPTION, !metric.description.is_empty()),
            (columns::METADATA, !metric.metadata.is_empty()),
            (columns::EXEMPLARS, self.point.has_exemplars()),
        ]);
        let of_kind: &[&str] = match metric.kind {
            MetricKind::Gauge | MetricKind::Sum => &columns::NUMBER,
            MetricKind::Histogram => &columns::HISTOGRAM,
            MetricKind::ExponentialHistogram => &columns::EXPONENTIAL_HISTOGRAM,
            MetricKind::Summary => &columns::SUMMARY,
        };
        of_kind.iter().for_each(|name| used.insert(name));
    }
}
