//! Which attribute keys a block's spans have: counted before it is written, kept in its sidecar.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::value::{ValueRef, value_type};
use super::value_filters::text_hash;
use crate::binary::{Fields, PutFields};

/// Keys beyond these many are not told apart: somebody puts data into keys.
const MAX_KEYS: usize = 4096;

/// Larger counts are none: no block has that many spans or bytes. Sums of those of many blocks, and
/// products with what is known of a column, do not overflow.
const MAX_COUNT: u64 = 1 << 40;

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Key {
    /// The [`value_type`] of its column; zero if it has none.
    pub(crate) column: u8,
    /// Whether its values are so many that its column has no dictionary, but value filters.
    pub(crate) is_selective: bool,
    /// Spans by the [`value_type`] of the first attribute with this key.
    pub(crate) spans: [u64; value_type::COUNT],
    /// Attributes that were not the first with this key on their span.
    pub(crate) repeated: u64,
    /// Bytes of all values.
    pub(crate) value_bytes: u64,
    /// Different values; an estimate.
    pub(crate) distinct: u64,
}

impl Key {
    /// How many attributes with this key are in the list, rather than in the key's column.
    pub(crate) fn in_list(&self) -> u64 {
        let all: u64 = self.spans.iter().sum();
        let in_column = match self.column {
            0 => 0,
            column => self.spans[usize::from(column)],
        };
        self.repeated + (all - in_column)
    }

    /// Whether some value of this key has one of these types.
    pub(crate) fn has_type(&self, value_type: u8) -> bool {
        // Of what is repeated the type is not known.
        self.repeated > 0 || self.spans[usize::from(value_type)] > 0
    }

    fn add(&mut self, other: &Self) {
        for (own, other) in self.spans.iter_mut().zip(other.spans) {
            *own += other;
        }
        self.repeated += other.repeated;
        self.value_bytes += other.value_bytes;
        self.distinct += other.distinct;
    }
}

/// The keys of a block's attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) keys: BTreeMap<String, Key>,
    /// Whether these are all.
    pub(crate) is_complete: bool,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            keys: BTreeMap::new(),
            is_complete: true,
        }
    }
}

impl Keys {
    pub(crate) fn get(&self, key: &str) -> Option<&Key> {
        self.keys.get(key)
    }

    /// Adds the counts of another block.
    pub(crate) fn add(&mut self, other: &Self) {
        self.is_complete &= other.is_complete;
        for (key, counts) in &other.keys {
            if self.keys.len() >= MAX_KEYS && !self.keys.contains_key(key) {
                self.is_complete = false;
                continue;
            }
            self.keys.entry(key.clone()).or_default().add(counts);
        }
    }

    /// Whether an attribute is in the list rather than in a column.
    pub(crate) fn any_in_list(&self) -> bool {
        !self.is_complete || self.keys.values().any(|key| key.in_list() > 0)
    }

