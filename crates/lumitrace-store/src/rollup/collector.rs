//! Sums up what rollups and spans say.

use std::ops::ControlFlow;

use hashbrown::HashMap;
use lumitrace_model::{SpanKind, StatusCode};

use super::{RollupRequest, RollupRow, RollupStats, SpanRollup};
use crate::DurationSketch;
use crate::block::columns::{duration_of_stored, stored_duration_nano};
use crate::block::rollup_keys::{RollupKey, RollupKeyRef, RollupKeys};
use crate::stored::SpanRef;

/// Durations by key and step.
pub(super) struct Collector<'a> {
    request: &'a RollupRequest,
    keys: RollupKeys,
    /// By the number of the key, and of the step.
    cells: HashMap<(u32, u64), DurationSketch>,
    pub(super) stats: RollupStats,
}

impl<'a> Collector<'a> {
    pub(super) fn new(request: &'a RollupRequest) -> Self {
        Self {
            request,
            keys: RollupKeys::default(),
            cells: HashMap::new(),
            stats: RollupStats::default(),
        }
    }

    pub(super) fn request(&self) -> &'a RollupRequest {
        self.request
    }

    /// Counts spans that are looked at; breaks when the budget is exhausted.
    pub(super) fn look_at(&mut self, spans: u64) -> ControlFlow<()> {
        if let Err(exhausted) = self.request.budget.look_at(spans) {
            self.stats.exhausted = Some(exhausted);
            return ControlFlow::Break(());
        }
        self.stats.examined_spans += spans;
        ControlFlow::Continue(())
    }

    /// The numbers here of these keys; none for those that are not asked for.
    pub(super) fn numbers_of(&mut self, keys: &[RollupKey]) -> Vec<Option<u32>> {
        let number = |key: &RollupKey| {
            let is_wanted = self.request.wants(&key.service, &key.name);
            is_wanted.then(|| self.keys.number(key.as_ref()))
        };
        keys.iter().map(number).collect()
    }

    /// Adds spans of one key that start in one step.
    pub(super) fn add(&mut self, key: u32, step: u64, durations: &DurationSketch) {
        self.cells.entry((key, step)).or_default().merge(durations);
    }

    /// Adds a span if it is asked for.
    pub(super) fn add_span(&mut self, span: SpanRef<'_>) {
        let head = span.head();
        let duration = stored_duration_nano(head.start_unix_nano, head.end_unix_nano);
        let key = RollupKeyRef {
            service: span.origin().service_name(),
            name: span.name(),
            kind: head.kind.code(),
            failed: head.status_code == StatusCode::Error,
        };
        self.add_one(key, head.start_unix_nano, duration);
    }

    /// Adds a span with this key, start and stored duration if it is asked for.
    pub(super) fn add_one(
        &mut self,
        key: RollupKeyRef<'_>,
        start_unix_nano: u64,
        stored_duration_nano: i64,
    ) {
        let is_wanted = self.request.starts().contains(&start_unix_nano)
            && self.request.wants(key.service, key.name);
        if is_wanted {
            let cell = (self.keys.number(key), self.request.step_of(start_unix_nano));
            let durations = self.cells.entry(cell).or_default();
            durations.add(duration_of_stored(stored_duration_nano));
        }
    }

    pub(super) fn finish(self) -> SpanRollup {
        let step_nano = self.request.step_nano.map_or(0, u64::from);
        let row = |((key, step), durations): ((u32, u64), DurationSketch)| {
            let key = &self.keys.all()[key as usize];
            RollupRow {
                step_unix_nano: step * step_nano,
                service: key.service.clone(),
                name: key.name.clone(),
                kind: SpanKind::from_code(key.kind.into()),
                failed: key.failed,
                durations,
            }
        };
        let mut rows: Vec<RollupRow> = self.cells.into_iter().map(row).collect();
        rows.sort_by(|left, right| order(left).cmp(&order(right)));
        SpanRollup {
            rows,
            stats: self.stats,
        }
    }
}

/// By what rows are sorted.
fn order(row: &RollupRow) -> (u64, &str, &str, u8, bool) {
    (
        row.step_unix_nano,
        &row.service,
        &row.name,
        row.kind.code(),
        row.failed,
    )
}
