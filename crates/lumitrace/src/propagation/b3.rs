//! B3, Zipkin's format, in one header and in several (<https://github.com/openzipkin/b3-propagation>).
//!
//! Whichever is written, both are read, that in one header first (specification, "B3 Requirements").

use lumitrace_model::{SpanId, TraceId};

use super::{Extractor, Injector, Propagator};
use crate::{Context, SpanContext};

const SINGLE: &str = "b3";
const TRACE_ID: &str = "x-b3-traceid";
const SPAN_ID: &str = "x-b3-spanid";
const SAMPLED: &str = "x-b3-sampled";
const FLAGS: &str = "x-b3-flags";

/// Writes the header `b3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct B3Single;

/// Writes the headers `x-b3-traceid`, `x-b3-spanid` and `x-b3-sampled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct B3Multi;

impl Propagator for B3Single {
    fn inject(&self, context: &Context, carrier: &mut dyn Injector) {
        if let Some(span) = context.span_context().filter(|span| span.is_valid()) {
            let (trace_id, span_id) = (span.trace_id(), span.span_id());
            let state = sampling_state(span).map_or(String::new(), |state| format!("-{state}"));
            carrier.set(SINGLE, format!("{trace_id}-{span_id}{state}"));
        }
    }

    fn extract(&self, context: Context, carrier: &dyn Extractor) -> Context {
        extract(context, carrier)
    }

    fn fields(&self) -> Vec<&'static str> {
        vec![SINGLE]
    }
}

impl Propagator for B3Multi {
    fn inject(&self, context: &Context, carrier: &mut dyn Injector) {
        if let Some(span) = context.span_context().filter(|span| span.is_valid()) {
            carrier.set(TRACE_ID, span.trace_id().to_string());
            carrier.set(SPAN_ID, span.span_id().to_string());
            if let Some(state) = sampling_state(span) {
                carrier.set(SAMPLED, state.to_owned());
            }
        }
    }

    fn extract(&self, context: Context, carrier: &dyn Extractor) -> Context {
        extract(context, carrier)
    }

    fn fields(&self) -> Vec<&'static str> {
        vec![TRACE_ID, SPAN_ID, SAMPLED]
    }
}

/// None where the decision is left to the receiver.
fn sampling_state(span: &SpanContext) -> Option<&'static str> {
    match span.is_sampled() {
        _ if span.is_sampling_deferred() => None,
        true => Some("1"),
        false => Some("0"),
    }
}

fn extract(context: Context, carrier: &dyn Extractor) -> Context {
    let single = carrier.get(SINGLE).and_then(parse_single);
    match single.or_else(|| parse_multi(carrier)) {
        Some(span) => context.with_span_context(span.remote()),
        None => context,
    }
}

/// `{trace id}-{span id}-{sampling state}-{parent's span id}`, of which the last two may be left out.
fn parse_single(text: &str) -> Option<SpanContext> {
    let mut parts = text.trim().split('-');
    let (trace_id, span_id) = (parts.next()?, parts.next()?);
    context_of(trace_id, span_id, parts.next(), false)
}

fn parse_multi(carrier: &dyn Extractor) -> Option<SpanContext> {
    let (trace_id, span_id) = (carrier.get(TRACE_ID)?, carrier.get(SPAN_ID)?);
    let is_debug = carrier.get(FLAGS) == Some("1");
    context_of(trace_id, span_id, carrier.get(SAMPLED), is_debug)
}

fn context_of(
    trace_id: &str,
    span_id: &str,
    state: Option<&str>,
    is_debug: bool,
) -> Option<SpanContext> {
    // Debugging implies sampling.
    let is_sampled = is_debug || matches!(state, Some("1" | "d" | "true"));
    let span_id: SpanId = span_id.parse().ok()?;
    let mut context = SpanContext::new(long_trace_id(trace_id)?, span_id, u8::from(is_sampled));
    if state.is_none() && !is_debug {
        context = context.with_deferred_sampling();
    }
    context.is_valid().then_some(context)
}

/// A trace id of 16 or of 32 digits.
fn long_trace_id(text: &str) -> Option<TraceId> {
    match text.len() {
        16 => format!("{:0>32}", text).parse().ok(),
        _ => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, *};
    use super::*;

    const TRACE: &str = testing::TRACE_ID;
    const SPAN: &str = testing::SPAN_ID;

    #[test]
    fn each_form_writes_its_own_headers() {
        let context = Context::of_span_context(span_context(1));
        let single = format!("{TRACE}-{SPAN}-1");
        assert_eq!(injected(&B3Single, &context), headers([("b3", &single)]));
        let multi = headers([
            ("x-b3-traceid", TRACE),
            ("x-b3-spanid", SPAN),
            ("x-b3-sampled", "1"),
        ]);
        assert_eq!(injected(&B3Multi, &context), multi);
    }

    #[test]
    fn both_forms_read_both_and_the_one_header_counts_first() {
        let single = format!("{TRACE}-{SPAN}-0");
        for propagator in [&B3Single as &dyn Propagator, &B3Multi] {
            let of_multi = extracted(
                propagator,
                [
                    ("X-B3-TraceId", TRACE),
                    ("X-B3-SpanId", SPAN),
                    ("X-B3-Sampled", "1"),
                ],
            );
            assert_eq!(of_multi, Some(span_context(1).remote()));
            let of_both = extracted(
                propagator,
                [
                    ("X-B3-TraceId", TRACE),
                    ("X-B3-SpanId", SPAN),
                    ("X-B3-Sampled", "1"),
                    ("b3", &single),
                ],
            );
            assert_eq!(of_both, Some(span_context(0).remote()));
        }
    }

    #[test]
    fn short_trace_ids_debugging_and_parents_are_understood() {
        let short = &TRACE[16..];
        for (text, flags) in [
            (format!("{short}-{SPAN}-0"), 0),
            (format!("{short}-{SPAN}-d"), 1),
            (format!("{short}-{SPAN}-1-{SPAN}"), 1),
        ] {
            let read = extracted(&B3Single, [("b3", &text)]).unwrap();
            assert_eq!(read.trace_id().to_string(), format!("{:0>32}", short));
            assert_eq!(read.trace_flags(), flags, "{text}");
            assert!(!read.is_sampling_deferred(), "{text}");
        }
        let debug = [
            ("x-b3-traceid", short),
            ("x-b3-spanid", SPAN),
            ("x-b3-flags", "1"),
        ];
        assert!(extracted(&B3Multi, debug).unwrap().is_sampled());
    }

    #[test]
    fn without_a_sampling_state_the_decision_is_left_open_and_passed_on_so() {
        let single = format!("{TRACE}-{SPAN}");
        let one = extracted(&B3Single, [("b3", &single)]);
        let several = extracted(&B3Multi, [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)]);
        let open = span_context(0).with_deferred_sampling().remote();
        assert_eq!((&one, &several), (&Some(open.clone()), &Some(open.clone())));
        let context = Context::of_span_context(open);
        assert_eq!(injected(&B3Single, &context), headers([("b3", &single)]));
        let multi = headers([("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)]);
        assert_eq!(injected(&B3Multi, &context), multi);
    }

    #[test]
    fn what_names_no_span_is_not_there() {
        for text in [
            "",
            "0",
            "1",
            "d",
            "x-y-1",
            &format!("{TRACE}-{}", "0".repeat(16)),
        ] {
            assert_eq!(extracted(&B3Single, [("b3", text)]), None, "{text}");
        }
        assert_eq!(extracted(&B3Multi, [("x-b3-sampled", "0")]), None);
    }
}
