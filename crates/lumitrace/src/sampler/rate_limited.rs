//! So many traces a second.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Sampler, SamplingDecision, SamplingParameters, SamplingResult};
use crate::clock;

const SECOND_NANO: f64 = 1e9;

/// Records a limited number of traces a second, whatever their number is.
///
/// A bucket holds the traces of one second, at least one: after idle time that many may start at once,
/// and never more. Time is the monotonic clock's. Each process has its own bucket. To be asked for roots
/// only, it stands in a [`ParentBased`](super::ParentBased).
///
/// ```
/// use lumitrace::sampler::{ParentBased, RateLimited};
/// let ten_a_second = ParentBased::new(RateLimited::per_second(10.0));
/// let one_a_minute = ParentBased::new(RateLimited::per_second(1.0 / 60.0));
/// # let _unused = (ten_a_second, one_a_minute);
/// ```
#[derive(Debug)]
pub struct RateLimited {
    bucket: TokenBucket,
}

impl RateLimited {
    /// Records at most `traces` a second; 0, less and NaN mean none, infinity all.
    pub fn per_second(traces: f64) -> Self {
        Self {
            bucket: TokenBucket::per_second(traces),
        }
    }
}

impl Sampler for RateLimited {
    fn should_sample(&self, _: &SamplingParameters<'_>) -> SamplingResult {
        match self.bucket.take() {
            true => SamplingDecision::RecordAndSample.into(),
            false => SamplingDecision::Drop.into(),
        }
    }

    fn reads_attributes(&self) -> bool {
        false
    }
}

/// A bucket of tokens that fills steadily, in one number and without a lock: the time at which it would
/// be full again (the generic cell rate algorithm, ITU-T I.371). Who finds it empty changes nothing, so
/// threads do not fight over it then.
#[derive(Debug)]
pub(super) struct TokenBucket {
    /// Time in which a token comes; `None`: none ever does.
    interval_nano: Option<u64>,
    /// Time in which all tokens but one come.
    tolerance_nano: u64,
    full_at_nano: AtomicU64,
}

impl TokenBucket {
    /// Of `tokens` a second, full at first: of those of one second, at least one.
    pub(super) fn per_second(tokens: f64) -> Self {
        // Rounded up, so that it is never more than asked for. Casts of what is too large saturate.
        let interval_nano = (tokens > 0.0).then(|| (SECOND_NANO / tokens).ceil().max(1.0) as u64);
        let others = (tokens.max(1.0) as u64).saturating_sub(1);
        Self {
            interval_nano,
            tolerance_nano: interval_nano.unwrap_or(0).saturating_mul(others),
            full_at_nano: AtomicU64::new(0),
        }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&self) -> bool {
        self.interval_nano.is_some() && self.take_at(clock::monotonic_nano())
    }

    /// Takes a token, if there is one at `now_nano` of a clock that began at 0.
    fn take_at(&self, now_nano: u64) -> bool {
        let Some(interval_nano) = self.interval_nano else {
            return false;
        };
        let latest = now_nano.saturating_add(self.tolerance_nano);
        let taken =
            self.full_at_nano
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
                    (full_at <= latest).then(|| full_at.max(now_nano).saturating_add(interval_nano))
                });
        taken.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{root, samples};
    use super::*;

    /// The model: a bucket that counts what flowed in since it was last looked at, in parts of a token
    /// that come in a nanosecond.
    struct Model {
        token: u64,
        capacity: u64,
        content: u64,
        last_nano: u64,
    }

    impl Model {
        fn take_at(&mut self, now_nano: u64) -> bool {
            let inflow = now_nano - self.last_nano;
            self.last_nano = now_nano;
            self.content = self.capacity.min(self.content + inflow);
            let is_there = self.content >= self.token;
            if is_there {
                self.content -= self.token;
            }
            is_there
        }
    }

    proptest! {
        #[test]
        fn a_bucket_behaves_like_one_that_counts_its_tokens(
            rate in prop_oneof![0.01..1.0_f64, 1.0..50.0_f64, 50.0..1e6_f64],
            steps in prop::collection::vec((0..40_u64, 0..2_000_000_000_u64), 1..200),
        ) {
            let bucket = TokenBucket::per_second(rate);
            let token = bucket.interval_nano.unwrap();
            let capacity = token * rate.max(1.0) as u64;
            let mut model = Model { token, capacity, content: capacity, last_nano: 0 };
            let mut now_nano = 0;
            for (scale, step) in steps {
                // Steps of all sizes, and several spans at the same moment.
                now_nano += step >> scale;
                prop_assert_eq!(bucket.take_at(now_nano), model.take_at(now_nano));
            }
        }

        #[test]
        fn no_stretch_of_time_gets_more_than_a_full_bucket_and_what_flows_in_meanwhile(
            rate in 0.1..200.0_f64,
            steps in prop::collection::vec(0..300_000_000_u64, 1..300),
        ) {
            let bucket = TokenBucket::per_second(rate);
            let mut now_nano = 0;
            let mut taken = Vec::new();
            for step in steps {
                now_nano += step;
                if bucket.take_at(now_nano) {
                    taken.push(now_nano);
                }
            }
            for (first, from) in taken.iter().enumerate() {
                for (last, to) in taken.iter().enumerate().skip(first) {
                    let most = rate.max(1.0) + rate * (to - from) as f64 / SECOND_NANO;
                    prop_assert!((last - first + 1) as f64 <= most + 1e-6);
                }
            }
        }
    }

    #[test]
    fn threads_that_take_at_the_same_moment_get_exactly_what_is_there() {
        let bucket = TokenBucket::per_second(100.0);
        let taken = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mine = (0..1000).filter(|_| bucket.take_at(7)).count();
                    taken.fetch_add(mine as u64, Ordering::Relaxed);
                });
            }
        });
        assert_eq!(taken.into_inner(), 100);
    }

    #[test]
    fn rates_that_are_none_record_nothing_and_an_infinite_one_everything() {
        for none in [0.0, -1.0, f64::NAN, f64::NEG_INFINITY] {
            assert!(
                !samples(&RateLimited::per_second(none), root("work")),
                "{none}"
            );
        }
        let (all, hardly_any) = (
            RateLimited::per_second(f64::INFINITY),
            RateLimited::per_second(f64::MIN_POSITIVE),
        );
        assert!((0..1000).all(|_| samples(&all, root("work"))));
        assert_eq!(
            (0..1000)
                .filter(|_| samples(&hardly_any, root("work")))
                .count(),
            1
        );
    }
}
