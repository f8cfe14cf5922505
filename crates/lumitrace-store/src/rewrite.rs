//! Writing rows of blocks as one block: what is the same for every signal, whose rows become records
//! and go back into columns.

use std::io;

use crate::block::columns::Columns;
use crate::block::in_order::in_order;
use crate::block::large_values::CutRecord;
use crate::block::layout::Planner;
use crate::block::payload::PayloadCopier;
use crate::block::writer::BlockWriter;
use crate::error::ReadError;
use crate::manifest::BlockRecord;
use crate::signal::{BlockRows, BlockTarget};

/// Records as the columns have them, batch by batch; none after the last.
pub(crate) type Batches<'a, R> =
    Box<dyn FnMut() -> Result<Option<Vec<CutRecord<R>>>, ReadError> + 'a>;

/// A signal whose rows can be read as records, and written again.
pub(crate) trait Rewritable: 'static {
    type Record: 'static;
    type Columns: Columns;
    type Key: Ord;

    /// Reads these rows.
    fn read<'a>(rows: &BlockRows<'a>) -> Result<Batches<'a, Self::Record>, ReadError>;

    /// The order of rows in a block.
    fn sort_key(record: &Self::Record) -> Self::Key;

    /// When it begins and ends.
    fn times(record: &Self::Record) -> (u64, u64);

    /// Of two records with the same key only one stays: whether that is `next`.
    fn supersedes(next: &Self::Record, held: &Self::Record) -> bool;

    /// Tells the planner of a record.
    fn plan(planner: &mut Planner, cut: &CutRecord<Self::Record>);

    /// Prepares `writer` for what it gets of these rows.
    fn begin(
        _writer: &mut BlockWriter<Self::Columns>,
        _target: &BlockTarget,
        _rows: &[BlockRows<'_>],
    ) {
    }

    /// Appends a record of another block, whose large values are copied as they are.
    fn push_from(
        writer: &mut BlockWriter<Self::Columns>,
        cut: &CutRecord<Self::Record>,
        payload: &mut PayloadCopier,
    ) -> io::Result<()>;
}

/// Writes these rows as one block, in order and each record once; none if told to stop.
pub(crate) fn write_rows<S: Rewritable>(
    rows: &[BlockRows<'_>],
    target: BlockTarget,
    is_stopping: &dyn Fn() -> bool,
) -> io::Result<Option<BlockRecord>> {
    let mut planner = Planner::default();
    for part in rows {
        plan::<S>(part, &mut planner).map_err(io::Error::other)?;
    }
    let mut writer = BlockWriter::<S::Columns>::create(target.clone(), planner.finish())?;
    S::begin(&mut writer, &target, rows);
    let (inputs, mut copiers) = open::<S>(rows).map_err(io::Error::other)?;
    let mut held: Option<Numbered<S::Record>> = None;
    let mut write =
        |(input, cut): Numbered<S::Record>| S::push_from(&mut writer, &cut, &mut copiers[input]);
    let key = |(_, cut): &Numbered<S::Record>| S::sort_key(&cut.record);
    let written = in_order(inputs, key, is_stopping, |next| {
        match &mut held {
            // Records of one key are neighbours.
            Some(current) if key(current) == key(&next) => {
                if S::supersedes(&next.1.record, &current.1.record) {
                    *current = next;
                }
                Ok(())
            }
            _ => held.replace(next).map_or(Ok(()), &mut write),
        }
    })?;
    if written.is_break() {
        return Ok(None);
    }
    held.map_or(Ok(()), &mut write)?;
    writer.finish().map(Some)
}

/// Hands when each of these rows begins and ends to `visit`; everything of them is decoded.
pub(crate) fn visit_times<S: Rewritable>(
    rows: &BlockRows<'_>,
    visit: &mut dyn FnMut(u64, u64),
) -> Result<(), ReadError> {
    let mut next = S::read(rows)?;
    while let Some(batch) = next()? {
        for cut in &batch {
            let (start, end) = S::times(&cut.record);
            visit(start, end);
        }
    }
    Ok(())
}

/// Tells the planner of these rows.
fn plan<S: Rewritable>(rows: &BlockRows<'_>, planner: &mut Planner) -> Result<(), ReadError> {
    if rows.block.add_to(planner, S::Columns::kind(), &rows.rows)? {
        return Ok(());
    }
    let mut next = S::read(rows)?;
    while let Some(batch) = next()? {
        batch.iter().for_each(|cut| S::plan(planner, cut));
    }
    Ok(())
}

/// A record, and the number of the input that it came from.
type Numbered<R> = (usize, CutRecord<R>);

/// Numbered records, batch by batch.
type NumberedBatches<'a, R> = Box<dyn FnMut() -> Result<Option<Vec<Numbered<R>>>, ReadError> + 'a>;

/// The inputs of a new block, and for each what copies its large values.
type Inputs<'a, R> = (Vec<NumberedBatches<'a, R>>, Vec<PayloadCopier>);

/// Opens each part as an input.
fn open<'a, S: Rewritable>(rows: &[BlockRows<'a>]) -> Result<Inputs<'a, S::Record>, ReadError> {
    let mut inputs: Vec<NumberedBatches<'a, S::Record>> = Vec::new();
    let mut copiers = Vec::new();
    for (number, part) in rows.iter().enumerate() {
        let mut next = S::read(part)?;
        inputs.push(Box::new(move || {
            let batch = next()?;
            Ok(batch.map(|batch| batch.into_iter().map(|cut| (number, cut)).collect()))
        }));
        copiers.push(PayloadCopier::new(part.block.payload()?, part.is_rescue));
    }
    Ok((inputs, copiers))
}
