//! The processor's counter as a clock: reading it costs a third of what the system's clock does.
//!
//! Only where Linux itself keeps time by it, which means that it runs evenly and alike on all cores.
//! How long a tick is, is measured against the system's clock, over longer and longer times; until the
//! first measurement the system's clock is read. Should the two part, the counter is left for good.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

/// Between the first two measurements, so that the error of reading two clocks is a millionth of it.
const FIRST_BASELINE_NANO: u64 = 50_000_000;
/// So much more precise each further measurement is; the last one is over days.
const GROWTH: u64 = 8;
/// Measurements in all, and none before the first.
const MAX_SCALES: usize = 10;
/// Where the two clocks differ by more than this part, the counter is no clock.
const MAX_DRIFT: f64 = 0.001;

/// From ticks to nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Scale {
    ticks: u64,
    /// At that tick.
    nano: u64,
    /// In units of 2^-32 nanoseconds.
    nano_per_tick: u64,
}

impl Scale {
    #[inline]
    fn nano_at(&self, ticks: u64) -> u64 {
        // A core may be a few ticks behind the one that measured.
        let passed = ticks.saturating_sub(self.ticks);
        self.nano + ((u128::from(passed) * u128::from(self.nano_per_tick)) >> 32) as u64
    }
}

static SCALES: [OnceLock<Scale>; MAX_SCALES] = [const { OnceLock::new() }; MAX_SCALES];
/// How many scales there are; the last one counts. None where the counter is no clock, or not yet.
static SCALE_COUNT: AtomicUsize = AtomicUsize::new(0);

/// The time by the counter, on the scale of the system's clock; none where it is no clock.
#[inline]
pub(super) fn nano() -> Option<u64> {
    let last = SCALE_COUNT.load(Ordering::Acquire).checked_sub(1)?;
    Some(SCALES[last].get()?.nano_at(counter()?))
}

/// The readings of both clocks that the next measurement begins with.
#[derive(Debug, Clone, Copy)]
struct Reading {
    ticks: u64,
    nano: u64,
}

#[derive(Debug)]
enum State {
    New,
    Measuring {
        since: Reading,
        baseline_nano: u64,
    },
    /// It is no clock, or as precise as it gets.
    Done,
}

/// Where the counter was ahead of the system's clock, when that was looked at last.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ahead {
    system_nano: u64,
    by_nano: i64,
}

/// Measures how long a tick is, if it is time, and leaves the counter where it is no clock any more: after
/// a rest in which it went on alone, or began anew.
pub(super) fn calibrate(system_nano: impl Fn() -> u64) {
    static STATE: Mutex<(State, Option<Ahead>)> = Mutex::new((State::New, None));
    // Whoever is at it goes on. In a forked child that may be a thread that is not there.
    let Ok(mut state) = STATE.try_lock() else {
        return;
    };
    let (state, before) = &mut *state;
    let ahead = nano().map(|by_ticks| {
        let system_nano = system_nano();
        Ahead {
            system_nano,
            by_nano: by_ticks.wrapping_sub(system_nano) as i64,
        }
    });
    if !before
        .zip(ahead)
        .is_none_or(|(before, now)| is_even(before, now))
    {
        SCALE_COUNT.store(0, Ordering::Release);
        *state = State::Done;
    }
    *before = ahead;
    let next = match *state {
        State::Done => return,
        State::New if !is_the_systems_clock() => State::Done,
        State::New => match read(system_nano) {
            Some(since) => State::Measuring {
                since,
                baseline_nano: FIRST_BASELINE_NANO,
            },
            None => State::Done,
        },
        State::Measuring {
            since,
            baseline_nano,
        } => {
            if system_nano().saturating_sub(since.nano) < baseline_nano {
                return;
            }
            let added = read(system_nano).and_then(|now| add_scale(since, now));
            added.map_or(State::Done, |()| State::Measuring {
                since,
                baseline_nano: baseline_nano.saturating_mul(GROWTH),
            })
        }
    };
    *state = next;
    // The next measurement may move the counter a little.
    *before = None;
}

/// Whether both clocks went on alike between two looks at them, but for what one of them may be set by.
fn is_even(before: Ahead, now: Ahead) -> bool {
    let passed = now.system_nano.saturating_sub(before.system_nano);
    let allowed = 1_000_000 + (passed as f64 * MAX_DRIFT) as u64;
    now.by_nano.abs_diff(before.by_nano) <= allowed
}

/// Goes on with a scale measured between two readings; says whether there may be a further one.
fn add_scale(since: Reading, now: Reading) -> Option<()> {
    let count = SCALE_COUNT.load(Ordering::Relaxed);
    let last = count.checked_sub(1).and_then(|last| SCALES[last].get());
    let Some(next) = next_scale(last, since, now) else {
        SCALE_COUNT.store(0, Ordering::Release);
        return None;
    };
    SCALES[count].set(next).ok()?;
    SCALE_COUNT.store(count + 1, Ordering::Release);
    (count + 1 < MAX_SCALES).then_some(())
}

