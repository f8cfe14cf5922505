//! Whether a span meets the conditions of a search.
//!
//! What the store can decide it decides, here too, so that a live view and a search agree. What is
//! added are the tags that speak of the span itself, and services that are named only on the span.

use lumitrace_store::{ScanRequest, SpanParts, SpanRecord, SpanRef, value_matches};

use super::{TagFilter, TraceQuery};
use crate::facts::service_name;

/// Tags that speak of the span itself rather than of an attribute.
const INTRINSIC_TAGS: [&str; 6] = [
    "name",
    "kind",
    "status",
    "status.message",
    "service",
    "error",
];

/// The conditions of a query, ready to be asked of many spans.
pub(super) struct Matcher<'a> {
    service: Option<&'a str>,
    intrinsic_tags: Vec<&'a TagFilter>,
    request: ScanRequest,
}

impl<'a> Matcher<'a> {
    pub(super) fn new(query: &'a TraceQuery) -> Self {
        let (intrinsic_tags, tags): (Vec<_>, Vec<_>) = query
            .tags
            .iter()
            .partition(|tag| INTRINSIC_TAGS.contains(&tag.key.as_str()));
        let request = ScanRequest {
            start_unix_nano: query.start_unix_nano.unwrap_or(0),
            end_unix_nano: query
                .end_unix_nano
                .map_or(u64::MAX, |end| end.saturating_sub(1)),
            service: None,
            names: query.operation.iter().cloned().collect(),
            min_duration_nano: query.min_duration_nano,
            max_duration_nano: query.max_duration_nano,
            only_errors: query.only_errors,
            attributes: tags
                .iter()
                .map(|tag| (tag.key.clone(), tag.value.clone()))
                .collect(),
            text: query.text.clone(),
            newest_first: true,
            parts: SpanParts::NONE,
            ..ScanRequest::default()
        };
        Self {
            service: query.service.as_deref(),
            intrinsic_tags,
            request,
        }
    }

    /// What to ask the store for: every matching span is among its answer. Some of its answer may
    /// not match.
    ///
    /// `is_known` says whether any resource has the service's name; if none has, spans may carry
    /// it themselves, which the store cannot know.
    pub(super) fn scan_request(&self, is_known: impl FnOnce(&str) -> bool) -> ScanRequest {
        let service = self.service.filter(|service| is_known(service));
        ScanRequest {
            service: service.map(str::to_owned),
            ..self.request.clone()
        }
    }

    /// Whether a span in memory meets every condition.
    pub(super) fn matches_stored(&self, span: SpanRef<'_>) -> bool {
        let needs_no_more = self.service.is_none() && self.intrinsic_tags.is_empty();
        self.request.matches_stored(span)
            && (needs_no_more || self.matches(&span.record(SpanParts::ALL)))
    }

    /// Whether `record`, with all its parts, meets every condition.
    pub(super) fn matches(&self, record: &SpanRecord) -> bool {
        let is_of = |service| {
            record.service_name() == service
                || service_name(&record.resource, &record.span) == service
        };
        self.service.is_none_or(is_of)
            && self.intrinsic_tags.iter().all(|tag| has_tag(record, tag))
            && self.request.matches(record)
    }
}

impl TraceQuery {
    /// Whether its conditions look at attributes.
    pub(crate) fn needs_attributes(&self) -> bool {
        self.text.is_some() || !self.tags.is_empty()
    }
}

fn has_tag(record: &SpanRecord, TagFilter { key, value }: &TagFilter) -> bool {
    let span = &record.span;
    let is_intrinsic = match key.as_str() {
        "name" => span.name == *value,
        "kind" => span.kind.as_str() == value,
        "status" => status_word(record) == value,
        "status.message" => span.status.message == *value,
        "service" => service_name(&record.resource, span) == value,
        "error" => value.parse() == Ok(span.is_error()),
        _ => false,
    };
    let mut attributes = span.attributes.iter().chain(&record.resource.attributes);
    is_intrinsic
        || attributes
            .any(|attribute| attribute.key == *key && value_matches(&attribute.value, value))
}

fn status_word(record: &SpanRecord) -> &'static str {
    use lumitrace_model::StatusCode::{Error, Ok, Unset};
    match record.span.status.code {
        Unset => "unset",
        Ok => "ok",
        Error => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{SECOND, T0, span};
    use crate::search::TagFilter;
    use lumitrace_model::SpanKind;

    fn matches(query: &TraceQuery, record: &SpanRecord) -> bool {
        Matcher::new(query).matches(record)
    }

    fn tag(key: &str, value: &str) -> TraceQuery {
        let tags = vec![TagFilter {
            key: key.to_owned(),
            value: value.to_owned(),
        }];
        TraceQuery {
            tags,
            ..TraceQuery::default()
        }
    }

    fn text(text: &str) -> TraceQuery {
        TraceQuery {
            text: Some(text.to_owned()),
            ..TraceQuery::default()
        }
    }

    #[test]
    fn tags_are_compared_the_way_people_write_values() {
        let record = span("batch", 1)
            .with("epoch", 3)
            .with("loss", f64::NAN)
            .with("rate", 0.5)
            .with("pair", "gbpusd")
            .with("warm", true)
            .with("error", "timeout")
            .resource("host.name", "gpu-7")
            .kind(SpanKind::Client)
            .failed("Broke")
            .record();
        for (key, value) in [
            ("epoch", "3"),
            ("loss", "NaN"),
            ("rate", "0.50"),
            ("pair", "gbpusd"),
            ("warm", "true"),
            ("host.name", "gpu-7"),
            ("kind", "client"),
            ("name", "batch"),
            ("status", "error"),
            ("status.message", "Broke"),
            ("service", "trainer"),
            ("error", "true"),
            ("error", "timeout"),
        ] {
            assert!(matches(&tag(key, value), &record), "{key}={value}");
            assert!(!matches(&tag(key, "other"), &record), "{key}");
        }
    }

    #[test]
    fn text_is_found_in_name_attributes_and_status_whatever_the_case() {
        let record = span("Load_Data", 1)
            .with("pair", "GBPUSD")
            .failed("Straße gesperrt")
            .record();
        for found in [
            "load_d",
            "bpus",
            "GESPERRT",
            "STRASSE".replace("SS", "ß").as_str(),
            "",
        ] {
            assert!(matches(&text(found), &record), "{found}");
        }
        assert!(!matches(&text("eurusd"), &record));
    }

    #[test]
    fn the_time_range_includes_its_start_and_excludes_its_end() {
        let record = span("s", 1).at(1.0, 2.0).record();
        let between = |start, end| TraceQuery {
            start_unix_nano: Some(T0 + start),
            end_unix_nano: Some(T0 + end),
            ..TraceQuery::default()
        };
        assert!(matches(&between(SECOND, SECOND + 1), &record));
        assert!(!matches(&between(0, SECOND), &record));
    }
}
