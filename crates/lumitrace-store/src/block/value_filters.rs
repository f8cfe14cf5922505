//! Filters of the values in attribute columns that have too many for a dictionary: which stripes
//! of rows may hold a session, a user or a request.

use std::collections::BTreeMap;
use std::ops::Range;

use super::caches::{KeptPart, PartName};
use super::trace_table::encode_filter;
use crate::binary::{Fields, PutFields};

/// Rows that have one filter for each such column. Also read at once by a search.
pub(crate) const STRIPE_ROWS: usize = 65_536;

/// By what filters know a text.
pub(crate) fn text_hash(text: &str) -> u32 {
    crc32c::crc32c(text.as_bytes())
}

/// By what filters know an int.
pub(crate) fn int_hash(int: i64) -> u32 {
    crc32c::crc32c(&int.to_le_bytes())
}

/// Makes the filters of one column, of values that come in the order of rows.
#[derive(Debug, Default)]
pub(crate) struct ColumnFilterBuilder {
    stripe: usize,
    hashes: Vec<u32>,
    finished: Vec<Vec<u8>>,
}

impl ColumnFilterBuilder {
    pub(crate) fn add(&mut self, row: usize, hash: u32) {
        let stripe = row / STRIPE_ROWS;
        while self.stripe < stripe {
            self.finish_stripe();
        }
        self.hashes.push(hash);
    }

    fn finish_stripe(&mut self) {
        self.hashes.sort_unstable();
        self.hashes.dedup();
        // A stripe without values has an empty filter.
        let filter = match self.hashes.as_slice() {
            [] => Vec::new(),
            hashes => encode_filter(hashes),
        };
        self.finished.push(filter);
        self.hashes.clear();
        self.stripe += 1;
    }

    fn finish(mut self) -> Vec<Vec<u8>> {
        self.finish_stripe();
        self.finished
    }
}

/// Where a filter is in its section, and its checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilterPlace {
    pub(crate) bytes: Range<u64>,
    pub(crate) crc: u32,
}

/// For each column that has filters, by key, where they are, by stripe.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FilterDirectory {
    pub(crate) columns: BTreeMap<String, Vec<FilterPlace>>,
}

impl FilterDirectory {
    /// Lays the filters of columns out, by key: the directory, and the section of filters.
    pub(crate) fn lay_out(
        columns: impl IntoIterator<Item = (String, ColumnFilterBuilder)>,
    ) -> (Self, Vec<u8>) {
        let (mut directory, mut section) = (Self::default(), Vec::new());
        for (key, builder) in columns {
            let mut places = Vec::new();
            for filter in builder.finish() {
                let start = section.len() as u64;
                section.extend_from_slice(&filter);
                places.push(FilterPlace {
                    bytes: start..section.len() as u64,
                    crc: crc32c::crc32c(&filter),
                });
            }
            directory.columns.insert(key, places);
        }
        (directory, section)
    }

    /// Writes the section of the sidecar.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_varint(self.columns.len() as u64);
        for (key, places) in &self.columns {
            out.put_bytes(key.as_bytes());
            out.put_varint(places.len() as u64);
            for place in places {
                out.put_varint(place.bytes.start);
                out.put_varint(place.bytes.end - place.bytes.start);
                out.put_u32(place.crc);
            }
        }
        out
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` if it is something else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(bytes);
        let mut columns = BTreeMap::new();
        for _ in 0..fields.varint()? {
            let key = fields.text()?.to_owned();
            let count = fields.varint()?;
            let mut place = || {
                let (start, len) = (fields.varint()?, fields.varint()?);
                Some(FilterPlace {
                    bytes: start..start.checked_add(len)?,
                    crc: fields.u32()?,
                })
            };
            let places = (0..count).map(|_| place()).collect::<Option<Vec<_>>>()?;
            columns.insert(key, places);
        }
        Some(Self { columns })
    }
}

impl KeptPart for FilterDirectory {
    const NAME: PartName = PartName::FilterDirectory;

    fn memory_bytes(&self) -> usize {
        let column_bytes = |(key, places): (&String, &Vec<FilterPlace>)| {
            size_of::<(String, Vec<FilterPlace>)>() + key.len() + size_of_val(places.as_slice())
        };
        size_of::<Self>() + self.columns.iter().map(column_bytes).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::super::trace_table::{decode_filter, filter_may_hold};
    use super::*;

    #[test]
    fn each_stripe_has_a_filter_of_its_own_values() {
        let mut builder = ColumnFilterBuilder::default();
        for number in 0..1_000 {
            builder.add(number, int_hash(number as i64));
        }
        builder.add(2 * STRIPE_ROWS, text_hash("late"));
        let (directory, section) = FilterDirectory::lay_out([("user.id".to_owned(), builder)]);
        assert_eq!(
            FilterDirectory::decode(&directory.encode()),
            Some(directory.clone())
        );
        let places = &directory.columns["user.id"];
        let filter = |stripe: usize| {
            let range = &places[stripe].bytes;
            decode_filter(&section[range.start as usize..range.end as usize])
        };
        assert_eq!(places.len(), 3);
        assert!(filter_may_hold(&filter(0).unwrap(), int_hash(999)));
        assert!(filter(1).is_none(), "no values, nothing to look for");
        assert!(filter_may_hold(&filter(2).unwrap(), text_hash("late")));
        assert!(!filter_may_hold(&filter(2).unwrap(), text_hash("early")));
    }
}
