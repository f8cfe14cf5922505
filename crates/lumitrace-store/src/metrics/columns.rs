//! Points into columns, and what these columns are.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, RecordBatch,
    StringBuilder, UInt8Builder, UInt32Builder, UInt64Builder,
};
use arrow::datatypes::{DataType, Field, Float64Type, SchemaRef, UInt64Type};
use arrow::error::ArrowError;
use lumitrace_model::{ExponentialBuckets, Number, PointFlags, QuantileValue};
use lumitrace_wire::otlp::protobuf::view::{PointView, Side};
use parquet::basic::Encoding;

use super::batch::{MetricInfo, Point};
use super::lists::{EXEMPLAR_FIELDS, ExemplarsBuilder, NumberLists, int_or_double, number_lists};
use super::row::{PointRow, PointSource, code_of};
use crate::block::attribute_columns::AttributeColumnsBuilder;
use crate::block::attributes::AttributesBuilder;
use crate::block::columns::{BATCH_BYTES, BATCH_ROWS, Columns};
use crate::block::layout::Layout;
use crate::block::row::{AttributeList, BlockRow};
use crate::block::schema::{self, ATTRIBUTE_FIELDS, RowSchema, list_of};

pub(crate) const TIME: &str = "time_unix_nano";
pub(crate) const SERIES: &str = "series_hash";
pub(crate) const UNIT: &str = "unit";
pub(crate) const DESCRIPTION: &str = "description";
pub(crate) const METADATA: &str = "metadata";
pub(crate) const TEMPORALITY: &str = "temporality";
pub(crate) const IS_MONOTONIC: &str = "is_monotonic";
pub(crate) const INT: &str = "int";
pub(crate) const DOUBLE: &str = "double";
pub(crate) const COUNT: &str = "count";
pub(crate) const SUM: &str = "sum";
pub(crate) const MIN: &str = "min";
pub(crate) const MAX: &str = "max";
pub(crate) const BUCKET_COUNTS: &str = "bucket_counts";
pub(crate) const EXPLICIT_BOUNDS: &str = "explicit_bounds";
pub(crate) const SCALE: &str = "scale";
pub(crate) const ZERO_COUNT: &str = "zero_count";
pub(crate) const ZERO_THRESHOLD: &str = "zero_threshold";
pub(crate) const POSITIVE_OFFSET: &str = "positive_offset";
pub(crate) const POSITIVE_COUNTS: &str = "positive_bucket_counts";
pub(crate) const NEGATIVE_OFFSET: &str = "negative_offset";
pub(crate) const NEGATIVE_COUNTS: &str = "negative_bucket_counts";
pub(crate) const QUANTILES: &str = "quantiles";
pub(crate) const QUANTILE_VALUES: &str = "quantile_values";
pub(crate) const EXEMPLARS: &str = "exemplars";

/// The columns that gauges and sums need.
pub(crate) const NUMBER: [&str; 2] = [INT, DOUBLE];
/// The columns that histograms need.
pub(crate) const HISTOGRAM: [&str; 6] = [COUNT, SUM, MIN, MAX, BUCKET_COUNTS, EXPLICIT_BOUNDS];
/// The columns that exponential histograms need.
pub(crate) const EXPONENTIAL_HISTOGRAM: [&str; 11] = [
    COUNT,
    SUM,
    MIN,
    MAX,
    SCALE,
    ZERO_COUNT,
    ZERO_THRESHOLD,
    POSITIVE_OFFSET,
    POSITIVE_COUNTS,
    NEGATIVE_OFFSET,
    NEGATIVE_COUNTS,
];
/// The columns that summaries need.
pub(crate) const SUMMARY: [&str; 4] = [COUNT, SUM, QUANTILES, QUANTILE_VALUES];

