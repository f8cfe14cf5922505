//! The columns of a block, and how Parquet stores them.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::layout::{ColumnType, DICTIONARY_BYTES, Layout};

pub(crate) const TRACE_ID: &str = "trace_id";
pub(crate) const SPAN_ID: &str = "span_id";
pub(crate) const PARENT_ROW: &str = "parent_row";
pub(crate) const PARENT_SPAN_ID: &str = "parent_span_id";
pub(crate) const START: &str = "start_unix_nano";
pub(crate) const DURATION: &str = "duration_nano";
pub(crate) const SERVICE: &str = "service_name";
pub(crate) const NAME: &str = "name";
pub(crate) const KIND: &str = "kind";
pub(crate) const STATUS_CODE: &str = "status_code";
pub(crate) const STATUS_MESSAGE: &str = "status_message";
pub(crate) const TRACE_STATE: &str = "trace_state";
pub(crate) const FLAGS: &str = "flags";
pub(crate) const RESOURCE_ID: &str = "resource_id";
pub(crate) const SCOPE_ID: &str = "scope_id";
pub(crate) const DROPPED_ATTRIBUTES: &str = "dropped_attributes_count";
pub(crate) const DROPPED_EVENTS: &str = "dropped_events_count";
pub(crate) const DROPPED_LINKS: &str = "dropped_links_count";
pub(crate) const SEQ: &str = "seq";
pub(crate) const RECEIVED: &str = "received_unix_nano";
pub(crate) const PENDING: &str = "pending";
pub(crate) const ATTRIBUTES: &str = "attributes";
pub(crate) const EVENTS: &str = "events";
pub(crate) const LINKS: &str = "links";
pub(crate) const LARGE_VALUES: &str = "large_values";

/// Parts of the attributes of spans, as Parquet names them.
pub(crate) const ATTRIBUTE_KEY: &str = "attributes.list.element.key";
pub(crate) const ATTRIBUTE_STRING: &str = "attributes.list.element.string";
pub(crate) const ATTRIBUTE_INT: &str = "attributes.list.element.int";
pub(crate) const ATTRIBUTE_DOUBLE: &str = "attributes.list.element.double";
pub(crate) const ATTRIBUTE_BOOL: &str = "attributes.list.element.bool";
pub(crate) const ATTRIBUTE_BYTES: &str = "attributes.list.element.bytes";

/// Whose attributes the large values of a span are, as Parquet names it.
pub(crate) const LARGE_VALUE_OWNER: &str = "large_values.list.element.owner";

/// Columns of attributes that have their own are named by this and the key.
pub(crate) const ATTRIBUTE_PREFIX: &str = "attr.";

/// The columns of one kind of rows.
pub(crate) struct RowSchema {
    /// Those before the columns of attributes.
    pub(crate) before: Vec<Field>,
    /// Those after them.
    pub(crate) after: Vec<Field>,
    /// Columns that a block leaves out where every row is as if it had none.
    pub(crate) optional: &'static [&'static str],
    /// Columns without a dictionary, and what was measured to suit them (`docs/adr/0006`).
    pub(crate) encodings: &'static [(&'static str, Encoding)],
    /// Columns by which a search can rule out row groups and pages.
    pub(crate) prunable: &'static [&'static str],
}

/// A page is the least that must be decompressed to read one span: small pages make a trace by its
/// id cheap. Columns of few bits for each row reach this limit, ...
const PAGE_ROWS: usize = 32_768;
/// ... the others this one.
const PAGE_BYTES: usize = 16 << 10;
/// Limits of a page are checked after each so many rows.
const WRITE_BATCH_ROWS: usize = 512;
/// A row group ends at this many bytes, however few its rows: they are in memory until then.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// The fields of an attribute; see [`super::attributes`].
pub(crate) static ATTRIBUTE_FIELDS: LazyLock<Fields> = LazyLock::new(|| {
    Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("type", DataType::UInt8, false),
        Field::new("string", DataType::Utf8, true),
        Field::new("int", DataType::Int64, true),
        Field::new("double", DataType::Float64, true),
        Field::new("bool", DataType::Boolean, true),
        Field::new("bytes", DataType::Binary, true),
    ])
});

