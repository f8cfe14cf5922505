//! What is stored of metrics: a batch as it comes in, and a point with all that belongs to it.

use std::sync::Arc;

use bytes::Bytes;
use lumitrace_model::{
    AggregationTemporality, Exemplar, ExponentialHistogramPoint, HistogramPoint, KeyValue,
    MetricKind, NumberPoint, ResourceMetrics, SummaryPoint, Text,
};
use lumitrace_wire::otlp::protobuf::{self, MetricsIndex};
use lumitrace_wire::{DecodeError, DecodeLimits};

use super::stored::StoredPoints;
use crate::batch::attributes_bytes;
use crate::origins::Origins;
use crate::signal;
use crate::stored::Origin;

/// The metrics of one request, as the bytes in which the log and the memtable keep them.
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// use lumitrace_store::MetricBatch;
///
/// # let resource_metrics = example::metrics();
/// let batch = MetricBatch::from_resource_metrics(&resource_metrics)?;
/// assert_eq!((batch.point_count(), batch.rejected()), (2, (0, None)));
/// assert!(batch.memory_bytes() > batch.payload_bytes());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct MetricBatch {
    pub(super) payload: Bytes,
    /// Without the points that are rejected, which the payload still has.
    pub(super) index: MetricsIndex,
    rejected: Rejected,
}

/// Points that nobody could ask for.
#[derive(Debug, Clone, Copy, Default)]
struct Rejected {
    points: u64,
    /// Why the first of them is.
    reason: Option<&'static str>,
}

impl MetricBatch {
    /// The batch of a request that came as an OTLP `ExportMetricsServiceRequest` in protobuf. Checks
    /// all of it, and builds nothing. Of a metric without points nothing is stored. Points without a time, and those of metrics without
    /// a name, are [`rejected`](Self::rejected).
    ///
    /// ```
    /// use lumitrace_store::MetricBatch;
    /// let batch = MetricBatch::from_payload(Default::default(), &Default::default())?;
    /// assert_eq!(batch.point_count(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`protobuf::index_metrics`].
    pub fn from_payload(payload: Bytes, limits: &DecodeLimits) -> Result<Self, DecodeError> {
        let limits = DecodeLimits {
            // What cannot be read back must not be logged.
            max_depth: limits.max_depth.min(DecodeLimits::own_data().max_depth),
            ..*limits
        };
        let mut index = protobuf::index_metrics(&payload, &limits)?;
        let rejected = reject_points(&mut index);
        Ok(Self {
            payload,
            index,
            rejected,
        })
    }

    /// The batch of metrics that came in another form; encodes them.
    ///
    /// ```
    /// use lumitrace_model::{Metric, MetricData, Number, NumberPoint, ResourceMetrics, ScopeMetrics};
    /// use lumitrace_store::MetricBatch;
    ///
    /// let point = NumberPoint {
    ///     time_unix_nano: 1_700_000_000_000_000_000,
    ///     value: Some(Number::Double(0.5)),
    ///     ..Default::default()
    /// };
    /// let data = Some(MetricData::Gauge { points: vec![point] });
    /// let metric = Metric { name: "gpu.utilization".into(), data, ..Default::default() };
    /// let scope_metrics = vec![ScopeMetrics { metrics: vec![metric], ..Default::default() }];
    /// let group = ResourceMetrics { scope_metrics, ..Default::default() };
    /// assert_eq!(MetricBatch::from_resource_metrics(&[group])?.point_count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// They take 4 GiB or more, or nest deeper than anything that is read back.
    pub fn from_resource_metrics(metrics: &[ResourceMetrics]) -> Result<Self, DecodeError> {
        let payload = Bytes::from(protobuf::encode_metrics(metrics));
        Self::from_payload(payload, &DecodeLimits::own_data())
    }

    /// How many points it holds.
    pub fn point_count(&self) -> usize {
        self.index.points.len()
    }

    /// How many points of the request are left out, and why the first of them is.
    pub fn rejected(&self) -> (u64, Option<&'static str>) {
        (self.rejected.points, self.rejected.reason)
    }

    /// Size of the request, in bytes.
    pub fn payload_bytes(&self) -> usize {
        self.payload.len()
    }

    /// How much memory it takes, in bytes; about.
    pub fn memory_bytes(&self) -> usize {
        self.payload.len() + self.index.memory_bytes()
    }
}

/// What a metric is; shared among its points of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricInfo {
    /// Its name.
    pub name: Text,
    /// What it is, for people, or empty.
    pub description: Text,
    /// Its unit as UCUM spells it, or empty.
    pub unit: Text,
    /// Facts about the metric itself.
    pub metadata: Vec<KeyValue>,
    /// What its points are.
    pub kind: MetricKind,
    /// What its points count from; unspecified for gauges and summaries.
    pub temporality: AggregationTemporality,
    /// Whether a sum never falls, but for restarts.
    pub is_monotonic: bool,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub enum Point {
    /// Of a gauge or a sum.
    Number(NumberPoint),
    /// Of a histogram.
    Histogram(HistogramPoint),
    /// Of an exponential histogram.
    ExponentialHistogram(ExponentialHistogramPoint),
    /// Of a summary.
    Summary(SummaryPoint),
}

