//! The conditions of a search on attributes and on text, as one block can answer them: by what its
//! index says, by its filters of values, and by as few columns as possible.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use lumitrace_wire::otlp::protobuf::view::ValueView;
use parquet::bloom_filter::Sbbf;

use super::predicate::{contains_ignoring_case, has_attribute, view_matches};
use crate::block::Block;
use crate::block::attribute_columns::AttributeValues;
use crate::block::attributes::AttributesColumn;
use crate::block::data::BlockData;
use crate::block::keys::{Key, Keys};
use crate::block::large_values::{self, Owner};
use crate::block::rows::column;
use crate::block::schema;
use crate::block::tables::Tables;
use crate::block::text::TextColumn;
use crate::block::trace_table::filter_may_hold;
use crate::block::value::{kept_text, value_type};
use crate::block::value_filters::{int_hash, text_hash};
use crate::error::ReadError;

/// What a block's columns are asked.
pub(crate) struct ContentConditions<'a> {
    attributes: Vec<AttributeCondition<'a>>,
    text: Option<&'a str>,
    /// The columns of attributes that are texts, if a text is looked for.
    text_columns: Vec<Arc<str>>,
    /// What must be read.
    columns: Vec<Arc<str>>,
}

/// That an attribute of a span, or of its resource, has a value that a text spells.
struct AttributeCondition<'a> {
    key: &'a str,
    text: &'a str,
    /// What the columns have of a text like this.
    kept: &'a str,
    /// The attribute's column, if it may hold such a value.
    column: Option<Arc<str>>,
    /// Whether the list of attributes may hold such a value.
    in_list: bool,
    /// By number whether a resource has such an attribute; empty if none has.
    resources: Vec<bool>,
    /// By what the filters of values know such a value, if there is nowhere else to look for it.
    filter_hash: Option<u32>,
}

impl<'a> ContentConditions<'a> {
    /// That attributes have these values, and that this text, in lower case, is found; none if no row
    /// of the block fulfils them.
    pub(crate) fn new(
        block: &Block,
        data: &BlockData<'_>,
        wanted: &'a [(String, String)],
        text: Option<&'a str>,
    ) -> Result<Option<Self>, ReadError> {
        let mut attributes = Vec::new();
        for (key, text) in wanted {
            let tables = block.index().tables()?;
            let condition = AttributeCondition::new(key, text, block.index().keys(), data, &tables);
            if condition.is_hopeless() {
                return Ok(None);
            }
            attributes.push(condition);
        }
        let names = data.attribute_columns().iter();
        let text_columns = names
            .filter(|name| text.is_some() && data.is_text(&name.column))
            .map(|name| Arc::clone(&name.column))
            .collect();
        let mut conditions = Self {
            attributes,
            text,
            text_columns,
            columns: Vec::new(),
        };
        conditions.columns = conditions.columns_of(data);
        Ok(Some(conditions))
    }

    /// The columns that must be read to ask; none if there is nothing to be asked.
    pub(crate) fn columns(&self) -> Vec<&str> {
        self.columns.iter().map(|column| &**column).collect()
    }

