//! The figures as a table, on the terminal and in `docs/benchmarks.md`.

use std::fs;

use anyhow::{Context, bail, ensure};

use super::Spread;
use crate::{process, workspace};

const PAGE: &str = "docs/benchmarks.md";

/// What a figure must reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bar {
    /// The value must be below this.
    Below(f64),
    /// The ratio of the peer's value to ours must be at least this.
    TimesBetter(f64),
}

/// One measured thing.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    /// What was measured, and under which conditions.
    pub(crate) what: String,
    /// The unit of the values.
    pub(crate) unit: &'static str,
    /// Ours, the median where there are rounds.
    pub(crate) ours: f64,
    /// How far ours spreads, where no ratio says it.
    pub(crate) ours_spread: Option<Spread>,
    /// The peer's name and value, measured in the same run on the same work.
    pub(crate) peer: Option<(&'static str, f64)>,
    /// How many times more the peer's value is than ours, over paired rounds.
    pub(crate) ratio: Option<Spread>,
    /// What it must reach, if anything was promised.
    pub(crate) bar: Option<Bar>,
}

impl Figure {
    /// A value without a peer.
    pub(crate) fn alone(what: &str, unit: &'static str, ours: f64, bar: Option<Bar>) -> Self {
        Self {
            what: what.to_owned(),
            unit,
            ours,
            ours_spread: None,
            peer: None,
            ratio: None,
            bar,
        }
    }

    /// Paired rounds of us and a peer: `(ours, theirs)`, in turn.
    ///
    /// # Errors
    /// There are no rounds.
    pub(crate) fn paired(
        what: &str,
        unit: &'static str,
        peer: &'static str,
        rounds: &[(f64, f64)],
        bar: Option<Bar>,
    ) -> anyhow::Result<Self> {
        let ratio = Spread::of(rounds.iter().map(|(ours, theirs)| theirs / ours).collect())?;
        Ok(Self {
            ours_spread: None,
            ratio: Some(ratio),
            ..Self::beside(what, unit, peer, rounds, bar)?
        })
    }

    /// Rounds of us and a peer, `(ours, theirs)`, whose bar is our own value, or whose values may be
    /// about zero, where a ratio says nothing.
    ///
    /// # Errors
    /// There are no rounds.
    pub(crate) fn beside(
        what: &str,
        unit: &'static str,
        peer: &'static str,
        rounds: &[(f64, f64)],
        bar: Option<Bar>,
    ) -> anyhow::Result<Self> {
        let ours = Spread::of(rounds.iter().map(|round| round.0).collect())?;
        let theirs = Spread::of(rounds.iter().map(|round| round.1).collect())?;
        Ok(Self {
            what: what.to_owned(),
            unit,
            ours: ours.median,
            ours_spread: Some(ours),
            peer: Some((peer, theirs.median)),
            ratio: None,
            bar,
        })
    }

    /// Whether the bar holds; `None` without a bar.
    fn holds(&self) -> Option<bool> {
        Some(match self.bar? {
            Bar::Below(limit) => self.ours < limit,
            Bar::TimesBetter(times) => self.ratio.is_some_and(|ratio| ratio.median >= times),
        })
    }

    /// The figure as a row of the table.
    pub(crate) fn to_row(&self) -> String {
        let peer = self
            .peer
            .map(|(name, value)| format!("{name}: {}", number(value)));
        let range = |spread: Spread| {
            let (low, high) = (number(spread.lowest), number(spread.highest));
            format!(" ({low} to {high})")
        };
        let ratio = self.ratio.map(|ratio| number(ratio.median) + &range(ratio));
        let bar = self.bar.map(|bar| match bar {
            Bar::Below(limit) => format!("below {}", number(limit)),
            Bar::TimesBetter(times) => format!("at least {} times", number(times)),
        });
        let verdict = self
            .holds()
            .map(|holds| if holds { "holds" } else { "**misses**" });
        format!(
            "| {} | {} {}{} | {} | {} | {} | {} |",
            self.what,
            number(self.ours),
            self.unit,
            self.ours_spread.map(range).unwrap_or_default(),
            peer.unwrap_or_default(),
            ratio.unwrap_or_default(),
            bar.unwrap_or_default(),
            verdict.unwrap_or_default()
        )
    }
}

/// All figures of one run.
pub(crate) struct Report {
    suite: &'static str,
    machine: String,
    figures: Vec<Figure>,
}

impl Report {
    /// A report that names the machine it was made on, and how many spans all figures are of, if they are.
    ///
    /// # Errors
    /// The machine cannot be described.
    pub(crate) fn new(
        suite: &'static str,
        spans: Option<u64>,
        figures: Vec<Figure>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            suite,
            machine: machine(spans)?,
            figures,
        })
    }

    /// The machine and the table.
    pub(crate) fn to_markdown(&self) -> String {
        self.with_rows(&self.rows())
    }

    fn rows(&self) -> Vec<String> {
        self.figures.iter().map(Figure::to_row).collect()
    }

    fn with_rows(&self, rows: &[String]) -> String {
        format!(
            "{}\n\n{HEADING}\n|---|---|---|---|---|---|\n{}\n",
            self.machine,
            rows.join("\n")
        )
    }

    /// The figures whose bar does not hold.
    pub(crate) fn missed(&self) -> impl Iterator<Item = &str> {
        let missed = self
            .figures
            .iter()
            .filter(|figure| figure.holds() == Some(false));
        missed.map(|figure| figure.what.as_str())
    }

    /// Replaces this suite's part of the page; of a run of some parts only, their rows.
    ///
    /// # Errors
    /// The page cannot be read or written, or has no part for this suite; or its other rows were
    /// measured on another day or machine, or at another size.
    pub(crate) fn write(&self, is_whole: bool) -> anyhow::Result<()> {
        let path = workspace::root().join(PAGE);
        let page = fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
        let begin = format!("<!-- begin: cargo xtask bench {} -->\n", self.suite);
        let end = format!("<!-- end: cargo xtask bench {} -->", self.suite);
        let (Some(from), Some(to)) = (page.find(&begin), page.find(&end)) else {
            bail!("{PAGE} has no part between {begin:?} and {end:?}");
        };
        let (before, after) = (&page[..from + begin.len()], &page[to..]);
        let mut rows = self.rows();
        let old = &page[from + begin.len()..to];
        if !is_whole && table_rows(old).next().is_some() {
            ensure!(
                old.lines().any(|line| line == self.machine),
                "the figures in {PAGE} are of another day, machine or size: measure all parts"
            );
            rows = merged(table_rows(old), rows);
        }
        fs::write(
            &path,
            format!("{before}\n{}\n{after}", self.with_rows(&rows)),
        )
        .with_context(|| format!("cannot write {PAGE}"))
    }
}

