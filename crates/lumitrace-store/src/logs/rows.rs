//! Columns back into log records.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, BooleanArray, FixedSizeBinaryArray, Int32Array, RecordBatch, UInt32Array, UInt64Array,
};
use lumitrace_model::{KeyValue, LogRecord, Severity, SpanId, TraceId, Value};

use super::batch::LogEntry;
use super::columns;
use crate::block::Block;
use crate::block::attribute_columns::AttributeValues;
use crate::block::attributes::AttributesColumn;
use crate::block::data::{Batches, BlockData};
use crate::block::footer::AttributeName;
use crate::block::large_values::{self, CutRecord};
use crate::block::rows::{column, optional, part, text};
use crate::block::schema;
use crate::block::tables::Tables;
use crate::block::text::TextColumn;
use crate::error::ReadError;
use crate::stored::Origin;

/// Rows of a block as log records, batch by batch.
pub(crate) struct LogRows<'a> {
    block: &'a Block,
    data: BlockData<'a>,
    batches: Batches,
}

impl<'a> LogRows<'a> {
    /// Reads these rows, which must ascend and not overlap.
    pub(crate) fn read(block: &'a Block, rows: &[Range<usize>]) -> Result<Self, ReadError> {
        let data = block.open_data()?;
        Ok(Self {
            block,
            batches: data.whole_rows(rows)?,
            data,
        })
    }

    /// The next batch, as the columns have it; none after the last.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<CutRecord<LogEntry>>>, ReadError> {
        let Some(batch) = self.batches.next()? else {
            return Ok(None);
        };
        let tables = self.block.index().tables()?;
        let decoded = decode(&batch, self.data.attribute_columns(), &tables);
        let malformed = || {
            self.block
                .malformed("its columns are not those of log records")
        };
        decoded.map(Some).ok_or_else(malformed)
    }
}

/// The columns of a batch that was read. What the block has left out is absent.
struct Columns<'a> {
    time: &'a UInt64Array,
    is_observed_time: Option<&'a BooleanArray>,
    observed_time: Option<&'a UInt64Array>,
    severity: &'a Int32Array,
    severity_text: Option<TextColumn<'a>>,
    service: Option<TextColumn<'a>>,
    event_name: Option<TextColumn<'a>>,
    body: Option<TextColumn<'a>>,
    body_value: Option<AttributesColumn<'a>>,
    trace_id: Option<&'a FixedSizeBinaryArray>,
    span_id: Option<&'a FixedSizeBinaryArray>,
    flags: Option<&'a UInt32Array>,
    resource_id: Option<&'a UInt32Array>,
    scope_id: Option<&'a UInt32Array>,
    dropped_attributes: Option<&'a UInt32Array>,
    seq: &'a UInt64Array,
    attributes: Option<AttributesColumn<'a>>,
}

impl<'a> Columns<'a> {
    fn new(batch: &'a RecordBatch) -> Option<Self> {
        Some(Self {
            time: column(batch, columns::TIME)?,
            is_observed_time: optional(batch, columns::IS_OBSERVED_TIME)?,
            observed_time: optional(batch, columns::OBSERVED_TIME)?,
            severity: column(batch, columns::SEVERITY)?,
            severity_text: part(batch, columns::SEVERITY_TEXT, TextColumn::new)?,
            service: part(batch, schema::SERVICE, TextColumn::new)?,
            event_name: part(batch, columns::EVENT_NAME, TextColumn::new)?,
            body: part(batch, columns::BODY, TextColumn::new)?,
            body_value: part(batch, columns::BODY_VALUE, AttributesColumn::new)?,
            trace_id: optional(batch, schema::TRACE_ID)?,
            span_id: optional(batch, schema::SPAN_ID)?,
            flags: optional(batch, schema::FLAGS)?,
            resource_id: optional(batch, schema::RESOURCE_ID)?,
            scope_id: optional(batch, schema::SCOPE_ID)?,
            dropped_attributes: optional(batch, schema::DROPPED_ATTRIBUTES)?,
            seq: column(batch, schema::SEQ)?,
            attributes: part(batch, schema::ATTRIBUTES, AttributesColumn::new)?,
        })
    }

    /// The log record in row `row`, of whose attributes those that have columns are given.
    fn log(&self, row: usize, mut attributes: Vec<KeyValue>) -> Option<LogRecord> {
        let number = |column: Option<&UInt32Array>| column.map_or(0, |column| column.value(row));
        let text_of = |column: &Option<TextColumn<'_>>| {
            let found = column.as_ref().and_then(|column| column.get(row));
            text(found.unwrap_or_default())
        };
        if let Some(list) = &self.attributes {
            attributes.extend(list.get(row)?);
        }
        let is_observed = self
            .is_observed_time
            .is_some_and(|column| column.value(row));
        let time = self.time.value(row);
        Some(LogRecord {
            time_unix_nano: if is_observed { 0 } else { time },
            observed_time_unix_nano: self.observed_time.map_or(0, |column| column.value(row)),
            severity: Severity::from_number(self.severity.value(row)),
            severity_text: text_of(&self.severity_text),
            body: self.body(row)?,
            attributes,
            dropped_attributes_count: number(self.dropped_attributes),
            flags: number(self.flags),
            trace_id: id(self.trace_id, row).map(TraceId::from_bytes),
            span_id: id(self.span_id, row).map(SpanId::from_bytes),
            event_name: text_of(&self.event_name),
        })
    }

    fn body(&self, row: usize) -> Option<Value> {
        if let Some(text) = self.body.as_ref().and_then(|column| column.get(row)) {
            return Some(Value::from(text.to_owned()));
        }
        let Some(list) = &self.body_value else {
            return Some(Value::Null);
        };
        let value = list.get(row)?.pop();
        Some(value.map_or(Value::Null, |only| only.value))
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

/// The id in row `row`, if there is one.
fn id<const N: usize>(column: Option<&FixedSizeBinaryArray>, row: usize) -> Option<[u8; N]> {
    let column = column.filter(|column| column.is_valid(row))?;
    column.value(row).try_into().ok()
}

/// The log records in `batch`; none if the batch cannot have been written by this release's writer
/// or an earlier one.
pub(crate) fn decode(
    batch: &RecordBatch,
    attribute_columns: &[AttributeName],
    tables: &Tables,
) -> Option<Vec<CutRecord<LogEntry>>> {
    let columns = Columns::new(batch)?;
    let mut attributes = vec![Vec::new(); batch.num_rows()];
    for name in attribute_columns {
        if let Some(column) = batch.column_by_name(&name.column) {
            AttributeValues::new(column.as_ref())?.add_to(&name.key, &mut attributes);
        }
    }
    let large_values = large_values::decode(batch)?;
    let mut origins: HashMap<(u32, u32), Arc<Origin>> = HashMap::new();
    let mut entries = Vec::with_capacity(batch.num_rows());
    for (row, (attributes, large_values)) in attributes.into_iter().zip(large_values).enumerate() {
        let ids = columns.origin(row, tables)?;
        let origin = match origins.get(&ids) {
            Some(known) => Arc::clone(known),
            None => {
                let origin = Arc::new(tables.origin(ids.0, ids.1)?);
                origins.insert(ids, Arc::clone(&origin));
                origin
            }
        };
        let seq = columns.seq.value(row);
        entries.push(CutRecord {
            record: LogEntry {
                log: columns.log(row, attributes)?,
                origin,
                seq,
                received_unix_nano: tables.received.at(seq),
            },
            large_values,
        });
    }
    Some(entries)
}
