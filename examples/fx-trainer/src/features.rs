//! The features of a bar: groups of indicators, all free of the price level, so that a model sees
//! the same market at 0.66 and at 145.

pub mod indicators;

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use clap::ValueEnum;

use crate::bars::Bar;
use indicators::{deviation, mean, ratio, rolling};

/// Features that are switched on and off together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum FeatureGroup {
    /// Log return, range and body of the bar itself.
    Price,
    /// Distance to simple moving averages.
    Sma,
    /// Distance to exponential moving averages.
    Ema,
    /// Relative strength index.
    Rsi,
    /// Place within the Bollinger bands, and their width.
    Bollinger,
    /// Average true range.
    Atr,
    /// Short and long volatility and their ratio.
    Volatility,
    /// The range of bars, as a stand-in for the spread.
    Spread,
    /// Upper against lower wicks.
    WickImbalance,
    /// Straightness of the path and balance of rises and falls.
    Microstructure,
    /// Directional changes.
    IntrinsicTime,
}

/// Which features to compute, with their windows in bars.
#[derive(Debug, Clone)]
pub struct FeatureSettings {
    /// The groups to compute.
    pub groups: BTreeSet<FeatureGroup>,
    /// Windows of the simple moving averages.
    pub sma_windows: Vec<usize>,
    /// Windows of the exponential moving averages.
    pub ema_windows: Vec<usize>,
    /// Window of the relative strength index.
    pub rsi_window: usize,
    /// Window of the Bollinger bands.
    pub bollinger_window: usize,
    /// Half the width of the Bollinger bands, in standard deviations.
    pub bollinger_deviations: f64,
    /// Window of the average true range.
    pub atr_window: usize,
    /// Window of the short volatility.
    pub short_vol_window: usize,
    /// Window of the long volatility.
    pub long_vol_window: usize,
    /// Window of the spread.
    pub spread_window: usize,
    /// Window of the wick imbalance.
    pub wick_imbalance_window: usize,
    /// Windows of the microstructure.
    pub microstructure_windows: Vec<usize>,
    /// Log change of the price that makes a directional change.
    pub directional_change: f64,
}

impl Default for FeatureSettings {
    fn default() -> Self {
        Self {
            groups: FeatureGroup::value_variants().iter().copied().collect(),
            sma_windows: vec![10, 20, 50],
            ema_windows: vec![10, 20, 50],
            rsi_window: 14,
            bollinger_window: 20,
            bollinger_deviations: 2.0,
            atr_window: 14,
            short_vol_window: 10,
            long_vol_window: 50,
            spread_window: 20,
            wick_imbalance_window: 5,
            microstructure_windows: vec![5, 10, 20],
            directional_change: 0.001,
        }
    }
}

impl FeatureSettings {
    /// The names of the groups, as a comma list.
    pub fn group_names(&self) -> String {
        let names = self
            .groups
            .iter()
            .filter_map(|group| group.to_possible_value());
        names
            .map(|name| name.get_name().to_owned())
            .collect::<Vec<_>>()
            .join(",")
    }
}

/// One value per bar, with its name.
#[derive(Debug, Clone)]
pub struct Feature {
    /// Such as `sma_20`.
    pub name: String,
    /// NaN where there are not yet enough bars.
    pub values: Vec<f64>,
}

/// The features of a row of bars.
#[derive(Debug, Clone)]
pub struct FeatureTable {
    /// The columns, all of the same length.
    pub columns: Vec<Feature>,
    /// The first bar at which every feature has a value.
    pub warm_up: usize,
}