    /// Writes the section of the sidecar.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u8(u8::from(self.is_complete));
        out.put_varint(self.keys.len() as u64);
        for (text, key) in &self.keys {
            out.put_bytes(text.as_bytes());
            out.put_u8(key.column);
            out.put_u8(u8::from(key.is_selective));
            key.spans.iter().for_each(|count| out.put_varint(*count));
            out.put_varint(key.repeated);
            out.put_varint(key.value_bytes);
            out.put_varint(key.distinct);
        }
        out
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` if it is something else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(bytes);
        let is_complete = fields.u8()? != 0;
        let keys_count = fields.varint()?;
        let mut keys = BTreeMap::new();
        for _ in 0..keys_count {
            let text = fields.text()?.to_owned();
            let mut key = Key {
                column: fields.u8()?,
                is_selective: fields.u8()? != 0,
                ..Key::default()
            };
            if usize::from(key.column) >= value_type::COUNT {
                return None;
            }
            let mut count = || fields.varint().filter(|count| *count <= MAX_COUNT);
            for spans in &mut key.spans {
                *spans = count()?;
            }
            key.repeated = count()?;
            key.value_bytes = count()?;
            key.distinct = count()?;
            keys.insert(text, key);
        }
        Some(Self { keys, is_complete })
    }
}

/// Counts keys, span by span.
#[derive(Debug)]
pub(crate) struct KeyCounter {
    positions: HashMap<String, usize>,
    counts: Vec<KeyCount>,
    span: u64,
    is_complete: bool,
}

#[derive(Debug, Default)]
struct KeyCount {
    key: Key,
    values: DistinctValues,
    /// Number of the last span that has the key.
    last_span: u64,
}

impl Default for KeyCounter {
    fn default() -> Self {
        Self {
            positions: HashMap::default(),
            counts: Vec::new(),
            span: 0,
            is_complete: true,
        }
    }
}

impl KeyCounter {
    /// Says that the next attributes are those of another span.
    pub(crate) fn begin_span(&mut self) {
        self.span += 1;
    }

    /// Counts an attribute.
    pub(crate) fn add(&mut self, key: &str, value: ValueRef<'_>) {
        let position = match self.positions.get(key) {
            Some(position) => *position,
            None if self.counts.len() >= MAX_KEYS => {
                self.is_complete = false;
                return;
            }
            None => {
                self.positions.insert(key.to_owned(), self.counts.len());
                self.counts.push(KeyCount::default());
                self.counts.len() - 1
            }
        };
        let count = &mut self.counts[position];
        if count.last_span == self.span {
            count.key.repeated += 1;
            return;
        }
        count.last_span = self.span;
        count.key.spans[usize::from(value.type_number())] += 1;
        count.key.value_bytes += value.len() as u64;
        let hash = match value {
            ValueRef::String(text) => u64::from(text_hash(text)),
            ValueRef::Int(int) => int as u64,
            ValueRef::Double(double) => double.to_bits(),
            _ => return,
        };
        count.values.add(mixed(hash));
    }

    /// What was counted.
    pub(crate) fn finish(self) -> Keys {
        let mut counts = self.counts;
        let counted = |(text, position): (String, usize)| {
            let count = &mut counts[position];
            let mut key = std::mem::take(&mut count.key);
            key.distinct = count.values.estimate();
            (text, key)
        };
        Keys {
            keys: self.positions.into_iter().map(counted).collect(),
            is_complete: self.is_complete,
        }
    }
}

/// Estimates how many different values there are, by how many bits their hashes leave unset.
#[derive(Debug, Default)]
struct DistinctValues {
    bits: Vec<u64>,
}

/// Spreads numbers that follow each other, or differ in their high bits alone, over all bits: the
/// finalizer of MurmurHash3. The same for every process, so that a block does not depend on chance.
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let number = (number ^ (number >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    number ^ (number >> 33)
}

impl DistinctValues {
    /// Good for some ten thousand values; beyond that it is enough to know that they are many.
    const BITS: usize = 8192;

    fn add(&mut self, hash: u64) {
        if self.bits.is_empty() {
            self.bits = vec![0; Self::BITS / 64];
        }
        let bit = hash as usize % Self::BITS;
        self.bits[bit / 64] |= 1 << (bit % 64);
    }

    fn estimate(&self) -> u64 {
        if self.bits.is_empty() {
            return 0;
        }
        let unset: u32 = self.bits.iter().map(|bits| bits.count_zeros()).sum();
        let all = Self::BITS as f64;
        (all * (all / f64::from(unset.max(1))).ln()).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(spans: &[&[(&str, ValueRef<'_>)]]) -> Keys {
        let mut counter = KeyCounter::default();
        for span in spans {
            counter.begin_span();
            span.iter()
                .for_each(|(key, value)| counter.add(key, *value));
        }
        counter.finish()
    }

    #[test]
    fn keys_are_counted_by_type_of_the_first_value_and_come_back_from_bytes() {
        let keys = counted(&[
            &[("loss", ValueRef::Double(0.5)), ("loss", ValueRef::Int(1))],
            &[
                ("loss", ValueRef::String("NaN")),
                ("epoch", ValueRef::Int(1)),
            ],
        ]);
        let loss = keys.get("loss").unwrap();
        assert_eq!(loss.spans[usize::from(value_type::DOUBLE)], 1);
        assert_eq!(loss.spans[usize::from(value_type::STRING)], 1);
        assert_eq!((loss.repeated, loss.value_bytes, loss.distinct), (1, 11, 2));
        assert_eq!(loss.in_list(), 3);
        assert_eq!(Keys::decode(&keys.encode()), Some(keys.clone()));
        let mut sum = keys.clone();
        sum.add(&keys);
        assert_eq!(
            sum.get("epoch").unwrap().spans[usize::from(value_type::INT)],
            2
        );
    }

    #[test]
    fn counts_that_no_block_can_have_are_refused() {
        let mut keys = counted(&[&[("loss", ValueRef::Int(1))]]);
        keys.keys
            .values_mut()
            .for_each(|key| key.repeated = MAX_COUNT);
        assert_eq!(Keys::decode(&keys.encode()), Some(keys.clone()));
        keys.keys.values_mut().for_each(|key| key.repeated += 1);
        assert_eq!(Keys::decode(&keys.encode()), None);
    }

    #[test]
    fn different_values_are_estimated_within_a_few_percent() {
        for expected in [1_u64, 100, 5_000, 20_000] {
            let texts: Vec<String> = (0..expected).map(|n| format!("value-{n}")).collect();
            let spans: Vec<_> = texts
                .iter()
                .map(|it| [("key", ValueRef::String(it))])
                .collect();
            let spans: Vec<&[_]> = spans.iter().chain(&spans).map(|it| it.as_slice()).collect();
            let found = counted(&spans).get("key").unwrap().distinct;
            assert!(
                found.abs_diff(expected) * 20 <= expected,
                "{found} for {expected}"
            );
        }
    }

    #[test]
    fn numbers_that_follow_each_other_are_counted_as_well_as_any() {
        for (first, step) in [(0, 1), (1_000_000, 1), (0, 1 << 40)] {
            for expected in [100, 5_000, 20_000] {
                let ints: Vec<_> = (0..expected)
                    .map(|n| [("key", ValueRef::Int(first + n * step))])
                    .collect();
                let spans: Vec<&[_]> = ints.iter().map(|it| it.as_slice()).collect();
                let found = counted(&spans).get("key").unwrap().distinct as i64;
                assert!(
                    found.abs_diff(expected) * 20 <= expected as u64,
                    "{found} for {expected}"
                );
            }
        }
    }

    #[test]
    fn data_in_keys_does_not_make_the_dictionary_grow_without_bound() {
        let texts: Vec<String> = (0..2 * MAX_KEYS).map(|n| format!("key-{n}")).collect();
        let spans: Vec<_> = texts
            .iter()
            .map(|it| [(it.as_str(), ValueRef::Null)])
            .collect();
        let keys = counted(&spans.iter().map(|it| it.as_slice()).collect::<Vec<_>>());
        assert_eq!((keys.keys.len(), keys.is_complete), (MAX_KEYS, false));
        assert!(keys.any_in_list());
    }
}
