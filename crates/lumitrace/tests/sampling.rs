//! What samplers make of spans and traces.
#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod support;

use std::collections::HashMap;
use std::num::NonZeroU32;

use lumitrace::environment::Environment;
use lumitrace::exporter::InMemoryExporter;
use lumitrace::model::{SpanId, TraceId, names};
use lumitrace::propagation::b3::B3Single;
use lumitrace::propagation::{self, Propagator};
use lumitrace::sampler::{
    AlwaysOff, AlwaysOn, BatchInterval, COMPONENT_SWITCHES, ParentBased, Rule, RuleBased,
    SPAN_FAMILIES, Sampler, SamplingDecision, SamplingParameters, SamplingResult,
};
use lumitrace::training::{TrainingSpan, batch_processing, training_epoch, validation};
use lumitrace::{Context, SpanContext, TracerProvider, Value, current_span, setup_tracing};
use support::{Answer, Receiver, exporting_to, flushed, named};

fn sampling_with(sampler: impl Sampler + 'static) -> (TracerProvider, InMemoryExporter) {
    let exporter = InMemoryExporter::default();
    let builder = TracerProvider::builder().exporter(exporter.clone());
    (builder.sampler(sampler).build(), exporter)
}

/// A provider of a program that is started with these variables.
fn in_environment(variables: &[(&str, &str)]) -> (TracerProvider, InMemoryExporter) {
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    let environment = Environment::from_lookup(|name| Some((*variables.get(name)?).to_owned()));
    assert_eq!(environment.notices, []);
    let exporter = InMemoryExporter::default();
    let setup = setup_tracing("sampled").with_environment(environment);
    (setup.exporter(exporter.clone()).build(), exporter)
}

/// A caller that traces `trace_id` and leaves the decision to us, so that trace ids can be chosen.
fn undecided(trace_id: TraceId) -> SpanContext {
    SpanContext::new(trace_id, SpanId::from_bytes([1; 8]), 0)
        .with_deferred_sampling()
        .remote()
}

/// Trace ids whose random part is spread evenly.
fn trace_ids(count: u64) -> impl Iterator<Item = TraceId> {
    let step = (1_u64 << 56) / count;
    (0..count).map(move |number| {
        let random = u128::from(number * step + step / 2);
        TraceId::from_bytes(((1_u128 << 127) | random).to_be_bytes())
    })
}

#[test]
fn s19_c29_a25_a_ratio_of_the_environment_keeps_its_share_of_the_traces() {
    for name in ["traceidratio", "parentbased_traceidratio"] {
        // Development, production, high traffic.
        for (ratio, kept) in [("1.0", 1000), ("0.5", 500), ("0.1", 100), ("0.01", 10)] {
            let sampler = ("OTEL_TRACES_SAMPLER", name);
            let (provider, exporter) =
                in_environment(&[sampler, ("OTEL_TRACES_SAMPLER_ARG", ratio)]);
            let tracer = provider.tracer("t");
            for trace_id in trace_ids(1000) {
                tracer
                    .span("request")
                    .parent(&undecided(trace_id))
                    .start()
                    .end();
            }
            assert_eq!(flushed(provider, &exporter).len(), kept, "{name} {ratio}");
        }
    }
}

#[test]
fn c29_the_decision_of_the_parent_is_respected_whatever_the_ratio() {
    for (ratio, flags, is_recorded) in [("0", 1, true), ("1", 0, false)] {
        let (provider, exporter) = in_environment(&[
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", ratio),
        ]);
        let tracer = provider.tracer("t");
        let caller = SpanContext::new(
            TraceId::from_bytes([7; 16]),
            SpanId::from_bytes([1; 8]),
            flags,
        );
        let served = tracer.span("served").parent(&caller.remote()).enter();
        let inner = tracer.span("inner").start();
        assert_eq!(inner.is_recording(), is_recorded, "{ratio}");
        drop((inner, served));
        let count = if is_recorded { 2 } else { 0 };
        assert_eq!(flushed(provider, &exporter).len(), count, "{ratio}");
    }
}

