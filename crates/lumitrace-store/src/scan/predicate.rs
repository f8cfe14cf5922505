//! Whether a span is what a search asks for: the one place for each condition.

use std::ops::RangeInclusive;

use lumitrace_model::{KeyValue, StatusCode, Value};
use lumitrace_wire::otlp::protobuf::view::{AttributeView, ValueView};

use crate::block::columns::{duration_of_stored, stored_duration_nano};
use crate::scan::{SCAN_WINDOW_NANO, ScanRequest, SpanParts};
use crate::{SpanRecord, SpanRef};

/// Whether `text`, as someone types it into a search, spells `value`.
///
/// Texts must be equal, numbers equal in value, truth values are `true` and `false`. Bytes and
/// nested values have no spelling.
///
/// ```
/// use lumitrace_model::Value;
/// use lumitrace_store::value_matches;
/// assert!(value_matches(&Value::from("gbpusd"), "gbpusd"));
/// assert!(value_matches(&Value::from(0.5), "0.50"));
/// assert!(!value_matches(&Value::from(3), "3.5"));
/// ```
pub fn value_matches(value: &Value, text: &str) -> bool {
    let view = match value {
        Value::String(string) => ValueView::String(string),
        Value::Bool(bool) => ValueView::Bool(*bool),
        Value::Int(int) => ValueView::Int(*int),
        Value::Double(double) => ValueView::Double(*double),
        Value::Null | Value::Bytes(_) | Value::Array(_) | Value::Map(_) => return false,
    };
    view_matches(view, text)
}

/// [`value_matches`] for a value that somebody else holds.
pub(crate) fn view_matches(value: ValueView<'_>, text: &str) -> bool {
    match value {
        ValueView::String(string) => string == text,
        ValueView::Bool(bool) => text == if bool { "true" } else { "false" },
        ValueView::Int(int) => text.parse() == Ok(int),
        ValueView::Double(double) => text
            .parse()
            .is_ok_and(|number: f64| number == double || (number.is_nan() && double.is_nan())),
        ValueView::Null | ValueView::Bytes(_) | ValueView::Nested(_) => false,
    }
}

impl ScanRequest {
    /// Whether `record` is what is asked for: what a scan decides of every span, for a span at
    /// hand.
    pub fn matches(&self, record: &SpanRecord) -> bool {
        Predicate::new(self).matches(record)
    }

    /// Like [`matches`](Self::matches), for a span that was not made whole.
    pub fn matches_stored(&self, span: SpanRef<'_>) -> bool {
        Predicate::new(self).matches(&span)
    }
}

/// A span that conditions can be asked of.
pub(crate) trait Candidate {
    fn start_unix_nano(&self) -> u64;
    fn end_unix_nano(&self) -> u64;
    fn seq(&self) -> u64;
    fn is_error(&self) -> bool;
    fn name(&self) -> &str;
    fn service_name(&self) -> &str;
    fn status_message(&self) -> &str;
    /// The attributes of its resource.
    fn resource_attributes(&self) -> &[KeyValue];
    /// Whether one of its own attributes is named `key` and has a value that `text` spells.
    fn has_attribute(&self, key: &str, text: &str) -> bool;
    /// Whether a text among the values of its own attributes is one for which `is_wanted` says yes. Of
    /// whichever part of a text it says yes, it says so of the whole.
    fn any_text(&self, is_wanted: &dyn Fn(&str) -> bool) -> bool;
}

impl Candidate for SpanRecord {
    fn start_unix_nano(&self) -> u64 {
        self.span.start_unix_nano
    }

    fn end_unix_nano(&self) -> u64 {
        self.span.end_unix_nano
    }

    fn seq(&self) -> u64 {
        self.seq
    }

    fn is_error(&self) -> bool {
        self.span.is_error()
    }

    fn name(&self) -> &str {
        &self.span.name
    }

    fn service_name(&self) -> &str {
        self.resource.service_name()
    }

    fn status_message(&self) -> &str {
        &self.span.status.message
    }

    fn resource_attributes(&self) -> &[KeyValue] {
        &self.resource.attributes
    }

