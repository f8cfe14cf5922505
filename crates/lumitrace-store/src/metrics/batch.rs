//! What is stored of metrics: a batch as it comes in, and a point with all that belongs to it.

use std::sync::Arc;

use bytes::Bytes;
use lumitrace_model::{
    AggregationTemporality, Exemplar, ExponentialHistogramPoint, HistogramPoint, KeyValue, Metric,
    MetricData, NumberPoint, ResourceMetrics, SummaryPoint, Text,
};
use lumitrace_wire::otlp::protobuf;
use lumitrace_wire::{DecodeError, DecodeLimits};

use super::series::SeriesHasher;
use crate::batch::attributes_bytes;
use crate::signal;
use crate::stored::{Origin, Origins};

/// The metrics of one request, and the bytes as which they are logged.
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
    payload: Bytes,
    /// Without the points that are rejected, which the payload still has.
    resource_metrics: Vec<ResourceMetrics>,
    point_count: usize,
    rejected: Rejected,
}

/// Points that nobody could ask for.
#[derive(Debug, Clone, Copy, Default)]
struct Rejected {
    points: u64,
    /// Why the first of them is.
    reason: Option<&'static str>,
}

impl Rejected {
    fn add(&mut self, points: usize, reason: &'static str) {
        if points > 0 {
            self.points += points as u64;
            self.reason.get_or_insert(reason);
        }
    }
}

impl MetricBatch {
    /// The batch of a request that came as an OTLP `ExportMetricsServiceRequest` in protobuf. Of a
    /// metric without points nothing is stored. Points without a time, and those of metrics without
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
    /// See [`protobuf::decode_metrics`].
    pub fn from_payload(payload: Bytes, limits: &DecodeLimits) -> Result<Self, DecodeError> {
        let limits = DecodeLimits {
            // What cannot be read back must not be logged.
            max_depth: limits.max_depth.min(DecodeLimits::own_data().max_depth),
            ..*limits
        };
        let mut resource_metrics = protobuf::decode_metrics(&payload, &limits)?;
        let (mut point_count, mut rejected) = (0, Rejected::default());
        let scopes = resource_metrics.iter_mut();
        let scopes = scopes.flat_map(|group| &mut group.scope_metrics);
        for metric in scopes.flat_map(|scope| &mut scope.metrics) {
            reject_points(metric, &mut rejected);
            point_count += metric.point_count();
        }
        Ok(Self {
            payload,
            resource_metrics,
            point_count,
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
    /// They nest deeper than anything that is read back.
    pub fn from_resource_metrics(metrics: &[ResourceMetrics]) -> Result<Self, DecodeError> {
        let payload = Bytes::from(protobuf::encode_metrics(metrics));
        Self::from_payload(payload, &DecodeLimits::own_data())
    }

    /// How many points it holds.
    pub fn point_count(&self) -> usize {
        self.point_count
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
        // A point in memory is a little larger than its bytes.
        2 * self.payload.len() + self.point_count * size_of::<StoredPoint>()
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

/// The kinds of metrics.
///
/// ```
/// use lumitrace_store::MetricKind;
/// let words = MetricKind::ALL.map(MetricKind::as_str);
/// assert_eq!(words, ["gauge", "sum", "histogram", "exponential_histogram", "summary"]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetricKind {
    /// The latest of something that goes up and down.
    Gauge,
    /// A total.
    Sum,
    /// A distribution in buckets whose bounds the sender chose.
    Histogram,
    /// A distribution in buckets that grow by a constant factor.
    ExponentialHistogram,
    /// A distribution by quantiles.
    Summary,
}

impl MetricKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Gauge,
        Self::Sum,
        Self::Histogram,
        Self::ExponentialHistogram,
        Self::Summary,
    ];

    /// The word for it, as the APIs print it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Sum => "sum",
            Self::Histogram => "histogram",
            Self::ExponentialHistogram => "exponential_histogram",
            Self::Summary => "summary",
        }
    }

    /// Its number in blocks, from 1 on.
    pub(crate) fn code(self) -> u8 {
        Self::ALL
            .into_iter()
            .zip(1..)
            .find_map(|(kind, code)| (kind == self).then_some(code))
            .unwrap_or_default()
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        let index = usize::from(code).checked_sub(1)?;
        Self::ALL.get(index).copied()
    }
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

