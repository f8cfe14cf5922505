//! How figures, times and names are printed.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use indicatif::{HumanBytes, HumanCount};

/// A number with thousands set off: `1,234,567`.
pub(super) fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

/// A size: `12.34 MiB`.
pub(super) fn bytes(number: u64) -> String {
    HumanBytes(number).to_string()
}

/// A time in UTC: `2026-03-01T08:00:00Z`.
pub(super) fn time(unix_nano: u64) -> String {
    match UNIX_EPOCH.checked_add(Duration::from_nanos(unix_nano)) {
        Some(time) => humantime::format_rfc3339_seconds(time).to_string(),
        None => format!("{unix_nano} ns after 1970"),
    }
}

/// A name that somebody sent, without what would do something to a terminal.
pub(super) fn name(text: &str) -> String {
    let safe = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(safe).collect()
}

/// A moment as people write it: `2026-03-01T08:00:00Z`, or how long ago, such as `24h`.
pub(super) fn moment(text: &str) -> Result<SystemTime, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        let moment = SystemTime::now().checked_sub(ago);
        return moment.ok_or_else(|| format!("{text:?} ago is before all times"));
    }
    humantime::parse_rfc3339_weak(text).map_err(|_| {
        format!("{text:?} is no time; write it as 2026-03-01T08:00:00Z, or as 24h for a day ago")
    })
}

/// In nanoseconds since the Unix epoch; earlier times count as its begin.
pub(super) fn unix_nano(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Rows of texts under each other, the first column to the left, the others to the right.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(head: &[&str]) -> Self {
        let head = head.iter().map(|text| (*text).to_owned()).collect();
        Self { rows: vec![head] }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => write!(f, "{cell:width$}")?,
                    _ => write!(f, "  {cell:>width$}")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_times_or_how_long_ago() {
        let time = moment("2026-03-01T08:00:00Z").unwrap();
        assert_eq!(super::time(unix_nano(time)), "2026-03-01T08:00:00Z");
        let hour_ago = moment("1h").unwrap();
        let ago = SystemTime::now().duration_since(hour_ago);
        assert!((3_600..3_660).contains(&ago.unwrap().as_secs()));
        assert!(moment("yesterday").unwrap_err().contains("24h"));
    }

    #[test]
    fn columns_are_aligned_and_names_cannot_steer_a_terminal() {
        let mut table = Table::new(&["service", "spans"]);
        table.row([name("a\u{1b}[31m"), count(1_234)]);
        assert_eq!(table.to_string(), "service  spans\na\u{fffd}[31m   1,234\n");
    }
}
