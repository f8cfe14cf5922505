//! Columns back into points.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::Array;
use arrow::array::{
    BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, UInt8Array, UInt32Array,
    UInt64Array,
};
use arrow::datatypes::{Float64Type, UInt64Type};
use lumitrace_model::{
    AggregationTemporality, ExponentialBuckets, ExponentialHistogramPoint, HistogramPoint,
    KeyValue, MetricKind, NumberPoint, PointFlags, QuantileValue, SummaryPoint,
};

use super::batch::{MetricInfo, Point, StoredPoint};
use super::columns;
use super::lists::{ExemplarsColumn, NumberListsColumn, number};
use super::row::{code_of, kind_of};
use crate::block::Block;
use crate::block::attribute_columns::AttributeValues;
use crate::block::attributes::AttributesColumn;
use crate::block::data::{Batches, BlockData};
use crate::block::footer::AttributeName;
use crate::block::rows::{column, optional, part, text};
use crate::block::schema;
use crate::block::tables::Tables;
use crate::block::text::TextColumn;
use crate::error::ReadError;
use crate::stored::Origin;

/// Rows of a block as points, batch by batch.
pub(crate) struct PointRows<'a> {
    block: &'a Block,
    data: BlockData<'a>,
    batches: Batches,
}

impl<'a> PointRows<'a> {
    /// Reads these rows, which must ascend and not overlap.
    pub(crate) fn read(block: &'a Block, rows: &[Range<usize>]) -> Result<Self, ReadError> {
        let data = block.open_data()?;
        Ok(Self {
            block,
            batches: data.whole_rows(rows)?,
            data,
        })
    }

    /// The next batch; none after the last.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<StoredPoint>>, ReadError> {
        let Some(batch) = self.batches.next()? else {
            return Ok(None);
        };
        let tables = self.block.index().tables()?;
        let decoded = decode(&batch, self.data.attribute_columns(), &tables);
        let malformed = || self.block.malformed("its columns are not those of points");
        decoded.map(Some).ok_or_else(malformed)
    }
}

/// The columns of a batch that was read. What the block has left out is absent.
struct Columns<'a> {
    metric: MetricColumns<'a>,
    series: &'a UInt64Array,
    time: &'a UInt64Array,
    start: &'a UInt64Array,
    service: Option<TextColumn<'a>>,
    flags: &'a UInt32Array,
    int: Option<&'a Int64Array>,
    double: Option<&'a Float64Array>,
    distribution: DistributionColumns<'a>,
    exemplars: Option<ExemplarsColumn<'a>>,
    resource_id: Option<&'a UInt32Array>,
    scope_id: Option<&'a UInt32Array>,
    seq: &'a UInt64Array,
    attributes: Option<AttributesColumn<'a>>,
}

/// The columns that say what a metric is.
pub(super) struct MetricColumns<'a> {
    name: TextColumn<'a>,
    kind: &'a UInt8Array,
    unit: Option<TextColumn<'a>>,
    description: Option<TextColumn<'a>>,
    metadata: Option<AttributesColumn<'a>>,
    temporality: &'a UInt8Array,
    is_monotonic: &'a BooleanArray,
}

struct DistributionColumns<'a> {
    count: Option<&'a UInt64Array>,
    sum: Option<&'a Float64Array>,
    min: Option<&'a Float64Array>,
    max: Option<&'a Float64Array>,
    bucket_counts: Option<NumberListsColumn<'a, UInt64Type>>,
    explicit_bounds: Option<NumberListsColumn<'a, Float64Type>>,
    scale: Option<&'a Int32Array>,
    zero_count: Option<&'a UInt64Array>,
    zero_threshold: Option<&'a Float64Array>,
    positive_offset: Option<&'a Int32Array>,
    positive_counts: Option<NumberListsColumn<'a, UInt64Type>>,
    negative_offset: Option<&'a Int32Array>,
    negative_counts: Option<NumberListsColumn<'a, UInt64Type>>,
    quantiles: Option<NumberListsColumn<'a, Float64Type>>,
    quantile_values: Option<NumberListsColumn<'a, Float64Type>>,
}

