//! How much one span may hold.

use lumitrace_model::{KeyValue, Text, Value};

/// Bounds on what one span records; what goes beyond is dropped and counted on the span.
///
/// Defaults and variables are OpenTelemetry's (`OTEL_SPAN_*_LIMIT`, specification "SDK
/// environment variables").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanLimits {
    /// Attributes of a span.
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
    /// What goes when there are more attributes, events or links than that.
    pub overflow: Overflow,
}

/// What goes when a span is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// What comes last (specification, "Attribute Limits").
    #[default]
    Newest,
    /// What was set or added first, as in OpenTelemetry's SDK for Python.
    Oldest,
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
            overflow: Overflow::Newest,
        }
    }
}

/// Sets `attribute` in `attributes`, at most `count_limit`, replacing the value of a key that is
/// already there. Returns whether nothing was dropped for it.
pub(crate) fn set(
    attributes: &mut Vec<KeyValue>,
    mut attribute: KeyValue,
    count_limit: usize,
    limits: &SpanLimits,
) -> bool {
    if let Some(length) = limits.value_length {
        cut(&mut attribute.value, length);
    }
    let known = attributes
        .iter()
        .position(|known| known.key == attribute.key);
    if let Some(place) = known {
        attributes[place].value = attribute.value;
        if limits.overflow == Overflow::Oldest {
            // It was set last now.
            attributes[place..].rotate_left(1);
        }
        return true;
    }
    let is_full = attributes.len() >= count_limit;
    if is_full && !drop_oldest(attributes, limits.overflow) {
        return false;
    }
    if attributes.capacity() == 0 {
        // Most spans have a handful: one allocation instead of a growing series.
        attributes.reserve_exact(count_limit.min(4));
    }
    attributes.push(attribute);
    !is_full
}

/// Makes room in a full list by dropping what came first, if that is what goes. Returns whether
/// there is room now.
#[cold]
pub(crate) fn drop_oldest<T>(list: &mut Vec<T>, overflow: Overflow) -> bool {
    let drops = overflow == Overflow::Oldest && !list.is_empty();
    if drops {
        list.remove(0);
    }
    drops
}

/// `attributes` without doubles and within the limits, and how many were dropped.
pub(crate) fn set_all(
    attributes: Vec<KeyValue>,
    count_limit: usize,
    limits: &SpanLimits,
) -> (Vec<KeyValue>, u32) {
    let mut kept = Vec::with_capacity(attributes.len().min(count_limit));
    let dropped = set_each(&mut kept, attributes, count_limit, limits);
    (kept, dropped)
}

/// [`set`]s each of `added` in `attributes`; returns how many were dropped.
pub(crate) fn set_each(
    attributes: &mut Vec<KeyValue>,
    added: Vec<KeyValue>,
    count_limit: usize,
    limits: &SpanLimits,
) -> u32 {
    let mut dropped = 0;
    for attribute in added {
        dropped += u32::from(!set(attributes, attribute, count_limit, limits));
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
        let (mut attributes, limits) = (vec![KeyValue::new("loss", 1.0)], SpanLimits::default());
        assert!(set(&mut attributes, KeyValue::new("loss", 0.5), 1, &limits));
        assert!(!set(&mut attributes, KeyValue::new("step", 1), 1, &limits));
        assert_eq!(attributes, [KeyValue::new("loss", 0.5)]);
    }

    #[test]
    fn where_the_oldest_goes_setting_a_key_again_makes_it_new() {
        let limits = SpanLimits {
            overflow: Overflow::Oldest,
            ..SpanLimits::default()
        };
        let mut attributes = Vec::new();
        let given = ["a", "b", "a", "c"].map(|key| KeyValue::new(key, 1)).into();
        assert_eq!(set_each(&mut attributes, given, 2, &limits), 1);
        assert_eq!(attributes, [KeyValue::new("a", 1), KeyValue::new("c", 1)]);
        assert!(!set(&mut Vec::new(), KeyValue::new("d", 1), 0, &limits));
        let mut events = vec![1, 2];
        assert!(drop_oldest(&mut events, Overflow::Oldest));
        assert!(!drop_oldest(&mut events, Overflow::Newest));
        assert_eq!(events, [2]);
        assert!(!drop_oldest::<u8>(&mut Vec::new(), Overflow::Oldest));
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let list = Value::Array(vec![Value::from("äöü"), Value::from(1)]);
        let limits = SpanLimits {
            value_length: Some(2),
            ..SpanLimits::default()
        };
        let (kept, dropped) = set_all(vec![KeyValue::new("list", list)], 128, &limits);
        assert_eq!(
            kept[0].value,
            Value::Array(vec![Value::from("äö"), Value::from(1)])
        );
        assert_eq!(dropped, 0);
    }
}
