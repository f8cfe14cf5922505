//! What the future held: the label of every task at a bar.
//!
//! Notation: `c_t` is the close of the bar `t` at which a window ends, `q_i = ln(c_i / c_{i-1})`
//! the return of one bar, and `r_j = ln(c_{t+j} / c_t)` the return from `t` to a later bar.

use crate::{
    bars::Bar,
    features::indicators::{deviation, mean},
    tasks::Task,
};

/// Horizons and thresholds of the labels.
#[derive(Debug, Clone, Copy)]
pub struct LabelSettings {
    /// Bars from the end of a window to the horizon.
    pub t_out: usize,
    /// Bars that the largest returns and highest closes are looked for in.
    pub lookahead: usize,
    /// How many of the largest.
    pub top_k: usize,
    /// Log returns between minus and plus this are flat.
    pub flat_threshold: f64,
    /// By how much volatility must grow to count as rising.
    pub vol_min_change: f64,
    /// Changes of volatility between minus and plus this leave the regime as it is.
    pub vol_regime_cut: f64,
}

impl Default for LabelSettings {
    fn default() -> Self {
        Self {
            t_out: 10,
            lookahead: 10,
            top_k: 3,
            flat_threshold: 1e-4,
            vol_min_change: 0.0,
            vol_regime_cut: 2e-5,
        }
    }
}

impl LabelSettings {
    /// Bars after `t` that a label reads.
    pub fn horizon(&self) -> usize {
        self.t_out.max(self.lookahead)
    }
}

/// The label of one task at one bar.
#[derive(Debug, Clone, PartialEq)]
pub enum Label {
    /// A class, counted from 0; of a binary task 0 or 1.
    Class(u32),
    /// Numbers: log returns, or prices.
    Values(Vec<f64>),
}

/// The label of `task` at bar `t`. Needs `t_out` bars before `t` and [`LabelSettings::horizon`]
/// after it.
///
/// # Panics
/// When there are fewer bars than that.
pub fn label(task: Task, bars: &[Bar], t: usize, settings: &LabelSettings) -> Label {
    let future = Future { bars, t };
    let lookahead = settings.lookahead;
    match task {
        Task::Direction => Label::Class(three_way(
            future.return_to(settings.t_out),
            settings.flat_threshold,
        )),
        Task::Trend => {
            let returns: Vec<f64> = future.returns(settings.t_out).collect();
            Label::Class(three_way(mean(&returns), settings.flat_threshold))
        }
        Task::Volatility => Label::Class(
            (future.volatility_change(settings.t_out) > settings.vol_min_change).into(),
        ),
        Task::VolRegime => Label::Class(three_way(
            future.volatility_change(settings.t_out),
            settings.vol_regime_cut,
        )),
        Task::CandlePattern => Label::Class(candle_pattern(&bars[t + 1])),
        Task::Return => Label::Values(vec![future.return_to(settings.t_out)]),
        Task::NextClose => Label::Values(vec![bars[t + 1].close]),
        Task::MaxReturn => Label::Values(largest(future.returns(lookahead), 1)),
        Task::TopkReturns => Label::Values(largest(future.returns(lookahead), settings.top_k)),
        Task::TopkPrices => {
            let closes = (1..=lookahead).map(|ahead| bars[t + ahead].close);
            Label::Values(largest(closes, settings.top_k))
        }
        Task::SellNow => Label::Class(future.returns(lookahead).all(|value| value <= 0.0).into()),
    }
}

struct Future<'a> {
    bars: &'a [Bar],
    t: usize,
}

impl Future<'_> {
    fn return_to(&self, ahead: usize) -> f64 {
        (self.bars[self.t + ahead].close / self.bars[self.t].close).ln()
    }

    fn returns(&self, ahead: usize) -> impl Iterator<Item = f64> {
        (1..=ahead).map(|ahead| self.return_to(ahead))
    }

    /// std(q_{t+1}..q_{t+n}) - std(q_{t-n+1}..q_t)
    fn volatility_change(&self, n: usize) -> f64 {
        let volatility = |closes: &[Bar]| {
            let returns: Vec<f64> = closes
                .windows(2)
                .map(|pair| (pair[1].close / pair[0].close).ln())
                .collect();
            deviation(&returns)
        };
        volatility(&self.bars[self.t..=self.t + n]) - volatility(&self.bars[self.t - n..=self.t])
    }
}

/// 0 below `-threshold`, 2 above `threshold`, else 1.
fn three_way(value: f64, threshold: f64) -> u32 {
    if value < -threshold {
        0
    } else if value > threshold {
        2
    } else {
        1
    }
}

/// 0 doji, 1 strong bull, 2 strong bear, 3 hammer or other, by the body's share of the range.
fn candle_pattern(bar: &Bar) -> u32 {
    let body = (bar.close - bar.open).abs();
    let range = bar.high - bar.low;
    // A bar without range has no body either.
    let share = if range == 0.0 { 0.0 } else { body / range };
    if share < 0.1 {
        0
    } else if share > 0.55 {
        if bar.close > bar.open { 1 } else { 2 }
    } else {
        3
    }
}

