//! Resources and scopes in a file: written out for each row, since compression makes little of the
//! repetition; and found to be the same when they are read.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, RecordBatch, StringArray, StringBuilder, UInt32Array, UInt32Builder,
    UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema};
use lumitrace_model::{Resource, Scope};

use crate::block::attributes::{AttributesBuilder, AttributesColumn};
use crate::block::received::ReceivedTable;
use crate::block::row::{AttributeList, RowHead};
use crate::block::rows::column;
use crate::block::schema;
use crate::block::tables::{StoredResource, StoredScope, Tables};

pub(super) const RESOURCE_ATTRIBUTES: &str = "resource_attributes";
const RESOURCE_DROPPED_ATTRIBUTES: &str = "resource_dropped_attributes_count";
const RESOURCE_SCHEMA_URL: &str = "resource_schema_url";
const SCOPE_NAME: &str = "scope_name";
const SCOPE_VERSION: &str = "scope_version";
const SCOPE_ATTRIBUTES: &str = "scope_attributes";
const SCOPE_DROPPED_ATTRIBUTES: &str = "scope_dropped_attributes_count";
const SCOPE_SCHEMA_URL: &str = "scope_schema_url";

/// Collects who produced the rows.
#[derive(Debug, Default)]
pub(super) struct OriginColumns {
    resource_attributes: AttributesBuilder,
    resource_dropped_attributes: UInt32Builder,
    resource_schema_url: StringBuilder,
    scope_name: StringBuilder,
    scope_version: StringBuilder,
    scope_attributes: AttributesBuilder,
    scope_dropped_attributes: UInt32Builder,
    scope_schema_url: StringBuilder,
}

impl OriginColumns {
    /// What the columns are, in their order.
    pub(super) fn fields() -> impl Iterator<Item = Field> {
        let attributes = || DataType::List(schema::element(&schema::ATTRIBUTE_FIELDS));
        let fields = [
            (RESOURCE_ATTRIBUTES, attributes()),
            (RESOURCE_DROPPED_ATTRIBUTES, DataType::UInt32),
            (RESOURCE_SCHEMA_URL, DataType::Utf8),
            (SCOPE_NAME, DataType::Utf8),
            (SCOPE_VERSION, DataType::Utf8),
            (SCOPE_ATTRIBUTES, attributes()),
            (SCOPE_DROPPED_ATTRIBUTES, DataType::UInt32),
            (SCOPE_SCHEMA_URL, DataType::Utf8),
        ];
        let fields = fields.into_iter();
        fields.map(|(name, data_type)| Field::new(name, data_type, false))
    }

    pub(super) fn push(&mut self, head: &RowHead<'_>) {
        let (resource, scope) = (head.resource, head.scope);
        self.resource_attributes
            .push_list(AttributeList::Slice(&resource.attributes));
        self.resource_dropped_attributes
            .append_value(resource.dropped_attributes_count);
        self.resource_schema_url
            .append_value(head.resource_schema_url);
        self.scope_name.append_value(&scope.name);
        self.scope_version.append_value(&scope.version);
        self.scope_attributes
            .push_list(AttributeList::Slice(&scope.attributes));
        self.scope_dropped_attributes
            .append_value(scope.dropped_attributes_count);
        self.scope_schema_url.append_value(head.scope_schema_url);
    }

    /// The columns, in the order of [`fields`](Self::fields).
    pub(super) fn finish(&mut self) -> [ArrayRef; 8] {
        [
            Arc::new(self.resource_attributes.finish()),
            Arc::new(self.resource_dropped_attributes.finish()),
            Arc::new(self.resource_schema_url.finish()),
            Arc::new(self.scope_name.finish()),
            Arc::new(self.scope_version.finish()),
            Arc::new(self.scope_attributes.finish()),
            Arc::new(self.scope_dropped_attributes.finish()),
            Arc::new(self.scope_schema_url.finish()),
        ]
    }
}

