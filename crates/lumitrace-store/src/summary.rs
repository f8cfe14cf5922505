//! Counts by service and operation: what answers "which services are there" without reading spans.

use std::ops::RangeInclusive;

use hashbrown::HashMap;
use lumitrace_model::{SpanKind, StatusCode};

use crate::binary::{Fields, PutFields};
use crate::block::row::Row;
use crate::stats::{OperationSummary, ServiceSummary};
use crate::stored::SpanRef;

/// How many spans of an operation, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) spans: u64,
    errors: u64,
    first_start_unix_nano: u64,
    pub(crate) last_start_unix_nano: u64,
}

impl Tally {
    const EMPTY: Self = Self {
        spans: 0,
        errors: 0,
        first_start_unix_nano: u64::MAX,
        last_start_unix_nano: 0,
    };

    fn of_one(start_unix_nano: u64, is_error: bool) -> Self {
        Self {
            spans: 1,
            errors: u64::from(is_error),
            first_start_unix_nano: start_unix_nano,
            last_start_unix_nano: start_unix_nano,
        }
    }

    fn add(&mut self, other: Self) {
        // Their sums are for people; those of a damaged index must not keep a store from opening.
        self.spans = self.spans.saturating_add(other.spans);
        self.errors = self.errors.saturating_add(other.errors);
        self.first_start_unix_nano = self.first_start_unix_nano.min(other.first_start_unix_nano);
        self.last_start_unix_nano = self.last_start_unix_nano.max(other.last_start_unix_nano);
    }
}

/// How many kinds of spans OTLP knows.
const KINDS: usize = 6;

/// The tallies of an operation, by its spans' kind in OTLP's numbers.
type Kinds = [Tally; KINDS];
/// Operations by name.
type Operations = HashMap<String, Kinds>;

/// Tallies by service, operation name and kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Summaries {
    services: HashMap<String, Operations>,
}

impl Summaries {
    pub(crate) fn add_row(&mut self, row: &Row<'_>) {
        let is_error = row.status_code == StatusCode::Error.code();
        let tally = Tally::of_one(row.start_unix_nano, is_error);
        self.add(row.service_name, row.name, row.kind, tally);
    }

    pub(crate) fn add_span(&mut self, span: SpanRef<'_>) {
        let head = span.head();
        let is_error = head.status_code == StatusCode::Error;
        let tally = Tally::of_one(head.start_unix_nano, is_error);
        let service = span.origin().service_name();
        self.add(service, span.name(), head.kind.code(), tally);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (service, operations) in &other.services {
            for (name, kinds) in operations {
                for (kind, tally) in tallies(kinds) {
                    self.add(service, name, kind, tally);
                }
            }
        }
    }

    /// Counts one record of whatever is stored.
    pub(crate) fn add_one(
        &mut self,
        service: &str,
        name: &str,
        kind: u8,
        start_unix_nano: u64,
        is_error: bool,
    ) {
        let tally = Tally::of_one(start_unix_nano, is_error);
        self.add(service, name, kind, tally);
    }

    fn add(&mut self, service: &str, name: &str, kind: u8, tally: Tally) {
        let operations = self.services.entry_ref(service).or_default();
        let kinds = operations.entry_ref(name).or_insert([Tally::EMPTY; KINDS]);
        // Codes come from `SpanKind`; any other would be unspecified there too.
        let kind = SpanKind::from_code(kind.into()).code();
        kinds[usize::from(kind)].add(tally);
    }

    /// Whether there may be spans of `service` (any, if none) with one of `names` (any, if empty),
    /// failed ones if `only_errors`, that started in this range.
    pub(crate) fn may_hold(
        &self,
        service: Option<&str>,
        names: &[String],
        only_errors: bool,
        starts: RangeInclusive<u64>,
    ) -> bool {
        let in_range = |kinds: &Kinds| {
            tallies(kinds).any(|(_, tally)| {
                (!only_errors || tally.errors > 0)
                    && tally.first_start_unix_nano <= *starts.end()
                    && tally.last_start_unix_nano >= *starts.start()
            })
        };
        let operations_hold = |operations: &Operations| match names {
            [] => operations.values().any(in_range),
            names => names
                .iter()
                .filter_map(|name| operations.get(name))
                .any(in_range),
        };
        match service {
            Some(service) => self.services.get(service).is_some_and(operations_hold),
            None => self.services.values().any(operations_hold),
        }
    }

