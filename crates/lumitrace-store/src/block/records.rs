//! Rows of a block as spans.

use std::collections::VecDeque;
use std::iter::Flatten;
use std::ops::Range;
use std::vec::IntoIter;

use arrow::array::RecordBatch;

use super::data::{Batches, BlockData};
use super::large_values::{self, CutRecord};
use super::payload::PayloadReader;
use super::reader::Block;
use super::rows::{self, ParentRow};
use crate::SpanRecord;
use crate::error::{Corruption, ReadError};

/// Batches from which spans are made.
pub(super) enum SpanBatches {
    Many(Batches),
    /// All in one, until it is taken.
    Few(Option<RecordBatch>),
}

impl SpanBatches {
    fn next(&mut self) -> Result<Option<RecordBatch>, ReadError> {
        match self {
            Self::Many(batches) => batches.next(),
            Self::Few(batch) => Ok(batch.take()),
        }
    }
}

/// Spans, batch by batch.
pub(crate) struct Records<'a> {
    block: &'a Block,
    data: BlockData<'a>,
    batches: SpanBatches,
    /// Numbers of the rows to come.
    rows: Flatten<IntoIter<Range<usize>>>,
    /// Spans that were read, and whose large values are to be put back.
    cut: VecDeque<CutRecord>,
    payload: Option<PayloadReader>,
    leaves_cut: bool,
    /// Of a large value that was left cut.
    damage: Option<Corruption>,
}

impl<'a> Records<'a> {
    /// Of these rows of a block, of which `batches` hold the columns.
    pub(super) fn new(
        block: &'a Block,
        data: BlockData<'a>,
        batches: SpanBatches,
        rows: &[Range<usize>],
    ) -> Self {
        Self {
            block,
            data,
            batches,
            rows: Vec::from(rows).into_iter().flatten(),
            cut: VecDeque::new(),
            payload: None,
            leaves_cut: false,
            damage: None,
        }
    }

    /// Whether a large value that is damaged is left cut, and the error comes after the last batch.
    pub(super) fn set_leaves_cut(&mut self, leaves_cut: bool) {
        self.leaves_cut = leaves_cut;
    }

    /// The next batch of spans; none after the last. Their large values are whole, if they were asked
    /// for.
    ///
    /// # Errors
    /// The block cannot be read, or is damaged.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<SpanRecord>>, ReadError> {
        if self.cut.is_empty() {
            let Some(batch) = self.next_cut()? else {
                let damage = self.damage.take();
                return damage.map_or(Ok(None), |damage| Err(damage.into()));
            };
            if batch.iter().all(|cut| cut.large_values.is_empty()) {
                return Ok(Some(batch.into_iter().map(|cut| cut.record).collect()));
            }
            self.cut = batch.into();
        }
        let payload = match &mut self.payload {
            Some(payload) => payload,
            None => self.payload.insert(self.block.payload()?),
        };
        let restored = if self.leaves_cut {
            large_values::restore_readable(&mut self.cut, payload, &mut self.damage)?
        } else {
            large_values::restore_some(&mut self.cut, payload)?
        };
        Ok(Some(restored))
    }

    /// The next batch of spans as the columns have them; none after the last. They know their large
    /// values, if these were asked for.
    pub(crate) fn next_cut(&mut self) -> Result<Option<Vec<CutRecord>>, ReadError> {
        let Some(batch) = self.batches.next()? else {
            return Ok(None);
        };
        let block = self.block;
        let tables = block.index().tables()?;
        let decoded = rows::decode(&batch, self.data.attribute_columns(), &tables);
        let malformed = || block.malformed("its columns are not those of spans");
        let (mut records, parents) = decoded.ok_or_else(malformed)?;
        let large_values = large_values::decode(&batch).ok_or_else(malformed)?;
        let rows: Vec<usize> = self.rows.by_ref().take(records.len()).collect();
        self.find_parents(&mut records, &rows, &parents)?;
        let cut = records.into_iter().zip(large_values);
        let cut = cut.map(|(record, large_values)| CutRecord {
            record,
            large_values,
        });
        Ok(Some(cut.collect()))
    }

    /// Puts in the ids of parents of which only the distance is known: those that were read beside
    /// their children are at hand, of the others the ids are read.
    fn find_parents(
        &self,
        records: &mut [SpanRecord],
        rows: &[usize],
        parents: &[ParentRow],
    ) -> Result<(), ReadError> {
        let block = self.block;
        let malformed = || block.malformed("a parent is not where it should be");
        let mut missing = Vec::new();
        for parent in parents {
            let own_row = rows.get(parent.child).ok_or_else(malformed)?;
            let row = own_row
                .checked_add_signed(parent.distance as isize)
                .filter(|row| (*row as u64) < block.record().rows)
                .ok_or_else(malformed)?;
            match rows.binary_search(&row) {
                Ok(index) => {
                    let span_id = records[index].span.span_id;
                    records[parent.child].span.parent_span_id = Some(span_id);
                }
                Err(_) => missing.push((row, parent.child)),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        missing.sort_unstable();
        let ids = self.data.span_ids(missing.iter().map(|(row, _)| *row))?;
        for (row, child) in missing {
            let span_id = ids.get(&row).ok_or_else(malformed)?;
            records[child].span.parent_span_id = Some(*span_id);
        }
        Ok(())
    }
}
