//! What `#[trace]` makes of functions.
#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod support;

use std::fmt::{Debug, Display};
use std::num::ParseIntError;
use std::pin::Pin;

use lumitrace::exporter::InMemoryExporter;
use lumitrace::model::Span;
use lumitrace::{SpanKind, StatusCode, Tracer, TracerProvider, Value, current_span};
use support::{exceptions, flushed, in_memory, named};

/// The functions below record for the global provider, so all is one test.
#[tokio::test]
async fn t22_t23_traced_functions_keep_their_behaviour_and_record_their_calls() {
    // Without set-up they are plain functions.
    assert_eq!(add(1, 2), 3);
    assert_eq!(parse("7"), Ok(7));
    let (provider, exporter) = in_memory();
    lumitrace::global::set_provider(provider);

    assert_eq!(add(1, 2), 3);
    let span = only(provider, &exporter, "add");
    assert_eq!(span.attribute("function"), Some(&Value::from("add")));
    assert_eq!(span.attribute("first"), Some(&Value::Int(1)));
    assert_eq!(span.attribute("in.words"), Some(&Value::from("1 + 2")));

    assert_eq!(parse("7"), Ok(7));
    let span = only(provider, &exporter, "parse_number");
    assert_eq!(
        span.attribute("result.status"),
        Some(&Value::from("success"))
    );
    assert_eq!(span.status.code, StatusCode::Unset);

    assert!(parse("seven").is_err());
    let span = only(provider, &exporter, "parse_number");
    assert_eq!(span.attribute("result.status"), Some(&Value::from("error")));
    assert_eq!(
        (exceptions(&span).len(), span.status.code),
        (1, StatusCode::Error)
    );

    slow().await;
    let span = only(provider, &exporter, "slow");
    assert!(
        matches!(&span.events[..], [awaited] if awaited.time_unix_nano <= span.end_unix_nano),
        "open over its await: {:?}",
        span.events
    );

    assert!(slow_parse("seven").await.is_err());
    assert_eq!(
        exceptions(&only(provider, &exporter, "slow_parse")).len(),
        1
    );

    let mut counter = Counter { count: 1 };
    assert_eq!(*counter.step(2), 3);
    assert_eq!(generic([1, 2, 3]).sum::<i32>(), 6);
    assert_eq!(early(true), "early");
    nested();
    let spans = flushed(provider, &exporter);
    assert_eq!(
        named(&spans, "inner").parent_span_id,
        Some(named(&spans, "nested").span_id)
    );
}

fn only(provider: TracerProvider, exporter: &InMemoryExporter, name: &str) -> Span {
    let spans = flushed(provider, exporter);
    exporter.clear();
    named(&spans, name).clone()
}

#[lumitrace::trace(attributes(first = first, "in.words" = format!("{first} + {second}")))]
fn add(first: i64, second: i64) -> i64 {
    first + second
}

#[lumitrace::trace(name = "parse_number", err)]
fn parse(text: &str) -> Result<u32, ParseIntError> {
    let number = text.parse()?;
    Ok(number)
}

#[lumitrace::trace]
async fn slow() {
    tokio::task::yield_now().await;
    current_span().add_event("awaited", vec![]);
}

#[lumitrace::trace(err)]
async fn slow_parse(text: &str) -> Result<u32, ParseIntError> {
    tokio::task::yield_now().await;
    let number = text.parse()?;
    Ok(number)
}

struct Counter {
    count: u32,
}

impl Counter {
    #[lumitrace::trace(attributes(by = by))]
    fn step(&mut self, by: u32) -> &u32 {
        self.count += by;
        &self.count
    }
}

#[lumitrace::trace]
fn generic<T, const N: usize>(items: [T; N]) -> impl Iterator<Item = T>
where
    T: Copy,
{
    items.into_iter()
}

#[lumitrace::trace]
fn early(is_early: bool) -> &'static str {
    if is_early {
        return "early";
    }
    "late"
}

#[lumitrace::trace]
fn nested() {
    inner();
}

#[lumitrace::trace]
fn inner() {}

/// What is recorded with a tracer of its own, by name.
struct Service {
    tracer: Tracer,
    paid: u32,
}

impl Service {
    #[lumitrace::trace(tracer = self.tracer, kind = "client", args, redact(card), result)]
    fn pay(
        &mut self,
        amount: u32,
        card: &str,
        api_key: &str,
        rate: f64,
        note: Option<&str>,
    ) -> u32 {
        let _secrets = (card, api_key);
        self.paid += amount;
        self.paid
    }

    #[lumitrace::trace(tracer = self.tracer, args(text), result, err)]
    fn parse(&self, text: &str, _secret: Unprintable) -> Result<u32, ParseIntError> {
        let number = text.parse()?;
        Ok(number)
    }

    #[lumitrace::trace(tracer = &self.tracer, args(item), result)]
    fn last<T: Debug>(&mut self, item: T) -> &u32 {
        drop(item);
        &self.paid
    }