impl Point {
    /// Its time, in nanoseconds since the Unix epoch.
    pub fn time_unix_nano(&self) -> u64 {
        match self {
            Self::Number(point) => point.time_unix_nano,
            Self::Histogram(point) => point.time_unix_nano,
            Self::ExponentialHistogram(point) => point.time_unix_nano,
            Self::Summary(point) => point.time_unix_nano,
        }
    }

    /// What tells its series from the others of the metric.
    pub fn attributes(&self) -> &[KeyValue] {
        match self {
            Self::Number(point) => &point.attributes,
            Self::Histogram(point) => &point.attributes,
            Self::ExponentialHistogram(point) => &point.attributes,
            Self::Summary(point) => &point.attributes,
        }
    }

    /// Measurements that went into it; a summary has none.
    pub fn exemplars(&self) -> &[Exemplar] {
        match self {
            Self::Number(point) => &point.exemplars,
            Self::Histogram(point) => &point.exemplars,
            Self::ExponentialHistogram(point) => &point.exemplars,
            Self::Summary(_) => &[],
        }
    }

    /// About how much memory it takes beside itself, in bytes.
    fn heap_bytes(&self) -> usize {
        let lists = match self {
            Self::Number(_) => 0,
            Self::Histogram(point) => point.bucket_counts.len() + point.explicit_bounds.len(),
            Self::ExponentialHistogram(point) => {
                point.positive.bucket_counts.len() + point.negative.bucket_counts.len()
            }
            Self::Summary(point) => 2 * point.quantile_values.len(),
        };
        let exemplar = |exemplar: &Exemplar| {
            size_of::<Exemplar>() + attributes_bytes(&exemplar.filtered_attributes)
        };
        8 * lists
            + attributes_bytes(self.attributes())
            + self.exemplars().iter().map(exemplar).sum::<usize>()
    }
}

/// A stored point with everything that it was sent with.
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
/// # let (_dir, store) = example::filled()?;
/// use std::ops::ControlFlow;
/// use lumitrace_store::MetricSelector;
///
/// store.scan_points(&MetricSelector::default(), &mut |stored| {
///     assert_eq!(stored.service_name(), "trainer");
///     assert_eq!(stored.metric.name, "gpu.utilization");
///     assert!(stored.point.time_unix_nano() >= 1_700_000_000_000_000_000);
///     ControlFlow::Continue(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPoint {
    /// What was measured of.
    pub metric: Arc<MetricInfo>,
    /// What was measured.
    pub point: Point,
    /// Who measured it; shared among the points of a request.
    pub origin: Arc<Origin>,
    /// The same for all points of a series, and most likely another for every other series.
    pub series_hash: u64,
    /// Its place in the order in which the store received points; unique within the store.
    pub seq: u64,
    /// When it was received, in nanoseconds since the Unix epoch.
    pub received_unix_nano: u64,
}

impl StoredPoint {
    /// The name of the service that measured it.
    pub fn service_name(&self) -> &str {
        self.origin.service_name()
    }

    /// How much memory it takes by itself, its allocations' own overhead included, in bytes; about.
    pub fn memory_bytes(&self) -> usize {
        const OVERHEAD: usize = 96;
        OVERHEAD + size_of::<Self>() + self.point.heap_bytes()
    }
}

impl signal::Batch for MetricBatch {
    type Stored = StoredPoints;

    const FRAME_TYPE: u8 = 3;

    fn from_logged(payload: Bytes) -> Result<Self, DecodeError> {
        // What was accepted once is read back whatever the limits were then.
        Self::from_payload(payload, &DecodeLimits::own_data())
    }

    fn payload(&self) -> &[u8] {
        &self.payload
    }

    fn record_count(&self) -> usize {
        self.point_count()
    }

    fn memory_bytes(&self) -> usize {
        Self::memory_bytes(self)
    }

    fn into_stored(
        self,
        first_seq: u64,
        received_unix_nano: u64,
        origins: &mut Origins,
    ) -> Arc<StoredPoints> {
        Arc::new(StoredPoints::new(
            self,
            first_seq,
            received_unix_nano,
            origins,
        ))
    }
}

/// Takes out the points that nobody could ask for. The log has them all the same: what is decided here is
/// decided again when it is replayed.
fn reject_points(index: &mut MetricsIndex) -> Rejected {
    let mut rejected = Rejected::default();
    let metrics = &index.metrics;
    index.points.retain(|point| {
        let reason = if metrics[point.metric as usize].name.is_empty() {
            "a metric has no name"
        } else if point.time_unix_nano == 0 {
            "a data point has no time"
        } else {
            return true;
        };
        rejected.points += 1;
        rejected.reason.get_or_insert(reason);
        false
    });
    index.points.shrink_to_fit();
    rejected
}
