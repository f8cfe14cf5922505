//! Steps into which a range of time is divided.

use std::num::NonZeroU64;

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// Lengths of steps, in nanoseconds. Where they can, they are multiples of those of the store's
/// rollups (a minute, ten minutes, an hour, a day), so that few spans must be read.
const STEPS_NANO: [u64; 17] = [
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    20 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
];

/// The shortest step that divides a range into at most so many.
pub(crate) fn step_nano(range_nano: u64, steps: NonZeroU64) -> NonZeroU64 {
    let least = range_nano.div_ceil(steps.get());
    let listed = STEPS_NANO.into_iter().find(|step| *step >= least);
    let step = listed.unwrap_or_else(|| least.div_ceil(DAY).saturating_mul(DAY));
    NonZeroU64::new(step).unwrap_or(NonZeroU64::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_divided_into_at_most_as_many_steps_as_are_asked_for() {
        let of = |range, steps| step_nano(range, NonZeroU64::new(steps).unwrap()).get();
        assert_eq!(of(HOUR, 60), MINUTE);
        assert_eq!(of(HOUR, 50), 2 * MINUTE);
        assert_eq!(of(10 * DAY, 10), DAY);
        assert_eq!(of(100 * DAY, 30), 4 * DAY);
        assert_eq!(of(1, 10), SECOND);
        assert_eq!(of(0, 10), SECOND);
    }
}
