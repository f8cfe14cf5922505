//! Counts by service and operation: what answers "which services are there" without reading spans.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use lumitrace_model::SpanKind;

use crate::SpanRecord;
use crate::binary::{Fields, PutFields};
use crate::stats::{OperationSummary, ServiceSummary};

/// How many spans of an operation, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tally {
    spans: u64,
    errors: u64,
    first_start_unix_nano: u64,
    last_start_unix_nano: u64,
}

impl Tally {
    const EMPTY: Self = Self {
        spans: 0,
        errors: 0,
        first_start_unix_nano: u64::MAX,
        last_start_unix_nano: 0,
    };

    fn add(&mut self, other: Self) {
        self.spans += other.spans;
        self.errors += other.errors;
        self.first_start_unix_nano = self.first_start_unix_nano.min(other.first_start_unix_nano);
        self.last_start_unix_nano = self.last_start_unix_nano.max(other.last_start_unix_nano);
    }
}

/// Operation names, each with the spans' kinds in OTLP numbers.
type Operations = BTreeMap<String, BTreeMap<u8, Tally>>;

/// Tallies by service, operation name and kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Summaries {
    services: BTreeMap<String, Operations>,
}

impl Summaries {
    pub(crate) fn add_record(&mut self, record: &SpanRecord) {
        let span = &record.span;
        let tally = Tally {
            spans: 1,
            errors: u64::from(span.is_error()),
            first_start_unix_nano: span.start_unix_nano,
            last_start_unix_nano: span.start_unix_nano,
        };
        self.add(record.service_name(), &span.name, span.kind.code(), tally);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (service, operations) in &other.services {
            for (name, kinds) in operations {
                for (kind, tally) in kinds {
                    self.add(service, name, *kind, *tally);
                }
            }
        }
    }

    fn add(&mut self, service: &str, name: &str, kind: u8, tally: Tally) {
        // Looked up before inserted: names repeat, and only a new one is worth an allocation.
        if !self.services.contains_key(service) {
            self.services.insert(service.to_owned(), Operations::new());
        }
        let Some(operations) = self.services.get_mut(service) else {
            return;
        };
        if !operations.contains_key(name) {
            operations.insert(name.to_owned(), BTreeMap::new());
        }
        let Some(kinds) = operations.get_mut(name) else {
            return;
        };
        kinds.entry(kind).or_insert(Tally::EMPTY).add(tally);
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
        let in_range = |kinds: &BTreeMap<u8, Tally>| {
            kinds.values().any(|tally| {
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

    pub(crate) fn services(&self) -> Vec<ServiceSummary> {
        let summary = |(name, operations): (&String, &Operations)| {
            let mut total = Tally::EMPTY;
            operations
                .values()
                .flat_map(BTreeMap::values)
                .for_each(|tally| total.add(*tally));
            ServiceSummary {
                name: name.clone(),
                span_count: total.spans,
                error_count: total.errors,
                first_start_unix_nano: total.first_start_unix_nano,
                last_start_unix_nano: total.last_start_unix_nano,
            }
        };
        self.services.iter().map(summary).collect()
    }

    pub(crate) fn operations(&self, service: &str) -> Vec<OperationSummary> {
        let operations = self.services.get(service).into_iter().flatten();
        operations
            .flat_map(|(name, kinds)| kinds.iter().map(move |(kind, tally)| (name, *kind, tally)))
            .map(|(name, kind, tally)| OperationSummary {
                name: name.clone(),
                kind: SpanKind::from_code(kind.into()),
                span_count: tally.spans,
                error_count: tally.errors,
                first_start_unix_nano: tally.first_start_unix_nano,
                last_start_unix_nano: tally.last_start_unix_nano,
            })
            .collect()
    }

    /// Writes the tallies as the sidecar keeps them (`docs/formats/store.md`).
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(self.services.len() as u32);
        for (service, operations) in &self.services {
            out.put_bytes(service.as_bytes());
            out.put_u32(operations.values().map(BTreeMap::len).sum::<usize>() as u32);
            for (name, kinds) in operations {
                for (kind, tally) in kinds {
                    out.put_bytes(name.as_bytes());
                    out.put_u8(*kind);
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