    fn has_attribute(&self, key: &str, text: &str) -> bool {
        has_attribute(&self.span.attributes, key, text)
    }

    fn any_text(&self, is_wanted: &dyn Fn(&str) -> bool) -> bool {
        let mut attributes = self.span.attributes.iter();
        attributes.any(|attribute| value_has_text(&attribute.value, is_wanted))
    }
}

impl Candidate for SpanRef<'_> {
    fn start_unix_nano(&self) -> u64 {
        self.head().start_unix_nano
    }

    fn end_unix_nano(&self) -> u64 {
        self.head().end_unix_nano
    }

    fn seq(&self) -> u64 {
        SpanRef::seq(*self)
    }

    fn is_error(&self) -> bool {
        self.head().status_code == StatusCode::Error
    }

    fn name(&self) -> &str {
        SpanRef::name(*self)
    }

    fn service_name(&self) -> &str {
        self.origin().service_name()
    }

    fn status_message(&self) -> &str {
        self.view().status_message
    }

    fn resource_attributes(&self) -> &[KeyValue] {
        &self.origin().resource.attributes
    }

    fn has_attribute(&self, key: &str, text: &str) -> bool {
        views_have_attribute(self.view().attributes(), key, text)
    }

    fn any_text(&self, is_wanted: &dyn Fn(&str) -> bool) -> bool {
        self.view()
            .attributes()
            .any(|attribute| view_has_text(attribute.value, is_wanted))
    }
}

/// A search's conditions, ready to be asked of many spans.
#[derive(Debug)]
pub(crate) struct Predicate<'a> {
    request: &'a ScanRequest,
    text: Option<String>,
}

impl<'a> Predicate<'a> {
    pub(crate) fn new(request: &'a ScanRequest) -> Self {
        let text = request.text.as_deref().filter(|text| !text.is_empty());
        Self {
            request,
            text: text.map(str::to_lowercase),
        }
    }

    pub(crate) fn request(&self) -> &'a ScanRequest {
        self.request
    }

    /// The windows in which spans may start.
    pub(crate) fn windows(&self) -> RangeInclusive<u64> {
        self.request.start_unix_nano / SCAN_WINDOW_NANO
            ..=self.request.end_unix_nano / SCAN_WINDOW_NANO
    }

    /// What must be read of a span for the caller and for the conditions.
    pub(crate) fn parts(&self) -> SpanParts {
        let attributes = !self.request.attributes.is_empty() || self.text.is_some();
        SpanParts {
            attributes: attributes || self.request.parts.attributes,
            // At least where they are: without, nobody knows whether a value is whole.
            large_values: attributes || self.request.parts.large_values,
            ..self.request.parts
        }
    }

    /// Whether the span is what is asked for.
    pub(crate) fn matches(&self, span: &impl Candidate) -> bool {
        let request = self.request;
        let duration_nano = stored_duration_nano(span.start_unix_nano(), span.end_unix_nano());
        self.start_matches(span.start_unix_nano())
            && request.wants_seq(span.seq())
            && self.duration_matches(duration_nano)
            && (!request.only_errors || span.is_error())
            && self.name_matches(span.name())
            && request
                .service
                .as_ref()
                .is_none_or(|service| span.service_name() == service)
            && request.attributes.iter().all(|(key, text)| {
                span.has_attribute(key, text)
                    || has_attribute(span.resource_attributes(), key, text)
            })
            && self
                .text
                .as_ref()
                .is_none_or(|text| contains_text(span, text))
    }

    /// The text that is looked for, in lower case.
    pub(crate) fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    pub(crate) fn start_matches(&self, start_unix_nano: u64) -> bool {
        self.request.starts().contains(&start_unix_nano)
    }

    pub(crate) fn duration_matches(&self, stored_duration_nano: i64) -> bool {
        let duration_nano = duration_of_stored(stored_duration_nano);
        self.request
            .min_duration_nano
            .is_none_or(|min| duration_nano >= min)
            && self
                .request
                .max_duration_nano
                .is_none_or(|max| duration_nano <= max)
    }

    pub(crate) fn name_matches(&self, name: &str) -> bool {
        self.request.names.is_empty() || self.request.names.iter().any(|wanted| wanted == name)
    }
}