/// A scale that goes on where the last one is; none if the counter is no clock.
fn next_scale(last: Option<&Scale>, since: Reading, now: Reading) -> Option<Scale> {
    let ticks = now
        .ticks
        .checked_sub(since.ticks)
        .filter(|ticks| *ticks > 0)?;
    let nano_per_tick = (now.nano - since.nano) as f64 / ticks as f64;
    let nano_per_tick = (nano_per_tick * (1_u64 << 32) as f64) as u64;
    if let Some(last) = last {
        let drift = nano_per_tick as f64 / last.nano_per_tick as f64 - 1.0;
        if drift.abs() > MAX_DRIFT {
            return None;
        }
    }
    Some(Scale {
        ticks: now.ticks,
        // No jump: spans that are open were timed by the scale before.
        nano: last.map_or(now.nano, |last| last.nano_at(now.ticks)),
        nano_per_tick,
    })
}

/// Both clocks at about the same moment: the closest of five readings.
fn read(system_nano: impl Fn() -> u64) -> Option<Reading> {
    let readings = (0..5).filter_map(|_| {
        let before = counter()?;
        let nano = system_nano();
        let after = counter()?;
        let distance = after.checked_sub(before)?;
        Some((
            distance,
            Reading {
                ticks: before + distance / 2,
                nano,
            },
        ))
    });
    let closest = readings.min_by_key(|(distance, _)| *distance);
    closest.map(|(_, reading)| reading)
}

fn is_the_systems_clock() -> bool {
    let path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    std::fs::read_to_string(path).is_ok_and(|source| source.trim() == "tsc")
}

#[cfg(target_arch = "x86_64")]
fn counter() -> Option<u64> {
    // SAFETY: the instruction only reads a register. Where a system forbids it to programs, it does
    // not name the counter as its clock: then nothing comes here.
    Some(unsafe { std::arch::x86_64::_rdtsc() })
}

#[cfg(not(target_arch = "x86_64"))]
fn counter() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Reading = Reading {
        ticks: 1_000,
        nano: 500,
    };

    /// A counter of 2 GHz, but for this part, read so many nanoseconds after the start.
    fn reading(nano: u64, drift: f64) -> Reading {
        Reading {
            ticks: START.ticks + (nano as f64 * 2.0 * (1.0 + drift)) as u64,
            nano: START.nano + nano,
        }
    }

    #[test]
    fn a_scale_is_measured_and_a_later_one_goes_on_without_a_jump() {
        let first = next_scale(None, START, reading(50_000_000, 0.000_01)).unwrap();
        let later = reading(400_000_000, 0.0);
        let second = next_scale(Some(&first), START, later).unwrap();
        assert_eq!(second.nano, first.nano_at(later.ticks));
        // The first one was wrong by a hundred-thousandth, the second is right from then on.
        let day = reading(86_400_000_000_000, 0.0);
        let error = second.nano_at(day.ticks).abs_diff(day.nano);
        assert!(error < 10_000, "{error} ns");
    }

    #[test]
    fn a_counter_that_does_not_run_evenly_is_no_clock() {
        let first = next_scale(None, START, reading(50_000_000, 0.0)).unwrap();
        let slow = reading(400_000_000, 0.01);
        assert!(next_scale(Some(&first), START, slow).is_none());
        let backwards = Reading { ticks: 0, ..slow };
        assert!(next_scale(None, START, backwards).is_none());
    }

    #[test]
    fn a_rest_in_which_the_counter_went_on_alone_is_noticed() {
        let at = |seconds: u64, by_nano: i64| Ahead {
            system_nano: seconds * 1_000_000_000,
            by_nano,
        };
        assert!(is_even(at(1, 5), at(2, 900_000)));
        assert!(is_even(at(1, 5), at(101, -90_000_000)));
        assert!(!is_even(at(1, 5), at(2, 3_000_000)));
        assert!(!is_even(at(1, 5), at(2, -3_600_000_000_000)));
    }

    #[test]
    fn both_clocks_tell_the_same_time_once_it_is_measured() {
        // As the workers of other tests do, against the same clock.
        let begun = super::super::system_nano();
        while super::super::system_nano() - begun < 3 * FIRST_BASELINE_NANO {
            super::super::refresh();
            std::thread::yield_now();
        }
        let Some(by_ticks) = nano() else {
            // Linux keeps time by something else here.
            return;
        };
        let distance = by_ticks.abs_diff(super::super::system_nano());
        assert!(distance < 10_000_000, "{distance} ns");
    }
}
