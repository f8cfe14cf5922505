//! Jaeger's format: `uber-trace-id`, and a header for each entry of the baggage
//! (<https://www.jaegertracing.io/sdk-migration/#propagation-format>).

use lumitrace_model::{SpanId, TraceId};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::w3c_baggage::is_token;
use super::{Extractor, Injector, Propagator};
use crate::baggage::Baggage;
use crate::{Context, SpanContext};

const HEADER: &str = "uber-trace-id";
const BAGGAGE_PREFIX: &str = "uberctx-";

/// Writes and reads `uber-trace-id` and `uberctx-…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Jaeger;

impl Propagator for Jaeger {
    fn inject(&self, context: &Context, carrier: &mut dyn Injector) {
        if let Some(span) = context.span_context().filter(|span| span.is_valid()) {
            let (trace_id, span_id) = (span.trace_id(), span.span_id());
            let flags = u8::from(span.is_sampled());
            // The parent's id is no more in use.
            carrier.set(HEADER, format!("{trace_id}:{span_id}:0:{flags:x}"));
        }
        for entry in context.baggage().iter().filter(|it| is_token(&it.name)) {
            let value = utf8_percent_encode(&entry.value, NON_ALPHANUMERIC);
            carrier.set(
                &format!("{BAGGAGE_PREFIX}{}", entry.name),
                value.to_string(),
            );
        }
    }

    fn extract(&self, context: Context, carrier: &dyn Extractor) -> Context {
        let context = match carrier.get(HEADER).and_then(parse) {
            Some(span) => context.with_span_context(span.remote()),
            None => context,
        };
        let names = carrier.names().into_iter();
        let entries = names.filter_map(|name| {
            let (prefix, key) = name.split_at_checked(BAGGAGE_PREFIX.len())?;
            let value = carrier.get(name)?;
            prefix
                .eq_ignore_ascii_case(BAGGAGE_PREFIX)
                .then(|| (key.to_owned(), decoded(value)))
        });
        let baggage = entries.fold(
            context.baggage().clone(),
            |baggage: Baggage, (key, value)| baggage.with(key, value),
        );
        if baggage.is_empty() {
            return context;
        }
        context.with_baggage(baggage)
    }

    /// But for those of the baggage, which are named after its entries.
    fn fields(&self) -> Vec<&'static str> {
        vec![HEADER]
    }
}

/// A plus is a space, as in forms: Jaeger's own clients write it so. A real one is always encoded.
fn decoded(text: &str) -> String {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8_lossy().into_owned()
}

/// `{trace id}:{span id}:{parent's span id}:{flags}`, in which colons may be encoded and zeroes at the
/// front of ids left out.
fn parse(text: &str) -> Option<SpanContext> {
    let text = decoded(text.trim());
    let mut parts = text.split(':');
    let (trace_id, span_id) = (parts.next()?, parts.next()?);
    let (_parent, flags) = (parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let flags = u8::from_str_radix(flags, 16).ok()?;
    let trace_id: TraceId = format!("{trace_id:0>32}").parse().ok()?;
    let span_id: SpanId = format!("{span_id:0>16}").parse().ok()?;
    // The second bit asks for debugging, which implies sampling.
    let context = SpanContext::new(trace_id, span_id, u8::from(flags & 3 != 0));
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn ids_and_flags_are_one_header() {
        let context = Context::of_span_context(span_context(1));
        let header = format!("{TRACE_ID}:{SPAN_ID}:0:1");
        assert_eq!(
            injected(&Jaeger, &context),
            headers([("uber-trace-id", &header)])
        );
        let encoded = header.replace(':', "%3A");
        for text in [&header, &encoded] {
            let read = extracted(&Jaeger, [("Uber-Trace-Id", text)]);
            assert_eq!(read, Some(span_context(1).remote()), "{text}");
        }
    }

    #[test]
    fn zeroes_may_be_left_out_and_debugging_is_sampling() {
        let read = extracted(&Jaeger, [("uber-trace-id", "1:f067aa0ba902b7:ab:2")]).unwrap();
        assert_eq!(read.trace_id().to_string(), format!("{:0>32}", "1"));
        assert_eq!(read.span_id().to_string(), SPAN_ID);
        assert!(read.is_sampled());
    }

    #[test]
    fn what_names_no_span_is_not_there() {
        for text in [
            "",
            "1:2:3",
            "1:2:3:4:5",
            "0:2:0:1",
            "1:0:0:1",
            "x:2:0:1",
            "1:2:0:y",
        ] {
            assert_eq!(
                extracted(&Jaeger, [("uber-trace-id", text)]),
                None,
                "{text}"
            );
        }
        let long = format!("{}:2:0:1", "1".repeat(33));
        assert_eq!(extracted(&Jaeger, [("uber-trace-id", &long)]), None);
    }

    #[test]
    fn each_entry_of_the_baggage_is_a_header() {
        let pairs = headers([("Uberctx-user", "G%C3%B6+%2B")]);
        let context = Jaeger.extract(Context::default(), &pairs);
        assert_eq!(context.baggage().get("user"), Some("Gö +"));
        let baggage = context.baggage().clone().with("no\r\nheader", "1");
        let mut written = Headers::new();
        Jaeger.inject(&context.with_baggage(baggage), &mut written);
        assert_eq!(written, headers([("uberctx-user", "G%C3%B6%20%2B")]));
    }
}
