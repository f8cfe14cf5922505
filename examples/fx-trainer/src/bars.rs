//! Minute bars and HistData's text format for them:
//! `datetime;open;high;low;close;volume`, the time as `%Y%m%d %H%M%S` in US-Central.

use std::{collections::HashSet, fmt};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use thiserror::Error;

const TIME_FORMAT: &str = "%Y%m%d %H%M%S";
const FIELDS: [&str; 6] = ["datetime", "open", "high", "low", "close", "volume"];

/// The prices of one minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// Start of the minute.
    pub time: Timestamp,
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Traded volume; HistData gives 0.
    pub volume: f64,
}

/// Why a row of a file is not a bar.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RowError {
    /// It has too few or too many fields.
    #[error("{found} fields instead of 6 (datetime;open;high;low;close;volume)")]
    FieldCount {
        /// How many it has.
        found: usize,
    },
    /// Its time cannot be read.
    #[error("the time {text:?} is not of the form 20240131 235900")]
    Time {
        /// What stands there.
        text: String,
    },
    /// One of its numbers cannot be read.
    #[error("{field} is {text:?}, not a number")]
    Number {
        /// Which one.
        field: &'static str,
        /// What stands there.
        text: String,
    },
}

/// The time zone of the files: US-Central, with its daylight saving time.
///
/// # Errors
/// Never with the bundled time zone database; the error is jiff's.
pub fn central_time() -> Result<TimeZone, jiff::Error> {
    TimeZone::get("America/Chicago")
}

/// Reads one row. NaN counts as a number here; [`clean`] drops such bars.
///
/// # Errors
/// [`RowError`] says which field is wrong.
pub fn parse_row(row: &str, zone: &TimeZone) -> Result<Bar, RowError> {
    let fields: Vec<&str> = row.trim_end().split(';').map(str::trim).collect();
    if fields.len() != FIELDS.len() {
        return Err(RowError::FieldCount {
            found: fields.len(),
        });
    }
    let number = |index: usize| {
        fields[index].parse::<f64>().map_err(|_| RowError::Number {
            field: FIELDS[index],
            text: fields[index].to_owned(),
        })
    };
    Ok(Bar {
        time: parse_time(fields[0], zone)?,
        open: number(1)?,
        high: number(2)?,
        low: number(3)?,
        close: number(4)?,
        volume: number(5)?,
    })
}

fn parse_time(text: &str, zone: &TimeZone) -> Result<Timestamp, RowError> {
    DateTime::strptime(TIME_FORMAT, text)
        .and_then(|local| zone.to_timestamp(local))
        .map_err(|_| RowError::Time {
            text: text.to_owned(),
        })
}

/// Writes one row, with as many decimals as brokers quote.
pub fn format_row(bar: &Bar, zone: &TimeZone, decimals: usize) -> String {
    let local = bar.time.to_zoned(zone.clone()).strftime(TIME_FORMAT);
    let Bar {
        open,
        high,
        low,
        close,
        volume,
        ..
    } = bar;
    format!(
        "{local};{open:.decimals$};{high:.decimals$};{low:.decimals$};{close:.decimals$};{volume}"
    )
}

/// How many bars were dropped, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// A price or the volume is NaN.
    pub not_a_number: usize,
    /// Another bar has the same time; the first is kept.
    pub duplicate: usize,
    /// No market makes such a bar: high below low, open or close outside of them, a price that is
    /// not positive, or an infinity.
    pub impossible: usize,
}

impl Dropped {
    /// All of them.
    pub fn total(&self) -> usize {
        self.not_a_number + self.duplicate + self.impossible
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Dropped {
            not_a_number,
            duplicate,
            impossible,
        } = self;
        write!(
            out,
            "{not_a_number} with NaN, {duplicate} duplicate, {impossible} impossible"
        )
    }
}

