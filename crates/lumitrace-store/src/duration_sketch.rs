//! How long spans took, in buckets: any percentile can be told to within one percent, and sketches
//! of different spans add up to the sketch of all of them.
//!
//! The idea is DDSketch's (Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile
//! sketch with relative-error guarantees", VLDB 2019): buckets that grow with what they hold. Ours
//! have whole numbers as bounds in place of powers of a fraction, so that the same durations make the
//! same bytes on every machine: bucket 0 holds 0, and each bucket begins where the one before ends
//! and is a fiftieth of its first value wide, rounded down, but at least 1.

use crate::binary::{Fields, PutFields};

/// A bucket is at most this part of its first value wide: its middle is within a hundredth of all
/// that it holds.
const WIDTH_DIVISOR: u64 = 50;
/// Up to here each value has a bucket of its own.
const EXACT_BELOW: u64 = 2 * WIDTH_DIVISOR;
/// How many buckets there are for 64 bits.
const BUCKETS: usize = bucket_count();
/// The least value of each bucket.
static BOUNDS: [u64; BUCKETS] = bounds();
/// For each power of two the bucket that holds it.
static BUCKET_OF_POWER: [u16; 64] = buckets_of_powers();

/// The least value of the bucket after the one that begins with `bound`; none beyond 64 bits.
const fn next_bound(bound: u64) -> Option<u64> {
    let width = bound / WIDTH_DIVISOR;
    bound.checked_add(if width == 0 { 1 } else { width })
}

const fn bucket_count() -> usize {
    let (mut count, mut bound) = (1, 0);
    while let Some(next) = next_bound(bound) {
        (count, bound) = (count + 1, next);
    }
    count
}

const fn bounds() -> [u64; BUCKETS] {
    let mut bounds = [0; BUCKETS];
    let mut bucket = 1;
    while bucket < BUCKETS {
        if let Some(bound) = next_bound(bounds[bucket - 1]) {
            bounds[bucket] = bound;
        }
        bucket += 1;
    }
    bounds
}

const fn buckets_of_powers() -> [u16; 64] {
    let bounds = bounds();
    let mut buckets = [0; 64];
    let (mut bucket, mut power) = (0, 0);
    while power < 64 {
        while bucket + 1 < BUCKETS && bounds[bucket + 1] <= 1 << power {
            bucket += 1;
        }
        buckets[power] = bucket as u16;
        power += 1;
    }
    buckets
}

fn bucket_of(duration_nano: u64) -> u16 {
    if duration_nano < EXACT_BELOW {
        return duration_nano as u16;
    }
    let power = duration_nano.ilog2() as usize;
    let first = usize::from(BUCKET_OF_POWER[power]);
    let last = BUCKET_OF_POWER.get(power + 1).copied();
    let last = last.map_or(BUCKETS - 1, usize::from);
    let after = BOUNDS[first..=last].partition_point(|bound| *bound <= duration_nano);
    (first + after - 1) as u16
}

/// The middle of a bucket.
fn middle_of(bucket: u16) -> u64 {
    let bucket = usize::from(bucket);
    let first = BOUNDS[bucket];
    let last = BOUNDS.get(bucket + 1).map_or(u64::MAX, |next| next - 1);
    first + (last - first) / 2
}

/// The durations of some spans: their number, sum and maximum exactly, percentiles to within one
/// percent.
///
/// ```
/// use lumitrace_store::DurationSketch;
/// let mut sketch = DurationSketch::default();
/// (1..=1_000).for_each(|micros| sketch.add(micros * 1_000));
/// assert_eq!((sketch.count(), sketch.max_nano()), (1_000, 1_000_000));
/// let p95 = sketch.quantile_nano(0.95).unwrap();
/// assert!(p95.abs_diff(950_000) <= 9_500);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DurationSketch {
    count: u64,
    sum_nano: u128,
    max_nano: u64,
    /// Buckets that hold something, ascending, and how many durations.
    buckets: Vec<(u16, u64)>,
}

