//! The JSON codec: OTLP's own example, the liberties that clients take, and random telemetry.

mod logs;
mod metrics;

use proptest::prelude::*;

use super::*;
use crate::otlp::samples;
use crate::{DecodeError, DecodeLimits};
use lumitrace_model::{ResourceSpans, Value};

fn decode(text: &str) -> Result<crate::DecodedTraces, DecodeError> {
    decode_traces(text.as_bytes(), &DecodeLimits::default())
}

proptest! {
    #[test]
    fn every_span_survives_encoding_and_decoding(traces in samples::traces()) {
        let bytes = encode_traces(&traces);
        let decoded = decode_traces(&bytes, &DecodeLimits::default())?;
        prop_assert_eq!(samples::comparable(&decoded.resource_spans), samples::comparable(&traces));
    }

    #[test]
    fn spans_wherever_they_lie_are_encoded_like_those_in_groups(traces in samples::traces()) {
        for mut group in traces {
            group.schema_url = "".into();
            let spans = group.scope_spans.iter()
                .flat_map(|scope| scope.spans.iter().map(|span| (&scope.scope, span)));
            let bytes = encode_spans(&group.resource, spans);
            let decoded = decode_traces(&bytes, &DecodeLimits::default())?.resource_spans;
            prop_assert_eq!(decoded.len(), 1);
            prop_assert_eq!(&format!("{:?}", decoded[0].resource), &format!("{:?}", group.resource));
            let with_scopes = |group: &ResourceSpans| {
                let scopes = group.scope_spans.iter();
                let pairs = scopes.flat_map(|it| it.spans.iter().map(move |span| (&it.scope, span)));
                let mut texts: Vec<_> = pairs.map(|pair| format!("{pair:?}")).collect();
                texts.sort();
                texts
            };
            prop_assert_eq!(with_scopes(&decoded[0]), with_scopes(&group));
        }
    }

    #[test]
    fn random_text_never_panics(text in "[\\[\\]{}\",:a-z0-9\\\\]{0,200}") {
        let _ = decode(&text);
    }
}

#[test]
fn what_clients_really_send_is_understood() {
    let decoded = decode(
        r#"{"resourceSpans":[{"resource":{"attributes":[
            {"key":"service.name","value":{"stringValue":"s"}}]},
          "scopeSpans":[{"scope":null,"spans":[{
            "traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174",
            "parentSpanId":"","name":"n","kind":"SPAN_KIND_SERVER","unknownField":{"a":[1]},
            "startTimeUnixNano":1544712660000000000,"endTimeUnixNano":"1544712661000000000",
            "attributes":[{"key":"loss","value":{"doubleValue":"NaN"}},
                          {"key":"n","value":{"intValue":7}},
                          {"key":"s","value":{"doubleValue":"0.5"}},
                          {"key":"none","value":null}],
            "status":{"code":2}}]}]}]}"#,
    )
    .unwrap();
    let span = &decoded.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!(
        span.trace_id.to_string(),
        "5b8efff798038103d269b633813fc60c"
    );
    assert_eq!((span.kind.as_str(), span.parent_span_id), ("server", None));
    assert_eq!(span.duration_nano(), 1_000_000_000);
    assert!(
        span.attribute("loss")
            .and_then(Value::as_f64)
            .is_some_and(f64::is_nan)
    );
    assert_eq!(span.attribute("n"), Some(&Value::Int(7)));
    assert_eq!(span.attribute("s"), Some(&Value::Double(0.5)));
    assert_eq!(span.attribute("none"), Some(&Value::Null));
    assert!(span.is_error());
}

#[test]
fn wrong_types_are_errors_that_name_the_field() {
    for (text, place) in [
        ("[]", ".: invalid type"),
        (r#"{"resourceSpans":{}}"#, "resourceSpans: "),
        (
            r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":5}]}]}]}"#,
            "resourceSpans[0].scopeSpans[0].spans[0].name: ",
        ),
        (
            r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":[]}]}]}]}"#,
            "resourceSpans[0].scopeSpans[0].spans[0].kind: ",
        ),
        (
            r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{},{"flags":-1}]}]}]}"#,
            "resourceSpans[0].scopeSpans[0].spans[1].flags: ",
        ),
        ("{} {}", "there is more text"),
    ] {
        let Err(DecodeError::Json(message)) = decode(text) else {
            panic!("{text} was accepted")
        };
        assert!(message.starts_with(place), "{text}: {message}");
    }
}

#[test]
fn a_request_of_empty_items_is_refused_before_it_fills_memory() {
    for (open, close) in [
        (r#"{"resourceSpans":["#, "]}"),
        (r#"{"resourceSpans":[{"scopeSpans":[{"spans":["#, "]}]}]}"),
        (r#"{"resourceSpans":[{"resource":{"attributes":["#, "]}}]}"),
    ] {
        let text = format!("{open}{}{{}}{close}", "{},".repeat(100_000));
        assert_eq!(
            decode(&text),
            Err(DecodeError::TooManyItems { ratio: 16 }),
            "{open}"
        );
    }
}

#[test]
fn values_nested_beyond_the_limit_are_refused_and_those_within_it_kept() {
    let array = |inner: String| format!(r#"{{"arrayValue":{{"values":[{inner}]}}}}"#);
    let map = |inner: String| {
        format!(r#"{{"kvlistValue":{{"values":[{{"key":"k","value":{inner}}}]}}}}"#)
    };
    let nested = |depth: usize, wrap: fn(String) -> String| {
        let value = (1..depth).fold(r#"{"intValue":1}"#.to_owned(), |inner, _| wrap(inner));
        format!(
            r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"k","value":{value}}}]}}}}]}}"#
        )
    };
    // The second is the deepest that anyone can allow: the stack must bear it.
    for max_depth in [64, DecodeLimits::own_data().max_depth] {
        let limits = DecodeLimits {
            max_depth,
            ..DecodeLimits::default()
        };
        for wrap in [array, map] {
            let decode = |depth| decode_traces(nested(depth, wrap).as_bytes(), &limits);
            assert!(decode(max_depth).is_ok(), "{max_depth}");
            assert_eq!(
                decode(max_depth + 1),
                Err(DecodeError::TooDeep { max_depth })
            );
        }
    }
}

#[test]
fn what_is_malformed_is_called_so_however_much_memory_it_takes() {
    // Reading it twice, the second time for the place, must not count its items twice.
    let text = format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{}]}}}},5]}}"#,
        vec![r#"{"key":"k","value":{}}"#; 100].join(",")
    );
    let Err(DecodeError::Json(message)) = decode(&text) else {
        panic!("not refused as malformed");
    };
    assert!(message.starts_with("resourceSpans[1]: "), "{message}");
}

#[test]
fn deep_nesting_is_refused_before_parsing() {
    let text = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(decode(&text), Err(DecodeError::TooDeep { max_depth: 64 }));
}

#[test]
fn spans_with_invalid_ids_are_counted_and_the_rest_is_kept() {
    let decoded = decode(
        r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"00","spanId":"xx"},
        {"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174"}]}]}]}"#,
    )
    .unwrap();
    assert_eq!((decoded.span_count(), decoded.rejected_spans), (1, 1));
}
