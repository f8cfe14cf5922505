//! Files of spans that any reader of Parquet can open: what is exported and imported.
//!
//! A row is a span, with everything that belongs to it; the columns are described in
//! `docs/formats/span-file.md`. Unlike a block such a file needs no second one beside it, and its
//! columns do not change with the version of the store.

mod columns;
mod reader;
mod writer;

pub use reader::SpanFileReader;
pub use writer::SpanFileWriter;

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

use crate::block::schema;

const RESOURCE_ATTRIBUTES: &str = "resource_attributes";
const RESOURCE_DROPPED_ATTRIBUTES: &str = "resource_dropped_attributes_count";
const RESOURCE_SCHEMA_URL: &str = "resource_schema_url";
const SCOPE_NAME: &str = "scope_name";
const SCOPE_VERSION: &str = "scope_version";
const SCOPE_ATTRIBUTES: &str = "scope_attributes";
const SCOPE_DROPPED_ATTRIBUTES: &str = "scope_dropped_attributes_count";
const SCOPE_SCHEMA_URL: &str = "scope_schema_url";

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let list_of = |fields: &Fields| DataType::List(schema::element(fields));
    let attributes = || list_of(&schema::ATTRIBUTE_FIELDS);
    let field = |(name, data_type): (&str, DataType)| {
        // Only roots have no parent.
        Field::new(name, data_type, name == schema::PARENT_SPAN_ID)
    };
    let columns = [
        (schema::TRACE_ID, DataType::FixedSizeBinary(16)),
        (schema::SPAN_ID, DataType::FixedSizeBinary(8)),
        (schema::PARENT_SPAN_ID, DataType::FixedSizeBinary(8)),
        (schema::START, DataType::UInt64),
        (schema::DURATION, DataType::Int64),
        (schema::SERVICE, DataType::Utf8),
        (schema::NAME, DataType::Utf8),
        (schema::KIND, DataType::UInt8),
        (schema::STATUS_CODE, DataType::UInt8),
        (schema::STATUS_MESSAGE, DataType::Utf8),
        (schema::TRACE_STATE, DataType::Utf8),
        (schema::FLAGS, DataType::UInt32),
        (schema::DROPPED_ATTRIBUTES, DataType::UInt32),
        (schema::DROPPED_EVENTS, DataType::UInt32),
        (schema::DROPPED_LINKS, DataType::UInt32),
        (schema::RECEIVED, DataType::UInt64),
        (schema::PENDING, DataType::Boolean),
        (schema::ATTRIBUTES, attributes()),
        (schema::EVENTS, list_of(&schema::EVENT_FIELDS)),
        (schema::LINKS, list_of(&schema::LINK_FIELDS)),
        (RESOURCE_ATTRIBUTES, attributes()),
        (RESOURCE_DROPPED_ATTRIBUTES, DataType::UInt32),
        (RESOURCE_SCHEMA_URL, DataType::Utf8),
        (SCOPE_NAME, DataType::Utf8),
        (SCOPE_VERSION, DataType::Utf8),
        (SCOPE_ATTRIBUTES, attributes()),
        (SCOPE_DROPPED_ATTRIBUTES, DataType::UInt32),
        (SCOPE_SCHEMA_URL, DataType::Utf8),
    ];
    Arc::new(Schema::new(columns.map(field).to_vec()))
});
