//! Which columns a block has: decided from counts before it is written.

use std::cmp::Reverse;

use super::keys::{Key, KeyCounter, Keys};
use super::row::BlockRow;
use super::schema;
use super::tables::{Tables, TablesBuilder};
use super::value::value_type;

/// Attribute keys that get a column of their own.
const MAX_ATTRIBUTE_COLUMNS: usize = 128;
/// Longer keys stay in the list.
const MAX_KEY_BYTES: usize = 128;
/// Bytes of different values up to which a column has a dictionary in any case. A reader of one
/// span reads all of it.
pub(crate) const DICTIONARY_BYTES: usize = 64 << 10;
/// Beyond these many different values their estimate says no more than that they are many.
const MANY_VALUES: u64 = 50_000;

/// Keys whose numbers are worth a column even where few spans have them.
const WELL_KNOWN_PREFIXES: [&str; 8] = [
    "gen_ai.",
    "http.",
    "db.",
    "rpc.",
    "exception.",
    "gpu.",
    "task.",
    "val.",
];
const WELL_KNOWN: [&str; 8] = [
    "epoch",
    "batch_index",
    "batch_size",
    "loss",
    "train_loss",
    "val_loss",
    "val_metric",
    "learning_rate",
];

/// What the values in an attribute's column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnType {
    String,
    Bool,
    Int,
    Double,
}

impl ColumnType {
    const ALL: [Self; 4] = [Self::String, Self::Bool, Self::Int, Self::Double];

    /// Its [`value_type`].
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::String => value_type::STRING,
            Self::Bool => value_type::BOOL,
            Self::Int => value_type::INT,
            Self::Double => value_type::DOUBLE,
        }
    }
}

/// An attribute key with a column of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttributeColumn {
    pub(crate) key: String,
    pub(crate) column_type: ColumnType,
    /// Whether its values repeat so rarely that it has no dictionary.
    pub(crate) is_selective: bool,
}

impl AttributeColumn {
    /// Whether there are filters of its values. Nobody looks for one of many doubles.
    pub(crate) fn has_filters(&self) -> bool {
        self.is_selective && matches!(self.column_type, ColumnType::String | ColumnType::Int)
    }
}

/// The columns of a block that not every block has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Layout {
    /// By key.
    pub(crate) attributes: Vec<AttributeColumn>,
    /// Of the columns that a block may leave out, those that it has.
    pub(crate) optional: OptionalColumns,
}

/// Some of the columns that a block leaves out where every row is as if it had none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct OptionalColumns(Vec<&'static str>);

impl OptionalColumns {
    pub(crate) fn insert(&mut self, name: &'static str) {
        if !self.contains(name) {
            self.0.push(name);
        }
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.contains(&name)
    }