    /// How much memory it takes by itself, its entry in the memtable included, in bytes; about.
    pub fn memory_bytes(&self) -> usize {
        const OVERHEAD: usize = 96;
        OVERHEAD + size_of::<Self>() + self.point.heap_bytes()
    }
}

/// The points of one request that was stored.
#[derive(Debug, Default)]
pub struct StoredPoints {
    /// In the order of the request.
    pub points: Vec<Arc<StoredPoint>>,
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
        self.point_count
    }

    fn memory_bytes(&self) -> usize {
        Self::memory_bytes(self)
    }

    fn into_stored(
        self,
        first_seq: u64,
        received_unix_nano: u64,
        _origins: &mut Origins,
    ) -> Arc<StoredPoints> {
        let mut points = Vec::with_capacity(self.point_count);
        for group in self.resource_metrics {
            let resource = Arc::new(group.resource);
            let resource_schema_url: Arc<str> = group.schema_url.as_ref().into();
            for scope_metrics in group.scope_metrics {
                let origin = Arc::new(Origin {
                    resource: Arc::clone(&resource),
                    resource_schema_url: Arc::clone(&resource_schema_url),
                    scope: Arc::new(scope_metrics.scope),
                    scope_schema_url: scope_metrics.schema_url.as_ref().into(),
                });
                let hasher = SeriesHasher::new(&origin);
                for metric in scope_metrics.metrics {
                    let Some((metric, of_metric)) = taken_apart(metric) else {
                        continue;
                    };
                    for point in of_metric {
                        points.push(Arc::new(StoredPoint {
                            series_hash: hasher.hash(&metric.name, point.attributes()),
                            metric: Arc::clone(&metric),
                            point,
                            origin: Arc::clone(&origin),
                            seq: first_seq + points.len() as u64,
                            received_unix_nano,
                        }));
                    }
                }
            }
        }
        Arc::new(StoredPoints { points })
    }
}

/// Takes the points out of `metric` that nobody could ask for. The log has them all the same: what is
/// decided here is decided again when it is replayed.
fn reject_points(metric: &mut Metric, rejected: &mut Rejected) {
    let count = metric.point_count();
    if metric.name.is_empty() {
        metric.data = None;
        rejected.add(count, "a metric has no name");
        return;
    }
    match &mut metric.data {
        Some(MetricData::Gauge { points } | MetricData::Sum { points, .. }) => {
            points.retain(|point| point.time_unix_nano > 0);
        }
        Some(MetricData::Histogram { points, .. }) => {
            points.retain(|point| point.time_unix_nano > 0);
        }
        Some(MetricData::ExponentialHistogram { points, .. }) => {
            points.retain(|point| point.time_unix_nano > 0);
        }
        Some(MetricData::Summary { points }) => points.retain(|point| point.time_unix_nano > 0),
        None => {}
    }
    rejected.add(count - metric.point_count(), "a data point has no time");
}

/// What a metric is, and its points; none if it has none.
fn taken_apart(metric: Metric) -> Option<(Arc<MetricInfo>, Vec<Point>)> {
    let unspecified = AggregationTemporality::Unspecified;
    let (kind, temporality, is_monotonic, points) = match metric.data? {
        MetricData::Gauge { points } => {
            let points = points.into_iter().map(Point::Number).collect();
            (MetricKind::Gauge, unspecified, false, points)
        }
        MetricData::Sum {
            temporality,
            is_monotonic,
            points,
        } => {
            let points = points.into_iter().map(Point::Number).collect();
            (MetricKind::Sum, temporality, is_monotonic, points)
        }
        MetricData::Histogram {
            temporality,
            points,
        } => {
            let points = points.into_iter().map(Point::Histogram).collect();
            (MetricKind::Histogram, temporality, false, points)
        }
        MetricData::ExponentialHistogram {
            temporality,
            points,
        } => {
            let points = points.into_iter().map(Point::ExponentialHistogram);
            let points = points.collect();
            (MetricKind::ExponentialHistogram, temporality, false, points)
        }
        MetricData::Summary { points } => {
            let points = points.into_iter().map(Point::Summary).collect();
            (MetricKind::Summary, unspecified, false, points)
        }
    };
    let info = MetricInfo {
        name: metric.name,
        description: metric.description,
        unit: metric.unit,
        metadata: metric.metadata,
        kind,
        temporality,
        is_monotonic,
    };
    Some((Arc::new(info), points))
}
