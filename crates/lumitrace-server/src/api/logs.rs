//! Log records: a search over all of them, and those of one trace.

use super::error::ApiError;
use super::json::{attributes, nano, value, with_damage};
use super::params::{Params, parse};
use super::traces::tags;
use super::{Api, answer};
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use lumitrace_model::{Severity, TraceId};
use lumitrace_query::{LogCursor, LogFilter, LogQuery};
use lumitrace_store::LogEntry;
use serde_json::{Value, json};
use std::sync::Arc;

/// What both questions may say.
const PARAMS: [&str; 9] = [
    "service",
    "min_severity",
    "text",
    "tag",
    "span_id",
    "start_unix_nano",
    "end_unix_nano",
    "limit",
    "before",
];
const DEFAULT_LOGS: usize = 100;
const MAX_LOGS: usize = 1000;

/// `GET /logs`: log records, newest first, that meet every condition: `service`; `min_severity`, a
/// number of OpenTelemetry's or its short name; `text` in the body, in whatever case; `tag` as
/// `key=value`, an attribute of the log record or its resource, as often as you like; `trace_id`;
/// `span_id`; from `start_unix_nano` up to, without, `end_unix_nano`. `limit` is 100 unless it is
/// said; `next` is what to pass as `before` for the next page.
pub(super) async fn search(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let params = Params::only(query.as_deref(), &[&PARAMS[..], &["trace_id"]].concat())?;
    let query = LogQuery {
        trace_id: params.parsed("trace_id")?,
        ..log_query(&params)?
    };
    find(api, query).await
}

/// `GET /traces/{trace_id}/logs`: the same of one trace. A trace without log records has an empty
/// list, whether or not its spans are stored: either may come first.
pub(super) async fn of_trace(
    State(api): State<Arc<Api>>,
    Path(trace_id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let trace_id: TraceId = parse("trace_id", &trace_id)?;
    let params = Params::only(query.as_deref(), &PARAMS)?;
    let query = LogQuery {
        trace_id: Some(trace_id),
        ..log_query(&params)?
    };
    find(api, query).await
}

/// `GET /logs/{id}`: one log record, with all of its body and attributes. Lists have only the first KiB
/// or so of what is longer than 2 KiB and was written out already.
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    Params::only(query.as_deref(), &[])?;
    let place: LogCursor = parse("id", &id)?;
    answer(api, move |api, budget| {
        let entry = api.engine.log(place, budget)?;
        entry.map(|entry| log_record(&entry)).ok_or_else(|| {
            ApiError::not_found(
                "log_not_found",
                format!("no log record {place} is stored; it may have expired"),
            )
        })
    })
    .await
}

/// `GET /logs/services`: the services of which there are log records, by name.
pub(super) async fn services(State(api): State<Arc<Api>>) -> Result<Response, ApiError> {
    answer(api, move |api, _| {
        Ok(json!({"services": api.engine.log_services()}))
    })
    .await
}

async fn find(api: Arc<Api>, query: LogQuery) -> Result<Response, ApiError> {
    answer(api, move |api, budget| {
        let page = api.engine.logs(&query, budget)?;
        let logs = page.entries.iter().map(|entry| log_record(entry));
        let answer = json!({
            "logs": logs.collect::<Value>(),
            "next": page.next.map(|cursor| cursor.to_string()),
            "truncated": page.truncated,
        });
        Ok(with_damage(answer, &page.damaged))
    })
    .await
}

/// Which log records a live stream wants: a search without pages.
pub(super) fn tail_filter(query: Option<&str>) -> Result<LogFilter, ApiError> {
    let of_pages = ["limit", "before"];
    let known = PARAMS.into_iter().chain(["trace_id"]);
    let known: Vec<&str> = known.filter(|name| !of_pages.contains(name)).collect();
    let params = Params::only(query, &known)?;
    let query = LogQuery {
        trace_id: params.parsed("trace_id")?,
        ..log_query(&params)?
    };
    Ok(query.filter())
}

