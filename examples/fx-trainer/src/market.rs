//! A seeded market that makes minute bars when there are none: log-volatility that clusters, a
//! quiet and two busy sessions a day, closed weekends, missing minutes, and a slow hidden drift,
//! so that there is something to learn from the past.

use jiff::{Timestamp, civil, tz::TimeZone};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::bars::Bar;

/// Price moves within a minute, from which its high and low come.
const MOVES_PER_MINUTE: usize = 6;
/// Standard deviation of a minute's log return on average: about 8 % a year.
const MINUTE_VOLATILITY: f64 = 1.3e-4;
/// How much of the log-volatility's deviation is left after a minute, and its standard deviation.
const VOLATILITY_MEMORY: f64 = 0.985;
const VOLATILITY_DEVIATION: f64 = 0.45;
/// How much of the hidden drift is left after a minute, and its size beside the volatility.
const DRIFT_MEMORY: f64 = 0.97;
const DRIFT_SHARE: f64 = 0.6;
/// Share of the minutes without a trade, which real files leave out.
const MISSING_MINUTES: f64 = 0.004;

/// Makes `count` bars of `pair` from the first trading day of `year` on, fewer if the year is over
/// before. The same arguments make the same bars.
///
/// # Errors
/// If `year` is outside the calendar.
pub fn simulate(
    pair: &str,
    year: i16,
    count: usize,
    seed: u64,
    zone: &TimeZone,
) -> Result<Vec<Bar>, jiff::Error> {
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ stable_hash(pair));
    let mut market = Market::new(start_price(pair));
    let mut time = zone.to_timestamp(civil::date(year, 1, 2).at(0, 0, 0, 0))?;
    let precision = 10f64.powi(decimals(pair) as i32);
    let mut bars = Vec::new();
    while bars.len() < count {
        let local = time.to_zoned(zone.clone()).datetime();
        if local.year() > year {
            break;
        }
        if is_open(local) {
            let bar = market.minute(time, &mut random, precision);
            if random.random::<f64>() >= MISSING_MINUTES {
                bars.push(bar);
            }
        }
        time = time.checked_add(jiff::SignedDuration::from_mins(1))?;
    }
    Ok(bars)
}

/// How many decimals the pair is quoted with: 3 against the yen, else 5.
pub fn decimals(pair: &str) -> usize {
    if pair.to_ascii_lowercase().ends_with("jpy") {
        3
    } else {
        5
    }
}

/// Whether currencies trade at a moment of Central time: Sunday 16:00 to Friday 16:00.
fn is_open(local: civil::DateTime) -> bool {
    match local.weekday() {
        civil::Weekday::Saturday => false,
        civil::Weekday::Sunday => local.hour() >= 16,
        civil::Weekday::Friday => local.hour() < 16,
        _ => true,
    }
}

/// How lively the market is at a moment of the UTC day: quiet at night, busy while London and then
/// New York trade.
fn session_activity(time: Timestamp) -> f64 {
    let hour = (time.as_second().rem_euclid(86_400)) as f64 / 3600.0;
    let bump = |centre: f64, width: f64| (-((hour - centre) / width).powi(2)).exp();
    0.6 + 0.6 * bump(8.5, 2.5) + 0.8 * bump(14.5, 2.5)
}

struct Market {
    price: f64,
    log_volatility: f64,
    drift: f64,
}

impl Market {
    fn new(price: f64) -> Self {
        Self {
            price,
            log_volatility: 0.0,
            drift: 0.0,
        }
    }

