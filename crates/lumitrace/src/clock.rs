//! Time: one cheap clock read at a span's start and one at its end.
//!
//! Spans are timed by the monotonic clock, so that a duration is right even when someone sets the
//! system's clock meanwhile. The distance between the two clocks is measured once and then again
//! by the worker thread; a span keeps the distance it started with.
//!
//! Where the processor's counter keeps time ([`ticks`]), it is read instead of the monotonic clock.

mod ticks;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

struct Clock {
    anchor: Instant,
    /// Unix time of the anchor, in nanoseconds.
    offset_unix_nano: AtomicU64,
}

static CLOCK: LazyLock<Clock> = LazyLock::new(|| {
    let anchor = Instant::now();
    Clock {
        anchor,
        offset_unix_nano: AtomicU64::new(measured_offset_of(|| anchor.elapsed().as_nanos() as u64)),
    }
});

/// Smaller differences are the noise of measuring.
const STEP_NANO: u64 = 1_000_000;

/// Nanoseconds since the clock was first used.
#[inline]
pub(crate) fn monotonic_nano() -> u64 {
    ticks::nano().unwrap_or_else(system_nano)
}

/// [`monotonic_nano`] by the system's clock.
fn system_nano() -> u64 {
    // 64 bits of nanoseconds last 584 years.
    CLOCK.anchor.elapsed().as_nanos() as u64
}

/// What to add to [`monotonic_nano`] for nanoseconds since the Unix epoch.
#[inline]
pub(crate) fn offset_unix_nano() -> u64 {
    CLOCK.offset_unix_nano.load(Ordering::Relaxed)
}

/// Follows the system's clocks where one was set or has drifted. To be called once in a while.
pub(crate) fn refresh() {
    ticks::calibrate(system_nano);
    let offset = next_offset(offset_unix_nano(), measured_offset());
    CLOCK.offset_unix_nano.store(offset, Ordering::Relaxed);
}

fn next_offset(current: u64, measured: u64) -> u64 {
    if measured.abs_diff(current) > STEP_NANO {
        measured
    } else {
        current
    }
}

fn measured_offset() -> u64 {
    measured_offset_of(monotonic_nano)
}

/// The closest of three readings: a thread may be interrupted between the two clocks.
fn measured_offset_of(monotonic_nano: impl Fn() -> u64) -> u64 {
    let readings = (0..3).filter_map(|_| {
        let before = monotonic_nano();
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let after = monotonic_nano();
        // Another thread may have measured the counter anew in between.
        let distance = after.checked_sub(before)?;
        let unix_nano = unix.as_nanos() as u64;
        Some((distance, unix_nano.saturating_sub(before.midpoint(after))))
    });
    readings.min().map_or(0, |(_, offset)| offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_time_is_the_systems() {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_nanos() as u64;
        let ours = monotonic_nano() + offset_unix_nano();
        assert!(ours.abs_diff(unix) < 1_000_000_000, "{ours} {unix}");
    }

    #[test]
    fn the_offset_follows_steps_of_the_system_clock_and_ignores_noise() {
        assert_eq!(next_offset(5_000_000_000, 5_000_400_000), 5_000_000_000);
        assert_eq!(next_offset(5_000_000_000, 4_000_000_000), 4_000_000_000);
    }
}