/// Computes the features of `bars`.
///
/// # Errors
/// When no group is chosen, or the windows are longer than there are bars.
pub fn compute(bars: &[Bar], settings: &FeatureSettings) -> Result<FeatureTable> {
    let closes: Vec<f64> = bars.iter().map(|bar| bar.close).collect();
    let mut columns = Vec::new();
    for group in &settings.groups {
        columns.extend(group_columns(*group, bars, &closes, settings));
    }
    ensure!(
        !columns.is_empty(),
        "every feature group is excluded; leave at least one"
    );
    let first_finite = |column: &Feature| column.values.iter().position(|value| value.is_finite());
    let warm_up = columns
        .iter()
        .map(first_finite)
        .try_fold(0, |warm_up, first| Some(warm_up.max(first?)));
    let Some(warm_up) = warm_up else {
        anyhow::bail!(
            "{} bars are fewer than the longest indicator window needs",
            bars.len()
        );
    };
    Ok(FeatureTable { columns, warm_up })
}

fn group_columns(
    group: FeatureGroup,
    bars: &[Bar],
    closes: &[f64],
    settings: &FeatureSettings,
) -> Vec<Feature> {
    match group {
        FeatureGroup::Price => price(bars, closes),
        FeatureGroup::Sma => distances("sma", closes, &settings.sma_windows, |window| {
            rolling(closes, window, mean)
        }),
        FeatureGroup::Ema => distances("ema", closes, &settings.ema_windows, |window| {
            indicators::ema(closes, window)
        }),
        FeatureGroup::Rsi => {
            let window = settings.rsi_window;
            vec![column(
                format!("rsi_{window}"),
                indicators::rsi(closes, window),
            )]
        }
        FeatureGroup::Bollinger => bollinger(closes, settings),
        FeatureGroup::Atr => {
            let window = settings.atr_window;
            let ranges = indicators::atr(bars, window);
            let relative = ranges
                .iter()
                .zip(closes)
                .map(|(range, close)| range / close);
            vec![column(format!("atr_{window}"), relative.collect())]
        }
        FeatureGroup::Volatility => volatility(closes, settings),
        FeatureGroup::Spread => {
            let ranges: Vec<f64> = bars.iter().map(relative_range).collect();
            let window = settings.spread_window;
            vec![column(
                format!("spread_{window}"),
                rolling(&ranges, window, mean),
            )]
        }
        FeatureGroup::WickImbalance => {
            let wicks: Vec<f64> = bars.iter().map(indicators::wick_imbalance).collect();
            let window = settings.wick_imbalance_window;
            vec![column(
                format!("wick_imbalance_{window}"),
                rolling(&wicks, window, mean),
            )]
        }
        FeatureGroup::Microstructure => microstructure(closes, &settings.microstructure_windows),
        FeatureGroup::IntrinsicTime => intrinsic_time(closes, settings.directional_change),
    }
}

fn column(name: impl Into<String>, values: Vec<f64>) -> Feature {
    Feature {
        name: name.into(),
        values,
    }
}

fn relative_range(bar: &Bar) -> f64 {
    (bar.high - bar.low) / bar.close
}

fn price(bars: &[Bar], closes: &[f64]) -> Vec<Feature> {
    let body = |bar: &Bar| (bar.close - bar.open) / bar.close;
    vec![
        column("log_return", indicators::log_returns(closes)),
        column("bar_range", bars.iter().map(relative_range).collect()),
        column("bar_body", bars.iter().map(body).collect()),
    ]
}

/// How far the close lies above each average, as a share of it.
fn distances(
    name: &str,
    closes: &[f64],
    windows: &[usize],
    average: impl Fn(usize) -> Vec<f64>,
) -> Vec<Feature> {
    let distance = |window: usize| -> Vec<f64> {
        closes
            .iter()
            .zip(average(window))
            .map(|(close, average)| close / average - 1.0)
            .collect()
    };
    windows
        .iter()
        .map(|&window| column(format!("{name}_{window}"), distance(window)))
        .collect()
}

/// Where the close lies between the bands (-1 to 1 inside), and the bands' relative width.
fn bollinger(closes: &[f64], settings: &FeatureSettings) -> Vec<Feature> {
    let half_width = |window: &[f64]| settings.bollinger_deviations * deviation(window);
    let position = |window: &[f64]| {
        let close = window[window.len() - 1];
        ratio(close - mean(window), half_width(window))
    };
    let width = |window: &[f64]| 2.0 * half_width(window) / mean(window);
    let window = settings.bollinger_window;
    vec![
        column("bollinger_position", rolling(closes, window, position)),
        column("bollinger_width", rolling(closes, window, width)),
    ]
}