#[test]
fn b3_without_a_sampling_state_leaves_the_decision_to_the_sampler() {
    for (sampler, is_recorded) in [
        ("parentbased_always_on", true),
        ("parentbased_always_off", false),
    ] {
        let (provider, exporter) = in_environment(&[("OTEL_TRACES_SAMPLER", sampler)]);
        let (trace_id, span_id) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let headers = HashMap::from([("b3".to_owned(), format!("{trace_id}-{span_id}"))]);
        let caller = B3Single.extract(Context::default(), &headers);
        let tracer = provider.tracer("t");
        let served = tracer.span("served").parent_context(&caller).start();
        assert_eq!(served.context().trace_id().to_string(), trace_id);
        assert_eq!(served.is_recording(), is_recorded, "{sampler}");
        // From here on it is decided.
        assert!(!served.context().is_sampling_deferred());
        let mut sent = HashMap::new();
        B3Single.inject(&Context::of_span(&served), &mut sent);
        assert!(sent["b3"].ends_with(if is_recorded { "-1" } else { "-0" }));
        drop(served);
        assert_eq!(flushed(provider, &exporter).len(), usize::from(is_recorded));
    }
}

#[test]
fn roots_say_that_their_trace_ids_are_random_and_children_say_what_their_parents_said() {
    let (provider, exporter) = support::in_memory();
    let tracer = provider.tracer("t");
    let root = tracer.span("root").enter();
    assert_eq!(root.context().trace_flags(), 3);
    let traceparent = propagation::trace_context::traceparent(root.context());
    assert!(traceparent.ends_with("-03"), "{traceparent}");
    tracer.span("child").start().end();
    drop(root);
    let caller = SpanContext::new(TraceId::from_bytes([7; 16]), SpanId::from_bytes([1; 8]), 1);
    tracer.span("served").parent(&caller).start().end();
    let spans = flushed(provider, &exporter);
    let flags = |name| named(&spans, name).flags & 0xff;
    assert_eq!((flags("root"), flags("child"), flags("served")), (3, 3, 1));
    let (off, _) = sampling_with(AlwaysOff);
    let dropped = off.tracer("t").span("dropped").start();
    assert_eq!(dropped.context().trace_flags(), 2);
}

#[test]
fn a4_t13_a_component_that_is_switched_off_is_passed_through() {
    let exporter = InMemoryExporter::default();
    let provider = TracerProvider::builder()
        .exporter(exporter.clone())
        .switch_off("websocket_events")
        .switch_off("api_requests")
        .build();
    let tracer = provider.tracer("platform");
    let root = tracer.span("gpu_scheduling.schedule").enter();
    let event = tracer.span("websocket_events.metrics_update").enter();
    assert!(!event.is_recording());
    // What is set on the span that is left out does not end up on its parent.
    current_span().set_attribute("connection.id", 7);
    let request = tracer.span("api_requests.GET /status").enter();
    tracer.span("cost_tracking.record_cost").start().end();
    drop((request, event, root));
    // Without a parent, what it contains begins a trace.
    let event = tracer.span("websocket_events.connected").enter();
    tracer
        .span("metrics_collection.collect_metrics")
        .start()
        .end();
    drop(event);

    let spans = flushed(provider, &exporter);
    assert_eq!(spans.len(), 3);
    let root = named(&spans, "gpu_scheduling.schedule");
    assert_eq!(root.attributes, []);
    let cost = named(&spans, "cost_tracking.record_cost");
    assert_eq!(cost.parent_span_id, Some(root.span_id));
    assert_eq!(cost.trace_id, root.trace_id);
    let collection = named(&spans, "metrics_collection.collect_metrics");
    assert_eq!(collection.parent_span_id, None);
    assert_ne!(collection.trace_id, root.trace_id);
}

