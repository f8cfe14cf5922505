//! Shows how far a run is: a bar on a terminal, a line a second elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::tally::Tally;

/// What there is to watch.
pub(super) enum Progress {
    Bar(ProgressBar),
    Lines { last_spans: u64, last: Instant },
    Silent,
}

const TEMPLATE: &str =
    "{bar:32} {human_pos}/{human_len} spans  {per_sec}  {elapsed} (about {eta} left)  {msg}";
const TEMPLATE_WITHOUT_END: &str = "{spinner} {human_pos} spans  {per_sec}  {elapsed}  {msg}";

impl Progress {
    /// Shows on standard error, unless `quiet`. `spans` is how many there will be, if known.
    pub(super) fn new(spans: Option<u64>, quiet: bool) -> Self {
        if quiet {
            return Self::Silent;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Lines {
                last_spans: 0,
                last: Instant::now(),
            };
        }
        let (bar, template) = match spans {
            Some(spans) => (ProgressBar::new(spans), TEMPLATE),
            None => (ProgressBar::no_length(), TEMPLATE_WITHOUT_END),
        };
        bar.set_draw_target(ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self::Bar(bar)
    }

    /// How often there is something new to show.
    pub(super) fn tick(&self) -> Duration {
        match self {
            Self::Bar(_) | Self::Silent => Duration::from_millis(100),
            Self::Lines { .. } => Duration::from_secs(1),
        }
    }

    pub(super) fn show(&mut self, tally: &Tally) {
        let trouble = || match &tally.reason {
            Some(reason) => format!("{} sent again; {reason}", tally.retries),
            None => String::new(),
        };
        match self {
            Self::Bar(bar) => {
                bar.set_position(tally.settled_spans());
                bar.set_message(trouble());
                bar.tick();
            }
            Self::Lines { last_spans, last } => {
                let spans = tally.settled_spans();
                let seconds = last.elapsed().as_secs_f64();
                let rate = (spans - *last_spans) as f64 / seconds;
                // Standard error may be closed.
                let _ = writeln!(
                    std::io::stderr(),
                    "{spans} spans, {rate:.0} spans/s {}",
                    trouble()
                );
                (*last_spans, *last) = (spans, Instant::now());
            }
            Self::Silent => {}
        }
    }

    pub(super) fn finish(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