/// The columns of a block of points.
pub(crate) static POINT_SCHEMA: LazyLock<RowSchema> = LazyLock::new(|| RowSchema {
    before: vec![
        Field::new(schema::NAME, DataType::Utf8, false),
        Field::new(SERIES, DataType::UInt64, false),
        Field::new(TIME, DataType::UInt64, false),
        Field::new(schema::START, DataType::UInt64, false),
        Field::new(schema::SERVICE, DataType::Utf8, false),
        Field::new(schema::KIND, DataType::UInt8, false),
        Field::new(UNIT, DataType::Utf8, false),
        Field::new(DESCRIPTION, DataType::Utf8, false),
        Field::new(TEMPORALITY, DataType::UInt8, false),
        Field::new(IS_MONOTONIC, DataType::Boolean, false),
        Field::new(schema::FLAGS, DataType::UInt32, false),
        Field::new(INT, DataType::Int64, true),
        Field::new(DOUBLE, DataType::Float64, true),
        Field::new(COUNT, DataType::UInt64, false),
        Field::new(SUM, DataType::Float64, true),
        Field::new(MIN, DataType::Float64, true),
        Field::new(MAX, DataType::Float64, true),
        Field::new(SCALE, DataType::Int32, false),
        Field::new(ZERO_COUNT, DataType::UInt64, false),
        Field::new(ZERO_THRESHOLD, DataType::Float64, false),
        Field::new(POSITIVE_OFFSET, DataType::Int32, false),
        Field::new(NEGATIVE_OFFSET, DataType::Int32, false),
        Field::new(schema::RESOURCE_ID, DataType::UInt32, false),
        Field::new(schema::SCOPE_ID, DataType::UInt32, false),
        Field::new(schema::SEQ, DataType::UInt64, false),
    ],
    after: vec![
        number_lists(BUCKET_COUNTS, DataType::UInt64),
        number_lists(EXPLICIT_BOUNDS, DataType::Float64),
        number_lists(POSITIVE_COUNTS, DataType::UInt64),
        number_lists(NEGATIVE_COUNTS, DataType::UInt64),
        number_lists(QUANTILES, DataType::Float64),
        number_lists(QUANTILE_VALUES, DataType::Float64),
        list_of(EXEMPLARS, &EXEMPLAR_FIELDS),
        list_of(METADATA, &ATTRIBUTE_FIELDS),
        list_of(schema::ATTRIBUTES, &ATTRIBUTE_FIELDS),
    ],
    optional: &[
        UNIT,
        DESCRIPTION,
        INT,
        DOUBLE,
        COUNT,
        SUM,
        MIN,
        MAX,
        SCALE,
        ZERO_COUNT,
        ZERO_THRESHOLD,
        POSITIVE_OFFSET,
        NEGATIVE_OFFSET,
        schema::RESOURCE_ID,
        schema::SCOPE_ID,
        BUCKET_COUNTS,
        EXPLICIT_BOUNDS,
        POSITIVE_COUNTS,
        NEGATIVE_COUNTS,
        QUANTILES,
        QUANTILE_VALUES,
        EXEMPLARS,
        METADATA,
        schema::ATTRIBUTES,
    ],
    encodings: &[
        (SERIES, Encoding::DELTA_BINARY_PACKED),
        (TIME, Encoding::DELTA_BINARY_PACKED),
        (INT, Encoding::DELTA_BINARY_PACKED),
        (DOUBLE, Encoding::BYTE_STREAM_SPLIT),
        (schema::SEQ, Encoding::DELTA_BINARY_PACKED),
    ],
    prunable: &[schema::NAME, TIME, schema::SERVICE],
});

/// Collects points into record batches with the columns of a [`Layout`].
#[derive(Debug)]
pub(crate) struct PointColumns {
    schema: SchemaRef,
    metric: MetricColumns,
    series: UInt64Builder,
    time: UInt64Builder,
    start: UInt64Builder,
    service: StringBuilder,
    flags: UInt32Builder,
    int: Int64Builder,
    double: Float64Builder,
    distribution: DistributionColumns,
    exemplars: ExemplarsBuilder,
    resource_id: UInt32Builder,
    scope_id: UInt32Builder,
    seq: UInt64Builder,
    attribute_columns: AttributeColumnsBuilder,
    attributes: AttributesBuilder,
    rows: usize,
    bytes: usize,
}

/// What the points of a metric share.
#[derive(Debug, Default)]
struct MetricColumns {
    name: StringBuilder,
    kind: UInt8Builder,
    unit: StringBuilder,
    description: StringBuilder,
    metadata: AttributesBuilder,
    temporality: UInt8Builder,
    is_monotonic: BooleanBuilder,
}

/// What only distributions have. Rows of others have zeros, nulls and empty lists.
#[derive(Debug, Default)]
struct DistributionColumns {
    count: UInt64Builder,
    sum: Float64Builder,
    min: Float64Builder,
    max: Float64Builder,
    bucket_counts: NumberLists<UInt64Type>,
    explicit_bounds: NumberLists<Float64Type>,
    scale: Int32Builder,
    zero_count: UInt64Builder,
    zero_threshold: Float64Builder,
    positive: BucketColumns,
    negative: BucketColumns,
    quantiles: NumberLists<Float64Type>,
    quantile_values: NumberLists<Float64Type>,
}

#[derive(Debug, Default)]
struct BucketColumns {
    offset: Int32Builder,
    counts: NumberLists<UInt64Type>,
}

impl BucketColumns {
    fn push(&mut self, (offset, counts): &Buckets<'_>) {
        self.offset.append_value(*offset);
        self.counts.push(counts);
    }
}

/// The number of the first bucket, and how many values each one holds.
type Buckets<'a> = (i32, Cow<'a, [u64]>);