    fn columns_of(&self, data: &BlockData<'_>) -> Vec<Arc<str>> {
        let mut columns: Vec<&str> = self.text_columns.iter().map(|name| &**name).collect();
        if self.text.is_some() {
            columns.extend([schema::NAME, schema::STATUS_MESSAGE]);
            columns.extend([schema::ATTRIBUTE_STRING, schema::ATTRIBUTE_BYTES]);
            columns.push(schema::LARGE_VALUE_OWNER);
        }
        for condition in &self.attributes {
            columns.extend(condition.column.as_deref());
            if !condition.resources.is_empty() {
                columns.push(match data.has_column(schema::RESOURCE_ID) {
                    true => schema::RESOURCE_ID,
                    false => schema::SERVICE,
                });
            }
            if condition.in_list {
                columns.extend([schema::ATTRIBUTE_KEY, schema::ATTRIBUTE_STRING]);
                let spelled = |it: &(u8, &'static str)| spells(condition.text, it.0);
                let typed = [
                    (value_type::INT, schema::ATTRIBUTE_INT),
                    (value_type::DOUBLE, schema::ATTRIBUTE_DOUBLE),
                    (value_type::BOOL, schema::ATTRIBUTE_BOOL),
                ];
                columns.extend(typed.iter().filter(|it| spelled(it)).map(|it| it.1));
            }
        }
        columns.sort_unstable();
        columns.dedup();
        columns.retain(|column| data.has_column(column));
        columns.into_iter().map(Arc::from).collect()
    }

    /// Whether rows of this stripe may fulfil the conditions, as far as filters of values say.
    pub(crate) fn may_hold_stripe(&self, block: &Block, stripe: usize) -> Result<bool, ReadError> {
        for condition in &self.attributes {
            let Some(hash) = condition.filter_hash else {
                continue;
            };
            let may_hold =
                |filter: Option<Sbbf>| filter.is_some_and(|filter| filter_may_hold(&filter, hash));
            let filter = block.index().value_filter(condition.key, stripe)?;
            if filter.is_some_and(|filter| !may_hold(filter)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// For each row of a batch of [`columns`](Self::columns) whether it may fulfil the conditions;
    /// none if the columns are not of their types.
    pub(crate) fn ask(&self, batch: &RecordBatch, tables: &Tables) -> Option<Vec<bool>> {
        let list = match batch.column_by_name(schema::ATTRIBUTES) {
            Some(list) => Some(AttributesColumn::new(list.as_ref())?),
            None => None,
        };
        let mut wanted = vec![true; batch.num_rows()];
        for condition in &self.attributes {
            let fulfilled = condition.ask(batch, list.as_ref(), tables)?;
            and(&mut wanted, &fulfilled);
        }
        if let Some(text) = self.text {
            and(&mut wanted, &self.ask_for_text(text, batch, list.as_ref())?);
        }
        Some(wanted)
    }

    fn ask_for_text(
        &self,
        text: &str,
        batch: &RecordBatch,
        list: Option<&AttributesColumn<'_>>,
    ) -> Option<Vec<bool>> {
        let contains = |string: &str| contains_ignoring_case(string, text);
        let mut found = vec![false; batch.num_rows()];
        let others = [schema::NAME, schema::STATUS_MESSAGE];
        let text_columns = self.text_columns.iter().map(|name| &**name);
        for name in text_columns.chain(others) {
            if let Some(column) = batch.column_by_name(name) {
                or(&mut found, &TextColumn::new(column.as_ref())?.ask(contains));
            }
        }
        if let Some(list) = list {
            for (row, found) in found.iter_mut().enumerate() {
                *found = *found || list.any_text(row, contains);
            }
        }
        // What is not in their columns is looked at only if nothing else decides.
        or(&mut found, &large_values::rows_with(batch, Owner::Record)?);
        Some(found)
    }
}

impl<'a> AttributeCondition<'a> {
    fn new(
        key: &'a str,
        text: &'a str,
        keys: Option<&Keys>,
        data: &BlockData<'_>,
        tables: &Tables,
    ) -> Self {
        let known = keys.and_then(|keys| keys.get(key));
        let is_unknown = known.is_none() && keys.is_some_and(|keys| keys.is_complete);
        let may_spell = |key: &Key| {
            let types = 0..value_type::COUNT as u8;
            types
                .into_iter()
                .any(|it| spells(text, it) && key.has_type(it))
        };
        let is_hopeless = is_unknown || known.is_some_and(|key| !may_spell(key));
        let column = known
            .filter(|known| !is_hopeless && spells(text, known.column))
            .and_then(|_| data.attribute_columns().iter().find(|name| name.key == key))
            .map(|name| Arc::clone(&name.column));
        let in_list = !is_hopeless && known.is_none_or(|known| known.in_list() > 0);
        let has = |stored: &crate::block::tables::StoredResource| {
            has_attribute(&stored.resource.attributes, key, text)
        };
        let mut resources: Vec<bool> = tables.resources.iter().map(has).collect();
        if !resources.contains(&true) {
            resources.clear();
        }
        let is_only_in_column = column.is_some() && !in_list && resources.is_empty();
        // Before version 3 texts are whole, however large.
        let kept = match data.has_column(schema::LARGE_VALUES) {
            true => kept_text(text),
            false => text,
        };
        let filter_hash = known
            .filter(|known| is_only_in_column && known.is_selective)
            .and_then(|known| match known.column {
                value_type::STRING => Some(text_hash(kept)),
                value_type::INT => text.parse().ok().map(int_hash),
                _ => None,
            });
        Self {
            key,
            text,
            kept,
            column,
            in_list,
            resources,
            filter_hash,
        }
    }

    /// Whether there is nowhere to look for such a value.
    fn is_hopeless(&self) -> bool {
        self.column.is_none() && !self.in_list && self.resources.is_empty()
    }

    fn ask(
        &self,
        batch: &RecordBatch,
        list: Option<&AttributesColumn<'_>>,
        tables: &Tables,
    ) -> Option<Vec<bool>> {
        let mut fulfilled = vec![false; batch.num_rows()];
        if let Some(column) = self
            .column
            .as_deref()
            .and_then(|name| batch.column_by_name(name))
        {
            let values = AttributeValues::new(column.as_ref())?;
            or(&mut fulfilled, &values.ask(|value| self.may_match(value)));
        }
        if !self.resources.is_empty() {
            or(&mut fulfilled, &self.ask_resources(batch, tables)?);
        }
        if let Some(list) = list.filter(|_| self.in_list) {
            for (row, fulfilled) in fulfilled.iter_mut().enumerate() {
                *fulfilled = *fulfilled || list.any(row, self.key, |value| self.may_match(value));
            }
        }
        Some(fulfilled)
    }

    /// Whether the text may spell a value of which the columns have this.
    fn may_match(&self, value: ValueView<'_>) -> bool {
        match value {
            ValueView::String(string) => string == self.kept,
            other => view_matches(other, self.text),
        }
    }

    fn ask_resources(&self, batch: &RecordBatch, tables: &Tables) -> Option<Vec<bool>> {
        let has = |number: u32| self.resources.get(number as usize) == Some(&true);
        if let Some(numbers) = column::<UInt32Array>(batch, schema::RESOURCE_ID) {
            return Some(numbers.values().iter().copied().map(has).collect());
        }
        let services = TextColumn::new(batch.column_by_name(schema::SERVICE)?.as_ref())?;
        Some(services.ask(|service| tables.resource_of_service(service).is_some_and(has)))
    }
}

/// Whether `text` can spell a value of this type.
fn spells(text: &str, of_type: u8) -> bool {
    match of_type {
        value_type::STRING => true,
        value_type::BOOL => text.parse::<bool>().is_ok(),
        value_type::INT => text.parse::<i64>().is_ok(),
        value_type::DOUBLE => text.parse::<f64>().is_ok(),
        _ => false,
    }
}

fn and(all: &mut [bool], other: &[bool]) {
    all.iter_mut()
        .zip(other)
        .for_each(|(all, other)| *all &= other);
}

fn or(any: &mut [bool], other: &[bool]) {
    any.iter_mut()
        .zip(other)
        .for_each(|(any, other)| *any |= other);
}