/// Sorts bars by time and drops those with NaN, repeated times and impossible prices.
pub fn clean(bars: Vec<Bar>) -> (Vec<Bar>, Dropped) {
    let mut dropped = Dropped::default();
    let mut seen = HashSet::with_capacity(bars.len());
    let mut kept: Vec<Bar> = bars
        .into_iter()
        .filter(|bar| {
            let counter = if has_nan(bar) {
                &mut dropped.not_a_number
            } else if !is_possible(bar) {
                &mut dropped.impossible
            } else if !seen.insert(bar.time) {
                &mut dropped.duplicate
            } else {
                return true;
            };
            *counter += 1;
            false
        })
        .collect();
    kept.sort_by_key(|bar| bar.time);
    (kept, dropped)
}

fn has_nan(bar: &Bar) -> bool {
    [bar.open, bar.high, bar.low, bar.close, bar.volume]
        .iter()
        .any(|value| value.is_nan())
}

fn is_possible(bar: &Bar) -> bool {
    bar.low > 0.0
        && bar.high.is_finite()
        && bar.low <= bar.open.min(bar.close)
        && bar.high >= bar.open.max(bar.close)
        && bar.volume >= 0.0
        && bar.volume.is_finite()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(row: &str) -> Result<Bar, RowError> {
        parse_row(row, &central_time().unwrap())
    }

    #[test]
    fn a_row_is_read_and_its_central_time_becomes_utc() {
        let winter = parse("20240102 170000;1.27123;1.27126;1.27119;1.27124;0").unwrap();
        assert_eq!(winter.time.to_string(), "2024-01-02T23:00:00Z");
        assert_eq!((winter.open, winter.high), (1.27123, 1.27126));
        assert_eq!(
            (winter.low, winter.close, winter.volume),
            (1.27119, 1.27124, 0.0)
        );
        let summer = parse("20240702 170000;1;1;1;1;0").unwrap();
        assert_eq!(summer.time.to_string(), "2024-07-02T22:00:00Z");
    }

    #[test]
    fn a_bad_row_says_what_is_wrong_with_it() {
        for (row, reason) in [
            ("20240102 170000;1;1;1;1", "5 fields instead of 6"),
            ("2024-01-02;1;1;1;1;0", r#"the time "2024-01-02" is not"#),
            (
                "20241302 170000;1;1;1;1;0",
                r#"the time "20241302 170000" is not"#,
            ),
            (
                "20240102 170000;1;1;low;1;0",
                r#"low is "low", not a number"#,
            ),
            ("20240102 170000;;1;1;1;0", r#"open is "", not a number"#),
        ] {
            let error = parse(row).unwrap_err().to_string();
            assert!(error.contains(reason), "{row}: {error}");
        }
    }

    #[test]
    fn a_written_row_is_read_back_the_same() {
        let zone = central_time().unwrap();
        for time in ["20240102 170000", "20240310 160100", "20241103 160000"] {
            let row = format!("{time};1.27123;1.27126;1.27119;1.27124;0");
            assert_eq!(format_row(&parse(&row).unwrap(), &zone, 5), row);
        }
    }

    #[test]
    fn cleaning_drops_nan_duplicate_and_impossible_bars_and_counts_each() {
        let row = |minute: u32, prices: &str| {
            parse(&format!("20240102 17{minute:02}00;{prices};0")).unwrap()
        };
        let good = row(3, "1;3;1;2");
        let first = row(1, "2;3;1;2");
        let (kept, dropped) = clean(vec![
            good,
            first,
            row(1, "1;9;1;1"),
            row(4, "NaN;3;1;2"),
            row(5, "2;1;3;2"),
            row(6, "4;3;1;2"),
            row(7, "2;3;1;0.5"),
            row(8, "-1;3;-2;1"),
            row(9, "1;inf;1;1"),
        ]);
        assert_eq!(kept, [first, good], "sorted, the first of two kept");
        assert_eq!(
            dropped,
            Dropped {
                not_a_number: 1,
                duplicate: 1,
                impossible: 5
            }
        );
        assert_eq!(dropped.total(), 7);
    }
}
