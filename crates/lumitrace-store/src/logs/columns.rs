//! Log records into columns, and what these columns are.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, BooleanBuilder, FixedSizeBinaryBuilder, Int32Builder, RecordBatch, StringBuilder,
    UInt32Builder, UInt64Builder,
};
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::error::ArrowError;
use parquet::basic::Encoding;

use super::row::LogRow;
use crate::block::attribute_columns::AttributeColumnsBuilder;
use crate::block::attributes::AttributesBuilder;
use crate::block::columns::{BATCH_BYTES, BATCH_ROWS, Columns};
use crate::block::large_values::LargeValuesBuilder;
use crate::block::layout::Layout;
use crate::block::row::BlockRow;
use crate::block::schema::{self, ATTRIBUTE_FIELDS, LARGE_VALUE_FIELDS, RowSchema, list_of};
use crate::block::value::ValueRef;

pub(crate) const TIME: &str = "time_unix_nano";
pub(crate) const IS_OBSERVED_TIME: &str = "is_observed_time";
pub(crate) const OBSERVED_TIME: &str = "observed_time_unix_nano";
pub(crate) const SEVERITY: &str = "severity_number";
pub(crate) const SEVERITY_TEXT: &str = "severity_text";
pub(crate) const BODY: &str = "body";
pub(crate) const BODY_VALUE: &str = "body_value";
pub(crate) const EVENT_NAME: &str = "event_name";

/// The columns of a block of log records.
pub(crate) static LOG_SCHEMA: LazyLock<RowSchema> = LazyLock::new(|| RowSchema {
    before: vec![
        Field::new(TIME, DataType::UInt64, false),
        Field::new(IS_OBSERVED_TIME, DataType::Boolean, false),
        Field::new(OBSERVED_TIME, DataType::UInt64, false),
        Field::new(SEVERITY, DataType::Int32, false),
        Field::new(SEVERITY_TEXT, DataType::Utf8, false),
        Field::new(schema::SERVICE, DataType::Utf8, false),
        Field::new(EVENT_NAME, DataType::Utf8, false),
        Field::new(BODY, DataType::Utf8, true),
        Field::new(schema::TRACE_ID, DataType::FixedSizeBinary(16), true),
        Field::new(schema::SPAN_ID, DataType::FixedSizeBinary(8), true),
        Field::new(schema::FLAGS, DataType::UInt32, false),
        Field::new(schema::RESOURCE_ID, DataType::UInt32, false),
        Field::new(schema::SCOPE_ID, DataType::UInt32, false),
        Field::new(schema::DROPPED_ATTRIBUTES, DataType::UInt32, false),
        Field::new(schema::SEQ, DataType::UInt64, false),
    ],
    after: vec![
        list_of(BODY_VALUE, &ATTRIBUTE_FIELDS),
        list_of(schema::ATTRIBUTES, &ATTRIBUTE_FIELDS),
        list_of(schema::LARGE_VALUES, &LARGE_VALUE_FIELDS),
    ],
    optional: &[
        IS_OBSERVED_TIME,
        OBSERVED_TIME,
        SEVERITY_TEXT,
        EVENT_NAME,
        BODY,
        schema::TRACE_ID,
        schema::SPAN_ID,
        schema::FLAGS,
        schema::RESOURCE_ID,
        schema::SCOPE_ID,
        schema::DROPPED_ATTRIBUTES,
        BODY_VALUE,
        schema::ATTRIBUTES,
        schema::LARGE_VALUES,
    ],
    encodings: &[
        (TIME, Encoding::DELTA_BINARY_PACKED),
        (OBSERVED_TIME, Encoding::DELTA_BINARY_PACKED),
        (schema::TRACE_ID, Encoding::DELTA_BYTE_ARRAY),
        (schema::SPAN_ID, Encoding::PLAIN),
        (schema::SEQ, Encoding::DELTA_BINARY_PACKED),
    ],
    prunable: &[TIME, SEVERITY, schema::SERVICE],
});

/// Collects log records into record batches with the columns of a [`Layout`].
#[derive(Debug)]
pub(crate) struct LogColumns {
    schema: SchemaRef,
    time: UInt64Builder,
    is_observed_time: BooleanBuilder,
    observed_time: UInt64Builder,
    severity: Int32Builder,
    severity_text: StringBuilder,
    service: StringBuilder,
    event_name: StringBuilder,
    body: StringBuilder,
    body_value: AttributesBuilder,
    trace_id: FixedSizeBinaryBuilder,
    span_id: FixedSizeBinaryBuilder,
    flags: UInt32Builder,
    resource_id: UInt32Builder,
    scope_id: UInt32Builder,
    dropped_attributes: UInt32Builder,
    seq: UInt64Builder,
    attribute_columns: AttributeColumnsBuilder,
    attributes: AttributesBuilder,
    large_values: LargeValuesBuilder,
    rows: usize,
    bytes: usize,
}

