//! Spans as text, children below their parents.

use lumitrace::{
    StatusCode, Value,
    exporter::FinishedSpan,
    model::{Span, SpanId},
};

/// One line per span, in order of start: name, attributes (numbers with a fraction by their name
/// only), `ERROR`, events. The attributes of the root, which repeat the settings, are left out.
pub(crate) fn tree(spans: &[FinishedSpan]) -> String {
    let mut spans: Vec<&Span> = spans.iter().map(|finished| &finished.span).collect();
    spans.sort_by_key(|span| span.start_unix_nano);
    let mut text = String::new();
    write_children(None, &spans, 0, &mut text);
    assert_eq!(
        text.lines().count(),
        spans.len(),
        "every span has its parent:\n{text}"
    );
    text
}

fn write_children(parent: Option<SpanId>, spans: &[&Span], depth: usize, text: &mut String) {
    for span in spans.iter().filter(|span| span.parent_span_id == parent) {
        *text += &format!("{}{}", "  ".repeat(depth), span.name);
        if parent.is_some() {
            let mut attributes: Vec<String> = span
                .attributes
                .iter()
                .map(|attribute| match &attribute.value {
                    Value::Double(_) => attribute.key.to_string(),
                    Value::Int(value) => format!("{}={value}", attribute.key),
                    Value::Bool(value) => format!("{}={value}", attribute.key),
                    Value::String(value) => format!("{}={value}", attribute.key),
                    other => panic!("{} is {other:?}", attribute.key),
                })
                .collect();
            attributes.sort();
            *text += &attributes
                .iter()
                .map(|attribute| format!(" {attribute}"))
                .collect::<String>();
        }
        if span.status.code == StatusCode::Error {
            *text += " ERROR";
        }
        span.events
            .iter()
            .for_each(|event| *text += &format!(" !{}", event.name));
        *text += "\n";
        write_children(Some(span.span_id), spans, depth + 1, text);
    }
}
