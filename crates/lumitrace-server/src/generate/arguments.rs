//! The command line of `lumitrace generate`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};

use super::shape::{Content, Shape};
use super::traffic::{Times, Total};
use crate::config::Size;
use crate::send::destination::Protocol;

/// Spans without `--spans`, `--traces` or `--for`.
const DEFAULT_SPANS: u64 = 100_000;
/// Over how long traces are spread where only `--start` is given.
const DEFAULT_SPREAD: Duration = Duration::from_secs(3_600);
/// The published comparison's.
const BENCHMARK_SPREAD: Duration = Duration::from_secs(10 * 86_400);

pub(super) const ABOUT: &str = "Make realistic traffic, for an OTLP receiver or a file";

pub(super) const LONG_ABOUT: &str = "\
Makes realistic traffic and sends it to any OTLP receiver, or writes it to a file.

The same --shape and --seed give the same traces whatever the number of connections, so that two \
receivers can be measured with the same load. It ends with what was accepted, how fast, and how \
long answers took, and with a status other than 0 where spans were lost.";

pub(super) const EXAMPLES: &str = "\
Examples:
  lumitrace generate                            100,000 spans of all shapes, to this machine's server
  lumitrace generate --shape training --traces 5
  lumitrace generate --shape http --spans 10M --spread 10d --connections 8
                                                fill a store with ten days
  lumitrace generate --rate 5000 --for 10m      a steady load; Ctrl-C ends it
  lumitrace generate --to http://other:4317     the same load to another receiver, over gRPC
  lumitrace generate --shape agents --payload-bytes 200kB --to agents.jsonl.zst
  lumitrace generate --traces 1 --to - | jq     look at a trace";

/// What to generate, and where to.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// What kind of program the traffic comes from
    #[arg(long, value_enum, default_value = "mixed")]
    pub shape: Shape,
    /// How many spans: whole traces until there are so many [default: 100k, without --traces and
    /// --for]
    #[arg(long, value_name = "N", value_parser = count, conflicts_with = "traces")]
    pub spans: Option<u64>,
    /// How many traces
    #[arg(long, value_name = "N", value_parser = count)]
    pub traces: Option<u64>,
    /// End after this time, such as 10m, even if there is more to send
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub time_limit: Option<Duration>,
    /// The same seed gives the same traces
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// When the first trace starts, such as 2026-03-01T08:00:00Z [default: so that the last starts
    /// now]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_rfc3339_weak)]
    pub start: Option<SystemTime>,
    /// Over how long the traces are spread, such as 10d [default: each ends when it is sent; 10d
    /// for the benchmark]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub spread: Option<Duration>,
    /// Size of the document that agents are asked about, and send again with every call
    #[arg(long, value_name = "SIZE", default_value = "2KiB")]
    pub payload_bytes: Size,

    /// An OTLP receiver's address, a file (.jsonl or .pb, also with .gz or .zst), or - for lines of
    /// JSON on standard output
    #[arg(
        long,
        value_name = "URL|FILE",
        default_value = "http://localhost:4318",
        help_heading = "Sending"
    )]
    pub to: String,
    /// How the receiver is spoken to [default: grpc on port 4317, http/protobuf elsewhere]
    #[arg(long, value_enum, help_heading = "Sending")]
    pub protocol: Option<Protocol>,
    /// A header for each request, such as "authorization: Bearer ..."; can be repeated
    #[arg(
        long = "header",
        value_name = "NAME: VALUE",
        value_parser = header,
        help_heading = "Sending"
    )]
    pub headers: Vec<(String, String)>,
    /// Compress requests
    #[arg(long, help_heading = "Sending")]
    pub gzip: bool,
    /// Most spans a second, over all connections; 0: as fast as they are accepted
    #[arg(
        long,
        value_name = "SPANS_PER_S",
        value_parser = count,
        default_value = "0",
        help_heading = "Sending"
    )]
    pub rate: u64,
    /// How many connections send at once, each waiting for its answer; a file has one
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4,
        value_parser = clap::value_parser!(u16).range(1..),
        help_heading = "Sending"
    )]
    pub connections: u16,
    /// Spans in a request
    #[arg(
        long,
        value_name = "N",
        default_value_t = 512,
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Sending"
    )]
    pub batch_spans: u32,
    /// How long an answer may take
    #[arg(
        long,
        value_name = "TIME",
        default_value = "30s",
        value_parser = humantime::parse_duration,
        help_heading = "Sending"
    )]
    pub timeout: Duration,
    /// How long a request is sent again while the receiver is busy or gone, before its spans count
    /// as lost
    #[arg(
        long,
        value_name = "TIME",
        default_value = "1m",
        value_parser = humantime::parse_duration,
        help_heading = "Sending"
    )]
    pub patience: Duration,

    /// Show no progress
    #[arg(long, short, help_heading = "Output")]
    pub quiet: bool,
    /// Print the result as JSON
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

