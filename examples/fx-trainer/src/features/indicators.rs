//! Indicators over a series, one value per bar. The value at a bar uses that bar and older ones
//! only; where there are not yet enough of them it is NaN.

use crate::bars::Bar;

/// `numerator / denominator`, and 0 where a bar without range or a flat window makes that 0 / 0.
pub fn ratio(numerator: f64, denominator: f64) -> f64 {
    if denominator == 0.0 {
        0.0
    } else {
        numerator / denominator
    }
}

/// The mean of values.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The population standard deviation of values.
pub fn deviation(values: &[f64]) -> f64 {
    let centre = mean(values);
    let squares: f64 = values.iter().map(|value| (value - centre).powi(2)).sum();
    (squares / values.len() as f64).sqrt()
}

/// Applies `function` to the last `window` values at each bar.
pub fn rolling(values: &[f64], window: usize, function: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    (0..values.len())
        .map(|end| match (end + 1).checked_sub(window) {
            Some(start) => function(&values[start..=end]),
            None => f64::NAN,
        })
        .collect()
}

/// Log return from the bar before.
pub fn log_returns(closes: &[f64]) -> Vec<f64> {
    rolling(closes, 2, |pair| (pair[1] / pair[0]).ln())
}

/// Exponential moving average with weight 2 / (window + 1), from the first value on.
pub fn ema(values: &[f64], window: usize) -> Vec<f64> {
    let weight = 2.0 / (window as f64 + 1.0);
    smooth(
        values,
        window,
        weight,
        values.first().copied().unwrap_or(f64::NAN),
    )
}

/// Wilder's average with weight 1 / window, from the first value on.
fn wilder(values: &[f64], window: usize) -> Vec<f64> {
    smooth(
        values,
        window,
        1.0 / window as f64,
        values.first().copied().unwrap_or(f64::NAN),
    )
}

/// NaN for the first `window - 1` values, where the start still weighs too much.
fn smooth(values: &[f64], window: usize, weight: f64, start: f64) -> Vec<f64> {
    let mut average = start;
    let mut averages = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        average += weight * (value - average);
        averages.push(if index + 1 < window {
            f64::NAN
        } else {
            average
        });
    }
    averages
}

/// Relative strength index of Wilder, from 0 to 100; 50 where the price did not move.
pub fn rsi(closes: &[f64], window: usize) -> Vec<f64> {
    let change = |sign: f64| -> Vec<f64> {
        let moves = closes
            .windows(2)
            .map(|pair| (sign * (pair[1] - pair[0])).max(0.0));
        wilder(&moves.collect::<Vec<_>>(), window)
    };
    let strength = change(1.0)
        .into_iter()
        .zip(change(-1.0))
        .map(|(gain, loss)| {
            if gain + loss == 0.0 {
                50.0
            } else {
                100.0 * gain / (gain + loss)
            }
        });
    // The first bar has no change before it.
    std::iter::once(f64::NAN)
        .chain(strength)
        .take(closes.len())
        .collect()
}

/// Average true range of Wilder.
pub fn atr(bars: &[Bar], window: usize) -> Vec<f64> {
    let ranges: Vec<f64> = (0..bars.len())
        .map(|index| {
            let before = bars[index.saturating_sub(1)].close;
            let bar = &bars[index];
            if index == 0 {
                bar.high - bar.low
            } else {
                bar.high.max(before) - bar.low.min(before)
            }
        })
        .collect();
    wilder(&ranges, window)
}

/// The upper wick less the lower wick, as a share of the bar's range: from -1 to 1.
pub fn wick_imbalance(bar: &Bar) -> f64 {
    let upper = bar.high - bar.open.max(bar.close);
    let lower = bar.open.min(bar.close) - bar.low;
    ratio(upper - lower, bar.high - bar.low)
}

/// How straight the price went: its net change over the sum of its changes, from -1 to 1.
pub fn path_efficiency(closes: &[f64]) -> f64 {
    let travelled: f64 = closes
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).abs())
        .sum();
    ratio(closes[closes.len() - 1] - closes[0], travelled)
}

/// The share of rises less the share of falls.
pub fn tick_imbalance(closes: &[f64]) -> f64 {
    let signs = closes
        .windows(2)
        .map(|pair| match pair[1].partial_cmp(&pair[0]) {
            Some(std::cmp::Ordering::Greater) => 1.0,
            Some(std::cmp::Ordering::Less) => -1.0,
            _ => 0.0,
        });
    signs.sum::<f64>() / (closes.len() - 1) as f64
}

/// Where the price stands in intrinsic time at one bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IntrinsicTime {
    /// The present run: 1 upwards, -1 downwards.
    pub direction: f64,
    /// Log change since the last change of direction was confirmed.
    pub log_move: f64,
    /// Bars since then.
    pub age: f64,
}

