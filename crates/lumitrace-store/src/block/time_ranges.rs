//! When the spans of a block start: in ranges that leave out the largest gaps.
//!
//! One span whose clock says 1970 or 2100, or one that comes a week late, would otherwise make its
//! block one that every search has to look into. So it has a range of its own, and the rows of each
//! range lie side by side. Metric points lie in the order of their series: of theirs a range says how many
//! they are, not where.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

use crate::binary::{Fields, PutFields};
use crate::scan::SCAN_WINDOW_NANO;

/// Most ranges of a block.
const MAX_RANGES: usize = 16;

/// Spans of a block that start between two gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TimeRange {
    /// From the earliest to the latest start.
    pub(crate) starts: RangeInclusive<u64>,
    /// Of a block that is not sorted by window only their number means something.
    pub(crate) rows: Range<usize>,
}

impl TimeRange {
    /// Whether there may be spans that start in `starts`.
    pub(crate) fn overlaps(&self, starts: &RangeInclusive<u64>) -> bool {
        self.starts.start() <= starts.end() && self.starts.end() >= starts.start()
    }
}

/// A stretch of time in which no span starts.
#[derive(Debug, Clone, Copy)]
struct Gap {
    last_before: u64,
    first_after: u64,
    /// The first row after it.
    row: usize,
}

impl Gap {
    /// Longer gaps come first; of gaps as long the earlier one.
    fn rank(&self) -> (Reverse<u64>, usize) {
        (Reverse(self.first_after - self.last_before), self.row)
    }
}

/// The spans that start in one window.
#[derive(Debug, Clone, Copy)]
struct Window {
    number: u64,
    first: u64,
    last: u64,
    count: usize,
}

impl Window {
    /// Of one span.
    fn of(start_unix_nano: u64) -> Self {
        Self {
            number: start_unix_nano / SCAN_WINDOW_NANO,
            first: start_unix_nano,
            last: start_unix_nano,
            count: 1,
        }
    }

    fn add(&mut self, other: Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.count += other.count;
    }
}

/// Finds the ranges of spans that come in the order of a block, sorted by window, or of points that come
/// in another.
#[derive(Debug, Default)]
pub(crate) struct TimeRangesBuilder {
    /// Before the current window.
    rows: usize,
    first_start: u64,
    /// The latest start in the windows before the current one.
    last_before: Option<u64>,
    window: Option<Window>,
    /// The windows of what is not sorted by them.
    unsorted: BTreeMap<u64, Window>,
    /// The longest gaps so far, by rank.
    gaps: Vec<Gap>,
}

impl TimeRangesBuilder {
    /// Adds the next row of a block that is sorted by window.
    pub(crate) fn add(&mut self, start_unix_nano: u64) {
        self.add_window(Window::of(start_unix_nano));
    }

    /// Adds a row of a block that is sorted in another way.
    pub(crate) fn add_unsorted(&mut self, start_unix_nano: u64) {
        let added = Window::of(start_unix_nano);
        self.unsorted
            .entry(added.number)
            .and_modify(|window| window.add(added))
            .or_insert(added);
    }

    fn add_window(&mut self, added: Window) {
        match &mut self.window {
            Some(window) if window.number == added.number => window.add(added),
            _ => {
                self.end_window();
                self.window = Some(added);
            }
        }
    }

    fn end_window(&mut self) {
        let Some(window) = self.window.take() else {
            return;
        };
        match self.last_before.replace(window.last) {
            None => self.first_start = window.first,
            // Shorter gaps are between any two windows.
            Some(before) if window.first - before <= SCAN_WINDOW_NANO => {}
            Some(last_before) => {
                let gap = Gap {
                    last_before,
                    first_after: window.first,
                    row: self.rows,
                };
                let place = self.gaps.partition_point(|other| other.rank() < gap.rank());
                self.gaps.insert(place, gap);
                self.gaps.truncate(MAX_RANGES - 1);
            }
        }
        self.rows += window.count;
    }

    pub(crate) fn finish(mut self) -> Vec<TimeRange> {
        let unsorted = std::mem::take(&mut self.unsorted);
        unsorted
            .into_values()
            .for_each(|window| self.add_window(window));
        self.end_window();
        let Some(last_start) = self.last_before else {
            return Vec::new();
        };
        self.gaps.sort_unstable_by_key(|gap| gap.row);
        let (mut first, mut row) = (self.first_start, 0);
        let mut ranges = Vec::with_capacity(self.gaps.len() + 1);
        for gap in self.gaps {
            ranges.push(TimeRange {
                starts: first..=gap.last_before,
                rows: row..gap.row,
            });
            (first, row) = (gap.first_after, gap.row);
        }
        ranges.push(TimeRange {
            starts: first..=last_start,
            rows: row..self.rows,
        });
        ranges
    }
}

