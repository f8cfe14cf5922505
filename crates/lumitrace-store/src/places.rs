//! Records in memory: each has a place in one of the batches that came in, and is read there.

use std::sync::Arc;

/// A batch of which records are read in place.
pub(crate) trait Records {
    type Record<'a>
    where
        Self: 'a;

    /// Record number `index`, which it must have.
    fn record(&self, index: usize) -> Self::Record<'_>;
}

/// Where a record is: number of its batch, and its number therein.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) batch: u32,
    pub(crate) record: u32,
}

impl Place {
    /// What is in this place of `batches`.
    pub(crate) fn of<B: Records>(self, batches: &[Arc<B>]) -> B::Record<'_> {
        batches[self.batch as usize].record(self.record as usize)
    }
}

/// Records of a memtable as of one moment, readable without holding it up.
#[derive(Debug)]
pub(crate) struct PlacedRecords<B> {
    batches: Vec<Arc<B>>,
    places: Vec<Place>,
}

impl<B> Clone for PlacedRecords<B> {
    fn clone(&self) -> Self {
        Self {
            batches: self.batches.clone(),
            places: self.places.clone(),
        }
    }
}

impl<B> Default for PlacedRecords<B> {
    fn default() -> Self {
        Self {
            batches: Vec::new(),
            places: Vec::new(),
        }
    }
}

impl<B: Records> PlacedRecords<B> {
    /// What is in these places of `batches`, with no more batches than they need if they are few.
    pub(crate) fn new(batches: &[Arc<B>], mut places: Vec<Place>) -> Self {
        if places.len() >= batches.len() {
            let batches = batches.to_vec();
            return Self { batches, places };
        }
        let mut needed: Vec<Arc<B>> = Vec::new();
        let mut last = None;
        for place in &mut places {
            // Records of one batch mostly follow each other, so that looking at the last one is enough.
            if last != Some(place.batch) {
                last = Some(place.batch);
                needed.push(Arc::clone(&batches[place.batch as usize]));
            }
            place.batch = needed.len() as u32 - 1;
        }
        Self {
            batches: needed,
            places,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn get(&self, index: usize) -> B::Record<'_> {
        self.places[index].of(&self.batches)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = B::Record<'_>> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Puts them in the order of `key`.
    pub(crate) fn sort_by_cached_key<K: Ord>(&mut self, key: impl Fn(B::Record<'_>) -> K) {
        let batches = &self.batches;
        self.places
            .sort_by_cached_key(|place| key(place.of(batches)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Records for Vec<u8> {
        type Record<'a> = u8;

        fn record(&self, index: usize) -> u8 {
            self[index]
        }
    }

    #[test]
    fn few_records_hold_only_the_batches_that_they_are_in() {
        let batches = [vec![1, 2], vec![3], vec![4], vec![5], vec![6]].map(Arc::new);
        let place = |batch, record| Place { batch, record };
        let places = vec![place(3, 0), place(0, 1), place(0, 0)];
        let mut records = PlacedRecords::new(&batches, places);
        assert_eq!(records.batches.len(), 2);
        assert_eq!(records.iter().collect::<Vec<_>>(), [5, 2, 1]);
        records.sort_by_cached_key(|record| record);
        assert_eq!(records.iter().collect::<Vec<_>>(), [1, 2, 5]);
        let all = (0..5).map(|batch| place(batch, 0)).collect();
        assert_eq!(PlacedRecords::new(&batches, all).batches.len(), 5);
    }
}