/// The batch as a block would have it, where resources and scopes are numbered, and what has these
/// numbers; none if its columns are not those of a file.
pub(super) fn numbered(batch: &RecordBatch) -> Option<(RecordBatch, Tables)> {
    let resources = ResourceColumns::new(batch)?;
    let scopes = ScopeColumns::new(batch)?;
    let (mut resource_table, mut scope_table) = (Table::default(), Table::default());
    for row in 0..batch.num_rows() {
        resource_table.add(resources.get(row)?);
        scope_table.add(scopes.get(row)?);
    }
    let mut fields: Vec<Arc<Field>> = batch.schema().fields().iter().cloned().collect();
    let mut columns = batch.columns().to_vec();
    let seqs: ArrayRef = Arc::new(UInt64Array::from(vec![0; batch.num_rows()]));
    for (name, numbers) in [
        (schema::RESOURCE_ID, resource_table.numbers()),
        (schema::SCOPE_ID, scope_table.numbers()),
        (schema::SEQ, seqs),
    ] {
        let kind: DataType = numbers.data_type().clone();
        fields.push(Arc::new(Field::new(name, kind, false)));
        columns.push(numbers);
    }
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).ok()?;
    let (resources, scopes) = (resource_table.entries, scope_table.entries);
    let tables = Tables::new(resources, scopes, ReceivedTable::default());
    Some((batch, tables))
}

/// Things that many rows share, each once. `T`'s text tells them apart.
struct Table<T> {
    entries: Vec<T>,
    by_text: HashMap<String, u32>,
    numbers: Vec<u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            by_text: HashMap::new(),
            numbers: Vec::new(),
        }
    }
}

impl<T: std::fmt::Debug> Table<T> {
    fn add(&mut self, entry: T) {
        // Text, because NaN is not equal to itself.
        let text = format!("{entry:?}");
        let number = *self.by_text.entry(text).or_insert_with(|| {
            self.entries.push(entry);
            self.entries.len() as u32 - 1
        });
        self.numbers.push(number);
    }

    fn numbers(&mut self) -> ArrayRef {
        Arc::new(UInt32Array::from(std::mem::take(&mut self.numbers)))
    }
}

struct ResourceColumns<'a> {
    attributes: AttributesColumn<'a>,
    dropped_attributes: &'a UInt32Array,
    schema_url: &'a StringArray,
}

impl<'a> ResourceColumns<'a> {
    fn new(batch: &'a RecordBatch) -> Option<Self> {
        Some(Self {
            attributes: AttributesColumn::new(batch.column_by_name(RESOURCE_ATTRIBUTES)?)?,
            dropped_attributes: column(batch, RESOURCE_DROPPED_ATTRIBUTES)?,
            schema_url: column(batch, RESOURCE_SCHEMA_URL)?,
        })
    }

    fn get(&self, row: usize) -> Option<StoredResource> {
        let resource = Arc::new(Resource {
            attributes: self.attributes.get(row)?,
            dropped_attributes_count: self.dropped_attributes.value(row),
        });
        Some(StoredResource {
            resource,
            schema_url: self.schema_url.value(row).into(),
        })
    }
}

struct ScopeColumns<'a> {
    name: &'a StringArray,
    version: &'a StringArray,
    attributes: AttributesColumn<'a>,
    dropped_attributes: &'a UInt32Array,
    schema_url: &'a StringArray,
}

impl<'a> ScopeColumns<'a> {
    fn new(batch: &'a RecordBatch) -> Option<Self> {
        Some(Self {
            name: column(batch, SCOPE_NAME)?,
            version: column(batch, SCOPE_VERSION)?,
            attributes: AttributesColumn::new(batch.column_by_name(SCOPE_ATTRIBUTES)?)?,
            dropped_attributes: column(batch, SCOPE_DROPPED_ATTRIBUTES)?,
            schema_url: column(batch, SCOPE_SCHEMA_URL)?,
        })
    }

    fn get(&self, row: usize) -> Option<StoredScope> {
        let scope = Arc::new(Scope {
            name: self.name.value(row).to_owned().into(),
            version: self.version.value(row).to_owned().into(),
            attributes: self.attributes.get(row)?,
            dropped_attributes_count: self.dropped_attributes.value(row),
        });
        Some(StoredScope {
            scope,
            schema_url: self.schema_url.value(row).into(),
        })
    }
}