fn volatility(closes: &[f64], settings: &FeatureSettings) -> Vec<Feature> {
    let returns = indicators::log_returns(closes);
    let short = rolling(&returns, settings.short_vol_window, deviation);
    let long = rolling(&returns, settings.long_vol_window, deviation);
    let relative = short
        .iter()
        .zip(&long)
        .map(|(short, long)| ratio(*short, *long))
        .collect();
    vec![
        column("vol_short", short),
        column("vol_long", long),
        column("vol_ratio", relative),
    ]
}

/// Per window: the share of rises less falls, and how straight the price went.
fn microstructure(closes: &[f64], windows: &[usize]) -> Vec<Feature> {
    // A window of moves lies between one more closes.
    let features = windows.iter().map(|&window| {
        [
            column(
                format!("tick_imbalance_{window}"),
                rolling(closes, window + 1, indicators::tick_imbalance),
            ),
            column(
                format!("efficiency_{window}"),
                rolling(closes, window + 1, indicators::path_efficiency),
            ),
        ]
    });
    features.flatten().collect()
}

fn intrinsic_time(closes: &[f64], directional_change: f64) -> Vec<Feature> {
    let states = indicators::intrinsic_time(closes, directional_change);
    vec![
        column(
            "dc_direction",
            states.iter().map(|state| state.direction).collect(),
        ),
        column(
            "dc_move",
            states.iter().map(|state| state.log_move).collect(),
        ),
        column(
            "dc_age",
            states.iter().map(|state| state.age.ln_1p()).collect(),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bars::central_time, market};

    fn bars(count: usize) -> Vec<Bar> {
        market::simulate("gbpusd", 2024, count, 7, &central_time().unwrap()).unwrap()
    }

    #[test]
    fn every_group_gives_finite_features_after_the_warm_up() {
        let table = compute(&bars(400), &FeatureSettings::default()).unwrap();
        assert_eq!(table.columns.len(), 27);
        assert_eq!(table.warm_up, 50, "the long volatility needs 50 returns");
        for column in &table.columns {
            assert_eq!(column.values.len(), 400);
            assert!(
                column.values[50..].iter().all(|value| value.is_finite()),
                "{}",
                column.name
            );
        }
    }

    #[test]
    fn a_feature_never_looks_ahead() {
        let bars = bars(200);
        let whole = compute(&bars, &FeatureSettings::default()).unwrap();
        let past = compute(&bars[..120], &FeatureSettings::default()).unwrap();
        for (whole, past) in whole.columns.iter().zip(&past.columns) {
            assert_eq!(whole.values[60..120], past.values[60..], "{}", whole.name);
        }
    }

    #[test]
    fn a_market_that_stands_still_gives_no_nan() {
        let still = Bar {
            open: 1.0,
            high: 1.0,
            low: 1.0,
            close: 1.0,
            ..bars(1)[0]
        };
        let table = compute(&[still; 80], &FeatureSettings::default()).unwrap();
        assert_eq!(table.warm_up, 50);
        assert!(
            table
                .columns
                .iter()
                .all(|column| column.values[79].is_finite())
        );
    }

    #[test]
    fn excluded_groups_are_absent_and_none_left_is_an_error() {
        let groups = BTreeSet::from([FeatureGroup::Rsi]);
        let settings = FeatureSettings {
            groups,
            ..Default::default()
        };
        let table = compute(&bars(60), &settings).unwrap();
        assert_eq!(table.columns.len(), 1);
        assert_eq!(
            (table.columns[0].name.as_str(), table.warm_up),
            ("rsi_14", 14)
        );
        let none = FeatureSettings {
            groups: BTreeSet::new(),
            ..Default::default()
        };
        assert!(compute(&bars(60), &none).is_err());
        let error = compute(&bars(20), &FeatureSettings::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("20 bars are fewer"), "{error}");
    }
}
