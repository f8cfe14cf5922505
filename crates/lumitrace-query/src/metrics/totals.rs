//! From totals to what was added to them between two points.
//!
//! A cumulative total is counted since a start, and a program that begins again begins with another
//! start: points of one start are one stream, whatever comes between them. Not every sender keeps to
//! that, so a total that may not fall, and has, was begun anew as well (OpenTelemetry's metrics data
//! model, "Resets and gaps").

use std::collections::HashMap;

use lumitrace_model::{AggregationTemporality, Number};

/// Something that is counted up.
pub(super) trait Total: Sized {
    /// What is added to it.
    type Part;

    /// All of it, as what was added since its start.
    fn whole(&self) -> Self::Part;

    /// How it came to this from `earlier`, which has the same start.
    fn since(&self, earlier: &Self) -> Change<Self::Part>;
}

/// What became of a total.
#[derive(Debug, PartialEq)]
pub(super) enum Change<P> {
    /// This was added.
    Added(P),
    /// It was begun anew.
    BegunAnew,
    /// The two cannot be compared.
    Unknown,
}

/// What was added within some time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Increment<P> {
    /// When that time began, in nanoseconds since the Unix epoch; none if nobody knows.
    pub(super) start_unix_nano: Option<u64>,
    /// When it ended.
    pub(super) end_unix_nano: u64,
    /// What was added.
    pub(super) part: P,
}

/// When a point was taken, and since when it counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct PointTimes {
    pub(super) start_unix_nano: u64,
    pub(super) time_unix_nano: u64,
    pub(super) temporality: AggregationTemporality,
}

/// The points of one series so far.
pub(super) struct Totals<T> {
    /// The earliest time of which points are known.
    from_unix_nano: u64,
    /// The last point of each stream, by its start.
    streams: HashMap<u64, (u64, T)>,
    last_delta_unix_nano: Option<u64>,
}

impl<T: Total> Totals<T> {
    /// A series of which no points before `from_unix_nano` are known.
    pub(super) fn new(from_unix_nano: u64) -> Self {
        Self {
            from_unix_nano,
            streams: HashMap::new(),
            last_delta_unix_nano: None,
        }
    }

    /// What a point adds, which comes after all before it; none where that cannot be known: at the
    /// first point of a stream that began before, and where the sender did not say what its points
    /// count from.
    pub(super) fn add(&mut self, times: PointTimes, total: T) -> Option<Increment<T::Part>> {
        match times.temporality {
            AggregationTemporality::Delta => Some(self.add_delta(times, &total)),
            AggregationTemporality::Cumulative => self.add_cumulative(times, total),
            AggregationTemporality::Unspecified => None,
        }
    }

    fn add_delta(&mut self, times: PointTimes, total: &T) -> Increment<T::Part> {
        let end = times.time_unix_nano;
        let before = self.last_delta_unix_nano.replace(end);
        let said = Some(times.start_unix_nano).filter(|start| *start > 0);
        Increment {
            start_unix_nano: said.or(before).filter(|start| *start < end),
            end_unix_nano: end,
            part: total.whole(),
        }
    }

    fn add_cumulative(&mut self, times: PointTimes, total: T) -> Option<Increment<T::Part>> {
        let (start, end) = (times.start_unix_nano, times.time_unix_nano);
        let whole = total.whole();
        let increment = |start, part| Increment {
            start_unix_nano: Some(start),
            end_unix_nano: end,
            part,
        };
        let stream = self.streams.get(&start);
        let found = match stream {
            // Of two points of the same time nobody knows which comes first.
            Some((before, _)) if *before >= end => None,
            Some((before, earlier)) => match total.since(earlier) {
                Change::Added(part) => Some(increment(*before, part)),
                Change::BegunAnew => Some(increment(*before, whole)),
                Change::Unknown => None,
            },
            // A start that is the point's own time says that it is not known.
            None if start > 0 && start < end && start >= self.from_unix_nano => {
                Some(increment(start, whole))
            }
            None => None,
        };
        self.streams.insert(start, (end, total));
        found
    }
}

/// The number of a sum.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum {
    pub(super) number: Number,
    /// Whether it never falls unless it is begun anew.
    pub(super) is_monotonic: bool,
}

impl Total for Sum {
    type Part = f64;

    fn whole(&self) -> f64 {
        self.number.as_f64()
    }