#[test]
fn a3_a4_t13_each_switch_and_family_acts_alone_and_all_are_on_by_default() {
    let switches = COMPONENT_SWITCHES.map(|(_, prefixes)| prefixes);
    let families = &SPAN_FAMILIES;
    let families = families.iter().map(std::slice::from_ref);
    let names: Vec<String> = switches
        .concat()
        .iter()
        .map(|prefix| format!("{prefix}.operation"))
        .collect();
    for switched_off in switches.into_iter().chain(families).chain([&[][..]]) {
        let exporter = InMemoryExporter::default();
        let mut setup = setup_tracing("platform")
            .with_environment(Environment::default())
            .exporter(exporter.clone());
        for prefix in switched_off {
            setup = setup.switch_off(*prefix);
        }
        let provider = setup.build();
        let tracer = provider.tracer("platform");
        for name in &names {
            tracer.span(name.clone()).start().end();
        }
        let exported: Vec<_> = flushed(provider, &exporter)
            .into_iter()
            .map(|span| span.name.into_owned())
            .collect();
        let is_on = |name: &&String| !switched_off.iter().any(|prefix| name.starts_with(prefix));
        let expected: Vec<String> = names.iter().filter(is_on).cloned().collect();
        assert_eq!(exported, expected, "{switched_off:?}");
        assert_eq!(exported.len() == names.len(), switched_off.is_empty());
    }
}

#[test]
fn s29_of_a_training_with_many_batches_one_in_so_many_is_recorded() {
    let hundred = NonZeroU32::new(100).unwrap();
    let (by_program, in_memory) =
        sampling_with(BatchInterval::new(hundred, ParentBased::new(AlwaysOn)));
    let (by_name, in_memory_by_name) = in_environment(&[
        ("OTEL_TRACES_SAMPLER", "batch_interval"),
        ("OTEL_TRACES_SAMPLER_ARG", "100"),
    ]);
    for (provider, exporter) in [(by_program, in_memory), (by_name, in_memory_by_name)] {
        let tracer = provider.tracer("train");
        let epoch = training_epoch(&tracer, 1, 1).enter();
        for index in 1..=250 {
            let batch = batch_processing(&tracer, index, 32).enter();
            tracer.span("forward").start().end();
            batch.record_loss(0.5);
        }
        validation(&tracer).start().end();
        drop(epoch);
        let spans = flushed(provider, &exporter);
        let recorded = spans
            .iter()
            .filter_map(|span| span.attribute("batch_index"));
        let recorded: Vec<_> = recorded.cloned().collect();
        assert_eq!(recorded, [1, 100, 200].map(Value::from));
        let count = |name| spans.iter().filter(|span| span.name == name).count();
        assert_eq!(
            count("forward"),
            3,
            "batches are left out with what they contain"
        );
        assert_eq!((count("training_epoch"), count("validation")), (1, 1));
    }
}

#[test]
fn rules_decide_by_name_scope_and_attribute_below_spans_that_are_recorded() {
    let children = RuleBased::new(AlwaysOn)
        .rule(Rule::new().scope("noisy::*"), AlwaysOff)
        .rule(Rule::new().name("step*").attribute("rank", 1), AlwaysOff);
    let (provider, exporter) =
        sampling_with(ParentBased::new(AlwaysOn).local_parent_sampled(children));
    let tracer = provider.tracer("train");
    let noisy = provider.tracer("noisy::client");
    let root = tracer.span("step of the root").attribute("rank", 1).enter();
    noisy.span("call").start().end();
    tracer.span("step").attribute("rank", 1).start().end();
    tracer.span("step").attribute("rank", 0).start().end();
    drop(root);
    let names: Vec<_> = flushed(provider, &exporter)
        .into_iter()
        .map(|span| (span.name.to_string(), span.attribute("rank").cloned()))
        .collect();
    let expected = [("step", 0), ("step of the root", 1)];
    assert_eq!(
        names,
        expected.map(|(name, rank)| (name.to_owned(), Some(Value::from(rank))))
    );
}

