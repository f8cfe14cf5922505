//! What `#[trace]` makes of functions.
#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod support;

use std::num::ParseIntError;

use lumitrace::exporter::InMemoryExporter;
use lumitrace::model::Span;
use lumitrace::{StatusCode, TracerProvider, Value, current_span};
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