impl Columns for LogColumns {
    type Row<'a> = LogRow<'a>;

    fn kind() -> &'static RowSchema {
        &LOG_SCHEMA
    }

    fn new(layout: &Layout, schema: SchemaRef) -> Self {
        Self {
            schema,
            time: UInt64Builder::new(),
            is_observed_time: BooleanBuilder::new(),
            observed_time: UInt64Builder::new(),
            severity: Int32Builder::new(),
            severity_text: StringBuilder::new(),
            service: StringBuilder::new(),
            event_name: StringBuilder::new(),
            body: StringBuilder::new(),
            body_value: AttributesBuilder::default(),
            trace_id: FixedSizeBinaryBuilder::new(16),
            span_id: FixedSizeBinaryBuilder::new(8),
            flags: UInt32Builder::new(),
            resource_id: UInt32Builder::new(),
            scope_id: UInt32Builder::new(),
            dropped_attributes: UInt32Builder::new(),
            seq: UInt64Builder::new(),
            attribute_columns: AttributeColumnsBuilder::new(&layout.attributes),
            attributes: AttributesBuilder::default(),
            large_values: LargeValuesBuilder::default(),
            rows: 0,
            bytes: 0,
        }
    }

    fn push(
        &mut self,
        row: &LogRow<'_>,
        resource_id: u32,
        scope_id: u32,
    ) -> Result<(), ArrowError> {
        let facts = &row.facts;
        self.time.append_value(facts.timestamp_unix_nano());
        self.is_observed_time
            .append_value(facts.time_unix_nano == 0);
        self.observed_time
            .append_value(facts.observed_time_unix_nano);
        self.severity.append_value(facts.severity.number());
        self.severity_text.append_value(row.severity_text);
        self.service.append_value(facts.origin.service_name());
        self.event_name.append_value(facts.event_name);
        self.push_body(row.body);
        match facts.trace_id {
            Some(trace_id) => self.trace_id.append_value(trace_id.as_bytes())?,
            None => self.trace_id.append_null(),
        }
        match facts.span_id {
            Some(span_id) => self.span_id.append_value(span_id.as_bytes())?,
            None => self.span_id.append_null(),
        }
        self.flags.append_value(row.flags);
        self.resource_id.append_value(resource_id);
        self.scope_id.append_value(scope_id);
        self.dropped_attributes
            .append_value(row.dropped_attributes_count);
        self.seq.append_value(facts.seq);
        self.attribute_columns.begin_row();
        row.each_attribute(|key, value| {
            if !self.attribute_columns.take(key, value) {
                self.attributes.push(key, value);
            }
        });
        self.attributes.end_list();
        self.large_values.push(row.large_values)?;
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
        let columns: HashMap<&str, ArrayRef> = HashMap::from([
            (TIME, Arc::new(self.time.finish()) as ArrayRef),
            (IS_OBSERVED_TIME, Arc::new(self.is_observed_time.finish())),
            (OBSERVED_TIME, Arc::new(self.observed_time.finish())),
            (SEVERITY, Arc::new(self.severity.finish())),
            (SEVERITY_TEXT, Arc::new(self.severity_text.finish())),
            (schema::SERVICE, Arc::new(self.service.finish())),
            (EVENT_NAME, Arc::new(self.event_name.finish())),
            (BODY, Arc::new(self.body.finish())),
            (BODY_VALUE, Arc::new(self.body_value.finish())),
            (schema::TRACE_ID, Arc::new(self.trace_id.finish())),
            (schema::SPAN_ID, Arc::new(self.span_id.finish())),
            (schema::FLAGS, Arc::new(self.flags.finish())),
            (schema::RESOURCE_ID, Arc::new(self.resource_id.finish())),
            (schema::SCOPE_ID, Arc::new(self.scope_id.finish())),
            (
                schema::DROPPED_ATTRIBUTES,
                Arc::new(self.dropped_attributes.finish()),
            ),
            (schema::SEQ, Arc::new(self.seq.finish())),
            (schema::ATTRIBUTES, Arc::new(self.attributes.finish())),
            (schema::LARGE_VALUES, Arc::new(self.large_values.finish())),
        ]);
        let attribute_columns = self.attribute_columns.finish();
        schema::batch_of(&self.schema, columns, attribute_columns)
    }
}

impl LogColumns {
    /// Text goes into the column of bodies; other values are, with an empty key, the only attribute
    /// of a list.
    fn push_body(&mut self, body: ValueRef<'_>) {
        match body {
            ValueRef::String(text) => self.body.append_value(text),
            ValueRef::Null => self.body.append_null(),
            other => {
                self.body.append_null();
                self.body_value.push("", other);
            }
        }
        self.body_value.end_list();
    }
}