/// Intrinsic time: it ticks when the price turns back by `threshold` from its last extreme
/// (directional change), however long that takes on the clock.
pub fn intrinsic_time(closes: &[f64], threshold: f64) -> Vec<IntrinsicTime> {
    let mut states = Vec::with_capacity(closes.len());
    let Some(&first) = closes.first() else {
        return states;
    };
    let (mut direction, mut extreme, mut confirmed, mut since) = (1.0, first, first, 0);
    for (index, &close) in closes.iter().enumerate() {
        if direction * (close / extreme).ln() >= 0.0 {
            extreme = close;
        } else if direction * (close / extreme).ln() <= -threshold {
            (direction, extreme, confirmed, since) = (-direction, close, close, index);
        }
        states.push(IntrinsicTime {
            direction,
            log_move: (close / confirmed).ln(),
            age: (index - since) as f64,
        });
    }
    states
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn closes() -> impl Strategy<Value = Vec<f64>> {
        proptest::collection::vec(0.5..2.0f64, 30..60)
    }

    fn bar(open: f64, high: f64, low: f64, close: f64) -> Bar {
        Bar {
            time: jiff::Timestamp::UNIX_EPOCH,
            open,
            high,
            low,
            close,
            volume: 0.0,
        }
    }

    fn assert_close(left: f64, right: f64) {
        assert!((left - right).abs() < 1e-9, "{left} is not {right}");
    }

    proptest! {
        /// The weighted sum that the recursion stands for: w (1-w)^age, and the rest on the first.
        #[test]
        fn ema_is_the_weighted_sum_of_all_values(values in closes(), window in 2usize..20) {
            let weight = 2.0 / (window as f64 + 1.0);
            let averages = ema(&values, window);
            for (end, average) in averages.iter().enumerate() {
                if end + 1 < window {
                    prop_assert!(average.is_nan());
                    continue;
                }
                let newer: f64 = (1..=end)
                    .map(|i| weight * (1.0 - weight).powi((end - i) as i32) * values[i])
                    .sum();
                let slow = newer + (1.0 - weight).powi(end as i32) * values[0];
                assert_close(*average, slow);
            }
        }

        #[test]
        fn rsi_is_the_share_of_the_average_gain(values in closes(), window in 2usize..20) {
            let strengths = rsi(&values, window);
            let weight = 1.0 / window as f64;
            for (end, strength) in strengths.iter().enumerate() {
                if end < window {
                    prop_assert!(strength.is_nan());
                    continue;
                }
                let average = |sign: f64| -> f64 {
                    let moved = |i: usize| (sign * (values[i] - values[i - 1])).max(0.0);
                    let newer: f64 = (2..=end)
                        .map(|i| weight * (1.0 - weight).powi((end - i) as i32) * moved(i))
                        .sum();
                    newer + (1.0 - weight).powi(end as i32 - 1) * moved(1)
                };
                let relative = average(1.0) / average(-1.0);
                assert_close(*strength, 100.0 - 100.0 / (1.0 + relative));
            }
        }

        #[test]
        fn a_rolling_value_uses_exactly_the_last_window(values in closes(), window in 1usize..20) {
            let means = rolling(&values, window, mean);
            let deviations = rolling(&values, window, deviation);
            for end in window - 1..values.len() {
                let last: Vec<f64> = (0..window).map(|back| values[end - back]).collect();
                let average = last.iter().sum::<f64>() / window as f64;
                let squares = last.iter().map(|value| value * value).sum::<f64>() / window as f64;
                assert_close(means[end], average);
                let slow = (squares - average * average).max(0.0).sqrt();
                prop_assert!((deviations[end] - slow).abs() < 1e-6);
            }
            prop_assert!(means[..window - 1].iter().all(|value| value.is_nan()));
        }

        #[test]
        fn intrinsic_time_turns_only_after_a_full_threshold_from_the_extreme(values in closes()) {
            let threshold = 0.1;
            let states = intrinsic_time(&values, threshold);
            let mut turn = 0;
            let mut direction = 1.0;
            for (index, state) in states.iter().enumerate() {
                let extreme = values[turn..index.max(1)]
                    .iter()
                    .map(|value| direction * value.ln())
                    .fold(f64::MIN, f64::max);
                let turned = extreme - direction * values[index].ln() >= threshold;
                prop_assert_eq!(state.direction != direction, turned, "bar {}", index);
                if turned {
                    (turn, direction) = (index, state.direction);
                }
                assert_close(state.age, (index - turn) as f64);
                assert_close(state.log_move, (values[index] / values[turn]).ln());
            }
        }
    }

    #[test]
    fn the_true_range_spans_the_gap_to_the_close_before() {
        let bars = [
            bar(1.0, 1.2, 0.9, 1.1),
            bar(1.5, 1.6, 1.4, 1.5),
            bar(1.0, 1.1, 0.8, 0.9),
        ];
        let ranges = atr(&bars, 1);
        for (range, expected) in ranges.iter().zip([0.3, 0.5, 0.7]) {
            assert_close(*range, expected);
        }
        assert_close(atr(&bars, 2)[1], 0.3 + (0.5 - 0.3) / 2.0);
    }

    #[test]
    fn wicks_paths_and_ticks_are_read_as_defined() {
        assert_close(wick_imbalance(&bar(1.0, 1.4, 0.9, 1.1)), (0.3 - 0.1) / 0.5);
        assert_close(wick_imbalance(&bar(1.0, 1.0, 1.0, 1.0)), 0.0);
        assert_close(path_efficiency(&[1.0, 1.2, 1.1]), 0.1 / 0.3);
        assert_close(path_efficiency(&[1.0, 1.0]), 0.0);
        assert_close(tick_imbalance(&[1.0, 1.2, 1.1, 1.3, 1.3]), 0.25);
    }
}
