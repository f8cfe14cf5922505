//! Columns of text as they are read: whole, or as numbers of a dictionary's entries.

use arrow::array::{Array, AsArray, DictionaryArray, StringArray};
use arrow::datatypes::Int32Type;

/// A column of text that was read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TextColumn<'a> {
    Plain(&'a StringArray),
    Dictionary {
        numbers: &'a DictionaryArray<Int32Type>,
        entries: &'a StringArray,
    },
}

impl<'a> TextColumn<'a> {
    /// None if the column is not one of text.
    pub(crate) fn new(column: &'a dyn Array) -> Option<Self> {
        if let Some(plain) = column.as_any().downcast_ref() {
            return Some(Self::Plain(plain));
        }
        let numbers = column.as_dictionary_opt::<Int32Type>()?;
        let entries = numbers.values().as_any().downcast_ref()?;
        Some(Self::Dictionary { numbers, entries })
    }

    /// The text in row `row`, if it has one.
    pub(crate) fn get(&self, row: usize) -> Option<&'a str> {
        match self {
            Self::Plain(plain) => plain.is_valid(row).then(|| plain.value(row)),
            Self::Dictionary { numbers, entries } => {
                numbers.key(row).map(|number| entries.value(number))
            }
        }
    }

    /// Asks `is_wanted` of each row's text, and only once of each entry of a dictionary.
    pub(crate) fn ask(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<bool> {
        match self {
            Self::Plain(plain) => plain
                .iter()
                .map(|text| text.is_some_and(&is_wanted))
                .collect(),
            Self::Dictionary { numbers, entries } => {
                let wanted: Vec<bool> = entries
                    .iter()
                    .map(|text| text.is_some_and(&is_wanted))
                    .collect();
                let rows = 0..numbers.len();
                rows.map(|row| numbers.key(row).is_some_and(|number| wanted[number]))
                    .collect()
            }
        }
    }
}