/// Answers as a sampler of the program's own may: with everything.
struct Verbose(SamplingDecision);

impl Sampler for Verbose {
    fn should_sample(&self, parameters: &SamplingParameters<'_>) -> SamplingResult {
        let state = parameters.parent.map_or("", SpanContext::trace_state);
        let trace_state = match state {
            "clear" => String::new(),
            state => format!("lumitrace=1,{state}"),
        };
        SamplingResult::from(self.0)
            .with_attribute("sampler.note", "chosen")
            .with_attribute("given", "by the sampler")
            .with_trace_state(trace_state)
    }
}

#[test]
fn a_decision_may_add_attributes_and_change_the_trace_state() {
    let (provider, exporter) = sampling_with(Verbose(SamplingDecision::RecordAndSample));
    let tracer = provider.tracer("t");
    let caller = SpanContext::new(TraceId::from_bytes([7; 16]), SpanId::from_bytes([1; 8]), 1);
    for (name, state, expected) in [
        ("added", "vendor=2", "lumitrace=1,vendor=2"),
        ("cleared", "clear", ""),
    ] {
        let parent = caller.clone().with_trace_state(state);
        let span = tracer
            .span(name)
            .attribute("given", "by the program")
            .parent(&parent);
        let span = span.start();
        assert_eq!(span.context().trace_state(), expected);
        drop(span);
    }
    for span in flushed(provider, &exporter) {
        assert_eq!(span.attribute("sampler.note"), Some(&"chosen".into()));
        assert_eq!(span.attribute("given"), Some(&"by the sampler".into()));
        assert_eq!(span.attributes.len(), 2);
    }
    // Also where the span is dropped: the state travels on.
    let (off, _) = sampling_with(Verbose(SamplingDecision::Drop));
    let parent = caller.with_trace_state("vendor=2");
    let dropped = off.tracer("t").span("dropped").parent(&parent).start();
    assert_eq!(dropped.context().trace_state(), "lumitrace=1,vendor=2");
}

#[test]
fn a_span_that_is_only_recorded_is_seen_by_the_program_and_not_exported() {
    let (provider, exporter) = sampling_with(Verbose(SamplingDecision::RecordOnly));
    let tracer = provider.tracer("t");
    let span = tracer.span("recorded").start();
    span.set_attribute("key", "value");
    assert!(span.is_recording() && !span.context().is_sampled());
    let seen = span.snapshot().unwrap();
    assert_eq!(seen.attribute("key"), Some(&"value".into()));
    assert_eq!(seen.attribute("sampler.note"), Some(&"chosen".into()));
    span.end();
    assert!(!span.is_recording());
    assert_eq!(flushed(provider, &exporter), []);
    let stats = provider.stats();
    assert_eq!((stats.queue_full_spans, stats.waiting_spans), (0, 0));
}

#[test]
fn a_span_that_is_only_recorded_is_not_announced_while_it_is_open() {
    let server =
        Receiver::start(|_, _| Answer::status(200).with_header(names::PENDING_SPANS_HEADER, "1"));
    let own = Rule::new().name("own");
    let provider = exporting_to(server.address())
        .0
        .sampler(RuleBased::new(AlwaysOn).rule(own, Verbose(SamplingDecision::RecordOnly)))
        .build();
    let tracer = provider.tracer("t");
    tracer.span("ended").start().end();
    let (own, shared) = (tracer.span("own").start(), tracer.span("shared").start());
    // What is open then is announced a last time.
    provider.shutdown().unwrap();
    let spans = server.spans();
    assert!(named(&spans, "shared").pending);
    assert!(spans.iter().all(|span| span.name != "own"), "{spans:#?}");
    drop((own, shared));
}
