//! Holds a rate: says how long to wait, and leaves the waiting to the caller.

use std::time::Duration;

/// Lets spans through at an even rate, over all connections together.
///
/// Who has waited too long does not catch up: a receiver that stood still for a minute is not
/// flooded with what that minute would have brought.
pub(crate) struct Rate {
    spans_per_second: f64,
    /// When the next spans may go, since the start.
    next: Duration,
}

impl Rate {
    /// So many spans a second; zero lets everything through at once.
    pub(crate) fn new(spans_per_second: f64) -> Self {
        Self {
            spans_per_second,
            next: Duration::ZERO,
        }
    }

    /// How long to wait, at `now` since the start, before sending `spans`.
    pub(crate) fn wait(&mut self, now: Duration, spans: usize) -> Duration {
        if self.spans_per_second <= 0.0 {
            return Duration::ZERO;
        }
        let at = self.next.max(now);
        self.next = at + Duration::from_secs_f64(spans as f64 / self.spans_per_second);
        at - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `batches` of 500 spans, each of which takes `answer` to be answered, on `connections`;
    /// returns the seconds it took by a clock of our own.
    fn simulate(rate: f64, batches: usize, connections: usize, answer: Duration) -> f64 {
        let mut rate = Rate::new(rate);
        let mut free_at = vec![Duration::ZERO; connections];
        for _ in 0..batches {
            let first = free_at.iter_mut().min().unwrap();
            *first += rate.wait(*first, 500) + answer;
        }
        free_at.into_iter().max().unwrap().as_secs_f64()
    }

    #[test]
    fn the_rate_is_held_whatever_the_number_of_connections() {
        for connections in [1, 3, 16] {
            let seconds = simulate(10_000.0, 200, connections, Duration::from_millis(1));
            assert!((9.9..10.1).contains(&seconds), "{connections}: {seconds}");
        }
    }

    #[test]
    fn without_a_rate_only_the_receiver_is_waited_for() {
        let seconds = simulate(0.0, 200, 2, Duration::from_millis(10));
        assert!((0.99..1.01).contains(&seconds), "{seconds}");
    }

    #[test]
    fn a_slow_receiver_is_not_flooded_afterwards() {
        let mut rate = Rate::new(1_000.0);
        assert_eq!(rate.wait(Duration::ZERO, 500), Duration::ZERO);
        let late = Duration::from_secs(60);
        assert_eq!(rate.wait(late, 500), Duration::ZERO);
        assert_eq!(rate.wait(late, 500), Duration::from_millis(500));
    }
}
