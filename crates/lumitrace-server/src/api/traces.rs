//! Services, searches, traces and spans for our own pages.

use super::chunks::answer_in_chunks;
use super::error::ApiError;
use super::json::{attributes, nano, texts, with_damage};
use super::params::{Params, parse};
use super::{Api, answer, now_unix_nano};
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use lumitrace_model::{Event, Link, Span, SpanId, StatusCode, TraceId, names, value};
use lumitrace_query::{
    RunId, SpanDetail, SpanState, TagFilter, TraceQuery, TraceSummary, TraceTree, TreeRow,
};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;

const SEARCH_PARAMS: [&str; 11] = [
    "service",
    "operation",
    "text",
    "tag",
    "min_duration",
    "max_duration",
    "status",
    "start_unix_nano",
    "end_unix_nano",
    "limit",
    "before",
];
const DEFAULT_TRACES: usize = 50;
const MAX_TRACES: usize = 1000;

/// `GET /services`.
pub(super) async fn services(State(api): State<Arc<Api>>) -> Result<Response, ApiError> {
    answer(api, move |api, _| {
        let services = api.engine.services();
        let services = services.iter().map(|service| {
            json!({
                "name": service.name,
                "last_seen_unix_nano": nano(service.last_seen_unix_nano),
            })
        });
        Ok(json!({"services": services.collect::<Value>()}))
    })
    .await
}

/// `GET /services/{service}/operations`.
pub(super) async fn operations(
    State(api): State<Arc<Api>>,
    Path(service): Path<String>,
) -> Result<Response, ApiError> {
    answer(api, move |api, _| {
        let operations = api.engine.operations(&service);
        let operations = operations
            .iter()
            .map(|operation| json!({"name": operation.name, "kind": operation.kind.as_str()}));
        Ok(json!({"operations": operations.collect::<Value>()}))
    })
    .await
}

/// `GET /traces`.
pub(super) async fn search(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query = search_query(query.as_deref())?;
    answer(api, move |api, budget| {
        let page = api.engine.search(&query, budget, now_unix_nano())?;
        let answer = json!({
            "traces": page.traces.iter().map(summary).collect::<Value>(),
            "next": page.next.map(|cursor| cursor.to_string()),
            "truncated": page.truncated,
        });
        Ok(with_damage(answer, &page.damaged))
    })
    .await
}

/// What the parameters of a search ask for.
pub(super) fn search_query(query: Option<&str>) -> Result<TraceQuery, ApiError> {
    let params = Params::only(query, &SEARCH_PARAMS)?;
    let mut tags = tags(&params)?;
    let status = params.text("status");
    match status {
        None | Some("error") => {}
        Some("ok" | "unset") => tags.extend(status.map(status_tag)),
        Some(other) => {
            let message = format!("status cannot be {other:?}; ask for ok, error or unset");
            return Err(ApiError::bad_request(message));
        }
    }
    let query = TraceQuery {
        service: params.text("service").map(str::to_owned),
        operation: params.text("operation").map(str::to_owned),
        text: params.text("text").map(str::to_owned),
        tags,
        min_duration_nano: params.duration_nano("min_duration")?,
        max_duration_nano: params.duration_nano("max_duration")?,
        // The store finds errors by an index of their own.
        only_errors: status == Some("error"),
        start_unix_nano: params.parsed("start_unix_nano")?,
        end_unix_nano: params.parsed("end_unix_nano")?,
        limit: params.limit("limit", DEFAULT_TRACES, MAX_TRACES)?,
        before: params.parsed("before")?,
    };
    if let (Some(min), Some(max)) = (query.min_duration_nano, query.max_duration_nano)
        && max < min
    {
        return Err(ApiError::bad_request(
            "max_duration is shorter than min_duration",
        ));
    }
    Ok(query)
}

/// The tags that are asked for, each as `key=value`.
pub(super) fn tags(params: &Params) -> Result<Vec<TagFilter>, ApiError> {
    let tags = params.all("tag").filter(|tag| !tag.is_empty());
    let read = tags.map(|tag| {
        let (key, value) = tag.split_once('=').ok_or_else(|| {
            ApiError::bad_request(format!("tag cannot be {tag:?}; write it as key=value"))
        })?;
        Ok(TagFilter {
            key: key.to_owned(),
            value: value.to_owned(),
        })
    });
    read.collect()
}

fn status_tag(status: &str) -> TagFilter {
    TagFilter {
        key: "status".to_owned(),
        value: status.to_owned(),
    }
}

