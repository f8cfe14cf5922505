//! Components whose spans are switched off.

use super::{Sampler, SamplingDecision, SamplingParameters, SamplingResult};

/// The families of spans of a GPU platform: what the names of its components' spans begin with.
pub const SPAN_FAMILIES: [&str; 6] = [
    "gpu_scheduling",
    "model_serving",
    "metrics_collection",
    "cost_tracking",
    "api_requests",
    "websocket_events",
];

/// The switches below `components` in a configuration file, and what the names of the spans that each of
/// them switches begin with.
pub const COMPONENT_SWITCHES: [(&str, &[&str]); 11] = [
    (
        "gpu_scheduler.trace_workload_submission",
        &["gpu_scheduling.submit_workload"],
    ),
    (
        "gpu_scheduler.trace_scheduling_decisions",
        &["gpu_scheduling.schedule"],
    ),
    (
        "gpu_scheduler.trace_gpu_registration",
        &["gpu_scheduling.register_gpu"],
    ),
    (
        "metrics_collector.trace_collection_cycles",
        &[
            "metrics_collection.start",
            "metrics_collection.start_collector",
            "metrics_collection.collect_metrics",
        ],
    ),
    (
        "metrics_collector.trace_individual_gpus",
        &["metrics_collection.collect_gpu_metrics"],
    ),
    (
        "model_serving.trace_inference_requests",
        &["model_serving.inference"],
    ),
    (
        "model_serving.trace_model_loading",
        &["model_serving.load_model"],
    ),
    ("web_dashboard.trace_api_requests", &["api_requests"]),
    (
        "web_dashboard.trace_websocket_events",
        &["websocket_events"],
    ),
    ("observability.trace_cost_calculations", &["cost_tracking"]),
    ("observability.trace_health_checks", &["health_check"]),
];

/// What the names of the spans begin with that `switch` is for; `None` where there is no such switch.
///
/// ```
/// use lumitrace::sampler::span_prefixes;
/// let prefixes = span_prefixes("web_dashboard.trace_websocket_events");
/// assert_eq!(prefixes, Some(&["websocket_events"][..]));
/// ```
pub fn span_prefixes(switch: &str) -> Option<&'static [&'static str]> {
    let mut switches = COMPONENT_SWITCHES.into_iter();
    switches.find_map(|(known, prefixes)| (known == switch).then_some(prefixes))
}

/// Switches spans off by the beginnings of their names; the others are decided by another sampler.
///
/// A beginning ends where a word ends: `api_requests` is for `api_requests` and for
/// `api_requests.GET /status`, but not for `api_requests_total`. A span that is switched off is passed
/// through ([`SamplingDecision::PassThrough`]): what it contains stays in the trace.
///
/// ```
/// use lumitrace::sampler::{AlwaysOn, ComponentSwitches};
/// let sampler = ComponentSwitches::new(["websocket_events"], AlwaysOn);
/// assert!(sampler.is_off("websocket_events.metrics_update"));
/// assert!(!sampler.is_off("api_requests.GET /status"));
/// ```
#[derive(Debug)]
pub struct ComponentSwitches<S> {
    switched_off: Vec<String>,
    /// Whether a beginning has this as its first byte: for most names that answers the question.
    begins_with: Box<[bool; 256]>,
    other: S,
}

impl<S: Sampler> ComponentSwitches<S> {
    /// Switches off the spans whose names begin with one of `prefixes`, and asks `other` for the rest. An
    /// empty prefix is for no span.
    pub fn new(prefixes: impl IntoIterator<Item = impl Into<String>>, other: S) -> Self {
        let prefixes = prefixes.into_iter().map(Into::into);
        let switched_off: Vec<String> = prefixes.filter(|prefix| !prefix.is_empty()).collect();
        let mut begins_with = Box::new([false; 256]);
        for prefix in &switched_off {
            begins_with[usize::from(prefix.as_bytes()[0])] = true;
        }
        Self {
            switched_off,
            begins_with,
            other,
        }
    }

    /// Whether spans of this name are switched off.
    pub fn is_off(&self, name: &str) -> bool {
        let first = name.as_bytes().first();
        first.is_some_and(|first| self.begins_with[usize::from(*first)])
            && self
                .switched_off
                .iter()
                .any(|prefix| begins_with(name, prefix))
    }
}

