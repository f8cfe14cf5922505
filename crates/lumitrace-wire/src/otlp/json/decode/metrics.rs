//! From JSON text to metrics.

use lumitrace_model::{
    AggregationTemporality, Exemplar, ExponentialBuckets, ExponentialHistogramPoint,
    HistogramPoint, Metric, MetricData, Number, NumberPoint, PointFlags, QuantileValue,
    ResourceMetrics, ScopeMetrics, SummaryPoint,
};
use serde::{Deserialize, Deserializer};

use super::{KeyValueJson, ResourceJson, ScopeJson, attributes, message, request};
use crate::otlp::json::fields::{
    self, Double, Enumeration, Int32, Int64, Temporalities, Text, Uint32, Uint64,
};
use crate::otlp::json::limited::List;
use crate::{DecodeError, DecodeLimits};

/// Decodes an `ExportMetricsServiceRequest` in JSON.
///
/// Nothing is rejected: metrics without data and points without a value are kept as such.
///
/// # Errors
/// The bytes are no JSON object of this form, nest deeper than the limit, or would expand in
/// memory beyond the limit.
pub fn decode_metrics(
    bytes: &[u8],
    limits: &DecodeLimits,
) -> Result<Vec<ResourceMetrics>, DecodeError> {
    let request: RequestJson = request(bytes, limits)?;
    Ok(request.resource_metrics.map(ResourceMetricsJson::decode))
}

message! {
    struct RequestJson { resource_metrics: List<ResourceMetricsJson>, }
    struct ResourceMetricsJson {
        resource: ResourceJson,
        scope_metrics: List<ScopeMetricsJson>,
        schema_url: Text,
    }
    struct ScopeMetricsJson { scope: ScopeJson, metrics: List<MetricJson>, schema_url: Text, }
    struct MetricJson {
        name: Text,
        description: Text,
        unit: Text,
        metadata: List<KeyValueJson>,
        gauge: Option<GaugeJson>,
        sum: Option<SumJson>,
        histogram: Option<HistogramJson>,
        exponential_histogram: Option<ExponentialHistogramJson>,
        summary: Option<SummaryJson>,
    }
    struct GaugeJson { data_points: List<NumberPointJson>, }
    struct SumJson {
        data_points: List<NumberPointJson>,
        aggregation_temporality: Enumeration<Temporalities>,
        is_monotonic: bool,
    }
    struct HistogramJson {
        data_points: List<HistogramPointJson>,
        aggregation_temporality: Enumeration<Temporalities>,
    }
    struct ExponentialHistogramJson {
        data_points: List<ExponentialHistogramPointJson>,
        aggregation_temporality: Enumeration<Temporalities>,
    }
    struct SummaryJson { data_points: List<SummaryPointJson>, }
    struct NumberPointJson {
        attributes: List<KeyValueJson>,
        start_time_unix_nano: Uint64,
        time_unix_nano: Uint64,
        as_double: Option<Double>,
        as_int: Option<Int64>,
        exemplars: List<ExemplarJson>,
        flags: Uint32,
    }
    struct HistogramPointJson {
        attributes: List<KeyValueJson>,
        start_time_unix_nano: Uint64,
        time_unix_nano: Uint64,
        count: Uint64,
        sum: Option<Double>,
        bucket_counts: List<Uint64>,
        explicit_bounds: List<Double>,
        exemplars: List<ExemplarJson>,
        flags: Uint32,
        min: Option<Double>,
        max: Option<Double>,
    }
    struct ExponentialHistogramPointJson {
        attributes: List<KeyValueJson>,
        start_time_unix_nano: Uint64,
        time_unix_nano: Uint64,
        count: Uint64,
        sum: Option<Double>,
        scale: Int32,
        zero_count: Uint64,
        zero_threshold: Double,
        positive: BucketsJson,
        negative: BucketsJson,
        exemplars: List<ExemplarJson>,
        flags: Uint32,
        min: Option<Double>,
        max: Option<Double>,
    }
    struct BucketsJson { offset: Int32, bucket_counts: List<Uint64>, }
    struct SummaryPointJson {
        attributes: List<KeyValueJson>,
        start_time_unix_nano: Uint64,
        time_unix_nano: Uint64,
        count: Uint64,
        sum: Double,
        quantile_values: List<QuantileValueJson>,
        flags: Uint32,
    }
    struct QuantileValueJson { quantile: Double, value: Double, }
    struct ExemplarJson {
        filtered_attributes: List<KeyValueJson>,
        time_unix_nano: Uint64,
        as_double: Option<Double>,
        as_int: Option<Int64>,
        span_id: Text,
        trace_id: Text,
    }
}

impl ResourceMetricsJson {
    fn decode(self) -> ResourceMetrics {
        ResourceMetrics {
            resource: self.resource.decode(),
            schema_url: self.schema_url.0,
            scope_metrics: self.scope_metrics.map(ScopeMetricsJson::decode),
        }
    }
}

