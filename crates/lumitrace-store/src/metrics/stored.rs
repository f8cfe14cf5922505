//! Points in memory: the bytes of their request, and where each of them is in it.

use std::sync::Arc;

use bytes::Bytes;
use lumitrace_model::MetricKind;
use lumitrace_wire::otlp::protobuf::PointHead;
use lumitrace_wire::otlp::protobuf::view::{AttributesView, PointView, point_attributes};

use super::batch::{MetricBatch, MetricInfo, Point, StoredPoint};
use super::series::SeriesHasher;
use crate::origins::Origins;
use crate::places::Records;
use crate::stored::Origin;

/// The points of one request that was stored. They are read in place: nothing is built of a point
/// before somebody asks for it.
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// # let (_dir, store) = example::empty()?;
/// use lumitrace_store::MetricBatch;
///
/// let mut subscription = store.subscribe_to_metrics();
/// # let resource_metrics = example::metrics();
/// store.append_metrics(MetricBatch::from_resource_metrics(&resource_metrics)?).wait()?;
/// let stored = subscription.blocking_recv()?;
/// assert_eq!((stored.len(), stored.seqs()), (2, 1..3));
/// assert_eq!(stored.point(0).metric().name, "gpu.utilization");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StoredPoints {
    payload: Bytes,
    metrics: Vec<(Arc<MetricInfo>, Arc<Origin>)>,
    heads: Vec<PointHead>,
    /// One for each point.
    series_hashes: Vec<u64>,
    /// What was built for it of its origins and metrics; others are shared with earlier batches.
    origin_bytes: usize,
    first_seq: u64,
    received_unix_nano: u64,
}

impl StoredPoints {
    /// The batch as it is kept once it is logged.
    pub(super) fn new(
        batch: MetricBatch,
        first_seq: u64,
        received_unix_nano: u64,
        origins: &mut Origins,
    ) -> Self {
        let MetricBatch { payload, index, .. } = batch;
        let of_metrics = origins.all(&index.origins, &payload);
        let heads = index.metrics.iter();
        let metrics: Vec<_> = heads
            .map(|head| {
                let metric = origins.metric(head, &payload);
                (metric, Arc::clone(&of_metrics[head.origin as usize]))
            })
            .collect();
        let mut stored = Self {
            payload,
            metrics,
            heads: index.points,
            series_hashes: Vec::new(),
            origin_bytes: origins.take_built_bytes(),
            first_seq,
            received_unix_nano,
        };
        stored.series_hashes = stored.hash_series();
        stored
    }

    /// The hash of the series of each point. Points of one metric, and metrics of one origin, follow
    /// each other.
    fn hash_series(&self) -> Vec<u64> {
        let mut hashes = Vec::with_capacity(self.heads.len());
        let mut hasher = SeriesHasher::default();
        let (mut last_origin, mut last_metric) = (None, None);
        for head in &self.heads {
            let (metric, origin) = &self.metrics[head.metric as usize];
            if last_metric.replace(head.metric) != Some(head.metric) {
                let address = Arc::as_ptr(origin);
                if last_origin.replace(address) != Some(address) {
                    hasher.begin_origin(origin);
                }
                hasher.begin_metric(&metric.name);
            }
            let attributes = point_attributes(metric.kind, head.message(&self.payload));
            hashes.push(hasher.hash(attributes));
        }
        hashes
    }

    /// How many points it holds.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Point number `index`.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn point(&self, index: usize) -> PointRef<'_> {
        PointRef {
            batch: self,
            head: &self.heads[index],
            index,
        }
    }

    /// All points, in the order of the request: those of a metric follow each other.
    pub fn points(&self) -> impl ExactSizeIterator<Item = PointRef<'_>> {
        (0..self.len()).map(|index| self.point(index))
    }

    /// The sequence numbers of its points.
    pub fn seqs(&self) -> std::ops::Range<u64> {
        self.first_seq..self.first_seq + self.heads.len() as u64
    }

    /// How much memory it takes, in bytes; about.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.payload.len()
            + self.metrics.capacity() * size_of::<(Arc<MetricInfo>, Arc<Origin>)>()
            + self.heads.capacity() * size_of::<PointHead>()
            + self.series_hashes.capacity() * size_of::<u64>()
            + self.origin_bytes
    }
}

impl Records for StoredPoints {
    type Record<'a> = PointRef<'a>;

    fn record(&self, index: usize) -> PointRef<'_> {
        self.point(index)
    }
}

/// A point of a [`StoredPoints`].
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// # let (_dir, store) = example::empty()?;
/// use lumitrace_store::MetricBatch;
///
/// let mut subscription = store.subscribe_to_metrics();
/// # let resource_metrics = example::metrics();
/// store.append_metrics(MetricBatch::from_resource_metrics(&resource_metrics)?).wait()?;
/// for point in subscription.blocking_recv()?.points() {
///     assert_eq!(point.origin().service_name(), "trainer");
///     let stored = point.to_stored(); // one of its own
///     assert_eq!((stored.seq, stored.point.time_unix_nano()), (point.seq(), point.time_unix_nano()));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct PointRef<'a> {
    batch: &'a StoredPoints,
    head: &'a PointHead,
    index: usize,
}

impl<'a> PointRef<'a> {
    /// What was measured of.
    pub fn metric(self) -> &'a Arc<MetricInfo> {
        &self.batch.metrics[self.head.metric as usize].0
    }

    /// Who measured it.
    pub fn origin(self) -> &'a Arc<Origin> {
        &self.batch.metrics[self.head.metric as usize].1
    }

    /// Its time, in nanoseconds since the Unix epoch.
    pub fn time_unix_nano(self) -> u64 {
        self.head.time_unix_nano
    }

    /// The same for all points of a series, and most likely another for every other series.
    pub fn series_hash(self) -> u64 {
        self.batch.series_hashes[self.index]
    }

    /// Its place in the order in which the store received points.
    pub fn seq(self) -> u64 {
        self.batch.first_seq + self.index as u64
    }

    /// When it was received, in nanoseconds since the Unix epoch.
    pub fn received_unix_nano(self) -> u64 {
        self.batch.received_unix_nano
    }

    /// What tells its series from the others of the metric.
    pub fn attributes(self) -> AttributesView<'a> {
        point_attributes(self.metric().kind, self.message())
    }

    /// The rest of it, read in place.
    pub fn view(self) -> PointView<'a> {
        PointView::new(self.metric().kind, self.message())
    }

    /// The bytes of its message.
    pub(super) fn message(self) -> &'a [u8] {
        self.head.message(&self.batch.payload)
    }

    /// It as a point of its own.
    pub fn to_stored(self) -> StoredPoint {
        let view = self.view();
        let point = match self.metric().kind {
            MetricKind::Gauge | MetricKind::Sum => Point::Number(view.into()),
            MetricKind::Histogram => Point::Histogram(view.into()),
            MetricKind::ExponentialHistogram => Point::ExponentialHistogram(view.into()),
            MetricKind::Summary => Point::Summary(view.into()),
        };
        StoredPoint {
            metric: Arc::clone(self.metric()),
            point,
            origin: Arc::clone(self.origin()),
            series_hash: self.series_hash(),
            seq: self.seq(),
            received_unix_nano: self.received_unix_nano(),
        }
    }
}