/// What was measured, whatever kind of point it is.
#[derive(Default)]
struct Measured<'a> {
    start_unix_nano: u64,
    flags: PointFlags,
    value: Option<Number>,
    count: u64,
    sum: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    bucket_counts: Cow<'a, [u64]>,
    explicit_bounds: Cow<'a, [f64]>,
    scale: i32,
    zero_count: u64,
    zero_threshold: f64,
    positive: Buckets<'a>,
    negative: Buckets<'a>,
    quantile_values: Cow<'a, [QuantileValue]>,
}

impl<'a> From<&'a Point> for Measured<'a> {
    fn from(point: &'a Point) -> Self {
        let buckets = |it: &'a ExponentialBuckets| (it.offset, it.bucket_counts.as_slice().into());
        match point {
            Point::Number(point) => Self {
                start_unix_nano: point.start_unix_nano,
                flags: point.flags,
                value: point.value,
                ..Self::default()
            },
            Point::Histogram(point) => Self {
                start_unix_nano: point.start_unix_nano,
                flags: point.flags,
                count: point.count,
                sum: point.sum,
                min: point.min,
                max: point.max,
                bucket_counts: point.bucket_counts.as_slice().into(),
                explicit_bounds: point.explicit_bounds.as_slice().into(),
                ..Self::default()
            },
            Point::ExponentialHistogram(point) => Self {
                start_unix_nano: point.start_unix_nano,
                flags: point.flags,
                count: point.count,
                sum: point.sum,
                min: point.min,
                max: point.max,
                scale: point.scale,
                zero_count: point.zero_count,
                zero_threshold: point.zero_threshold,
                positive: buckets(&point.positive),
                negative: buckets(&point.negative),
                ..Self::default()
            },
            Point::Summary(point) => Self {
                start_unix_nano: point.start_unix_nano,
                flags: point.flags,
                count: point.count,
                sum: Some(point.sum),
                quantile_values: point.quantile_values.as_slice().into(),
                ..Self::default()
            },
        }
    }
}

impl<'a> From<PointView<'a>> for Measured<'a> {
    fn from(view: PointView<'a>) -> Self {
        let buckets = |side| {
            let (offset, counts) = view.buckets(side);
            (offset, Cow::Owned(counts))
        };
        Self {
            start_unix_nano: view.start_unix_nano,
            flags: view.flags,
            value: view.value,
            count: view.count,
            sum: view.sum,
            min: view.min,
            max: view.max,
            bucket_counts: view.bucket_counts().into(),
            explicit_bounds: view.explicit_bounds().into(),
            scale: view.scale,
            zero_count: view.zero_count,
            zero_threshold: view.zero_threshold,
            positive: buckets(Side::Positive),
            negative: buckets(Side::Negative),
            quantile_values: view.quantile_values().collect(),
        }
    }
}

impl<'a> From<PointSource<'a>> for Measured<'a> {
    fn from(source: PointSource<'a>) -> Self {
        match source {
            PointSource::Point(point) => point.into(),
            PointSource::View(view) => view.into(),
        }
    }
}

impl DistributionColumns {
    fn push(&mut self, of: &Measured<'_>) {
        self.count.append_value(of.count);
        self.sum.append_option(of.sum);
        self.min.append_option(of.min);
        self.max.append_option(of.max);
        self.bucket_counts.push(&of.bucket_counts);
        self.explicit_bounds.push(&of.explicit_bounds);
        self.scale.append_value(of.scale);
        self.zero_count.append_value(of.zero_count);
        self.zero_threshold.append_value(of.zero_threshold);
        self.positive.push(&of.positive);
        self.negative.push(&of.negative);
        let values = of.quantile_values.iter();
        let quantiles: Vec<f64> = values.clone().map(|it| it.quantile).collect();
        self.quantiles.push(&quantiles);
        let values: Vec<f64> = values.map(|it| it.value).collect();
        self.quantile_values.push(&values);
    }

    fn finish(&mut self) -> [(&'static str, ArrayRef); 15] {
        [
            (COUNT, Arc::new(self.count.finish())),
            (SUM, Arc::new(self.sum.finish())),
            (MIN, Arc::new(self.min.finish())),
            (MAX, Arc::new(self.max.finish())),
            (BUCKET_COUNTS, Arc::new(self.bucket_counts.finish())),
            (EXPLICIT_BOUNDS, Arc::new(self.explicit_bounds.finish())),
            (SCALE, Arc::new(self.scale.finish())),
            (ZERO_COUNT, Arc::new(self.zero_count.finish())),
            (ZERO_THRESHOLD, Arc::new(self.zero_threshold.finish())),
            (POSITIVE_OFFSET, Arc::new(self.positive.offset.finish())),
            (POSITIVE_COUNTS, Arc::new(self.positive.counts.finish())),
            (NEGATIVE_OFFSET, Arc::new(self.negative.offset.finish())),
            (NEGATIVE_COUNTS, Arc::new(self.negative.counts.finish())),
            (QUANTILES, Arc::new(self.quantiles.finish())),
            (QUANTILE_VALUES, Arc::new(self.quantile_values.finish())),
        ]
    }
}

impl MetricColumns {
    fn push(&mut self, metric: &MetricInfo) {
        self.name.append_value(&metric.name);
        self.kind.append_value(code_of(metric.kind));
        self.unit.append_value(&metric.unit);
        self.description.append_value(&metric.description);
        self.metadata
            .push_list(AttributeList::Slice(&metric.metadata));
        self.temporality.append_value(metric.temporality.code());
        self.is_monotonic.append_value(metric.is_monotonic);
    }