/// The fields of an event.
pub(crate) static EVENT_FIELDS: LazyLock<Fields> = LazyLock::new(|| {
    Fields::from(vec![
        Field::new("time_unix_nano", DataType::UInt64, false),
        Field::new("name", DataType::Utf8, false),
        Field::new(DROPPED_ATTRIBUTES, DataType::UInt32, false),
        list_of(ATTRIBUTES, &ATTRIBUTE_FIELDS),
    ])
});

/// The fields of a link.
pub(crate) static LINK_FIELDS: LazyLock<Fields> = LazyLock::new(|| {
    Fields::from(vec![
        Field::new(TRACE_ID, DataType::FixedSizeBinary(16), false),
        Field::new(SPAN_ID, DataType::FixedSizeBinary(8), false),
        Field::new(TRACE_STATE, DataType::Utf8, false),
        Field::new(FLAGS, DataType::UInt32, false),
        Field::new(DROPPED_ATTRIBUTES, DataType::UInt32, false),
        list_of(ATTRIBUTES, &ATTRIBUTE_FIELDS),
    ])
});

/// The fields of a large value; see [`super::large_values`].
pub(crate) static LARGE_VALUE_FIELDS: LazyLock<Fields> = LazyLock::new(|| {
    Fields::from(vec![
        Field::new("owner", DataType::UInt8, false),
        Field::new("owner_number", DataType::UInt32, false),
        Field::new("key", DataType::Utf8, false),
        Field::new("occurrence", DataType::UInt32, false),
        Field::new("bytes", DataType::UInt64, false),
        Field::new("hash", DataType::FixedSizeBinary(16), false),
        Field::new("chunks", DataType::Binary, false),
    ])
});

/// The columns of a block of spans.
pub(crate) static SPAN_SCHEMA: LazyLock<RowSchema> = LazyLock::new(|| RowSchema {
    before: vec![
        Field::new(TRACE_ID, DataType::FixedSizeBinary(16), false),
        Field::new(SPAN_ID, DataType::FixedSizeBinary(8), false),
        Field::new(PARENT_ROW, DataType::Int32, true),
        Field::new(PARENT_SPAN_ID, DataType::FixedSizeBinary(8), true),
        Field::new(START, DataType::UInt64, false),
        Field::new(DURATION, DataType::Int64, false),
        Field::new(SERVICE, DataType::Utf8, false),
        Field::new(NAME, DataType::Utf8, false),
        Field::new(KIND, DataType::UInt8, false),
        Field::new(STATUS_CODE, DataType::UInt8, false),
        Field::new(STATUS_MESSAGE, DataType::Utf8, false),
        Field::new(TRACE_STATE, DataType::Utf8, false),
        Field::new(FLAGS, DataType::UInt32, false),
        Field::new(RESOURCE_ID, DataType::UInt32, false),
        Field::new(SCOPE_ID, DataType::UInt32, false),
        Field::new(DROPPED_ATTRIBUTES, DataType::UInt32, false),
        Field::new(DROPPED_EVENTS, DataType::UInt32, false),
        Field::new(DROPPED_LINKS, DataType::UInt32, false),
        Field::new(SEQ, DataType::UInt64, false),
        Field::new(PENDING, DataType::Boolean, false),
    ],
    after: vec![
        list_of(ATTRIBUTES, &ATTRIBUTE_FIELDS),
        list_of(EVENTS, &EVENT_FIELDS),
        list_of(LINKS, &LINK_FIELDS),
        list_of(LARGE_VALUES, &LARGE_VALUE_FIELDS),
    ],
    optional: &[
        PARENT_ROW,
        PARENT_SPAN_ID,
        STATUS_MESSAGE,
        TRACE_STATE,
        FLAGS,
        RESOURCE_ID,
        SCOPE_ID,
        DROPPED_ATTRIBUTES,
        DROPPED_EVENTS,
        DROPPED_LINKS,
        PENDING,
        ATTRIBUTES,
        EVENTS,
        LINKS,
        LARGE_VALUES,
    ],
    encodings: &[
        (TRACE_ID, Encoding::DELTA_BYTE_ARRAY),
        (SPAN_ID, Encoding::PLAIN),
        (PARENT_SPAN_ID, Encoding::PLAIN),
        (START, Encoding::BYTE_STREAM_SPLIT),
        (DURATION, Encoding::BYTE_STREAM_SPLIT),
        (SEQ, Encoding::DELTA_BINARY_PACKED),
    ],
    prunable: &[START, DURATION, SERVICE, NAME, STATUS_CODE],
});

