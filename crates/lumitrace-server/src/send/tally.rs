//! What happened to the spans, counted while they are sent.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// Counts of one run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    /// Spans that the receiver accepted.
    pub(crate) accepted_spans: u64,
    /// Spans that the receiver refused for good.
    pub(crate) rejected_spans: u64,
    /// Spans that were given up.
    pub(crate) lost_spans: u64,
    /// Spans that a busy receiver had sent away when the run was ended early.
    pub(crate) unsent_spans: u64,
    /// Requests that were answered with success.
    pub(crate) requests: u64,
    /// Attempts that had to be repeated.
    pub(crate) retries: u64,
    /// Bytes of accepted requests, as they went over the wire or into the file.
    pub(crate) bytes: u64,
    /// Time from a request to its answer.
    pub(crate) latencies: Latencies,
    /// Why spans were rejected, lost or sent again: the latest reason.
    pub(crate) reason: Option<String>,
}

impl Tally {
    /// Spans whose fate is known.
    pub(crate) fn settled_spans(&self) -> u64 {
        self.accepted_spans + self.rejected_spans + self.lost_spans
    }

    /// What goes wrong at the moment, for a progress bar; empty if nothing.
    pub(crate) fn trouble(&self) -> String {
        match &self.reason {
            Some(reason) => format!("{} sent again; {reason}", self.retries),
            None => String::new(),
        }
    }

    /// The result, after a run of this length.
    pub(crate) fn report(&self, traces: u64, elapsed: Duration) -> Report {
        let seconds = elapsed.as_secs_f64();
        Report {
            traces,
            spans: self.accepted_spans,
            rejected_spans: self.rejected_spans,
            lost_spans: self.lost_spans,
            unsent_spans: self.unsent_spans,
            requests: self.requests,
            retries: self.retries,
            bytes: self.bytes,
            seconds,
            spans_per_second: self.accepted_spans as f64 / seconds.max(1e-9),
            latency_p50_ms: self.latencies.quantile_ms(0.5),
            latency_p99_ms: self.latencies.quantile_ms(0.99),
            reason: self.reason.clone(),
        }
    }
}

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Traces generated.
    pub traces: u64,
    /// Spans that were accepted.
    pub spans: u64,
    /// Spans that the receiver refused for good.
    pub rejected_spans: u64,
    /// Spans that were given up.
    pub lost_spans: u64,
    /// Spans that a busy receiver had sent away when the run was ended early.
    pub unsent_spans: u64,
    /// Requests that were answered with success.
    pub requests: u64,
    /// Attempts that had to be repeated.
    pub retries: u64,
    /// Bytes of accepted requests, compressed where they were sent so.
    pub bytes: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Accepted spans a second.
    pub spans_per_second: f64,
    /// Half of the answers came within this time, in milliseconds. `None` without an answer.
    pub latency_p50_ms: Option<f64>,
    /// 99 of 100 answers came within this time, in milliseconds. `None` without an answer.
    pub latency_p99_ms: Option<f64>,
    /// Why spans were rejected, lost or sent again: the latest reason.
    pub reason: Option<String>,
}

impl Report {
    /// Whether every span that was sent was accepted.
    pub fn is_complete(&self) -> bool {
        self.rejected_spans == 0 && self.lost_spans == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "spans accepted   {} in {} traces",
            self.spans, self.traces
        )?;
        writeln!(
            f,
            "rate             {:.0} spans/s for {:.1} s",
            self.spans_per_second, self.seconds
        )?;
        let bytes_per_span = self.bytes as f64 / (self.spans as f64).max(1.0);
        writeln!(
            f,
            "bytes            {} ({bytes_per_span:.0} per span, {:.1} MB/s)",
            self.bytes,
            self.bytes as f64 / 1e6 / self.seconds.max(1e-9)
        )?;
        write!(f, "requests         {}", self.requests)?;
        if let (Some(p50), Some(p99)) = (self.latency_p50_ms, self.latency_p99_ms) {
            write!(f, ", answered in {p50:.2} ms (p50), {p99:.2} ms (p99)")?;
        }
        writeln!(f)?;
        if self.retries > 0 {
            writeln!(f, "sent again       {} requests", self.retries)?;
        }
        if self.rejected_spans > 0 {
            writeln!(f, "spans rejected   {}", self.rejected_spans)?;
        }
        if self.lost_spans > 0 {
            writeln!(f, "spans lost       {}", self.lost_spans)?;
        }
        if self.unsent_spans > 0 {
            writeln!(f, "spans not sent   {}", self.unsent_spans)?;
        }
        if let Some(reason) = &self.reason {
            writeln!(f, "latest trouble   {reason}")?;
        }
        Ok(())
    }
}

/// Times in buckets, each 2 % wider than the one before: as many requests as there may be need a
/// few kilobytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies {
    buckets: Vec<u64>,
}

const GROWTH: f64 = 1.02;

impl Latencies {
    pub(crate) fn record(&mut self, time: Duration) {
        let microseconds = (time.as_secs_f64() * 1e6).max(1.0);
        let bucket = (microseconds.ln() / GROWTH.ln()).ceil() as usize;
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
    }

    /// The time within which this share of the answers came.
    fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        let total: u64 = self.buckets.iter().sum();
        let rank = ((total as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(GROWTH.powf(bucket as f64) / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_two_percent() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile_ms(0.5), None);
        for ms in 1..=1_000 {
            latencies.record(Duration::from_millis(ms));
        }
        for (quantile, expected) in [(0.5, 500.0), (0.99, 990.0)] {
            let found = latencies.quantile_ms(quantile).unwrap();
            assert!((expected..=expected * 1.021).contains(&found), "{found}");
        }
    }
}