const HEADING: &str = "| what | Lumitrace (spread) | peer | peer / ours (spread) | bar | |";

/// The rows of a table in `text`.
fn table_rows(text: &str) -> impl Iterator<Item = &str> {
    let rows = text.lines().filter(|line| line.starts_with("| "));
    rows.skip(1)
}

/// The old rows, those that were measured again replaced, and what is new at the end.
fn merged<'a>(old: impl Iterator<Item = &'a str>, new: Vec<String>) -> Vec<String> {
    let mut rows: Vec<String> = old.map(str::to_owned).collect();
    for row in new {
        match rows.iter_mut().find(|other| what(other) == what(&row)) {
            Some(other) => *other = row,
            None => rows.push(row),
        }
    }
    rows
}

/// What a row is about: the thing that is measured, and the peer.
fn what(row: &str) -> (&str, &str) {
    let mut cells = row.split(" | ");
    let thing = cells.next().unwrap_or_default();
    let peer = cells.nth(1).unwrap_or_default();
    (thing, peer.split(':').next().unwrap_or_default())
}

/// Three significant digits, without an exponent for what people read.
fn number(value: f64) -> String {
    let digits = if value == 0.0 {
        0.0
    } else {
        value.abs().log10().floor()
    };
    let decimals = (2.0 - digits).clamp(0.0, 6.0) as usize;
    format!("{value:.decimals$}")
}

fn machine(spans: Option<u64>) -> anyhow::Result<String> {
    let first_value = |file: &str, key: &str| -> Option<String> {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let processor = first_value("/proc/cpuinfo", "model name");
    let memory = first_value("/proc/meminfo", "MemTotal");
    let memory = memory.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    let cores = std::thread::available_parallelism().context("cannot count the cores")?;
    let date = process::output(process::command("date").args(["-u", "+%Y-%m-%d"]))?;
    let rustc = process::output(process::command("rustc").arg("--version"))?;
    let spans = spans.map_or(String::new(), |spans| format!("; {spans} spans"));
    Ok(format!(
        "{date}, a virtual machine with {cores} cores of {}, {:.0} GiB of memory, {rustc}{spans}.",
        processor.unwrap_or_else(|| "an unnamed processor".to_owned()),
        memory.unwrap_or_default() / f64::from(1 << 20),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_significant_digits() {
        assert_eq!(number(1234.5), "1234");
        assert_eq!(number(12.345), "12.3");
        assert_eq!(number(0.012_345), "0.0123");
        assert_eq!(number(0.0), "0.00");
    }

    #[test]
    fn parts_that_are_measured_again_replace_their_rows_alone() {
        let old = "2026, a machine.\n\n| what | ours | peer | ratio | bar | |\n|---|---|---|---|---|---|\n\
                   | span | 1 ns | a: 2 | 2.0 |  |  |\n| span | 1 ns | b: 3 | 3.0 |  |  |\n\
                   | start | 4 s |  |  |  |  |\n";
        let new = [
            "| span | 5 ns | b: 10 | 2.0 |  |  |",
            "| memory | 6 B |  |  |  |  |",
        ];
        let rows = merged(table_rows(old), new.map(str::to_owned).to_vec());
        let expected = [
            "| span | 1 ns | a: 2 | 2.0 |  |  |",
            new[0],
            "| start | 4 s |  |  |  |  |",
            new[1],
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn values_about_zero_have_a_spread_and_no_ratio() {
        let rounds = [(0.5, 2.0), (-0.1, 1.5), (0.4, 1.8)];
        let bar = Some(Bar::Below(1.0));
        let figure = Figure::beside("x", "%", "peer", &rounds, bar).unwrap();
        assert_eq!(
            figure.to_row(),
            "| x | 0.400 % (-0.100 to 0.500) | peer: 1.80 |  | below 1.00 | holds |"
        );
    }

    #[test]
    fn a_bar_is_judged_by_the_median_ratio() {
        let figure = |bar| {
            Figure::paired(
                "x",
                "ns",
                "peer",
                &[(1.0, 9.0), (1.0, 11.0), (1.0, 30.0)],
                bar,
            )
            .unwrap()
        };
        assert_eq!(figure(Some(Bar::TimesBetter(11.0))).holds(), Some(true));
        assert_eq!(figure(Some(Bar::TimesBetter(12.0))).holds(), Some(false));
        assert_eq!(figure(Some(Bar::Below(1.0))).holds(), Some(false));
        assert_eq!(figure(None).holds(), None);
    }
}
