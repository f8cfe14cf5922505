//! What the footer of a block's Parquet file says: parsed once, and kept.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::PageIndexPolicy;
use parquet::schema::types::SchemaDescriptor;

use super::caches::{KeptPart, PartName};
use super::file::ChecksummedFile;
use super::keys::Keys;
use super::schema;
use crate::error::ReadError;

/// An attribute key with a column of its own, and the column's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttributeName {
    pub(crate) key: String,
    pub(crate) column: Arc<str>,
}

/// The footer of a block's file.
#[derive(Debug)]
pub(crate) struct Footer {
    pub(crate) metadata: ArrowReaderMetadata,
    /// The leaves of each column by its name, and each leaf by its path.
    pub(crate) leaves: HashMap<String, Vec<usize>>,
    pub(crate) attributes: Vec<AttributeName>,
}

impl Footer {
    /// Reads the footer. `keys` say which attributes have too many values for a dictionary.
    pub(crate) fn read(file: &ChecksummedFile, keys: Option<&Keys>) -> Result<Self, ReadError> {
        let options = ArrowReaderOptions::new()
            .with_page_index_policy(PageIndexPolicy::Required)
            .with_skip_arrow_metadata(true);
        let metadata = file.parsed(|| {
            let loaded = ArrowReaderMetadata::load(file, options.clone())?;
            let schema = with_dictionaries(loaded.schema(), keys);
            let parquet = Arc::clone(loaded.metadata());
            ArrowReaderMetadata::try_new(parquet, options.with_schema(schema))
        })?;
        let columns = metadata.schema().fields().iter();
        let attributes = columns.filter_map(|field| {
            let key = field
                .name()
                .strip_prefix(schema::ATTRIBUTE_PREFIX)?
                .to_owned();
            let column = field.name().as_str().into();
            Some(AttributeName { key, column })
        });
        Ok(Self {
            attributes: attributes.collect(),
            leaves: leaves(metadata.parquet_schema()),
            metadata,
        })
    }
}

impl KeptPart for Footer {
    const NAME: PartName = PartName::Footer;

    fn memory_bytes(&self) -> usize {
        let leaf_bytes = |(name, leaves): (&String, &Vec<usize>)| {
            size_of::<(String, Vec<usize>)>() + name.len() + size_of_val(leaves.as_slice())
        };
        let attribute_bytes =
            |name: &AttributeName| size_of_val(name) + name.key.len() + name.column.len();
        let leaves: usize = self.leaves.iter().map(leaf_bytes).sum();
        let attributes: usize = self.attributes.iter().map(attribute_bytes).sum();
        size_of::<Self>() + self.metadata.metadata().memory_size() + leaves + attributes
    }
}

/// Columns of texts, beside those of attributes, that mostly repeat.
const REPEATING: [&str; 6] = [
    schema::SERVICE,
    schema::NAME,
    "severity_text",
    "event_name",
    "unit",
    "description",
];

/// The schema with which columns of texts that repeat are read as numbers of a dictionary's
/// entries.
fn with_dictionaries(schema: &Schema, keys: Option<&Keys>) -> SchemaRef {
    let repeats = |name: &str| match name.strip_prefix(schema::ATTRIBUTE_PREFIX) {
        Some(key) => {
            let key = keys.and_then(|keys| keys.get(key));
            !key.is_some_and(|key| key.is_selective)
        }
        None => REPEATING.contains(&name),
    };
    let fields = schema.fields().iter().map(|field| {
        if *field.data_type() == DataType::Utf8 && repeats(field.name()) {
            let dictionary =
                DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
            return Arc::new(Field::new(field.name(), dictionary, field.is_nullable()));
        }
        Arc::clone(field)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn leaves(schema: &SchemaDescriptor) -> HashMap<String, Vec<usize>> {
    let mut leaves: HashMap<String, Vec<usize>> = HashMap::new();
    for (number, leaf) in schema.columns().iter().enumerate() {
        let parts = leaf.path().parts();
        if let [column, _, ..] = parts {
            leaves.entry(column.clone()).or_default().push(number);
        }
        leaves.entry(parts.join(".")).or_default().push(number);
    }
    leaves
}