/// A line of a search's results.
pub(super) fn summary(trace: &TraceSummary) -> Value {
    let services = trace.services.iter().map(|service| {
        json!({
            "name": service.name,
            "span_count": service.span_count,
            "error_count": service.error_count,
        })
    });
    json!({
        "trace_id": trace.trace_id.to_string(),
        "root_service": trace.root_service,
        "root_name": trace.root_name,
        "start_unix_nano": nano(trace.start_unix_nano),
        "duration_nano": nano(trace.duration_nano),
        "span_count": trace.span_count,
        "error_count": trace.error_count,
        "matched_span_count": trace.matched_span_count,
        "services": services.collect::<Value>(),
        "state": trace.state.as_str(),
        "root_missing": trace.root_missing,
        "run_id": trace.run_id.map(|run_id| run_id.to_string()),
    })
}

/// `GET /traces/{trace_id}`.
pub(super) async fn trace(
    State(api): State<Arc<Api>>,
    Path(trace_id): Path<String>,
) -> Result<Response, ApiError> {
    let trace_id: TraceId = parse("trace_id", &trace_id)?;
    answer_in_chunks(api, move |api, budget| {
        let tree = api.engine.trace(trace_id, budget, now_unix_nano())?;
        let tree = tree.ok_or_else(|| trace_not_found(trace_id))?;
        Ok(Waterfall(tree))
    })
    .await
}

/// The answer where no span of a trace is stored.
pub(super) fn trace_not_found(trace_id: TraceId) -> ApiError {
    ApiError::not_found(
        "trace_not_found",
        format!("no span of trace {trace_id} is stored; it may not have arrived yet"),
    )
}

/// A waterfall by columns: a fraction of the size of one object a span. They are written from the rows,
/// so that nothing is in memory twice.
struct Waterfall(TraceTree);

#[derive(serde::Serialize)]
struct TraceColumns<'a> {
    trace_id: Text<TraceId>,
    start_unix_nano: Text<u64>,
    duration_nano: Text<u64>,
    span_count: usize,
    error_count: u64,
    state: &'static str,
    root_missing: bool,
    services: &'a [String],
    names: &'a [String],
    run_id: Option<Text<RunId>>,
    spans: SpanColumns<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    damaged: Vec<String>,
}

impl Serialize for Waterfall {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tree = &self.0;
        let columns = TraceColumns {
            trace_id: Text(tree.trace_id),
            start_unix_nano: Text(tree.start_unix_nano),
            duration_nano: Text(tree.duration_nano),
            span_count: tree.rows.len(),
            error_count: tree.error_count,
            state: tree.state.as_str(),
            root_missing: tree.root_missing,
            services: &tree.services,
            names: &tree.names,
            run_id: tree.run_id.map(Text),
            spans: SpanColumns(&tree.rows),
            damaged: texts(&tree.damaged),
        };
        columns.serialize(serializer)
    }
}

struct SpanColumns<'a>(&'a [TreeRow]);

impl Serialize for SpanColumns<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows = self.0;
        let mut map = serializer.serialize_map(Some(12))?;
        map.serialize_entry("id", &column(rows, |row| Text(row.span_id)))?;
        let parent = |row: &TreeRow| row.parent.map_or(-1, i64::from);
        map.serialize_entry("parent", &column(rows, parent))?;
        map.serialize_entry("depth", &column(rows, |row| row.depth))?;
        map.serialize_entry("name", &column(rows, |row| row.name))?;
        map.serialize_entry("service", &column(rows, |row| row.service))?;
        map.serialize_entry("kind", &column(rows, |row| row.kind.as_str()))?;
        let start = |row: &TreeRow| row.start_offset_nano;
        map.serialize_entry("start_offset_nano", &column(rows, start))?;
        map.serialize_entry("duration_nano", &column(rows, |row| row.duration_nano))?;
        map.serialize_entry("status", &column(rows, |row| row.status.code()))?;
        let state = |row: &TreeRow| match row.state {
            SpanState::Complete => 0_u8,
            SpanState::Running => 1,
            SpanState::Interrupted => 2,
        };
        map.serialize_entry("state", &column(rows, state))?;
        map.serialize_entry("event_count", &column(rows, |row| row.event_count))?;
        map.serialize_entry("label", &column(rows, |row| row.label.as_deref()))?;
        map.end()
    }
}

/// What a function makes of each row.
struct Column<'a, F>(&'a [TreeRow], F);

fn column<'a, T: Serialize, F: Fn(&'a TreeRow) -> T>(rows: &'a [TreeRow], of: F) -> Column<'a, F> {
    Column(rows, of)
}

impl<'a, T: Serialize, F: Fn(&'a TreeRow) -> T> Serialize for Column<'a, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(&self.1))
    }
}

