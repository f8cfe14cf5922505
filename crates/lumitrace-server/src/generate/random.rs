//! Draws from the distributions that traffic has: log-normal times, hot and rare values, ids.

use fastrand::Rng;
use lumitrace_model::{SpanId, TraceId};

/// A source of numbers that is the same each time for the same seed, stream and number.
pub(super) struct Random {
    rng: Rng,
}

impl Random {
    /// The source for trace `number` of a stream of traffic. Each trace has its own, so that a
    /// trace does not depend on those before it.
    pub(super) fn new(seed: u64, stream: &str, number: u64) -> Self {
        let stream = stream.bytes().fold(0, |hash: u64, byte| {
            hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte)
        });
        // Each step is mixed before the next comes in: otherwise trace 1 of seed 0 would be trace 0
        // of seed 1.
        let of_stream = Rng::with_seed(seed ^ stream).u64(..);
        let of_trace = Rng::with_seed(of_stream ^ number).u64(..);
        Self {
            rng: Rng::with_seed(of_trace),
        }
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.rng.u64(..end)
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        self.rng.i64(low..=high)
    }

    /// A fraction from 0 to below 1.
    pub(super) fn fraction(&mut self) -> f64 {
        self.rng.f64()
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.rng.f64() < probability
    }

    /// One of the choices, all alike.
    ///
    /// # Panics
    /// There is no choice.
    pub(super) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.rng.usize(..choices.len())]
    }

    /// A number below `end` of which the small ones are common and the large ones rare, as users,
    /// tenants and products are: the density falls with 1/x.
    pub(super) fn skewed(&mut self, end: u64) -> u64 {
        let value = ((end as f64 + 1.0).ln() * self.rng.f64()).exp() - 1.0;
        (value as u64).min(end - 1)
    }

    /// A draw from the standard normal distribution (Box and Muller's transformation).
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.rng.f64()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.rng.f64()).cos()
    }

    /// A draw from the log-normal distribution with this median; `sigma` is the standard deviation
    /// of its logarithm.
    pub(super) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }

    /// A time around `median_ms` in nanoseconds, with the long tail that waiting has.
    pub(super) fn nanos(&mut self, median_ms: f64) -> u64 {
        (self.log_normal(median_ms, 0.5) * 1e6) as u64
    }

    /// A valid trace id.
    pub(super) fn trace_id(&mut self) -> TraceId {
        TraceId::from_bytes(self.rng.u128(1..).to_be_bytes())
    }

    /// A valid span id.
    pub(super) fn span_id(&mut self) -> SpanId {
        SpanId::from_bytes(self.rng.u64(1..).to_be_bytes())
    }

    /// A random identifier in the form of a UUID of version 4.
    pub(super) fn uuid(&mut self) -> String {
        let bits = self.rng.u128(..);
        let (low, high) = (bits as u64, (bits >> 64) as u64);
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            0x8000 | (low >> 48) & 0x3fff,
            low & 0xffff_ffff_ffff
        )
    }

    /// `digits` hexadecimal digits.
    pub(super) fn hex(&mut self, digits: usize) -> String {
        let mut text = format!("{:032x}", self.rng.u128(..));
        text.truncate(digits);
        text
    }

    /// About `bytes` of English-looking text.
    pub(super) fn prose(&mut self, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes + 16);
        let mut words_left = 0;
        while text.len() < bytes {
            if words_left == 0 {
                words_left = self.rng.usize(5..16);
                text.push_str(if text.is_empty() { "The " } else { ". The " });
            } else {
                text.push(' ');
            }
            words_left -= 1;
            text.push_str(WORDS[self.skewed(WORDS.len() as u64) as usize]);
        }
        text.push('.');
        text
    }
}

/// What the prose is made of; the first are the most frequent.
const WORDS: [&str; 96] = [
    "of",
    "and",
    "to",
    "in",
    "is",
    "for",
    "on",
    "with",
    "model",
    "result",
    "data",
    "that",
    "from",
    "this",
    "by",
    "as",
    "are",
    "be",
    "price",
    "value",
    "report",
    "market",
    "latency",
    "memory",
    "request",
    "service",
    "trend",
    "signal",
    "window",
    "answer",
    "source",
    "query",
    "document",
    "section",
    "table",
    "number",
    "average",
    "change",
    "increase",
    "decrease",
    "quarter",
    "month",
    "week",
    "customer",
    "order",
    "invoice",
    "delivery",
    "contract",
    "supplier",
    "region",
    "network",
    "gradient",
    "layer",
    "attention",
    "token",
    "context",
    "prompt",
    "embedding",
    "retrieval",
    "agent",
    "tool",
    "search",
    "summary",
    "evidence",
    "claim",
    "citation",
    "concept",
    "relation",
    "graph",
    "node",
    "edge",
    "weight",
    "score",
    "confidence",
    "threshold",
    "policy",
    "risk",
    "forecast",
    "volatility",
    "return",
    "spread",
    "volume",
    "exposure",
    "hedge",
    "position",
    "drawdown",
    "liquidity",
    "settlement",
    "collateral",
    "benchmark",
    "baseline",
    "variance",
    "calibration",
    "convergence",
    "stationarity",
    "heteroscedasticity",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_stream_and_number_give_the_same_draws_and_others_do_not() {
        let draw = |seed, stream, number| Random::new(seed, stream, number).below(u64::MAX);
        assert_eq!(draw(1, "http", 7), draw(1, "http", 7));
        assert_ne!(draw(1, "http", 7), draw(2, "http", 7));
        assert_ne!(draw(1, "http", 7), draw(1, "agents", 7));
        assert_ne!(draw(1, "http", 7), draw(1, "http", 8));
        assert_ne!(draw(1, "http", 0), draw(0, "http", 1));
    }

    #[test]
    fn skewed_draws_stay_in_range_and_favour_small_values() {
        let mut random = Random::new(1, "test", 0);
        let draws: Vec<u64> = (0..10_000).map(|_| random.skewed(1_000)).collect();
        assert!(draws.iter().all(|draw| *draw < 1_000));
        let small = draws.iter().filter(|draw| **draw < 10).count();
        assert!((2_500..4_500).contains(&small), "{small}");
    }

    #[test]
    fn log_normal_draws_have_the_median_asked_for() {
        let mut random = Random::new(1, "test", 0);
        let above = (0..10_000).filter(|_| random.log_normal(20.0, 0.5) > 20.0);
        let above = above.count();
        assert!((4_800..5_200).contains(&above), "{above}");
    }
}