    #[lumitrace::trace(tracer = self.tracer, result, err)]
    fn later(&self, text: &str) -> impl Future<Output = Result<u32, ParseIntError>> + Send {
        current_span().add_event("called", vec![]);
        let text = text.to_owned();
        async move {
            tokio::task::yield_now().await;
            current_span().add_event("awaited", vec![]);
            text.parse()
        }
    }

    #[lumitrace::trace(tracer = self.tracer, err)]
    fn boxed<'a>(
        &'a self,
        text: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<u32, ParseIntError>> + Send + 'a>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.parse(text, Unprintable)
        })
    }

    #[lumitrace::trace(tracer = self.tracer, args(values), result)]
    async fn sum(&self, values: Vec<i64>) -> i64 {
        tokio::task::yield_now().await;
        values.into_iter().sum()
    }

    /// The two types that it returns become one only because its type is written.
    #[lumitrace::trace(tracer = self.tracer)]
    async fn shown(&self, is_text: bool) -> Box<dyn Display + Send> {
        if is_text {
            return Box::new("text");
        }
        Box::new(7)
    }
}

struct Unprintable;

fn service() -> (Service, impl Fn(&str) -> Span) {
    let (provider, exporter) = in_memory();
    let tracer = provider.tracer("service");
    let take = move |name: &str| only(provider, &exporter, name);
    (Service { tracer, paid: 0 }, take)
}

#[test]
fn t27_arguments_are_recorded_as_chosen_bounded_and_redacted() {
    let (mut service, take) = service();
    assert_eq!(service.pay(3, "4111", "sk-1", 0.5, Some("thanks")), 3);
    let span = take("pay");
    assert_eq!(span.kind, SpanKind::Client);
    for (key, value) in [
        ("args.amount", Value::Int(3)),
        ("args.card", Value::from("<redacted>")),
        ("args.api_key", Value::from("<redacted>")),
        ("args.rate", Value::Double(0.5)),
        ("args.note", Value::from("Some(\"thanks\")")),
        ("result", Value::Int(3)),
    ] {
        assert_eq!(span.attribute(key), Some(&value), "{key}");
    }
    assert!(!format!("{span:?}").contains("4111"));

    assert_eq!(*service.last(vec!["x".repeat(5_000)]), 3);
    let span = take("last");
    let item = span.attribute("args.item").unwrap().as_str().unwrap();
    assert!(item.len() < 1_100 && item.starts_with("[\"xxx"), "{item}");
    assert_eq!(span.attribute("result"), Some(&Value::Int(3)));
}

#[test]
fn t20_the_error_of_a_result_is_recorded_once_and_its_value_as_result() {
    let (service, take) = service();
    assert_eq!(service.parse("7", Unprintable), Ok(7));
    let span = take("parse");
    assert_eq!(span.attribute("args.text"), Some(&Value::from("7")));
    assert_eq!(span.attribute("result"), Some(&Value::Int(7)));
    assert!(span.attribute("args._secret").is_none());

    assert!(service.parse("seven", Unprintable).is_err());
    let span = take("parse");
    assert_eq!(
        (exceptions(&span).len(), span.status.code),
        (1, StatusCode::Error)
    );
    assert!(span.attribute("error.type").is_some() && span.attribute("error.message").is_some());
    assert!(span.attribute("result").is_none());
}

#[tokio::test]
async fn t23_functions_that_return_futures_are_timed_over_their_awaits() {
    let (service, take) = service();
    assert_eq!(service.later("7").await, Ok(7));
    let span = take("later");
    let names: Vec<_> = span.events.iter().map(|event| &*event.name).collect();
    assert_eq!(names, ["called", "awaited"]);
    assert_eq!(span.attribute("result"), Some(&Value::Int(7)));

    assert!(service.boxed("seven").await.is_err());
    let spans = take("boxed");
    assert_eq!(spans.status.code, StatusCode::Error);

    assert_eq!(service.sum(vec![1, 2, 3]).await, 6);
    let span = take("sum");
    assert_eq!(
        span.attribute("args.values"),
        Some(&Value::from("[1, 2, 3]"))
    );
    assert_eq!(span.attribute("result"), Some(&Value::Int(6)));
}

#[tokio::test]
async fn t22_an_async_function_may_return_several_types_as_one_trait_object() {
    let (service, _) = service();
    assert_eq!(service.shown(true).await.to_string(), "text");
    assert_eq!(service.shown(false).await.to_string(), "7");
}

#[test]
fn t27_arguments_of_spans_that_are_not_recorded_are_not_looked_at() {
    struct Panicking;
    impl Debug for Panicking {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            unreachable!("nobody asked")
        }
    }
    let tracer = TracerProvider::disabled().tracer("off");
    let mut service = Service { tracer, paid: 1 };
    assert_eq!(*service.last(Panicking), 1);
}
