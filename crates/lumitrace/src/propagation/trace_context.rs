//! W3C Trace Context: `traceparent` and `tracestate` (<https://www.w3.org/TR/trace-context-2/>).

use lumitrace_model::{SpanId, TraceId};

use super::{Extractor, Injector, Propagator};
use crate::{Context, SpanContext};

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
/// Flags that mean something in the version that we write: sampled, and a random trace id.
const KNOWN_FLAGS: u8 = 3;
/// List members of a `tracestate`, at most (section 3.3.1.1).
const MAX_MEMBERS: usize = 32;

/// Writes and reads `traceparent` and `tracestate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TraceContext;

impl Propagator for TraceContext {
    fn inject(&self, context: &Context, carrier: &mut dyn Injector) {
        let Some(span) = context.span_context().filter(|span| span.is_valid()) else {
            return;
        };
        carrier.set(TRACEPARENT, traceparent(span));
        if !span.trace_state().is_empty() {
            carrier.set(TRACESTATE, span.trace_state().to_owned());
        }
    }

    fn extract(&self, context: Context, carrier: &dyn Extractor) -> Context {
        // Several of them are as if there were none (section 3.2).
        let [parent] = carrier.get_all(TRACEPARENT)[..] else {
            return context;
        };
        let Some(parent) = parse_traceparent(parent) else {
            return context;
        };
        let state = trace_state(&carrier.get_all(TRACESTATE)).unwrap_or_default();
        context.with_span_context(parent.with_trace_state(&state).remote())
    }

    fn fields(&self) -> Vec<&'static str> {
        vec![TRACEPARENT, TRACESTATE]
    }
}

/// The `traceparent` of a span.
///
/// ```
/// use lumitrace::{SpanContext, propagation::trace_context};
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let span = trace_context::parse_traceparent(text).unwrap();
/// assert_eq!(trace_context::traceparent(&span), text);
/// ```
pub fn traceparent(span: &SpanContext) -> String {
    let flags = span.trace_flags() & KNOWN_FLAGS;
    format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id())
}

/// Reads a `traceparent`; none if it is not one. Of later versions what is known of this one is read
/// (section 3.2.4).
pub fn parse_traceparent(text: &str) -> Option<SpanContext> {
    let text = text.trim_matches([' ', '\t']);
    let (version, rest) = (hex_byte(text.get(..2)?)?, text.get(2..)?);
    let rest = rest.strip_prefix('-')?;
    let (trace_id, rest) = (rest.get(..32)?, rest.get(32..)?.strip_prefix('-')?);
    let (span_id, rest) = (rest.get(..16)?, rest.get(16..)?.strip_prefix('-')?);
    let (flags, rest) = (hex_byte(rest.get(..2)?)?, rest.get(2..)?);
    let is_whole = rest.is_empty() || (version > 0 && rest.starts_with('-'));
    if version == 0xff || !is_whole {
        return None;
    }
    let trace_id: TraceId = lower_hex(trace_id)?.parse().ok()?;
    let span_id: SpanId = lower_hex(span_id)?.parse().ok()?;
    let context = SpanContext::new(trace_id, span_id, flags & KNOWN_FLAGS);
    context.is_valid().then_some(context)
}

fn hex_byte(text: &str) -> Option<u8> {
    u8::from_str_radix(lower_hex(text)?, 16).ok()
}

/// The text, if it is of hexadecimal digits, the letters small.
fn lower_hex(text: &str) -> Option<&str> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.bytes().all(is_digit).then_some(text)
}

/// The members of all `tracestate` headers as one; none if there are too many, or one is none.
fn trace_state(headers: &[&str]) -> Option<String> {
    let members = headers.iter().flat_map(|header| header.split(','));
    let members = members.map(|member| member.trim_matches([' ', '\t']));
    let members: Vec<&str> = members.filter(|member| !member.is_empty()).collect();
    let is_member = |member: &&str| {
        let parts = member.split_once('=');
        parts.is_some_and(|(key, value)| is_key(key) && is_value(value))
    };
    let is_valid = members.len() <= MAX_MEMBERS && members.iter().all(is_member);
    is_valid.then(|| members.join(","))
}

fn is_key(key: &str) -> bool {
    let is_allowed =
        |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    let begins_well = key.starts_with(|first: char| first.is_ascii_alphanumeric());
    begins_well && key.len() <= 256 && key.bytes().all(is_allowed)
}

fn is_value(value: &str) -> bool {
    let is_allowed = |byte: u8| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=';
    (1..=256).contains(&value.len()) && value.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn ids_flags_and_state_travel() {
        let span = span_context(1).with_trace_state("a=1,b=2");
        let written = injected(&TraceContext, &Context::of_span_context(span.clone()));
        let expected = headers([("traceparent", PARENT), ("tracestate", "a=1,b=2")]);
        assert_eq!(written, expected);
        let read = TraceContext.extract(Context::default(), &written);
        assert_eq!(read.span_context(), Some(&span.remote()));
    }

    #[test]
    fn what_is_no_traceparent_is_not_there() {
        for text in [
            "",
            "00",
            &PARENT[..54],
            &format!("{PARENT}-"),
            &format!("{PARENT}0"),
            &PARENT.replace("00-", "ff-"),
            &PARENT.to_uppercase(),
            &PARENT.replace('-', "_"),
            &PARENT.replace(TRACE_ID, &"0".repeat(32)),
            &PARENT.replace(SPAN_ID, &"0".repeat(16)),
            &PARENT.replace("4bf9", "4bfg"),
            &PARENT.replace("4bf9", "ß92"),
        ] {
            assert_eq!(parse_traceparent(text), None, "{text}");
        }
        assert_eq!(
            parse_traceparent(&format!(" {PARENT}\t")),
            Some(span_context(1))
        );
    }

    #[test]
    fn of_a_later_version_what_is_known_is_read() {
        let later = PARENT.replace("00-4", "cc-4");
        for text in [later.clone(), format!("{later}-what-will-be")] {
            assert_eq!(parse_traceparent(&text), Some(span_context(1)), "{text}");
        }
        assert_eq!(parse_traceparent(&format!("{later}.what")), None);
        let flags = PARENT.replace("-01", "-ff");
        assert_eq!(parse_traceparent(&flags), Some(span_context(3)));
    }

    #[test]
    fn a_state_that_is_broken_is_left_out_and_the_ids_are_kept() {
        let many = vec!["a=1"; 33].join(",");
        for state in ["a", "a=", "_a=1", "=1", "A=1", "a=ö", "a=b=c", &many] {
            let read = extracted(
                &TraceContext,
                [("traceparent", PARENT), ("tracestate", state)],
            );
            assert_eq!(read, Some(span_context(1).remote()), "{state}");
        }
        let read = extracted(
            &TraceContext,
            [("traceparent", PARENT), ("tracestate", " a@b=1 ,, c=2\t")],
        );
        assert_eq!(read.unwrap().trace_state(), "a@b=1,c=2");
    }
}
