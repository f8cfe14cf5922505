//! How much one span may hold.

use lumitrace_model::{KeyValue, Text, Value};

/// Bounds on what one span records; what goes beyond is dropped and counted on the span.
///
/// Defaults and variables are OpenTelemetry's (`OTEL_SPAN_*_LIMIT`, specification "SDK
/// environment variables").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanLimits {
    /// Attributes of a span. A new attribute beyond the limit is dropped.
    pub attributes: usize,
    /// Events of a span.
    pub events: usize,
    /// Links of a span.
    pub links: usize,
    /// Attributes of one event.
    pub attributes_per_event: usize,
    /// Attributes of one link.
    pub attributes_per_link: usize,
    /// Characters of a text value, also inside arrays and maps; longer ones are cut.
    pub value_length: Option<usize>,
}

impl Default for SpanLimits {
    fn default() -> Self {
        Self {
            attributes: 128,
            events: 128,
            links: 128,
            attributes_per_event: 128,
            attributes_per_link: 128,
            value_length: None,
        }
    }
}

/// Sets `attribute` in `attributes`, replacing the value of a key that is already there.
/// Returns whether it found a place.
pub(crate) fn set(
    attributes: &mut Vec<KeyValue>,
    mut attribute: KeyValue,
    count_limit: usize,
    value_length: Option<usize>,
) -> bool {
    if let Some(length) = value_length {
        cut(&mut attribute.value, length);
    }
    if let Some(known) = attributes
        .iter_mut()
        .find(|known| known.key == attribute.key)
    {
        known.value = attribute.value;
        return true;
    }
    let fits = attributes.len() < count_limit;
    if fits {
        if attributes.capacity() == 0 {
            // Most spans have a handful: one allocation instead of a growing series.
            attributes.reserve_exact(count_limit.min(4));
        }
        attributes.push(attribute);
    }
    fits
}

/// `attributes` without doubles and within the limits, and how many were dropped.
pub(crate) fn set_all(
    attributes: Vec<KeyValue>,
    count_limit: usize,
    value_length: Option<usize>,
) -> (Vec<KeyValue>, u32) {
    let mut kept = Vec::with_capacity(attributes.len().min(count_limit));
    let dropped = set_each(&mut kept, attributes, count_limit, value_length);
    (kept, dropped)
}

/// [`set`]s each of `added` in `attributes`; returns how many found no place.
pub(crate) fn set_each(
    attributes: &mut Vec<KeyValue>,
    added: Vec<KeyValue>,
    count_limit: usize,
    value_length: Option<usize>,
) -> u32 {
    let mut dropped = 0;
    for attribute in added {
        dropped += u32::from(!set(attributes, attribute, count_limit, value_length));
    }
    dropped
}

fn cut(value: &mut Value, length: usize) {
    match value {
        Value::String(text) => cut_text(text, length),
        Value::Array(values) => values.iter_mut().for_each(|value| cut(value, length)),
        Value::Map(entries) => entries
            .iter_mut()
            .for_each(|entry| cut(&mut entry.value, length)),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::Bytes(_) => {}
    }
}

fn cut_text(text: &mut Text, length: usize) {
    if text.len() <= length {
        return;
    }
    if let Some((end, _)) = text.char_indices().nth(length) {
        match text {
            Text::Borrowed(text) => *text = &text[..end],
            Text::Owned(text) => text.truncate(end),
        }
    }
}

/// Roughly what `attribute` occupies while it waits to be sent, in bytes.
pub(crate) fn size_bytes(attribute: &KeyValue) -> usize {
    std::mem::size_of::<KeyValue>() + owned_bytes(&attribute.key) + value_bytes(&attribute.value)
}

fn owned_bytes(text: &Text) -> usize {
    match text {
        Text::Borrowed(_) => 0,
        Text::Owned(text) => text.len(),
    }
}

fn value_bytes(value: &Value) -> usize {
    match value {
        // Borrowed text too: it is copied into the request.
        Value::String(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Array(values) => values
            .iter()
            .map(|value| std::mem::size_of::<Value>() + value_bytes(value))
            .sum(),
        Value::Map(entries) => entries.iter().map(size_bytes).sum(),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Double(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_set_again_changes_its_value_and_takes_no_place() {
        let mut attributes = vec![KeyValue::new("loss", 1.0)];
        assert!(set(&mut attributes, KeyValue::new("loss", 0.5), 1, None));
        assert!(!set(&mut attributes, KeyValue::new("step", 1), 1, None));
        assert_eq!(attributes, [KeyValue::new("loss", 0.5)]);
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let list = Value::Array(vec![Value::from("äöü"), Value::from(1)]);
        let (kept, dropped) = set_all(vec![KeyValue::new("list", list)], 128, Some(2));
        assert_eq!(
            kept[0].value,
            Value::Array(vec![Value::from("äö"), Value::from(1)])
        );
        assert_eq!(dropped, 0);
    }
}