impl<'a> Columns<'a> {
    fn new(batch: &'a RecordBatch) -> Option<Self> {
        Some(Self {
            metric: MetricColumns::new(batch)?,
            series: column(batch, columns::SERIES)?,
            time: column(batch, columns::TIME)?,
            start: column(batch, schema::START)?,
            service: part(batch, schema::SERVICE, TextColumn::new)?,
            flags: column(batch, schema::FLAGS)?,
            int: optional(batch, columns::INT)?,
            double: optional(batch, columns::DOUBLE)?,
            distribution: DistributionColumns::new(batch)?,
            exemplars: part(batch, columns::EXEMPLARS, ExemplarsColumn::new)?,
            resource_id: optional(batch, schema::RESOURCE_ID)?,
            scope_id: optional(batch, schema::SCOPE_ID)?,
            seq: column(batch, schema::SEQ)?,
            attributes: part(batch, schema::ATTRIBUTES, AttributesColumn::new)?,
        })
    }

    /// The point in row `row`, of whose attributes those that have columns are given.
    fn point(&self, row: usize, kind: MetricKind, mut attributes: Vec<KeyValue>) -> Option<Point> {
        if let Some(list) = &self.attributes {
            attributes.extend(list.get(row)?);
        }
        let exemplars = match &self.exemplars {
            Some(column) => column.get(row)?,
            None => Vec::new(),
        };
        let (start_unix_nano, time_unix_nano) = (self.start.value(row), self.time.value(row));
        let flags = PointFlags(self.flags.value(row));
        let of = &self.distribution;
        Some(match kind {
            MetricKind::Gauge | MetricKind::Sum => Point::Number(NumberPoint {
                attributes,
                start_unix_nano,
                time_unix_nano,
                value: number(self.int, self.double, row),
                exemplars,
                flags,
            }),
            MetricKind::Histogram => Point::Histogram(HistogramPoint {
                attributes,
                start_unix_nano,
                time_unix_nano,
                count: of.count?.value(row),
                sum: double(of.sum, row),
                bucket_counts: of.bucket_counts.as_ref()?.get(row),
                explicit_bounds: of.explicit_bounds.as_ref()?.get(row),
                exemplars,
                flags,
                min: double(of.min, row),
                max: double(of.max, row),
            }),
            MetricKind::ExponentialHistogram => {
                Point::ExponentialHistogram(ExponentialHistogramPoint {
                    attributes,
                    start_unix_nano,
                    time_unix_nano,
                    count: of.count?.value(row),
                    sum: double(of.sum, row),
                    scale: of.scale?.value(row),
                    zero_count: of.zero_count?.value(row),
                    zero_threshold: of.zero_threshold?.value(row),
                    positive: ExponentialBuckets {
                        offset: of.positive_offset?.value(row),
                        bucket_counts: of.positive_counts.as_ref()?.get(row),
                    },
                    negative: ExponentialBuckets {
                        offset: of.negative_offset?.value(row),
                        bucket_counts: of.negative_counts.as_ref()?.get(row),
                    },
                    exemplars,
                    flags,
                    min: double(of.min, row),
                    max: double(of.max, row),
                })
            }
            MetricKind::Summary => Point::Summary(SummaryPoint {
                attributes,
                start_unix_nano,
                time_unix_nano,
                count: of.count?.value(row),
                sum: double(of.sum, row)?,
                quantile_values: of.quantile_values(row)?,
                flags,
            }),
        })
    }

    /// The numbers of the resource and the scope of row `row`.
    fn origin(&self, row: usize, tables: &Tables) -> Option<(u32, u32)> {
        let resource_id = match self.resource_id {
            Some(column) => column.value(row),
            None => tables.resource_of_service(self.service.as_ref()?.get(row)?)?,
        };
        let scope_id = self.scope_id.map_or(0, |column| column.value(row));
        Some((resource_id, scope_id))
    }
}

impl<'a> MetricColumns<'a> {
    pub(super) fn new(batch: &'a RecordBatch) -> Option<Self> {
        Some(Self {
            name: TextColumn::new(batch.column_by_name(schema::NAME)?.as_ref())?,
            kind: column(batch, schema::KIND)?,
            unit: part(batch, columns::UNIT, TextColumn::new)?,
            description: part(batch, columns::DESCRIPTION, TextColumn::new)?,
            metadata: part(batch, columns::METADATA, AttributesColumn::new)?,
            temporality: column(batch, columns::TEMPORALITY)?,
            is_monotonic: column(batch, columns::IS_MONOTONIC)?,
        })
    }

    /// The first row of the metric of this name and kind.
    pub(super) fn first_of(&self, name: &str, kind: MetricKind) -> Option<usize> {
        let is_named = self.name.ask(|text| text == name).into_iter();
        let mut rows = is_named.zip(self.kind.values());
        rows.position(|(is_named, code)| is_named && *code == code_of(kind))
    }