    fn minute(&mut self, time: Timestamp, random: &mut ChaCha8Rng, precision: f64) -> Bar {
        let mut normal = || -> f64 { random.sample(StandardNormal) };
        self.log_volatility = autoregress(
            self.log_volatility,
            VOLATILITY_MEMORY,
            VOLATILITY_DEVIATION,
            normal(),
        );
        self.drift = autoregress(self.drift, DRIFT_MEMORY, DRIFT_SHARE, normal());
        let volatility = MINUTE_VOLATILITY * session_activity(time) * self.log_volatility.exp();
        let moves = MOVES_PER_MINUTE as f64;
        let path: Vec<f64> = std::iter::once(self.price)
            .chain((0..MOVES_PER_MINUTE).map(|_| {
                let log_return = volatility * (self.drift / moves + normal() / moves.sqrt());
                self.price *= log_return.exp();
                self.price
            }))
            .map(|price| (price * precision).round() / precision)
            .collect();
        Bar {
            time,
            open: path[0],
            high: path.iter().copied().fold(f64::MIN, f64::max),
            low: path.iter().copied().fold(f64::MAX, f64::min),
            close: path[MOVES_PER_MINUTE],
            volume: 0.0,
        }
    }
}

/// The next value of a first-order autoregressive process with standard deviation `deviation`.
fn autoregress(value: f64, memory: f64, deviation: f64, shock: f64) -> f64 {
    memory * value + deviation * (1.0 - memory * memory).sqrt() * shock
}

fn start_price(pair: &str) -> f64 {
    match pair.to_ascii_lowercase().as_str() {
        "gbpusd" => 1.27,
        "eurusd" => 1.09,
        "audusd" => 0.66,
        "usdchf" => 0.88,
        "usdcad" => 1.34,
        pair if pair.ends_with("jpy") => 145.0,
        _ => 1.0,
    }
}

/// FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/): std's hasher may change between releases,
/// and a seed shall keep its meaning.
fn stable_hash(text: &str) -> u64 {
    text.to_ascii_lowercase()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bars::{central_time, clean};

    fn bars(pair: &str, count: usize, seed: u64) -> Vec<Bar> {
        simulate(pair, 2024, count, seed, &central_time().unwrap()).unwrap()
    }

    #[test]
    fn the_same_seed_makes_the_same_bars_and_another_seed_or_pair_makes_others() {
        assert_eq!(bars("gbpusd", 50, 7), bars("gbpusd", 50, 7));
        assert_ne!(bars("gbpusd", 50, 7), bars("gbpusd", 50, 8));
        assert_ne!(bars("gbpusd", 50, 7), bars("eurusd", 50, 7));
    }

    #[test]
    fn every_bar_is_possible_and_none_falls_on_a_weekend() {
        let bars = bars("usdjpy", 12_000, 7);
        assert_eq!(clean(bars.clone()).1.total(), 0);
        let zone = central_time().unwrap();
        assert!(
            bars.iter()
                .all(|bar| is_open(bar.time.to_zoned(zone.clone()).datetime()))
        );
        let gaps = bars
            .windows(2)
            .map(|pair| pair[1].time.as_second() - pair[0].time.as_second());
        assert!(gaps.max().unwrap() >= 48 * 3600, "the weekend is a gap");
    }

    #[test]
    fn a_year_ends_with_the_year() {
        let bars = bars("gbpusd", usize::MAX, 7);
        assert!(
            (350_000..380_000).contains(&bars.len()),
            "{} bars",
            bars.len()
        );
        let last = bars[bars.len() - 1].time.to_string();
        assert!(
            last.starts_with("2025-01-01T05:5"),
            "{last} is New Year's Eve in Central time"
        );
    }

    #[test]
    fn volatility_clusters_as_in_a_real_market() {
        let closes: Vec<f64> = bars("gbpusd", 6000, 7)
            .iter()
            .map(|bar| bar.close)
            .collect();
        let moves: Vec<f64> = closes
            .windows(2)
            .map(|pair| (pair[1] / pair[0]).ln().abs())
            .collect();
        let mean = moves.iter().sum::<f64>() / moves.len() as f64;
        let covariance: f64 = moves
            .windows(11)
            .map(|window| (window[0] - mean) * (window[10] - mean))
            .sum();
        let variance: f64 = moves.iter().map(|value| (value - mean).powi(2)).sum();
        assert!(
            covariance / variance > 0.1,
            "autocorrelation {}",
            covariance / variance
        );
    }
}