impl Arguments {
    pub(super) fn content(&self) -> Content {
        Content {
            shape: self.shape,
            seed: self.seed,
            payload_bytes: self.payload_bytes.as_usize(),
        }
    }

    pub(super) fn total(&self) -> Total {
        match (self.spans, self.traces, self.time_limit) {
            (Some(spans), ..) => Total::Spans(spans),
            (None, Some(traces), _) => Total::Traces(traces),
            (None, None, Some(_)) => Total::Endless,
            (None, None, None) => Total::Spans(DEFAULT_SPANS),
        }
    }

    /// When traces start, if it is now `now`.
    pub(super) fn times(&self, now: SystemTime) -> anyhow::Result<Times> {
        let default = match (self.shape, self.start) {
            (Shape::Benchmark, _) if self.total() != Total::Endless => Some(BENCHMARK_SPREAD),
            (_, Some(_)) => Some(DEFAULT_SPREAD),
            (_, None) => None,
        };
        let Some(length) = self.spread.or(default) else {
            return Ok(Times::Live);
        };
        ensure!(
            self.total() != Total::Endless,
            "traffic without an end cannot be spread over a time: say how much with --spans or \
             --traces, too"
        );
        let start = match self.start {
            Some(start) => start,
            None => now
                .checked_sub(length)
                .context("--spread begins before all times")?,
        };
        let start = start
            .duration_since(UNIX_EPOCH)
            .context("the first trace would start before 1970; use a shorter --spread")?;
        Ok(Times::Spread {
            start_unix_nano: u64::try_from(start.as_nanos()).context("--start is after 2554")?,
            length,
        })
    }
}

/// A number as people write it: `100000`, `100k`, `2.5M`, `1G`.
fn count(text: &str) -> Result<u64, String> {
    let (number, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1e3),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 1e6),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 1e9),
        _ => (text, 1.0),
    };
    let value = number.parse::<f64>().ok().map(|number| number * factor);
    match value {
        Some(value) if (0.0..=1e15).contains(&value) && value.fract() == 0.0 => Ok(value as u64),
        _ => Err(format!(
            "{text:?} is not a number such as 5000, 100k or 2.5M"
        )),
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once(':')
        .or_else(|| text.split_once('='))
        .ok_or_else(|| format!("{text:?} is not of the form name: value"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, FromArgMatches};

    fn parse(arguments: &[&str]) -> Arguments {
        let command = Arguments::augment_args(clap::Command::new("generate").no_binary_name(true));
        Arguments::from_arg_matches(&command.get_matches_from(arguments)).unwrap()
    }

    #[test]
    fn counts_are_read_as_people_write_them() {
        assert_eq!(count("100k"), Ok(100_000));
        assert_eq!(count("2.5M"), Ok(2_500_000));
        assert_eq!(count("7"), Ok(7));
        for text in ["", "k", "-1", "1.5", "NaN", "10MB"] {
            assert!(count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn without_a_word_on_time_traces_are_live_and_a_spread_ends_now() {
        let now = UNIX_EPOCH + Duration::from_secs(100 * 86_400);
        assert_eq!(parse(&[]).times(now).unwrap(), Times::Live);
        let spread = parse(&["--spread", "1d"]).times(now).unwrap();
        let day = Duration::from_secs(86_400);
        assert_eq!(
            spread,
            Times::Spread {
                start_unix_nano: (day * 99).as_nanos() as u64,
                length: day,
            }
        );
    }

    #[test]
    fn traffic_without_an_end_is_not_spread() {
        let arguments = parse(&["--for", "10m", "--spread", "1d"]);
        let error = arguments.times(SystemTime::now()).unwrap_err();
        assert!(error.to_string().contains("--spans"), "{error}");
    }
}