    pub(super) fn get(&self, row: usize) -> Option<MetricInfo> {
        let text_of = |column: &Option<TextColumn<'_>>| {
            let found = column.as_ref().and_then(|column| column.get(row));
            text(found.unwrap_or_default())
        };
        Some(MetricInfo {
            name: text(self.name.get(row)?),
            description: text_of(&self.description),
            unit: text_of(&self.unit),
            metadata: match &self.metadata {
                Some(column) => column.get(row)?,
                None => Vec::new(),
            },
            kind: kind_of(self.kind.value(row))?,
            temporality: AggregationTemporality::from_code(self.temporality.value(row).into()),
            is_monotonic: self.is_monotonic.value(row),
        })
    }
}

impl<'a> DistributionColumns<'a> {
    fn new(batch: &'a RecordBatch) -> Option<Self> {
        Some(Self {
            count: optional(batch, columns::COUNT)?,
            sum: optional(batch, columns::SUM)?,
            min: optional(batch, columns::MIN)?,
            max: optional(batch, columns::MAX)?,
            bucket_counts: part(batch, columns::BUCKET_COUNTS, NumberListsColumn::new)?,
            explicit_bounds: part(batch, columns::EXPLICIT_BOUNDS, NumberListsColumn::new)?,
            scale: optional(batch, columns::SCALE)?,
            zero_count: optional(batch, columns::ZERO_COUNT)?,
            zero_threshold: optional(batch, columns::ZERO_THRESHOLD)?,
            positive_offset: optional(batch, columns::POSITIVE_OFFSET)?,
            positive_counts: part(batch, columns::POSITIVE_COUNTS, NumberListsColumn::new)?,
            negative_offset: optional(batch, columns::NEGATIVE_OFFSET)?,
            negative_counts: part(batch, columns::NEGATIVE_COUNTS, NumberListsColumn::new)?,
            quantiles: part(batch, columns::QUANTILES, NumberListsColumn::new)?,
            quantile_values: part(batch, columns::QUANTILE_VALUES, NumberListsColumn::new)?,
        })
    }

    fn quantile_values(&self, row: usize) -> Option<Vec<QuantileValue>> {
        let quantiles = self.quantiles.as_ref()?.get(row);
        let values = self.quantile_values.as_ref()?.get(row);
        if quantiles.len() != values.len() {
            return None;
        }
        let pairs = quantiles.into_iter().zip(values);
        Some(
            pairs
                .map(|(quantile, value)| QuantileValue { quantile, value })
                .collect(),
        )
    }
}

fn double(column: Option<&Float64Array>, row: usize) -> Option<f64> {
    let column = column.filter(|column| column.is_valid(row))?;
    Some(column.value(row))
}

/// The points in `batch`; none if the batch cannot have been written by this release's writer or an
/// earlier one.
pub(crate) fn decode(
    batch: &RecordBatch,
    attribute_columns: &[AttributeName],
    tables: &Tables,
) -> Option<Vec<StoredPoint>> {
    let columns = Columns::new(batch)?;
    let mut attributes = vec![Vec::new(); batch.num_rows()];
    for name in attribute_columns {
        if let Some(column) = batch.column_by_name(&name.column) {
            AttributeValues::new(column.as_ref())?.add_to(&name.key, &mut attributes);
        }
    }
    let mut origins: HashMap<(u32, u32), Arc<Origin>> = HashMap::new();
    let mut last_metric: Option<Arc<MetricInfo>> = None;
    let mut points = Vec::with_capacity(batch.num_rows());
    for (row, attributes) in attributes.into_iter().enumerate() {
        let ids = columns.origin(row, tables)?;
        let origin = match origins.get(&ids) {
            Some(known) => Arc::clone(known),
            None => {
                let origin = Arc::new(tables.origin(ids.0, ids.1)?);
                origins.insert(ids, Arc::clone(&origin));
                origin
            }
        };
        let metric = columns.metric.get(row)?;
        // Points of one metric are neighbours.
        let metric = match last_metric.take().filter(|last| **last == metric) {
            Some(same) => same,
            None => Arc::new(metric),
        };
        last_metric = Some(Arc::clone(&metric));
        let seq = columns.seq.value(row);
        points.push(StoredPoint {
            point: columns.point(row, metric.kind, attributes)?,
            metric,
            origin,
            series_hash: columns.series.value(row),
            seq,
            received_unix_nano: tables.received.at(seq),
        });
    }
    Some(points)
}
