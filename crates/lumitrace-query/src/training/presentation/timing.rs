//! How long batches take, how fast samples go, and when the run may end.

use std::collections::HashMap;

use super::epochs::Batches;
use crate::training::fold::{Row, RunFold};
use crate::training::metrics::BATCH_SIZE;
use crate::training::recognition::Role;
use crate::training::view::StepTime;

/// Over how many of the newest batches the throughput is taken.
const THROUGHPUT_BATCHES: usize = 1000;

impl RunFold {
    pub(super) fn step_time(&self, groups: &[Batches]) -> Option<StepTime> {
        let finished = self.steps.rows.iter().filter(|row| !row.pending);
        let mut durations: Vec<u64> = finished.map(Row::duration_nano).collect();
        let mut gaps: Vec<u64> = Vec::new();
        let pauses = self.pauses();
        for group in groups {
            let mut previous: HashMap<u16, u64> = HashMap::new();
            for &step in &group.steps {
                let row = &self.steps.rows[step as usize];
                let ended = previous.insert(row.process, row.end_unix_nano);
                if let Some(ended) = ended.filter(|&ended| ended <= row.start_unix_nano) {
                    let paused = overlap(&pauses, ended, row.start_unix_nano);
                    gaps.push((row.start_unix_nano - ended).saturating_sub(paused));
                }
            }
        }
        Some(StepTime {
            p50_nano: percentile(&mut durations, 50)?,
            p95_nano: percentile(&mut durations, 95)?,
            between_p50_nano: percentile(&mut gaps, 50),
        })
    }

    /// Start and end of validations and of phases other than loading, by start: time between
    /// batches that is no wait for data.
    fn pauses(&self) -> Vec<(u64, u64)> {
        let validations = self.validations.rows.iter();
        let phases = self.phases.values().map(|record| &record.span);
        let phases = phases.filter(|span| self.names.role(&span.name) == Role::Phase);
        let mut pauses: Vec<(u64, u64)> = validations
            .map(|row| (row.start_unix_nano, row.end_unix_nano))
            .chain(phases.map(|span| (span.start_unix_nano, span.end_unix_nano)))
            .collect();
        pauses.sort_unstable();
        pauses
    }

    pub(super) fn recent_samples_per_second(&self) -> Option<f64> {
        let newest = (0..self.steps.rows.len() as u32)
            .rev()
            .take(THROUGHPUT_BATCHES);
        self.samples_per_second(newest)
    }

    pub(super) fn samples_per_second(&self, steps: impl Iterator<Item = u32>) -> Option<f64> {
        let (samples, nanos) = steps.fold((0.0, 0_u64), |(samples, nanos), step| {
            let row = &self.steps.rows[step as usize];
            match self.steps.metric(step, BATCH_SIZE).filter(|_| !row.pending) {
                Some(size) if size.is_finite() => {
                    (samples + size, nanos.saturating_add(row.duration_nano()))
                }
                _ => (samples, nanos),
            }
        });
        (nanos > 0).then(|| samples * 1e9 / nanos as f64)
    }

    /// What is left of the plan, at the median duration of the finished epochs.
    pub(super) fn eta_nano(&self, now_unix_nano: u64) -> Option<u64> {
        let total = self.digest.total_epochs()?;
        let finished = self
            .epochs
            .rows
            .iter()
            .filter(|row| !row.pending && !row.is_error());
        let mut durations: Vec<u64> = finished.map(Row::duration_nano).collect();
        let typical = percentile(&mut durations, 50)?;
        let latest = self
            .epochs
            .rows
            .iter()
            .max_by_key(|row| row.start_unix_nano)?;
        let number = i64::from(latest.indices.epoch?) - self.digest.first_epoch() + 1;
        let after_this = u64::try_from(total - number)
            .unwrap_or(0)
            .saturating_mul(typical);
        let elapsed = now_unix_nano.saturating_sub(latest.start_unix_nano);
        let of_this = if latest.pending {
            typical.saturating_sub(elapsed)
        } else {
            0
        };
        Some(after_this.saturating_add(of_this))
    }
}

/// The value below which this percentage of `values` lies; reorders them.
pub(super) fn percentile(values: &mut [u64], percent: usize) -> Option<u64> {
    let last = values.len().checked_sub(1)?;
    let (_, value, _) = values.select_nth_unstable((values.len() * percent / 100).min(last));
    Some(*value)
}

/// How much of the time from `start` to `end` the intervals take, which are ordered by start.
fn overlap(intervals: &[(u64, u64)], start: u64, end: u64) -> u64 {
    let until = intervals.partition_point(|&(other_start, _)| other_start < end);
    let overlapping = intervals[..until]
        .iter()
        .rev()
        .take_while(|&&(other_start, _)| other_start >= start);
    overlapping
        .map(|&(other_start, other_end)| other_end.min(end).saturating_sub(other_start))
        .fold(0, u64::saturating_add)
}
