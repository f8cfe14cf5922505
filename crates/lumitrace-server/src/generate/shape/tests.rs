use std::collections::{BTreeMap, BTreeSet};

use lumitrace_model::{Span, SpanId, names};
use proptest::prelude::*;

use super::*;

const START: u64 = 1_800_000_000_000_000_000;

fn content(shape: Shape, seed: u64) -> Content {
    Content {
        shape,
        seed,
        payload_bytes: 500,
    }
}

/// The spans of a trace with their services.
fn spans(content: Content, number: u64) -> Vec<(String, Span)> {
    let mut spans = Vec::new();
    for group in content.trace(number, START) {
        let service = lumitrace_model::value::find(&group.resource.attributes, names::SERVICE_NAME);
        let service = service.and_then(|value| value.as_str()).unwrap().to_owned();
        let scopes = group.scope_spans.into_iter();
        spans.extend(
            scopes
                .flat_map(|scope| scope.spans)
                .map(|span| (service.clone(), span)),
        );
    }
    spans
}

/// The tree of a trace: one line a span, children by start, repeated names with how often they come.
fn tree(content: Content, number: u64) -> String {
    let mut children: BTreeMap<Option<SpanId>, Vec<(u64, String, SpanId)>> = BTreeMap::new();
    for (service, span) in spans(content, number) {
        let line = format!("{service}: {}", span.name);
        let of = children.entry(span.parent_span_id).or_default();
        of.push((span.start_unix_nano, line, span.span_id));
    }
    children.values_mut().for_each(|of| of.sort());
    let mut text = String::new();
    print(&children, None, 0, &mut text);
    text
}

fn print(
    children: &BTreeMap<Option<SpanId>, Vec<(u64, String, SpanId)>>,
    parent: Option<SpanId>,
    depth: usize,
    text: &mut String,
) {
    let below = |id| {
        let mut text = String::new();
        print(children, Some(id), depth + 1, &mut text);
        text
    };
    let siblings = children.get(&parent).into_iter().flatten();
    let mut lines: Vec<(String, usize)> = Vec::new();
    for (_, line, id) in siblings {
        let whole = format!("{}{line}\n{}", "  ".repeat(depth), below(*id));
        match lines.last_mut() {
            Some((last, times)) if *last == whole => *times += 1,
            _ => lines.push((whole, 1)),
        }
    }
    for (line, times) in lines {
        let (first, rest) = line.split_once('\n').unwrap();
        let times = if times > 1 {
            format!(" x{times}")
        } else {
            String::new()
        };
        text.push_str(&format!("{first}{times}\n{rest}"));
    }
}

/// The tree of a trace of seed 1. When a shape is changed on purpose, this says to what.
#[track_caller]
fn assert_tree(shape: Shape, number: u64, expected: &str) {
    let found = tree(content(shape, 1), number);
    assert_eq!(found.trim(), expected.trim(), "\n{found}");
}

#[test]
fn a_training_run_has_the_documented_spans() {
    assert_tree(
        Shape::Training,
        0,
        "
sequence-training: training_run
  sequence-training: data_loading
  sequence-training: feature_engineering
  sequence-training: training_epoch x2
    sequence-training: batch_processing x27
    sequence-training: validation
    sequence-training: checkpoint_save
  sequence-training: evaluation",
    );
}

#[test]
fn an_agent_calls_its_model_and_its_tools() {
    assert_tree(
        Shape::Agents,
        3,
        "
concept-explorer: invoke_agent research
  concept-explorer: chat gpt-4o
  concept-explorer: execute_tool calculator
    tool-server: tools/call calculator
  concept-explorer: chat gpt-4o
  concept-explorer: execute_tool web_search
    tool-server: tools/call web_search
  concept-explorer: chat gpt-4o
  concept-explorer: execute_tool graph_query
    tool-server: tools/call graph_query
  concept-explorer: chat gpt-4o
  concept-explorer: execute_tool calculator
    tool-server: tools/call calculator
  concept-explorer: chat gpt-4o",
    );
}

#[test]
fn a_request_goes_through_the_services_of_the_shop() {
    assert_tree(
        Shape::Http,
        0,
        "
gateway: GET /api/products/{sku}
  gateway: GET
    catalog: GET /products/{sku}
      catalog: GET
      catalog: GET
        pricing: GET /prices
          pricing: SELECT prices
      catalog: GET
        inventory: GET /stock/{sku}
          inventory: GET",
    );
}