/// Whether one of `attributes` is named `key` and has a value that `text` spells.
pub(crate) fn has_attribute(attributes: &[KeyValue], key: &str, text: &str) -> bool {
    attributes
        .iter()
        .any(|attribute| attribute.key == key && value_matches(&attribute.value, text))
}

/// [`has_attribute`] for attributes that somebody else holds.
pub(crate) fn views_have_attribute<'a>(
    mut attributes: impl Iterator<Item = AttributeView<'a>>,
    key: &str,
    text: &str,
) -> bool {
    attributes.any(|attribute| attribute.key == key && view_matches(attribute.value, text))
}

/// `text` is in lower case.
fn contains_text(span: &impl Candidate, text: &str) -> bool {
    let contains = |string: &str| contains_ignoring_case(string, text);
    contains(span.name()) || contains(span.status_message()) || span.any_text(&contains)
}

/// Whether the text that a value is, or one within it, is one for which `is_wanted` says yes.
pub(crate) fn value_has_text(value: &Value, is_wanted: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(string) => is_wanted(string),
        Value::Array(values) => values.iter().any(|value| value_has_text(value, is_wanted)),
        Value::Map(pairs) => pairs
            .iter()
            .any(|pair| value_has_text(&pair.value, is_wanted)),
        _ => false,
    }
}

/// [`value_has_text`] for a value that somebody else holds.
pub(crate) fn view_has_text(value: ValueView<'_>, is_wanted: &dyn Fn(&str) -> bool) -> bool {
    match value {
        ValueView::String(string) => is_wanted(string),
        ValueView::Nested(nested) => nested.any_text(is_wanted),
        _ => false,
    }
}

pub(crate) fn contains_ignoring_case(string: &str, lower_case: &str) -> bool {
    if string.is_ascii() {
        let (string, wanted) = (string.as_bytes(), lower_case.as_bytes());
        return string
            .windows(wanted.len())
            .any(|part| part.eq_ignore_ascii_case(wanted));
    }
    string.to_lowercase().contains(lower_case)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::testing::record;

    fn matches(request: ScanRequest, record: &SpanRecord) -> bool {
        request.matches(record)
    }

    #[test]
    fn text_is_found_in_any_case_in_names_messages_and_nested_values() {
        let mut record = record(1, 1);
        record.span.name = "Batch_Processing".into();
        record.span.status.message = "Größe falsch".into();
        record.span.attributes = vec![KeyValue::new(
            "nested",
            vec![Value::from("GBPUSD"), Value::from(3)],
        )];
        for (text, expected) in [
            ("batch", true),
            ("GRÖSSE", false),
            ("größe", true),
            ("gbpusd", true),
            ("eur", false),
        ] {
            let request = ScanRequest {
                text: Some(text.to_owned()),
                ..ScanRequest::default()
            };
            assert_eq!(matches(request, &record), expected, "{text}");
        }
    }

    #[test]
    fn a_span_that_ends_before_it_starts_takes_no_time() {
        let mut record = record(1, 1);
        record.span.end_unix_nano = record.span.start_unix_nano - 5;
        let at_most = ScanRequest {
            max_duration_nano: Some(0),
            ..ScanRequest::default()
        };
        let at_least = ScanRequest {
            min_duration_nano: Some(1),
            ..ScanRequest::default()
        };
        assert!(matches(at_most, &record));
        assert!(!matches(at_least, &record));
    }

    #[test]
    fn attributes_are_looked_for_on_the_span_and_on_its_resource() {
        let mut record = record(1, 1);
        record.span.attributes = vec![KeyValue::new("batch_index", 7)];
        let with = |key: &str, text: &str| ScanRequest {
            attributes: vec![(key.to_owned(), text.to_owned())],
            ..ScanRequest::default()
        };
        assert!(matches(with("batch_index", "7"), &record));
        assert!(matches(with("service.name", "checkout"), &record));
        assert!(!matches(with("batch_index", "8"), &record));
    }
}