/// The columns of a block with this layout, in the order in which they are in the file.
pub(crate) fn schema_of(kind: &RowSchema, layout: &Layout) -> SchemaRef {
    let is_there = |field: &&Field| {
        let name = field.name().as_str();
        !kind.optional.contains(&name) || layout.optional.contains(name)
    };
    let attributes = layout.attributes.iter().map(|attribute| {
        let data_type = match attribute.column_type {
            ColumnType::String => DataType::Utf8,
            ColumnType::Bool => DataType::Boolean,
            ColumnType::Int => DataType::Int64,
            ColumnType::Double => DataType::Float64,
        };
        Field::new(attribute_column(&attribute.key), data_type, true)
    });
    let before = kind.before.iter().filter(is_there).cloned();
    let after = kind.after.iter().filter(is_there).cloned();
    let fields: Vec<Field> = before.chain(attributes).chain(after).collect();
    Arc::new(Schema::new(fields))
}

/// The columns of a batch in the order of the schema. Of what the schema leaves out every row is
/// like absent.
pub(crate) fn batch_of(
    schema: &SchemaRef,
    mut columns: HashMap<&str, ArrayRef>,
    attribute_columns: Vec<ArrayRef>,
) -> Result<RecordBatch, ArrowError> {
    let mut attribute_columns = attribute_columns.into_iter();
    let fields = schema.fields().iter();
    let in_order = fields.filter_map(|field| match columns.remove(field.name().as_str()) {
        Some(column) => Some(column),
        None => attribute_columns.next(),
    });
    let in_order = in_order.collect();
    RecordBatch::try_new(Arc::clone(schema), in_order)
}

/// The name of the column of an attribute that has its own.
pub(crate) fn attribute_column(key: &str) -> String {
    format!("{ATTRIBUTE_PREFIX}{key}")
}

/// The element of a list of `fields`, as Parquet names it.
pub(crate) fn element(fields: &Fields) -> Arc<Field> {
    Arc::new(Field::new(
        "element",
        DataType::Struct(fields.clone()),
        false,
    ))
}

pub(crate) fn list_of(name: &str, fields: &Fields) -> Field {
    Field::new(name, DataType::List(element(fields)), false)
}

/// How the columns of a block with this layout are written.
pub(crate) fn writer_properties(
    kind: &RowSchema,
    layout: &Layout,
    row_group_rows: usize,
    compression: ZstdLevel,
) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("lumitrace-store ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(compression))
        .set_max_row_group_row_count(Some(row_group_rows))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_write_batch_size(WRITE_BATCH_ROWS)
        // Statistics nobody prunes by would only make the footer long.
        .set_statistics_enabled(EnabledStatistics::None);
    for name in kind.prunable {
        properties = properties
            .set_column_statistics_enabled(ColumnPath::from(*name), EnabledStatistics::Page);
    }
    for (name, encoding) in kind.encodings {
        properties = properties
            .set_column_dictionary_enabled(ColumnPath::from(*name), false)
            .set_column_encoding(ColumnPath::from(*name), *encoding);
    }
    // Random bytes do not become fewer.
    properties =
        properties.set_column_compression(ColumnPath::from(SPAN_ID), Compression::UNCOMPRESSED);
    for attribute in &layout.attributes {
        let path = ColumnPath::from(attribute_column(&attribute.key));
        // Of a column with a dictionary, for what is beyond it.
        let encoding = match attribute.column_type {
            ColumnType::String => Encoding::DELTA_LENGTH_BYTE_ARRAY,
            ColumnType::Bool => Encoding::RLE,
            ColumnType::Int => Encoding::DELTA_BINARY_PACKED,
            ColumnType::Double => Encoding::BYTE_STREAM_SPLIT,
        };
        properties = properties
            .set_column_encoding(path.clone(), encoding)
            .set_column_dictionary_enabled(path, !attribute.is_selective);
    }
    properties.build()
}
