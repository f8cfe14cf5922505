//! Which service calls which, counted over the spans of a time window.

use super::super::error::ApiError;
use super::params::Window;
use lumitrace_model::{Span, SpanId, TraceId};
use lumitrace_query::facts::service_name;
use lumitrace_store::{QueryBudget, ScanRequest, ScanStats, SpanParts, Store};
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

/// About what is kept in memory of a span.
const SPAN_BYTES: usize = 100;

/// Collects spans, and counts calls once all are there: a parent may come after its child.
#[derive(Default)]
pub(super) struct Calls {
    services: Vec<String>,
    service_index: HashMap<String, u32>,
    service_of_span: HashMap<(TraceId, SpanId), u32>,
    children: Vec<(TraceId, SpanId, u32)>,
}

/// Calls from one service to another.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) parent: String,
    pub(super) child: String,
    pub(super) call_count: u64,
}

/// Collects the spans of `window`; the statistics tell whether it saw all of them.
pub(super) fn scan(
    store: &Store,
    window: Window,
    budget: &QueryBudget,
    calls: &mut Calls,
) -> Result<ScanStats, ApiError> {
    let request = ScanRequest {
        start_unix_nano: window.start_unix_nano,
        end_unix_nano: window.end_unix_nano,
        parts: SpanParts::NONE,
        budget: budget.clone(),
        ..ScanRequest::default()
    };
    let scanned = store.scan(&request, &mut |record| {
        if budget.hold(SPAN_BYTES).is_err() {
            return ControlFlow::Break(());
        }
        calls.add(&record.span, service_name(&record.resource, &record.span));
        ControlFlow::Continue(())
    });
    scanned.map_err(|error| ApiError::internal(&error))
}

impl Calls {
    fn add(&mut self, span: &Span, service: &str) {
        let index = match self.service_index.get(service) {
            Some(index) => *index,
            None => {
                // There are at most as many services as spans, far below 2^32.
                let index = self.services.len() as u32;
                self.services.push(service.to_owned());
                self.service_index.insert(service.to_owned(), index);
                index
            }
        };
        self.service_of_span
            .insert((span.trace_id, span.span_id), index);
        if let Some(parent) = span.parent_span_id {
            self.children.push((span.trace_id, parent, index));
        }
    }

    /// The calls between different services, by name.
    pub(super) fn edges(&self) -> Vec<Edge> {
        let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for (trace_id, parent, child) in &self.children {
            match self.service_of_span.get(&(*trace_id, *parent)) {
                Some(parent) if parent != child => {
                    let name = |index: u32| self.services[index as usize].as_str();
                    *counts.entry((name(*parent), name(*child))).or_default() += 1;
                }
                _ => {}
            }
        }
        let edges = counts.into_iter();
        edges
            .map(|((parent, child), call_count)| Edge {
                parent: parent.to_owned(),
                child: child.to_owned(),
                call_count,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: u8, parent: Option<u8>) -> Span {
        Span {
            trace_id: TraceId::from_bytes([9; 16]),
            span_id: SpanId::from_bytes([id; 8]),
            parent_span_id: parent.map(|id| SpanId::from_bytes([id; 8])),
            ..Span::default()
        }
    }

    #[test]
    fn calls_are_counted_between_services_only_whatever_the_order() {
        let mut calls = Calls::default();
        calls.add(&span(2, Some(1)), "b");
        calls.add(&span(3, Some(1)), "b");
        calls.add(&span(4, Some(3)), "b");
        calls.add(&span(1, None), "a");
        calls.add(&span(5, Some(77)), "c");
        let expected = Edge {
            parent: "a".to_owned(),
            child: "b".to_owned(),
            call_count: 2,
        };
        assert_eq!(calls.edges(), [expected]);
    }
}