#[test]
fn a_workload_is_submitted_scheduled_run_and_paid_for() {
    assert_tree(
        Shape::GpuCluster,
        0,
        "
gpu-platform: POST /api/v1/workloads
  gpu-scheduler: gpu_scheduling.submit_workload
  gpu-scheduler: gpu_scheduling.schedule
    gpu-scheduler: gpu_scheduling.decision x6
    gpu-scheduler: gpu_scheduling.placement
  gpu-node-agent: gpu_job
    gpu-node-agent: gpu_metrics.collect x12
  gpu-platform: cost_tracking.record",
    );
}

#[test]
fn all_kinds_of_programs_are_in_mixed_traffic() {
    let services = (0..400).flat_map(|number| spans(content(Shape::Mixed, 1), number));
    let services: BTreeSet<String> = services.map(|(service, _)| service).collect();
    for service in [
        "sequence-training",
        "concept-explorer",
        "gateway",
        "gpu-scheduler",
    ] {
        assert!(
            services.contains(service),
            "{service} is not in {services:?}"
        );
    }
}

#[test]
fn losses_fall_and_failures_come_with_their_stack() {
    let mut failures = BTreeSet::new();
    for number in 0..200 {
        let spans = spans(content(Shape::Training, 1), number);
        let mut losses: Vec<_> = spans
            .iter()
            .filter(|(_, span)| span.name == names::TRAINING_EPOCH && !span.is_error())
            .map(|(_, span)| (span.start_unix_nano, span.attribute("train_loss").cloned()))
            .collect();
        losses.sort_by_key(|(start, _)| *start);
        let losses: Vec<f64> = losses
            .iter()
            .map(|(_, loss)| loss.as_ref().unwrap().as_f64().unwrap())
            .collect();
        if let [first, .., last] = losses[..] {
            assert!(last < first, "run {number}: {losses:?}");
        }
        for (_, span) in spans.iter().filter(|(_, span)| span.is_error()) {
            let exception = span.exception().unwrap();
            let fact = |key| lumitrace_model::value::find(&exception.attributes, key).unwrap();
            let stack = fact(names::EXCEPTION_STACKTRACE).as_str().unwrap();
            assert!(stack.contains("train_epoch"), "{stack}");
            failures.insert(fact(names::EXCEPTION_TYPE).as_str().unwrap().to_owned());
        }
    }
    assert_eq!(failures.len(), 2, "{failures:?}");
}

#[test]
fn an_agent_sends_its_history_again_with_every_turn() {
    let first_input = |number| {
        let spans = spans(content(Shape::Agents, 1), number);
        let (_, chat) = spans
            .into_iter()
            .find(|(_, span)| span.name.starts_with("chat"))
            .unwrap();
        let input = chat.attribute("gen_ai.input.messages").unwrap().clone();
        let messages: serde_json::Value = serde_json::from_str(input.as_str().unwrap()).unwrap();
        messages.as_array().unwrap().clone()
    };
    let (first, third) = (first_input(0), first_input(2));
    assert_eq!((first.len(), third.len()), (1, 5));
    assert_eq!(first[0], third[0]);
}

proptest! {
    #[test]
    fn ids_are_valid_and_unique_and_parents_are_there_before_their_children(
        seed: u64,
        number in 0..1_000_000_u64,
        shape in prop::sample::select(vec![
            Shape::Training, Shape::Agents, Shape::Http, Shape::GpuCluster, Shape::Benchmark,
        ]),
    ) {
        let spans = spans(content(shape, seed), number);
        let starts: BTreeMap<SpanId, u64> =
            spans.iter().map(|(_, span)| (span.span_id, span.start_unix_nano)).collect();
        prop_assert_eq!(starts.len(), spans.len());
        let trace_id = spans[0].1.trace_id;
        prop_assert!(trace_id.is_valid());
        prop_assert_eq!(spans.iter().filter(|(_, span)| span.parent_span_id.is_none()).count(), 1);
        for (_, span) in &spans {
            prop_assert_eq!(span.trace_id, trace_id);
            prop_assert!(span.span_id.is_valid());
            prop_assert!(span.end_unix_nano >= span.start_unix_nano);
            prop_assert!(span.start_unix_nano >= START);
            if let Some(parent) = span.parent_span_id {
                let parent_start = starts.get(&parent);
                prop_assert!(parent_start.is_some(), "{} has no parent", span.name);
                prop_assert!(*parent_start.unwrap() <= span.start_unix_nano + 1_000_000);
            }
        }
    }
}
