//! How often operations are called and fail, and how long they take.

use super::error::ApiError;
use super::json::{nano, number, with_damage};
use super::params::Params;
use super::{Api, answer};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use lumitrace_query::{OperationQuery, OperationRow, OperationStatistics, SpanStatistics};
use serde_json::{Value, json};
use std::sync::Arc;

const PARAMS: [&str; 5] = [
    "service",
    "operation",
    "start_unix_nano",
    "end_unix_nano",
    "steps",
];
const MAX_STEPS: usize = 1000;

/// `GET /operations/statistics`: by service and operation, of spans that started from
/// `start_unix_nano` up to, without, `end_unix_nano` (default: all): their `count`, `errors`,
/// `rate_per_second`, and of their durations `mean_nano`, `p50_nano`, `p90_nano`, `p95_nano`,
/// `p99_nano` (within one percent) and `max_nano`. `service` and `operation` narrow it down. With
/// `steps`, the same in about so many steps, which begin at `steps_unix_nano`; null where no span
/// started.
pub(super) async fn statistics(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query = operation_query(query.as_deref())?;
    answer(api, move |api, budget| {
        Ok(answer_of(&api.engine.operation_statistics(&query, budget)?))
    })
    .await
}

fn operation_query(query: Option<&str>) -> Result<OperationQuery, ApiError> {
    let params = Params::only(query, &PARAMS)?;
    let query = OperationQuery {
        service: params.text("service").map(str::to_owned),
        operation: params.text("operation").map(str::to_owned),
        start_unix_nano: params.parsed("start_unix_nano")?,
        end_unix_nano: params.parsed("end_unix_nano")?,
        steps: params.parsed("steps")?.unwrap_or(0).min(MAX_STEPS),
    };
    if let (Some(start), Some(end)) = (query.start_unix_nano, query.end_unix_nano)
        && end < start
    {
        return Err(ApiError::bad_request(
            "end_unix_nano is before start_unix_nano",
        ));
    }
    Ok(query)
}

fn answer_of(statistics: &OperationStatistics) -> Value {
    let steps = statistics.steps_unix_nano.iter().copied();
    let answer = json!({
        "start_unix_nano": nano(statistics.start_unix_nano),
        "end_unix_nano": nano(statistics.end_unix_nano),
        "steps_unix_nano": steps.map(nano).collect::<Value>(),
        "operations": statistics.operations.iter().map(operation).collect::<Value>(),
        "truncated": statistics.truncated,
    });
    with_damage(answer, &statistics.damaged)
}

fn operation(row: &OperationRow) -> Value {
    let steps = row.steps.iter();
    json!({
        "service": &*row.service,
        "operation": &*row.operation,
        "total": spans(&row.total),
        "steps": steps.map(|step| step.as_ref().map(spans)).collect::<Value>(),
    })
}

fn spans(spans: &SpanStatistics) -> Value {
    json!({
        "count": spans.count,
        "errors": spans.errors,
        "rate_per_second": number(spans.rate_per_second),
        "mean_nano": number(spans.mean_nano),
        "p50_nano": nano(spans.p50_nano),
        "p90_nano": nano(spans.p90_nano),
        "p95_nano": nano(spans.p95_nano),
        "p99_nano": nano(spans.p99_nano),
        "max_nano": nano(spans.max_nano),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_from_its_parameters() {
        let query = operation_query(Some(
            "service=s&operation=GET+%2F&steps=99999&start_unix_nano=5",
        ));
        let expected = OperationQuery {
            service: Some("s".to_owned()),
            operation: Some("GET /".to_owned()),
            start_unix_nano: Some(5),
            end_unix_nano: None,
            steps: MAX_STEPS,
        };
        assert_eq!(query, Ok(expected));
    }

    #[test]
    fn a_wrong_question_says_what_is_wrong() {
        for (query, part) in [
            ("colour=red", "colour"),
            ("steps=some", "steps"),
            ("start_unix_nano=2&end_unix_nano=1", "before"),
        ] {
            let message = operation_query(Some(query)).unwrap_err().message;
            assert!(message.contains(part), "{query}: {message}");
        }
    }
}