    pub(crate) fn insert_used<const N: usize>(&mut self, used: [(&'static str, bool); N]) {
        for (name, _) in used.into_iter().filter(|(_, is_used)| *is_used) {
            self.insert(name);
        }
    }
}

/// Everything that is decided before a block is written.
#[derive(Debug)]
pub(crate) struct BlockPlan {
    pub(crate) layout: Layout,
    /// The keys as the block will have them; if none, they must be counted while it is written.
    pub(crate) keys: Option<Keys>,
    /// Resources and scopes, numbered.
    pub(crate) tables: TablesBuilder,
}

/// Looks at what a block will hold.
#[derive(Debug, Default)]
pub(crate) struct Planner {
    rows: u64,
    optional: OptionalColumns,
    counter: KeyCounter,
    /// Counts of blocks that go into this one.
    merged: Option<Keys>,
    tables: TablesBuilder,
}

impl Planner {
    /// Looks at a row.
    pub(crate) fn add(&mut self, row: &impl BlockRow) {
        row.note_used_columns(&mut self.optional);
        self.rows += 1;
        self.tables.numbers(&row.head());
        self.counter.begin_span();
        row.each_attribute(|key, value| self.counter.add(key, row.kept(value)));
    }

    /// Looks at a block that goes into this one.
    pub(crate) fn add_block(
        &mut self,
        rows: u64,
        optional: &OptionalColumns,
        keys: &Keys,
        tables: &Tables,
    ) {
        self.rows = self.rows.saturating_add(rows);
        for name in &optional.0 {
            self.optional.insert(name);
        }
        self.merged.get_or_insert_default().add(keys);
        self.tables.add(tables);
    }

    /// Decides.
    pub(crate) fn finish(self) -> BlockPlan {
        let mut keys = self.counter.finish();
        let is_merge = self.merged.is_some();
        self.merged.iter().for_each(|merged| keys.add(merged));
        let attributes = attribute_columns(&keys, self.rows);
        apply(&attributes, &mut keys);
        let mut optional = self.optional;
        if keys.any_in_list() {
            optional.insert(schema::ATTRIBUTES);
        }
        if !self.tables.is_resource_known_by_service() {
            optional.insert(schema::RESOURCE_ID);
        }
        if self.tables.has_several_scopes() {
            optional.insert(schema::SCOPE_ID);
        }
        BlockPlan {
            layout: Layout {
                attributes,
                optional,
            },
            // Blocks may share spans, and different values of one may be those of the other.
            keys: (!is_merge).then_some(keys),
            tables: self.tables,
        }
    }
}

/// Notes in `keys` which of them have columns.
pub(crate) fn apply(attributes: &[AttributeColumn], keys: &mut Keys) {
    for attribute in attributes {
        if let Some(key) = keys.keys.get_mut(&attribute.key) {
            key.column = attribute.column_type.number();
            key.is_selective = attribute.is_selective;
        }
    }
}

/// The keys that get a column: those that take most bytes of those that enough spans have.
fn attribute_columns(keys: &Keys, rows: u64) -> Vec<AttributeColumn> {
    let mut candidates: Vec<(Reverse<u64>, AttributeColumn)> = keys
        .keys
        .iter()
        .filter_map(|(text, key)| {
            let (column_type, spans) = majority(key);
            let is_candidate = !text.is_empty()
                && text.len() <= MAX_KEY_BYTES
                && spans * 100 >= rows.saturating_mul(least_percent(text, column_type))
                && spans > 0;
            let column = AttributeColumn {
                key: text.clone(),
                column_type,
                is_selective: is_selective(key, column_type),
            };
            // What a column saves: the key, and looking at the list.
            let weight = key.value_bytes + spans * (text.len() as u64 + 8);
            is_candidate.then_some((Reverse(weight), column))
        })
        .collect();
    // Stable: of the same weight the first by key.
    candidates.sort_by_key(|(weight, _)| *weight);
    candidates.truncate(MAX_ATTRIBUTE_COLUMNS);
    let mut columns: Vec<AttributeColumn> =
        candidates.into_iter().map(|(_, column)| column).collect();
    columns.sort_by(|left, right| left.key.cmp(&right.key));
    columns
}

/// The type of column that holds most of a key's values, and how many spans have one.
fn majority(key: &Key) -> (ColumnType, u64) {
    let spans = |column_type: ColumnType| key.spans[usize::from(column_type.number())];
    let [first, ..] = ColumnType::ALL;
    let most = ColumnType::ALL.into_iter().fold(first, |best, other| {
        if spans(other) > spans(best) {
            other
        } else {
            best
        }
    });
    (most, spans(most))
}

/// Of a hundred spans, how many must have a key for it to get a column.
fn least_percent(key: &str, column_type: ColumnType) -> u64 {
    let is_number = matches!(column_type, ColumnType::Int | ColumnType::Double);
    let is_well_known = WELL_KNOWN.contains(&key)
        || WELL_KNOWN_PREFIXES
            .iter()
            .any(|prefix| key.starts_with(prefix));
    if is_number && !is_well_known { 5 } else { 1 }
}

/// Whether a dictionary would only cost: values rarely repeat, and it would be large, or hold
/// numbers, which are hardly longer than their places in it.
fn is_selective(key: &Key, column_type: ColumnType) -> bool {
    let values: u64 = key.spans.iter().sum::<u64>().max(1);
    let distinct_bytes = (key.value_bytes / values).saturating_mul(key.distinct);
    let is_number = matches!(column_type, ColumnType::Int | ColumnType::Double);
    let is_large = distinct_bytes > DICTIONARY_BYTES as u64;
    let rarely_repeats = key.distinct * 2 > values || key.distinct > MANY_VALUES;
    rarely_repeats && (is_large || is_number && values > 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(value_type: u8, spans: u64, distinct: u64) -> Key {
        let mut key = Key {
            value_bytes: spans * 20,
            distinct,
            ..Key::default()
        };
        key.spans[usize::from(value_type)] = spans;
        key
    }

    fn columns(keys: Vec<(&str, Key)>) -> Vec<AttributeColumn> {
        let keys = Keys {
            keys: keys
                .into_iter()
                .map(|(text, key)| (text.to_owned(), key))
                .collect(),
            is_complete: true,
        };
        attribute_columns(&keys, 10_000)
    }

    #[test]
    fn a_key_gets_a_column_once_enough_spans_have_it_and_its_majority_decides_the_type() {
        let mut mixed = key(value_type::STRING, 200, 5);
        mixed.spans[usize::from(value_type::DOUBLE)] = 800;
        let found = columns(vec![
            ("rare", key(value_type::STRING, 99, 5)),
            ("text", key(value_type::STRING, 100, 5)),
            ("number", key(value_type::INT, 499, 5)),
            ("epoch", key(value_type::INT, 100, 5)),
            ("nested", key(value_type::MAP, 9_000, 5)),
            ("loss", mixed),
            ("", key(value_type::STRING, 9_000, 5)),
        ]);
        let names: Vec<_> = found.iter().map(|it| it.key.as_str()).collect();
        assert_eq!(names, ["epoch", "loss", "text"]);
        assert_eq!(found[1].column_type, ColumnType::Double);
    }

    #[test]
    fn only_so_many_values_that_they_rarely_repeat_do_without_a_dictionary() {
        let found = columns(vec![
            ("few", key(value_type::STRING, 9_000, 20)),
            ("repeated", key(value_type::STRING, 9_000, 4_000)),
            ("session", key(value_type::STRING, 9_000, 8_000)),
        ]);
        let selective: Vec<_> = found.iter().map(|it| it.is_selective).collect();
        assert_eq!(selective, [false, false, true]);
    }

    #[test]
    fn the_number_of_columns_is_bounded_and_the_largest_keys_have_them() {
        let texts: Vec<String> = (0..300).map(|number| format!("key-{number:03}")).collect();
        let keys = texts.iter().zip(200..);
        let found = columns(
            keys.map(|(text, spans)| (text.as_str(), key(value_type::STRING, spans, 1)))
                .collect(),
        );
        assert_eq!(found.len(), MAX_ATTRIBUTE_COLUMNS);
        assert_eq!(found[0].key, "key-172");
    }
}
