//! Whether a span meets the conditions of a search.

use lumitrace_model::{KeyValue, Value};
use lumitrace_store::SpanRecord;

use super::TraceQuery;
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

/// Whether the tag `key` speaks of the span itself rather than of an attribute.
pub(crate) fn is_intrinsic(key: &str) -> bool {
    INTRINSIC_TAGS.contains(&key)
}

impl TraceQuery {
    /// Whether `record` meets every condition on spans, that is, all but limit and cursor.
    pub fn matches(&self, record: &SpanRecord) -> bool {
        self.matches_shape(record)
            && self
                .tags
                .iter()
                .all(|tag| has_tag(record, &tag.key, &tag.value))
            && self
                .text
                .as_ref()
                .is_none_or(|text| contains_text(record, text))
    }

    /// Whether its name, times and status meet their conditions; needs no attributes unless the
    /// resource has no service name.
    fn matches_shape(&self, record: &SpanRecord) -> bool {
        let span = &record.span;
        let (start, duration) = (span.start_unix_nano, span.duration_nano());
        let is_of = |service: &String| {
            record.service_name() == service || service_name(&record.resource, span) == service
        };
        self.service.as_ref().is_none_or(is_of)
            && self
                .operation
                .as_ref()
                .is_none_or(|operation| span.name == *operation)
            && self
                .min_duration_nano
                .is_none_or(|shortest| duration >= shortest)
            && self
                .max_duration_nano
                .is_none_or(|longest| duration <= longest)
            && self
                .start_unix_nano
                .is_none_or(|earliest| start >= earliest)
            && self.end_unix_nano.is_none_or(|end| start < end)
            && (!self.only_errors || span.is_error())
    }
}

fn has_tag(record: &SpanRecord, key: &str, value: &str) -> bool {
    let span = &record.span;
    let intrinsic = match key {
        "name" => span.name == value,
        "kind" => span.kind.as_str() == value,
        "status" => status_word(record) == value,
        "status.message" => span.status.message == value,
        "service" => service_name(&record.resource, span) == value,
        "error" => span.is_error() == (value == "true") && ["true", "false"].contains(&value),
        _ => false,
    };
    let has = |attributes: &[KeyValue]| {
        attributes
            .iter()
            .any(|attribute| attribute.key == key && spells(&attribute.value, value))
    };
    intrinsic || has(&span.attributes) || has(&record.resource.attributes)
}

fn status_word(record: &SpanRecord) -> &'static str {
    use lumitrace_model::StatusCode::{Error, Ok, Unset};
    match record.span.status.code {
        Unset => "unset",
        Ok => "ok",
        Error => "error",
    }
}

/// Whether `text` is how a person would write `value`.
fn spells(value: &Value, text: &str) -> bool {
    match value {
        Value::String(string) => string == text,
        Value::Bool(bool) => text == if *bool { "true" } else { "false" },
        Value::Int(int) => text.parse() == Ok(*int),
        Value::Double(double) => {
            let number = Value::String(text.to_owned().into()).as_f64();
            number.is_some_and(|number| number == *double || number.is_nan() && double.is_nan())
        }
        Value::Array(values) => values.iter().any(|value| spells(value, text)),
        Value::Null | Value::Bytes(_) | Value::Map(_) => false,
    }
}

fn contains_text(record: &SpanRecord, text: &str) -> bool {
    let text = text.to_lowercase();
    let span = &record.span;
    contains_in_any_case(&span.name, &text)
        || contains_in_any_case(&span.status.message, &text)
        || span
            .attributes
            .iter()
            .any(|attribute| value_contains(&attribute.value, &text))
}

fn value_contains(value: &Value, lower_case: &str) -> bool {
    match value {
        Value::String(string) => contains_in_any_case(string, lower_case),
        Value::Array(values) => values.iter().any(|value| value_contains(value, lower_case)),
        Value::Map(entries) => entries
            .iter()
            .any(|entry| value_contains(&entry.value, lower_case)),
        _ => false,
    }
}

/// Whether `text` contains `lower_case`, in any case.
fn contains_in_any_case(text: &str, lower_case: &str) -> bool {
    if !(text.is_ascii() && lower_case.is_ascii()) {
        return text.to_lowercase().contains(lower_case);
    }
    lower_case.is_empty()
        || text
            .as_bytes()
            .windows(lower_case.len())
            .any(|window| window.eq_ignore_ascii_case(lower_case.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{SECOND, T0, span};
    use crate::search::TagFilter;
    use lumitrace_model::SpanKind;

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
        ] {
            assert!(tag(key, value).matches(&record), "{key}={value}");
            assert!(!tag(key, "other").matches(&record), "{key}");
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
            assert!(text(found).matches(&record), "{found}");
        }
        assert!(!text("eurusd").matches(&record));
    }

    #[test]
    fn the_time_range_includes_its_start_and_excludes_its_end() {
        let record = span("s", 1).at(1.0, 2.0).record();
        let between = |start, end| TraceQuery {
            start_unix_nano: Some(T0 + start),
            end_unix_nano: Some(T0 + end),
            ..TraceQuery::default()
        };
        assert!(between(SECOND, SECOND + 1).matches(&record));
        assert!(!between(0, SECOND).matches(&record));
    }
}