    fn finish(&mut self) -> [(&'static str, ArrayRef); 7] {
        [
            (schema::NAME, Arc::new(self.name.finish())),
            (schema::KIND, Arc::new(self.kind.finish())),
            (UNIT, Arc::new(self.unit.finish())),
            (DESCRIPTION, Arc::new(self.description.finish())),
            (METADATA, Arc::new(self.metadata.finish())),
            (TEMPORALITY, Arc::new(self.temporality.finish())),
            (IS_MONOTONIC, Arc::new(self.is_monotonic.finish())),
        ]
    }
}

impl Columns for PointColumns {
    type Row<'a> = PointRow<'a>;

    fn kind() -> &'static RowSchema {
        &POINT_SCHEMA
    }

    fn new(layout: &Layout, schema: SchemaRef) -> Self {
        Self {
            schema,
            metric: MetricColumns::default(),
            series: UInt64Builder::new(),
            time: UInt64Builder::new(),
            start: UInt64Builder::new(),
            service: StringBuilder::new(),
            flags: UInt32Builder::new(),
            int: Int64Builder::new(),
            double: Float64Builder::new(),
            distribution: DistributionColumns::default(),
            exemplars: ExemplarsBuilder::default(),
            resource_id: UInt32Builder::new(),
            scope_id: UInt32Builder::new(),
            seq: UInt64Builder::new(),
            attribute_columns: AttributeColumnsBuilder::new(&layout.attributes),
            attributes: AttributesBuilder::default(),
            rows: 0,
            bytes: 0,
        }
    }

    fn push(
        &mut self,
        row: &PointRow<'_>,
        resource_id: u32,
        scope_id: u32,
    ) -> Result<(), ArrowError> {
        let (facts, measured) = (&row.facts, Measured::from(row.point));
        self.metric.push(facts.metric);
        self.series.append_value(facts.series_hash);
        self.time.append_value(facts.time_unix_nano);
        self.start.append_value(measured.start_unix_nano);
        self.service.append_value(facts.origin.service_name());
        self.flags.append_value(measured.flags.0);
        let (int, double) = int_or_double(measured.value);
        self.int.append_option(int);
        self.double.append_option(double);
        self.distribution.push(&measured);
        let exemplars = &mut self.exemplars;
        row.point
            .each_exemplar(|exemplar| exemplars.push(exemplar))?;
        exemplars.end_list();
        self.resource_id.append_value(resource_id);
        self.scope_id.append_value(scope_id);
        self.seq.append_value(facts.seq);
        self.attribute_columns.begin_row();
        row.each_attribute(|key, value| {
            if !self.attribute_columns.take(key, value) {
                self.attributes.push(key, value);
            }
        });
        self.attributes.end_list();
        self.rows += 1;
        self.bytes += row.bytes;
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    fn is_empty(&self) -> bool {
        self.rows == 0
    }

    fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        (self.rows, self.bytes) = (0, 0);
        let mut columns: HashMap<&str, ArrayRef> = HashMap::from([
            (SERIES, Arc::new(self.series.finish()) as ArrayRef),
            (TIME, Arc::new(self.time.finish())),
            (schema::START, Arc::new(self.start.finish())),
            (schema::SERVICE, Arc::new(self.service.finish())),
            (schema::FLAGS, Arc::new(self.flags.finish())),
            (INT, Arc::new(self.int.finish())),
            (DOUBLE, Arc::new(self.double.finish())),
            (EXEMPLARS, Arc::new(self.exemplars.finish())),
            (schema::RESOURCE_ID, Arc::new(self.resource_id.finish())),
            (schema::SCOPE_ID, Arc::new(self.scope_id.finish())),
            (schema::SEQ, Arc::new(self.seq.finish())),
            (schema::ATTRIBUTES, Arc::new(self.attributes.finish())),
        ]);
        columns.extend(self.metric.finish());
        columns.extend(self.distribution.finish());
        let attribute_columns = self.attribute_columns.finish();
        schema::batch_of(&self.schema, columns, attribute_columns)
    }
}