/// The `count` largest values, the largest first.
fn largest(values: impl Iterator<Item = f64>, count: usize) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(|left, right| right.total_cmp(left));
    values.truncate(count);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(closes: &[f64]) -> Vec<Bar> {
        let time = jiff::Timestamp::UNIX_EPOCH;
        closes
            .iter()
            .map(|&close| Bar {
                time,
                open: close,
                high: close,
                low: close,
                close,
                volume: 0.0,
            })
            .collect()
    }

    fn settings() -> LabelSettings {
        LabelSettings {
            t_out: 2,
            lookahead: 3,
            top_k: 2,
            ..Default::default()
        }
    }

    /// The label at bar 2 of two bars past, the present and three future ones.
    fn at_two(task: Task, closes: [f64; 6]) -> Label {
        label(task, &bars(&closes), 2, &settings())
    }

    fn assert_values(label: Label, expected: &[f64]) {
        let Label::Values(values) = label else {
            panic!("{label:?} holds no values")
        };
        assert_eq!(values.len(), expected.len());
        for (value, expected) in values.iter().zip(expected) {
            assert!(
                (value - expected).abs() < 1e-12,
                "{values:?} is not {expected:?}"
            );
        }
    }

    #[test]
    fn direction_compares_the_return_at_the_horizon_with_the_flat_threshold() {
        for (end, class) in [
            (0.9998, 0),
            (0.99995, 1),
            (1.0, 1),
            (1.00005, 1),
            (1.0002, 2),
        ] {
            let label = at_two(Task::Direction, [1.0, 1.0, 1.0, 5.0, end, 5.0]);
            assert_eq!(label, Label::Class(class), "{end}");
        }
    }

    #[test]
    fn trend_compares_the_mean_of_the_future_returns_with_the_flat_threshold() {
        for (first, second, class) in [(1.1, 0.8, 0), (1.1, 1.0 / 1.1, 1), (0.9, 1.3, 2)] {
            let label = at_two(Task::Trend, [1.0, 1.0, 1.0, first, second, 9.0]);
            assert_eq!(label, Label::Class(class), "{first} {second}");
        }
    }

    #[test]
    fn volatility_and_its_regime_compare_the_deviation_of_future_and_past_returns() {
        let calm_then_wild = [1.0, 1.0, 1.0, 1.1, 1.0, 1.0];
        let wild_then_calm = [1.0, 1.1, 1.0, 1.0, 1.0, 1.0];
        let even = [1.0, 1.1, 1.0, 1.1, 1.0, 1.0];
        for (closes, rising, regime) in
            [(calm_then_wild, 1, 2), (wild_then_calm, 0, 0), (even, 0, 1)]
        {
            assert_eq!(
                at_two(Task::VolRegime, closes),
                Label::Class(regime),
                "{closes:?}"
            );
            if closes != even {
                assert_eq!(
                    at_two(Task::Volatility, closes),
                    Label::Class(rising),
                    "{closes:?}"
                );
            }
        }
        let demanding = LabelSettings {
            vol_min_change: 1.0,
            ..settings()
        };
        let label = label(Task::Volatility, &bars(&calm_then_wild), 2, &demanding);
        assert_eq!(
            label,
            Label::Class(0),
            "a rise below the minimal change is none"
        );
    }

    #[test]
    fn the_volatility_is_the_population_deviation_of_one_bar_returns() {
        let closes = [1.0, 2.0, 2.0, 6.0, 6.0, 6.0];
        let bars = bars(&closes);
        let change = Future { bars: &bars, t: 2 }.volatility_change(2);
        assert!((change - (3f64.ln() - 2f64.ln()) / 2.0).abs() < 1e-12);
    }

    #[test]
    fn candle_pattern_reads_the_body_of_the_next_bar() {
        for (open, high, low, close, class) in [
            (1.00, 1.5, 0.5, 1.05, 0),
            (1.00, 1.6, 0.9, 1.50, 1),
            (1.50, 1.6, 0.9, 1.00, 2),
            (1.40, 1.5, 0.5, 1.50, 3),
            (1.00, 1.0, 1.0, 1.00, 0),
        ] {
            let mut bars = bars(&[1.0; 6]);
            bars[3] = Bar {
                open,
                high,
                low,
                close,
                ..bars[3]
            };
            let label = label(Task::CandlePattern, &bars, 2, &settings());
            assert_eq!(label, Label::Class(class), "{open} {high} {low} {close}");
        }
    }

    #[test]
    fn returns_closes_and_their_largest_are_the_future_ones() {
        let closes = [9.0, 9.0, 1.0, 1.5, 0.5, 2.0];
        assert_values(at_two(Task::Return, closes), &[0.5f64.ln()]);
        assert_values(at_two(Task::NextClose, closes), &[1.5]);
        assert_values(at_two(Task::MaxReturn, closes), &[2f64.ln()]);
        assert_values(at_two(Task::TopkReturns, closes), &[2f64.ln(), 1.5f64.ln()]);
        assert_values(at_two(Task::TopkPrices, closes), &[2.0, 1.5]);
    }

    #[test]
    fn sell_now_holds_when_no_future_return_is_positive() {
        let label = |closes| at_two(Task::SellNow, closes);
        assert_eq!(label([1.0, 1.0, 1.0, 1.0, 0.9, 0.8]), Label::Class(1));
        assert_eq!(label([1.0, 1.0, 1.0, 0.9, 0.9, 1.1]), Label::Class(0));
    }
}