    fn since(&self, earlier: &Self) -> Change<f64> {
        let added = match (self.number, earlier.number) {
            // Exact also where doubles are not.
            (Number::Int(now), Number::Int(then)) => (i128::from(now) - i128::from(then)) as f64,
            (now, then) => now.as_f64() - then.as_f64(),
        };
        if self.is_monotonic && added < 0.0 {
            return Change::BegunAnew;
        }
        Change::Added(added)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AggregationTemporality::{Cumulative, Delta, Unspecified};
    use proptest::prelude::*;

    /// What points add of (start, time, number), each as (start, end, added).
    fn increments(
        from: u64,
        temporality: AggregationTemporality,
        points: &[(u64, u64, i64)],
    ) -> Vec<(Option<u64>, u64, f64)> {
        let mut totals = Totals::new(from);
        let add = |&(start_unix_nano, time_unix_nano, number): &(u64, u64, i64)| {
            let times = PointTimes {
                start_unix_nano,
                time_unix_nano,
                temporality,
            };
            let sum = Sum {
                number: Number::Int(number),
                is_monotonic: true,
            };
            let found = totals.add(times, sum)?;
            Some((found.start_unix_nano, found.end_unix_nano, found.part))
        };
        points.iter().filter_map(add).collect()
    }

    #[test]
    fn a_cumulative_total_adds_what_it_grew_by() {
        let points = [(5, 10, 7), (5, 20, 9), (5, 30, 9)];
        let all = [(Some(5), 10, 7.0), (Some(10), 20, 2.0), (Some(20), 30, 0.0)];
        assert_eq!(increments(0, Cumulative, &points), all);
        // What was counted before the range is not known to be within it.
        assert_eq!(increments(6, Cumulative, &points), all[1..]);
    }

    #[test]
    fn a_total_that_was_begun_anew_counts_from_its_new_start() {
        let with_start = [(5, 10, 7), (12, 20, 3), (12, 30, 4)];
        assert_eq!(
            increments(6, Cumulative, &with_start),
            [(Some(12), 20, 3.0), (Some(20), 30, 1.0)]
        );
        let without = [(0, 10, 7), (0, 20, 3), (0, 30, 4)];
        assert_eq!(
            increments(0, Cumulative, &without),
            [(Some(10), 20, 3.0), (Some(20), 30, 1.0)]
        );
        let interleaved = [(5, 10, 7), (6, 11, 100), (5, 20, 8), (6, 21, 101)];
        let added = increments(7, Cumulative, &interleaved);
        assert_eq!(added, [(Some(10), 20, 1.0), (Some(11), 21, 1.0)]);
    }

    #[test]
    fn a_delta_is_what_was_added_and_says_itself_since_when() {
        let points = [(5, 10, 7), (10, 20, 9), (0, 30, 1)];
        assert_eq!(
            increments(99, Delta, &points),
            [(Some(5), 10, 7.0), (Some(10), 20, 9.0), (Some(20), 30, 1.0)]
        );
        assert_eq!(increments(0, Delta, &[(0, 10, 7)]), [(None, 10, 7.0)]);
        assert_eq!(increments(0, Unspecified, &points), []);
    }

    #[test]
    fn a_sum_that_may_fall_adds_less_than_nothing() {
        let sum = |number, is_monotonic| Sum {
            number,
            is_monotonic,
        };
        let large = |number| sum(Number::Int(number), true);
        let [one, other] = [i64::MAX, i64::MAX - 1].map(large);
        assert_eq!(one.since(&other), Change::Added(1.0));
        assert_eq!(other.since(&one), Change::BegunAnew);
        let falling = sum(Number::Double(0.5), false).since(&sum(Number::Int(2), false));
        assert_eq!(falling, Change::Added(-1.5));
        let nan = sum(Number::Double(f64::NAN), true).since(&one);
        assert!(matches!(nan, Change::Added(added) if added.is_nan()));
    }

    proptest! {
        #[test]
        fn increments_add_up_to_what_was_counted_whatever_began_anew(
            // Of each process: how much it counts before each of its points.
            processes in prop::collection::vec(prop::collection::vec(0..9_i64, 1..5), 1..5),
        ) {
            let (mut time, mut points) = (0, Vec::new());
            for counted in &processes {
                time += 1;
                let (start, mut total) = (time, 0);
                for count in counted {
                    time += 1;
                    total += count;
                    points.push((start, time, total));
                }
            }
            let added = increments(0, Cumulative, &points);
            let sum: f64 = added.iter().map(|(_, _, added)| added).sum();
            let counted: i64 = processes.iter().flatten().sum();
            prop_assert_eq!(sum, counted as f64);
            prop_assert!(added.iter().all(|(start, end, _)| *start < Some(*end)));
        }
    }
}