impl ScopeMetricsJson {
    fn decode(self) -> ScopeMetrics {
        ScopeMetrics {
            scope: self.scope.decode(),
            schema_url: self.schema_url.0,
            metrics: self.metrics.map(MetricJson::decode),
        }
    }
}

impl MetricJson {
    fn decode(self) -> Metric {
        let data = if let Some(gauge) = self.gauge {
            Some(MetricData::Gauge {
                points: gauge.data_points.map(NumberPointJson::decode),
            })
        } else if let Some(sum) = self.sum {
            Some(MetricData::Sum {
                temporality: temporality(&sum.aggregation_temporality),
                is_monotonic: sum.is_monotonic,
                points: sum.data_points.map(NumberPointJson::decode),
            })
        } else if let Some(histogram) = self.histogram {
            Some(MetricData::Histogram {
                temporality: temporality(&histogram.aggregation_temporality),
                points: histogram.data_points.map(HistogramPointJson::decode),
            })
        } else if let Some(histogram) = self.exponential_histogram {
            Some(MetricData::ExponentialHistogram {
                temporality: temporality(&histogram.aggregation_temporality),
                points: histogram
                    .data_points
                    .map(ExponentialHistogramPointJson::decode),
            })
        } else {
            self.summary.map(|summary| MetricData::Summary {
                points: summary.data_points.map(SummaryPointJson::decode),
            })
        };
        Metric {
            name: self.name.0,
            description: self.description.0,
            unit: self.unit.0,
            metadata: attributes(self.metadata),
            data,
        }
    }
}

impl NumberPointJson {
    fn decode(self) -> NumberPoint {
        NumberPoint {
            attributes: attributes(self.attributes),
            start_unix_nano: self.start_time_unix_nano.0,
            time_unix_nano: self.time_unix_nano.0,
            value: number(self.as_double, self.as_int),
            exemplars: self.exemplars.map(ExemplarJson::decode),
            flags: PointFlags(self.flags.0),
        }
    }
}

impl HistogramPointJson {
    fn decode(self) -> HistogramPoint {
        HistogramPoint {
            attributes: attributes(self.attributes),
            start_unix_nano: self.start_time_unix_nano.0,
            time_unix_nano: self.time_unix_nano.0,
            count: self.count.0,
            sum: optional(self.sum),
            bucket_counts: self.bucket_counts.map(|count| count.0),
            explicit_bounds: self.explicit_bounds.map(|bound| bound.0),
            exemplars: self.exemplars.map(ExemplarJson::decode),
            flags: PointFlags(self.flags.0),
            min: optional(self.min),
            max: optional(self.max),
        }
    }
}

impl ExponentialHistogramPointJson {
    fn decode(self) -> ExponentialHistogramPoint {
        ExponentialHistogramPoint {
            attributes: attributes(self.attributes),
            start_unix_nano: self.start_time_unix_nano.0,
            time_unix_nano: self.time_unix_nano.0,
            count: self.count.0,
            sum: optional(self.sum),
            scale: self.scale.0,
            zero_count: self.zero_count.0,
            zero_threshold: self.zero_threshold.0,
            positive: self.positive.decode(),
            negative: self.negative.decode(),
            exemplars: self.exemplars.map(ExemplarJson::decode),
            flags: PointFlags(self.flags.0),
            min: optional(self.min),
            max: optional(self.max),
        }
    }
}

impl BucketsJson {
    fn decode(self) -> ExponentialBuckets {
        ExponentialBuckets {
            offset: self.offset.0,
            bucket_counts: self.bucket_counts.map(|count| count.0),
        }
    }
}

impl SummaryPointJson {
    fn decode(self) -> SummaryPoint {
        let decode = |value: QuantileValueJson| QuantileValue {
            quantile: value.quantile.0,
            value: value.value.0,
        };
        SummaryPoint {
            attributes: attributes(self.attributes),
            start_unix_nano: self.start_time_unix_nano.0,
            time_unix_nano: self.time_unix_nano.0,
            count: self.count.0,
            sum: self.sum.0,
            quantile_values: self.quantile_values.map(decode),
            flags: PointFlags(self.flags.0),
        }
    }
}

impl ExemplarJson {
    fn decode(self) -> Exemplar {
        Exemplar {
            filtered_attributes: attributes(self.filtered_attributes),
            time_unix_nano: self.time_unix_nano.0,
            value: number(self.as_double, self.as_int),
            span_id: self.span_id.0.parse().ok(),
            trace_id: self.trace_id.0.parse().ok(),
        }
    }
}

fn temporality(code: &Enumeration<Temporalities>) -> AggregationTemporality {
    AggregationTemporality::from_code(code.number())
}

fn number(double: Option<Double>, int: Option<Int64>) -> Option<Number> {
    let double = double.map(|double| Number::Double(double.0));
    double.or_else(|| int.map(|int| Number::Int(int.0)))
}

fn optional(double: Option<Double>) -> Option<f64> {
    double.map(|double| double.0)
}
