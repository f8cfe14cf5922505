//! AWS X-Ray's format: `x-amzn-trace-id`
//! (<https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>).

use lumitrace_model::{SpanId, TraceId};

use super::{Extractor, Injector, Propagator};
use crate::{Context, SpanContext};

const HEADER: &str = "x-amzn-trace-id";

/// Writes and reads `x-amzn-trace-id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct XRay;

impl Propagator for XRay {
    fn inject(&self, context: &Context, carrier: &mut dyn Injector) {
        let Some(span) = context.span_context().filter(|span| span.is_valid()) else {
            return;
        };
        let trace_id = span.trace_id().to_string();
        // X-Ray takes the first eight digits for the seconds since the Unix epoch.
        let (seconds, unique) = trace_id.split_at(8);
        let parent = span.span_id();
        let sampled = match span.is_sampled() {
            _ if span.is_sampling_deferred() => '?',
            true => '1',
            false => '0',
        };
        let root = format!("Root=1-{seconds}-{unique}");
        carrier.set(HEADER, format!("{root};Parent={parent};Sampled={sampled}"));
    }

    fn extract(&self, context: Context, carrier: &dyn Extractor) -> Context {
        match carrier.get(HEADER).and_then(parse) {
            Some(span) => context.with_span_context(span.remote()),
            None => context,
        }
    }

    fn fields(&self) -> Vec<&'static str> {
        vec![HEADER]
    }
}

/// Parts in any order, of which others than these three do not matter.
fn parse(text: &str) -> Option<SpanContext> {
    let (mut trace_id, mut span_id, mut sampled) = (None, None, None);
    for part in text.split(';') {
        match part.trim().split_once('=') {
            Some(("Root", root)) => trace_id = parse_root(root),
            Some(("Parent", parent)) => span_id = parent.parse::<SpanId>().ok(),
            Some(("Sampled", state)) => sampled = Some(state),
            _ => {}
        }
    }
    let is_sampled = sampled == Some("1");
    let mut context = SpanContext::new(trace_id?, span_id?, u8::from(is_sampled));
    if matches!(sampled, None | Some("?")) {
        context = context.with_deferred_sampling();
    }
    context.is_valid().then_some(context)
}

fn parse_root(root: &str) -> Option<TraceId> {
    let (seconds, unique) = root.strip_prefix("1-")?.split_once('-')?;
    let is_whole = seconds.len() == 8 && unique.len() == 24;
    is_whole.then(|| format!("{seconds}{unique}").parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    const ROOT: &str = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736";

    #[test]
    fn ids_and_the_decision_are_one_header() {
        let context = Context::of_span_context(span_context(1));
        let header = format!("{ROOT};Parent={SPAN_ID};Sampled=1");
        assert_eq!(
            injected(&XRay, &context),
            headers([("x-amzn-trace-id", &header)])
        );
        let other_order = format!("Sampled=1; Lineage=a:b ;Parent={SPAN_ID};{ROOT}");
        for text in [header, other_order] {
            let read = extracted(&XRay, [("X-Amzn-Trace-Id", &text)]);
            assert_eq!(read, Some(span_context(1).remote()), "{text}");
        }
    }

    #[test]
    fn a_decision_that_is_left_open_is_none_and_passed_on_so() {
        let open = span_context(0).with_deferred_sampling().remote();
        for (sampled, expected) in [
            ("Sampled=0", span_context(0).remote()),
            ("Sampled=?", open.clone()),
            ("Self=1", open.clone()),
        ] {
            let text = format!("{ROOT};Parent={SPAN_ID};{sampled}");
            let read = extracted(&XRay, [("x-amzn-trace-id", &text)]);
            assert_eq!(read, Some(expected), "{text}");
        }
        let header = format!("{ROOT};Parent={SPAN_ID};Sampled=?");
        let written = injected(&XRay, &Context::of_span_context(open));
        assert_eq!(written, headers([("x-amzn-trace-id", &header)]));
    }

    #[test]
    fn what_names_no_span_is_not_there() {
        for text in [
            "",
            ROOT,
            &format!("Parent={SPAN_ID};Sampled=1"),
            &format!("{};Parent={SPAN_ID}", ROOT.replace("1-4", "2-4")),
            &format!("{}0;Parent={SPAN_ID}", ROOT),
            &format!("{ROOT};Parent={}", "0".repeat(16)),
            &format!("{ROOT};Parent"),
        ] {
            assert_eq!(
                extracted(&XRay, [("x-amzn-trace-id", text)]),
                None,
                "{text}"
            );
        }
    }
}