/// A value as the text that it is displayed as.
struct Text<T>(T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// `GET /traces/{trace_id}/spans/{span_id}`.
pub(super) async fn span(
    State(api): State<Arc<Api>>,
    Path((trace_id, span_id)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let trace_id: TraceId = parse("trace_id", &trace_id)?;
    let span_id: SpanId = parse("span_id", &span_id)?;
    answer(api, move |api, _| {
        match api.engine.span(trace_id, span_id, now_unix_nano())? {
            Some(detail) => Ok(with_damage(span_detail(&detail), &detail.damaged)),
            None => Err(ApiError::not_found(
                "span_not_found",
                format!(
                    "no span {span_id} of trace {trace_id} is stored; it may not have arrived yet"
                ),
            )),
        }
    })
    .await
}

fn span_detail(detail: &SpanDetail) -> Value {
    let record = &detail.record;
    let span = &record.span;
    json!({
        "trace_id": span.trace_id.to_string(),
        "span_id": span.span_id.to_string(),
        "parent_span_id": span.parent_span_id.map(|id| id.to_string()),
        "name": span.name,
        "label": detail.label,
        "kind": span.kind.as_str(),
        "service": detail.service_name,
        "start_unix_nano": nano(span.start_unix_nano),
        "end_unix_nano": nano(span.end_unix_nano),
        "duration_nano": nano(span.duration_nano()),
        "state": detail.state.as_str(),
        "status": {"code": status_word(span.status.code), "message": span.status.message},
        "attributes": attributes(&span.attributes),
        "dropped_attributes_count": span.dropped_attributes_count,
        "events": span.events.iter().map(|each| event(each, span)).collect::<Value>(),
        "dropped_events_count": span.dropped_events_count,
        "links": span.links.iter().map(link).collect::<Value>(),
        "dropped_links_count": span.dropped_links_count,
        "exception": span.exception().map(exception),
        "resource": {"attributes": attributes(&record.resource.attributes)},
        "scope": {
            "name": record.scope.name,
            "version": record.scope.version,
            "attributes": attributes(&record.scope.attributes),
        },
        "trace_state": span.trace_state,
        "flags": span.flags,
    })
}

/// The lower-case word for how a span ended.
pub(super) fn status_word(code: StatusCode) -> &'static str {
    match code {
        StatusCode::Unset => "unset",
        StatusCode::Ok => "ok",
        StatusCode::Error => "error",
    }
}

fn event(event: &Event, span: &Span) -> Value {
    // Clocks differ: an event may be dated before its span.
    let offset = i128::from(event.time_unix_nano) - i128::from(span.start_unix_nano);
    json!({
        "name": event.name,
        "time_unix_nano": nano(event.time_unix_nano),
        "offset_nano": offset.to_string(),
        "attributes": attributes(&event.attributes),
        "dropped_attributes_count": event.dropped_attributes_count,
    })
}

fn link(link: &Link) -> Value {
    json!({
        "trace_id": link.trace_id.to_string(),
        "span_id": link.span_id.to_string(),
        "trace_state": link.trace_state,
        "attributes": attributes(&link.attributes),
        "dropped_attributes_count": link.dropped_attributes_count,
    })
}

fn exception(event: &Event) -> Value {
    let text = |key| value::find(&event.attributes, key).and_then(|value| value.as_str());
    json!({
        "type": text(names::EXCEPTION_TYPE),
        "message": text(names::EXCEPTION_MESSAGE),
        "stacktrace": text(names::EXCEPTION_STACKTRACE),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_read_from_its_parameters() {
        let query = search_query(Some(
            "service=s&tag=epoch%3D3&tag=a%3Db%3Dc&min_duration=10ms&status=error&limit=99999&text=x",
        ))
        .unwrap();
        assert_eq!(query.service.as_deref(), Some("s"));
        assert_eq!(
            query.tags[1],
            TagFilter {
                key: "a".into(),
                value: "b=c".into()
            }
        );
        assert_eq!(query.min_duration_nano, Some(10_000_000));
        assert!(query.only_errors);
        assert_eq!(query.limit, MAX_TRACES);
    }

    #[test]
    fn every_status_can_be_asked_for() {
        let asked = |query: &str| {
            let query = search_query(Some(query)).unwrap();
            (query.only_errors, query.tags)
        };
        assert_eq!(asked("status="), (false, vec![]));
        assert_eq!(asked("status=error"), (true, vec![]));
        assert_eq!(asked("status=ok"), (false, vec![status_tag("ok")]));
        assert_eq!(asked("status=unset"), (false, vec![status_tag("unset")]));
    }

    #[test]
    fn a_wrong_search_says_what_is_wrong() {
        for (query, part) in [
            ("tag=x", "key=value"),
            ("status=fine", "status"),
            ("min_duration=2s&max_duration=1s", "shorter"),
            ("before=x", "before"),
            ("start_unix_nano=-1", "start_unix_nano"),
            ("colour=red", "colour"),
        ] {
            let message = search_query(Some(query)).unwrap_err().message;
            assert!(message.contains(part), "{query}: {message}");
        }
    }
}
