//! Shows how far something is: a bar on a terminal, a line a second elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// What they are called.
    Records(&'static str),
    Bytes,
}

/// What there is to watch, on standard error.
pub(crate) enum Progress {
    Bar(ProgressBar),
    Lines {
        unit: Unit,
        last_position: u64,
        last: Instant,
    },
    Silent,
}

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(1);

impl Progress {
    /// Shows on standard error, unless `quiet`. `total` is how much there will be, if known.
    pub(crate) fn new(unit: Unit, total: Option<u64>, quiet: bool) -> Self {
        if quiet {
            return Self::Silent;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Lines {
                unit,
                last_position: 0,
                last: Instant::now(),
            };
        }
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::no_length(),
        };
        bar.set_draw_target(ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(&template(unit, total.is_some())) {
            bar.set_style(style);
        }
        Self::Bar(bar)
    }

    /// How often there is something new to show.
    pub(crate) fn tick(&self) -> Duration {
        match self {
            Self::Bar(_) | Self::Silent => Duration::from_millis(100),
            Self::Lines { .. } => LINE_EVERY,
        }
    }

    /// Shows that so much is done. May be called as often as one likes.
    pub(crate) fn show(&mut self, position: u64, message: &str) {
        match self {
            Self::Bar(bar) => {
                bar.set_position(position);
                bar.set_message(message.to_owned());
                bar.tick();
            }
            Self::Lines {
                unit,
                last_position,
                last,
            } => {
                let elapsed = last.elapsed();
                // Who calls once a second may be a little early.
                if elapsed < LINE_EVERY * 9 / 10 {
                    return;
                }
                let per_second =
                    position.saturating_sub(*last_position) as f64 / elapsed.as_secs_f64();
                let done = match unit {
                    Unit::Records(what) => format!("{position} {what}, {per_second:.0} {what}/s"),
                    Unit::Bytes => {
                        let (done, rate) = (position as f64 / 1e6, per_second / 1e6);
                        format!("{done:.1} MB, {rate:.1} MB/s")
                    }
                };
                // Standard error may be closed.
                let _ = writeln!(std::io::stderr(), "{done} {message}");
                (*last_position, *last) = (position, Instant::now());
            }
            Self::Silent => {}
        }
    }

    /// Removes what is shown.
    pub(crate) fn finish(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn template(unit: Unit, has_end: bool) -> String {
    let template = match (unit, has_end) {
        (Unit::Records(what), true) => {
            return format!(
                "{{bar:32}} {{human_pos}}/{{human_len}} {what}  {{per_sec}}  {{elapsed}} (about \
                 {{eta}} left)  {{msg}}"
            );
        }
        (Unit::Records(what), false) => {
            return format!("{{spinner}} {{human_pos}} {what}  {{per_sec}}  {{elapsed}}  {{msg}}");
        }
        (Unit::Bytes, true) => {
            "{bar:32} {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {elapsed} \
             (about {eta} left)  {msg}"
        }
        (Unit::Bytes, false) => {
            "{spinner} {binary_bytes}  {binary_bytes_per_sec}  {elapsed}  {msg}"
        }
    };
    template.to_owned()
}
