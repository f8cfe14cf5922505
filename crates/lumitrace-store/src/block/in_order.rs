//! Rows of several blocks, each in order, as one sequence in this order.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::ops::ControlFlow;

use crate::error::ReadError;

/// Rows after which it is looked whether to stop.
const STOP_EVERY_ROWS: u64 = 4096;

/// Hands what all inputs hold to `take` in the order of `key`; of equal ones those of the first
/// input come first. Breaks if told to stop. Each input comes in batches, and none after the last.
pub(crate) fn in_order<T, K: Ord>(
    inputs: Vec<impl FnMut() -> Result<Option<Vec<T>>, ReadError>>,
    key: impl Fn(&T) -> K,
    is_stopping: &dyn Fn() -> bool,
    mut take: impl FnMut(T) -> io::Result<()>,
) -> io::Result<ControlFlow<()>> {
    let mut inputs: Vec<Input<_, T>> = inputs.into_iter().map(Input::new).collect();
    let mut heap = BinaryHeap::new();
    for (number, input) in inputs.iter_mut().enumerate() {
        heap.extend(input.peek()?.map(|first| Reverse((key(first), number))));
    }
    let mut taken = 0_u64;
    while let Some(Reverse((_, number))) = heap.pop() {
        let input = &mut inputs[number];
        if let Some(row) = input.batch.pop_front() {
            take(row)?;
        }
        heap.extend(input.peek()?.map(|next| Reverse((key(next), number))));
        taken += 1;
        if taken.is_multiple_of(STOP_EVERY_ROWS) && is_stopping() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

struct Input<F, T> {
    next_batch: F,
    batch: VecDeque<T>,
}

impl<F: FnMut() -> Result<Option<Vec<T>>, ReadError>, T> Input<F, T> {
    fn new(next_batch: F) -> Self {
        Self {
            next_batch,
            batch: VecDeque::new(),
        }
    }

    fn peek(&mut self) -> io::Result<Option<&T>> {
        if self.batch.is_empty() {
            let batch = (self.next_batch)().map_err(io::Error::other)?;
            self.batch = batch.unwrap_or_default().into();
        }
        Ok(self.batch.front())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_become_one_sequence_in_order() {
        let inputs = [vec![vec![1, 4], vec![9]], vec![vec![4, 5]], vec![]];
        let inputs = inputs.map(|batches: Vec<Vec<u32>>| {
            let mut batches = batches.into_iter();
            move || Ok(batches.next())
        });
        let mut taken = Vec::new();
        let done = in_order(
            Vec::from(inputs),
            |row| *row,
            &|| false,
            |row| {
                taken.push(row);
                Ok(())
            },
        );
        assert!(done.unwrap().is_continue());
        assert_eq!(taken, [1, 4, 4, 5, 9]);
    }
}