impl DurationSketch {
    /// Adds the duration of a span, in nanoseconds.
    pub fn add(&mut self, duration_nano: u64) {
        self.count = self.count.saturating_add(1);
        self.sum_nano = self.sum_nano.saturating_add(duration_nano.into());
        self.max_nano = self.max_nano.max(duration_nano);
        let bucket = bucket_of(duration_nano);
        match self.buckets.binary_search_by_key(&bucket, |(own, _)| *own) {
            Ok(place) => self.buckets[place].1 = self.buckets[place].1.saturating_add(1),
            Err(place) => self.buckets.insert(place, (bucket, 1)),
        }
    }

    /// Adds the durations in another sketch.
    ///
    /// ```
    /// use lumitrace_store::DurationSketch;
    /// let (mut all, mut more) = (DurationSketch::default(), DurationSketch::default());
    /// all.add(10);
    /// more.add(30);
    /// all.merge(&more);
    /// assert_eq!((all.count(), all.sum_nano(), all.quantile_nano(0.5)), (2, 40, Some(10)));
    /// ```
    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum_nano = self.sum_nano.saturating_add(other.sum_nano);
        self.max_nano = self.max_nano.max(other.max_nano);
        let (mut place, known) = (0, self.buckets.len());
        for (bucket, count) in &other.buckets {
            while place < known && self.buckets[place].0 < *bucket {
                place += 1;
            }
            match self.buckets.get_mut(place) {
                Some((own, sum)) if own == bucket => *sum = sum.saturating_add(*count),
                _ => self.buckets.push((*bucket, *count)),
            }
        }
        if self.buckets.len() > known {
            // Two ascending runs, which a stable sort merges.
            self.buckets.sort_by_key(|(bucket, _)| *bucket);
        }
    }

    /// Forgets everything but keeps the memory.
    pub(crate) fn clear(&mut self) {
        (self.count, self.sum_nano, self.max_nano) = (0, 0, 0);
        self.buckets.clear();
    }

    /// How many durations were added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether none was added.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Their sum, in nanoseconds.
    pub fn sum_nano(&self) -> u128 {
        self.sum_nano
    }

    /// The longest, in nanoseconds; zero if there is none.
    pub fn max_nano(&self) -> u64 {
        self.max_nano
    }

    /// The duration that a part `quantile` (0 to 1) of the spans does not exceed, in nanoseconds, to
    /// within one percent: of `n` durations by length number `ceil(quantile * n)`. None if there is
    /// none.
    pub fn quantile_nano(&self, quantile: f64) -> Option<u64> {
        let rank = (quantile.clamp(0.0, 1.0) * self.count as f64).ceil() as u64;
        let rank = rank.max(1);
        if rank >= self.count {
            return (self.count > 0).then_some(self.max_nano);
        }
        let mut before = 0_u64;
        let holds_rank = |(_, count): &&(u16, u64)| {
            before = before.saturating_add(*count);
            before >= rank
        };
        let (bucket, _) = self.buckets.iter().find(holds_rank)?;
        Some(middle_of(*bucket).min(self.max_nano))
    }

    /// Writes it as rollups keep it (`docs/formats/store.md`). It must not be empty.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        if self.count == 1 {
            out.put_varint(0);
            out.put_varint(self.max_nano);
            return;
        }
        out.put_varint(self.buckets.len() as u64);
        // 584 years of one operation within a day are more than a u64 must hold.
        out.put_varint(u64::try_from(self.sum_nano).unwrap_or(u64::MAX));
        out.put_varint(self.max_nano);
        let mut last = 0;
        for (bucket, count) in &self.buckets {
            let step = u64::from(bucket - last) << 1;
            last = *bucket;
            if *count == 1 {
                out.put_varint(step);
            } else {
                out.put_varint(step | 1);
                out.put_varint(count - 2);
            }
        }
    }

    /// Reads what [`encode`](Self::encode) wrote; false if it is something else. What was in this
    /// sketch before is gone.
    pub(crate) fn decode(&mut self, fields: &mut Fields<'_>) -> bool {
        self.clear();
        self.try_decode(fields).is_some()
    }

    fn try_decode(&mut self, fields: &mut Fields<'_>) -> Option<()> {
        let buckets = fields.varint()?;
        if buckets == 0 {
            self.add(fields.varint()?);
            return Some(());
        }
        self.sum_nano = fields.varint()?.into();
        self.max_nano = fields.varint()?;
        let mut bucket = 0_u16;
        for index in 0..buckets {
            let step = fields.varint()?;
            let count = match step & 1 {
                0 => 1,
                _ => fields.varint()?.checked_add(2)?,
            };
            let step = u16::try_from(step >> 1).ok()?;
            bucket = bucket.checked_add(step)?;
            if usize::from(bucket) >= BUCKETS || (index > 0 && step == 0) {
                return None;
            }
            self.count = self.count.checked_add(count)?;
            self.buckets.push((bucket, count));
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn sketch(durations: &[u64]) -> DurationSketch {
        let mut sketch = DurationSketch::default();
        durations.iter().for_each(|duration| sketch.add(*duration));
        sketch
    }

    fn duration() -> impl Strategy<Value = u64> {
        let of_any_length = (any::<u64>(), 0..64_u32).prop_map(|(value, bits)| value >> bits);
        let bounds = (1..BUCKETS, 0..2_u64).prop_map(|(bucket, less)| BOUNDS[bucket] - less);
        prop_oneof![of_any_length, bounds]
    }

    #[test]
    fn buckets_follow_each_other_and_are_narrow() {
        assert!(BUCKETS < usize::from(u16::MAX) / 2, "{BUCKETS}");
        for (bucket, bound) in BOUNDS.iter().enumerate() {
            assert_eq!(usize::from(bucket_of(*bound)), bucket);
            if let Some(next) = BOUNDS.get(bucket + 1) {
                assert_eq!(usize::from(bucket_of(next - 1)), bucket);
                assert!(next - bound <= 1 || (next - bound) * WIDTH_DIVISOR <= *bound);
            }
        }
        assert_eq!(usize::from(bucket_of(u64::MAX)), BUCKETS - 1);
    }

    #[test]
    fn an_empty_sketch_has_no_percentiles() {
        assert_eq!(DurationSketch::default().quantile_nano(0.5), None);
    }

    proptest! {
        #[test]
        fn percentiles_are_within_a_hundredth_of_the_exact_ones(
            mut durations in vec(duration(), 1..200),
            quantile in 0.0..=1.0_f64,
        ) {
            let found = sketch(&durations).quantile_nano(quantile).unwrap();
            durations.sort_unstable();
            let rank = (quantile * durations.len() as f64).ceil().max(1.0) as usize;
            let exact = durations[rank - 1];
            let difference = u128::from(found.abs_diff(exact));
            prop_assert!(difference * 100 <= u128::from(exact), "{found} {exact}");
        }

        #[test]
        fn merged_sketches_are_that_of_all_durations(
            left in vec(duration(), 0..100),
            right in vec(duration(), 0..100),
        ) {
            let mut merged = sketch(&left);
            merged.merge(&sketch(&right));
            prop_assert_eq!(merged, sketch(&[left, right].concat()));
        }

        #[test]
        fn what_was_written_is_read_back(durations in vec(duration(), 1..100)) {
            // Their sum fits into 64 bits.
            let durations: Vec<u64> = durations.iter().map(|duration| duration >> 7).collect();
            let sketch = sketch(&durations);
            let mut bytes = Vec::new();
            sketch.encode(&mut bytes);
            let mut fields = Fields::new(&bytes);
            let mut again = self::sketch(&[7, 8]);
            prop_assert!(again.decode(&mut fields));
            prop_assert!(fields.take(1).is_none());
            prop_assert_eq!(again, sketch);
        }
    }
}