    pub(crate) fn has_service(&self, service: &str) -> bool {
        self.services.contains_key(service)
    }

    /// The services that have an operation for whose name `is_wanted` says yes.
    pub(crate) fn services_with(
        &self,
        is_wanted: impl Fn(&str) -> bool,
    ) -> impl Iterator<Item = &str> {
        let services = self.services.iter();
        let wanted = services.filter(move |(_, operations)| {
            let mut names = operations.keys();
            names.any(|name| is_wanted(name))
        });
        wanted.map(|(service, _)| service.as_str())
    }

    /// The services, by name.
    pub(crate) fn services(&self) -> Vec<ServiceSummary> {
        let summary = |(name, operations): (&String, &Operations)| {
            let mut total = Tally::EMPTY;
            let kinds = operations.values().flatten();
            kinds.for_each(|tally| total.add(*tally));
            ServiceSummary {
                name: name.clone(),
                span_count: total.spans,
                error_count: total.errors,
                first_start_unix_nano: total.first_start_unix_nano,
                last_start_unix_nano: total.last_start_unix_nano,
            }
        };
        by_name(&self.services).into_iter().map(summary).collect()
    }

    /// The tallies of a service, by operation name and kind.
    pub(crate) fn operation_tallies(
        &self,
        service: &str,
    ) -> impl Iterator<Item = (&str, u8, Tally)> {
        let operations = self.services.get(service).map(by_name);
        let operations = operations.into_iter().flatten();
        operations.flat_map(|(name, kinds)| {
            tallies(kinds).map(|(kind, tally)| (name.as_str(), kind, tally))
        })
    }

    /// The operations of a service, by name and kind.
    pub(crate) fn operations(&self, service: &str) -> Vec<OperationSummary> {
        let summary = |(name, kind, tally): (&str, u8, Tally)| OperationSummary {
            name: name.to_owned(),
            kind: SpanKind::from_code(kind.into()),
            span_count: tally.spans,
            error_count: tally.errors,
            first_start_unix_nano: tally.first_start_unix_nano,
            last_start_unix_nano: tally.last_start_unix_nano,
        };
        self.operation_tallies(service).map(summary).collect()
    }

    /// Writes the tallies as the sidecar keeps them (`docs/formats/store.md`).
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(self.services.len() as u32);
        for (service, operations) in by_name(&self.services) {
            out.put_bytes(service.as_bytes());
            let count = operations.values().flat_map(tallies).count();
            out.put_u32(count as u32);
            for (name, kinds) in by_name(operations) {
                for (kind, tally) in tallies(kinds) {
                    out.put_bytes(name.as_bytes());
                    out.put_u8(kind);
                    out.put_u64(tally.spans);
                    out.put_u64(tally.errors);
                    out.put_u64(tally.first_start_unix_nano);
                    out.put_u64(tally.last_start_unix_nano);
                }
            }
        }
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` if it is something else.
    pub(crate) fn decode(fields: &mut Fields<'_>) -> Option<Self> {
        let mut summaries = Self::default();
        for _ in 0..fields.u32()? {
            let service = fields.text()?;
            for _ in 0..fields.u32()? {
                let name = fields.text()?;
                let kind = fields.u8()?;
                let tally = Tally {
                    spans: fields.u64()?,
                    errors: fields.u64()?,
                    first_start_unix_nano: fields.u64()?,
                    last_start_unix_nano: fields.u64()?,
                };
                summaries.add(service, name, kind, tally);
            }
        }
        Some(summaries)
    }
}

/// The kinds of which there are spans.
fn tallies(kinds: &Kinds) -> impl Iterator<Item = (u8, Tally)> {
    let numbered = (0..).zip(kinds.iter().copied());
    numbered.filter(|(_, tally)| tally.spans > 0)
}

fn by_name<T>(map: &HashMap<String, T>) -> Vec<(&String, &T)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(name, _)| *name);
    entries
}