/// Writes the section of the sidecar.
pub(crate) fn encode(ranges: &[TimeRange]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_varint(ranges.len() as u64);
    let mut last_before = 0;
    for range in ranges {
        let (first, last) = (*range.starts.start(), *range.starts.end());
        out.put_varint(first - last_before);
        out.put_varint(last - first);
        out.put_varint(range.rows.len() as u64);
        last_before = last;
    }
    out
}

/// Reads what [`encode`] wrote; `None` if it is something else.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<TimeRange>> {
    let mut fields = Fields::new(bytes);
    let count = fields.varint()?;
    if count > MAX_RANGES as u64 {
        return None;
    }
    let (mut last, mut row) = (0_u64, 0_usize);
    let mut range = || {
        let first = last.checked_add(fields.varint()?)?;
        last = first.checked_add(fields.varint()?)?;
        let first_row = row;
        row = row.checked_add(usize::try_from(fields.varint()?).ok()?)?;
        Some(TimeRange {
            starts: first..=last,
            rows: first_row..row,
        })
    };
    (0..count).map(|_| range()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const WINDOW: u64 = SCAN_WINDOW_NANO;

    fn ranges(starts: &[u64]) -> Vec<TimeRange> {
        let mut builder = TimeRangesBuilder::default();
        starts.iter().for_each(|start| builder.add(*start));
        builder.finish()
    }

    fn range(starts: RangeInclusive<u64>, rows: Range<usize>) -> TimeRange {
        TimeRange { starts, rows }
    }

    #[test]
    fn spans_with_wrong_clocks_have_ranges_of_their_own() {
        let now = 170_000_000 * WINDOW;
        // Within a window there is no order.
        let starts = [
            0,
            now + 9,
            now + 5,
            now + WINDOW,
            now + 2 * WINDOW,
            u64::MAX,
        ];
        let expected = [
            range(0..=0, 0..1),
            range(now + 5..=now + 2 * WINDOW, 1..5),
            range(u64::MAX..=u64::MAX, 5..6),
        ];
        assert_eq!(ranges(&starts), expected);
        assert!(ranges(&[]).is_empty());
    }

    #[test]
    fn the_longest_gaps_are_left_out_and_of_gaps_as_long_the_earliest() {
        let starts: Vec<u64> = (0..40).map(|number| number * 3 * WINDOW).collect();
        let found = ranges(&starts);
        assert_eq!(found.len(), MAX_RANGES);
        assert_eq!(found[0], range(0..=0, 0..1));
        assert_eq!(found[15].rows, 15..40);
        let mut with_a_longer_one = starts;
        with_a_longer_one.push(39 * 3 * WINDOW + 4 * WINDOW);
        assert_eq!(ranges(&with_a_longer_one)[15].rows, 40..41);
    }

    proptest! {
        #[test]
        fn the_order_of_points_changes_no_range(mut starts in vec(0..1_000 * WINDOW, 1..60)) {
            let mut unsorted = TimeRangesBuilder::default();
            starts.iter().for_each(|start| unsorted.add_unsorted(*start));
            starts.sort_unstable();
            prop_assert_eq!(unsorted.finish(), ranges(&starts));
        }

        #[test]
        fn every_span_is_in_the_range_of_its_row_and_bounds_are_exact(
            windows in vec(prop_oneof![0..50_u64, 0..1_000_000_u64], 1..60),
            offsets in vec(0..WINDOW, 60),
        ) {
            let mut starts: Vec<u64> =
                windows.iter().zip(offsets).map(|(window, offset)| window * WINDOW + offset).collect();
            starts.sort_by_key(|start| start / WINDOW);
            let found = ranges(&starts);
            prop_assert!(found.len() <= MAX_RANGES);
            prop_assert_eq!(found.iter().map(|range| range.rows.len()).sum::<usize>(), starts.len());
            for range in &found {
                let inside = &starts[range.rows.clone()];
                prop_assert_eq!(inside.iter().min(), Some(range.starts.start()));
                prop_assert_eq!(inside.iter().max(), Some(range.starts.end()));
            }
            let bytes = encode(&found);
            prop_assert_eq!(decode(&bytes), Some(found));
            for end in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes[..end]), None);
            }
        }
    }
}