fn log_query(params: &Params) -> Result<LogQuery, ApiError> {
    let min_severity = params.text("min_severity").map(severity).transpose()?;
    let query = LogQuery {
        service: params.text("service").map(str::to_owned),
        min_severity: min_severity.unwrap_or_default(),
        text: params.text("text").map(str::to_owned),
        tags: tags(params)?,
        trace_id: None,
        span_id: params.parsed("span_id")?,
        start_unix_nano: params.parsed("start_unix_nano")?,
        end_unix_nano: params.parsed("end_unix_nano")?,
        limit: params.limit("limit", DEFAULT_LOGS, MAX_LOGS)?,
        before: params.parsed("before")?,
    };
    Ok(query)
}

/// Reads a severity as people write it: `17`, `ERROR` or `error`.
fn severity(text: &str) -> Result<Severity, ApiError> {
    let named = Severity::NAMES
        .iter()
        .position(|name| name.eq_ignore_ascii_case(text));
    let number = named.and_then(|number| i32::try_from(number).ok());
    let number = number.or_else(|| text.parse().ok().filter(|number| (0..=24).contains(number)));
    number.map(Severity::from_number).ok_or_else(|| {
        ApiError::bad_request(format!(
            "min_severity cannot be {text:?}; write a number from 1 to 24, or TRACE, DEBUG, INFO, \
             WARN, ERROR or FATAL"
        ))
    })
}

pub(super) fn log_record(entry: &LogEntry) -> Value {
    let log = &entry.log;
    let resource = &entry.origin.resource;
    let scope = &entry.origin.scope;
    json!({
        "id": LogCursor::of(entry).to_string(),
        "time_unix_nano": nano(log.timestamp_unix_nano()),
        "observed_time_unix_nano": nano(log.observed_time_unix_nano),
        "severity_number": log.severity.number(),
        "severity_text": log.severity_text,
        "service": entry.service_name(),
        "event_name": log.event_name,
        "body": value(&log.body),
        "trace_id": log.trace_id.map(|id| id.to_string()),
        "span_id": log.span_id.map(|id| id.to_string()),
        "flags": log.flags,
        "attributes": attributes(&log.attributes),
        "dropped_attributes_count": log.dropped_attributes_count,
        "resource": {"attributes": attributes(&resource.attributes)},
        "scope": {
            "name": scope.name,
            "version": scope.version,
            "attributes": attributes(&scope.attributes),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumitrace_query::TagFilter;

    fn read(query: &str) -> Result<LogQuery, ApiError> {
        log_query(&Params::only(Some(query), &PARAMS)?)
    }

    #[test]
    fn a_search_is_read_from_its_parameters() {
        let query = read(
            "service=s&min_severity=warn&text=x&tag=epoch%3D3&span_id=00000000000000ff\
             &start_unix_nano=5&end_unix_nano=9&limit=99999&before=7-3",
        );
        let expected = LogQuery {
            service: Some("s".to_owned()),
            min_severity: Severity::WARN,
            text: Some("x".to_owned()),
            tags: vec![TagFilter {
                key: "epoch".to_owned(),
                value: "3".to_owned(),
            }],
            trace_id: None,
            span_id: "00000000000000ff".parse().ok(),
            start_unix_nano: Some(5),
            end_unix_nano: Some(9),
            limit: MAX_LOGS,
            before: Some(LogCursor {
                time_unix_nano: 7,
                seq: 3,
            }),
        };
        assert_eq!(query, Ok(expected));
    }

    #[test]
    fn severities_are_numbers_or_names() {
        for (text, number) in [("17", 17), ("ERROR", 17), ("error2", 18), ("0", 0)] {
            assert_eq!(severity(text).map(Severity::number), Ok(number), "{text}");
        }
        for text in ["loud", "25", "-1", "1.5"] {
            assert!(severity(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_wrong_search_says_what_is_wrong() {
        for (query, part) in [
            ("min_severity=loud", "WARN"),
            ("tag=x", "key=value"),
            ("span_id=x", "span_id"),
            ("before=x", "cursor"),
            ("colour=red", "colour"),
        ] {
            let message = read(query).unwrap_err().message;
            assert!(message.contains(part), "{query}: {message}");
        }
    }
}