/// Whether `name` begins with the words of `prefix`.
fn begins_with(name: &str, prefix: &str) -> bool {
    let is_of_word = |char: char| char.is_alphanumeric() || char == '_';
    let rest = name.strip_prefix(prefix);
    rest.is_some_and(|rest| !(rest.starts_with(is_of_word) && prefix.ends_with(is_of_word)))
}

impl<S: Sampler> Sampler for ComponentSwitches<S> {
    fn should_sample(&self, parameters: &SamplingParameters<'_>) -> SamplingResult {
        match self.is_off(parameters.name) {
            true => SamplingDecision::PassThrough.into(),
            false => self.other.should_sample(parameters),
        }
    }

    fn reads_attributes(&self) -> bool {
        self.other.reads_attributes()
    }

    fn shutdown(&self) {
        self.other.shutdown();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::AlwaysOn;
    use super::*;

    /// A span that each switch is for, by the methods of the platform's components.
    const SPANS: [(&str, &str); 11] = [
        (
            "gpu_scheduler.trace_workload_submission",
            "gpu_scheduling.submit_workload",
        ),
        (
            "gpu_scheduler.trace_scheduling_decisions",
            "gpu_scheduling.schedule",
        ),
        (
            "gpu_scheduler.trace_gpu_registration",
            "gpu_scheduling.register_gpu",
        ),
        (
            "metrics_collector.trace_collection_cycles",
            "metrics_collection.collect_metrics",
        ),
        (
            "metrics_collector.trace_individual_gpus",
            "metrics_collection.collect_gpu_metrics",
        ),
        (
            "model_serving.trace_inference_requests",
            "model_serving.inference",
        ),
        (
            "model_serving.trace_model_loading",
            "model_serving.load_model",
        ),
        (
            "web_dashboard.trace_api_requests",
            "api_requests.GET /api/gpu/status",
        ),
        (
            "web_dashboard.trace_websocket_events",
            "websocket_events.metrics_update",
        ),
        (
            "observability.trace_cost_calculations",
            "cost_tracking.record_cost",
        ),
        ("observability.trace_health_checks", "health_check"),
    ];

    #[test]
    fn a3_t13_each_switch_is_for_its_own_spans_and_for_no_others() {
        assert_eq!(
            COMPONENT_SWITCHES.map(|(switch, _)| switch),
            SPANS.map(|(switch, _)| switch)
        );
        for (switch, of_it) in SPANS {
            let sampler =
                ComponentSwitches::new(span_prefixes(switch).unwrap().iter().copied(), AlwaysOn);
            for (_, span) in SPANS {
                assert_eq!(sampler.is_off(span), span == of_it, "{switch}: {span}");
            }
        }
        assert_eq!(span_prefixes("gpu_scheduler.trace_everything"), None);
    }

    #[test]
    fn a4_each_family_can_be_switched_off_alone() {
        for family in SPAN_FAMILIES {
            let sampler = ComponentSwitches::new([family], AlwaysOn);
            for other in SPAN_FAMILIES {
                let span = format!("{other}.operation");
                assert_eq!(sampler.is_off(&span), other == family, "{family}: {span}");
            }
        }
    }

    #[test]
    fn a_prefix_ends_where_a_word_ends_and_an_empty_one_is_for_nothing() {
        for (prefix, name, is_off) in [
            ("gpu", "gpu", true),
            ("gpu", "gpu.schedule", true),
            ("gpu", "gpu 0", true),
            ("gpu", "gpu_scheduling", false),
            ("gpu", "gpus", false),
            ("gpu", "gp", false),
            ("gpu.", "gpu.schedule", true),
            ("gpu.", "gpu", false),
            ("grö", "grö.x", true),
            ("grö", "größe", false),
            ("", "gpu", false),
            ("", "", false),
        ] {
            let sampler = ComponentSwitches::new([prefix], AlwaysOn);
            assert_eq!(sampler.is_off(name), is_off, "{prefix} {name}");
        }
    }

    proptest! {
        #[test]
        fn several_switches_are_off_where_one_of_them_is(
            prefixes in prop::collection::vec("[ab._]{0,3}", 0..5), name in "[ab._]{0,5}",
        ) {
            let alone = |prefix: &String| !prefix.is_empty() && begins_with(&name, prefix);
            let expected = prefixes.iter().any(alone);
            let sampler = ComponentSwitches::new(prefixes.clone(), AlwaysOn);
            prop_assert_eq!(sampler.is_off(&name), expected);
        }
    }
}
