//! Printing spans.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use lumitrace_model::{KeyValue, Span, StatusCode, Value};

use crate::lock::Mutex;

use super::{ExportBatch, ExportError, ExportReceipt, SpanExporter};

/// How a span is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ConsoleFormat {
    /// One line, in the form of Python's logging:
    /// `INFO:root:TRACE: <name> (<start>-<end>) status=UNSET`, times in seconds.
    #[default]
    Line,
    /// Several lines with everything that was recorded.
    Pretty,
}

/// Prints each span, to the standard error like Python's logging, or to another writer.
#[derive(Clone)]
pub struct ConsoleExporter {
    format: ConsoleFormat,
    writer: Arc<Mutex<dyn std::io::Write + Send>>,
}

impl ConsoleExporter {
    /// Prints to the standard error.
    pub fn new(format: ConsoleFormat) -> Self {
        Self::to_writer(format, std::io::stderr())
    }

    /// Prints to `writer`.
    pub fn to_writer(format: ConsoleFormat, writer: impl std::io::Write + Send + 'static) -> Self {
        Self {
            format,
            writer: Arc::new(Mutex::new(writer)),
        }
    }
}

impl Default for ConsoleExporter {
    fn default() -> Self {
        Self::new(ConsoleFormat::default())
    }
}

impl SpanExporter for ConsoleExporter {
    fn name(&self) -> String {
        "console exporter".to_owned()
    }

    fn export(&mut self, batch: &ExportBatch, _: Duration) -> Result<ExportReceipt, ExportError> {
        let mut text = String::new();
        for scoped in batch.spans() {
            match self.format {
                ConsoleFormat::Line => text.push_str(&line(&scoped.span)),
                ConsoleFormat::Pretty => text.push_str(&pretty(&scoped.scope.name, &scoped.span)),
            }
        }
        let mut writer = self.writer.lock();
        let written = writer
            .write_all(text.as_bytes())
            .and_then(|()| writer.flush());
        written.map(|()| ExportReceipt::default()).map_err(|error| {
            // A closed terminal does not come back.
            ExportError::Refused {
                reason: format!("cannot print: {error}"),
            }
        })
    }
}

fn line(span: &Span) -> String {
    let (start, end) = (seconds(span.start_unix_nano), seconds(span.end_unix_nano));
    format!(
        "INFO:root:TRACE: {} ({start}-{end}) status={}\n",
        span.name,
        status(span.status.code)
    )
}

fn pretty(scope: &str, span: &Span) -> String {
    let mut text = String::new();
    let took = Duration::from_nanos(span.duration_nano());
    let parent = span
        .parent_span_id
        .map_or_else(|| "none".to_owned(), |id| id.to_string());
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{} {took:.3?} status={}",
        span.name,
        status(span.status.code)
    );
    let _ = writeln!(
        text,
        "  trace {} span {} parent {parent}",
        span.trace_id, span.span_id
    );
    let _ = writeln!(
        text,
        "  from {} to {}, recorded by {scope}",
        seconds(span.start_unix_nano),
        seconds(span.end_unix_nano)
    );
    if !span.status.message.is_empty() {
        let _ = writeln!(text, "  message: {}", span.status.message);
    }
    write_attributes(&mut text, "  ", &span.attributes);
    for event in &span.events {
        let _ = writeln!(
            text,
            "  event {} at {}",
            event.name,
            seconds(event.time_unix_nano)
        );
        write_attributes(&mut text, "    ", &event.attributes);
    }
    text
}

fn write_attributes(text: &mut String, indent: &str, attributes: &[KeyValue]) {
    for KeyValue { key, value } in attributes {
        let value = match value {
            Value::String(text) => text.to_string(),
            Value::Int(int) => int.to_string(),
            Value::Double(double) => double.to_string(),
            Value::Bool(truth) => truth.to_string(),
            other => format!("{other:?}"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{indent}{key} = {value}");
    }
}

fn seconds(unix_nano: u64) -> String {
    format!(
        "{}.{:03}",
        unix_nano / 1_000_000_000,
        unix_nano / 1_000_000 % 1000
    )
}

fn status(code: StatusCode) -> &'static str {
    match code {
        StatusCode::Unset => "UNSET",
        StatusCode::Ok => "OK",
        StatusCode::Error => "ERROR",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c25_t28_console_times_are_seconds_with_three_decimals() {
        let span = Span {
            name: "training_epoch".into(),
            start_unix_nano: 1_700_000_000_123_456_789,
            end_unix_nano: 1_700_000_001_005_000_000,
            ..Span::default()
        };
        assert_eq!(
            line(&span),
            "INFO:root:TRACE: training_epoch (1700000000.123-1700000001.005) status=UNSET\n"
        );
    }

    #[test]
    fn the_pretty_form_shows_attributes() {
        let attributes = vec![KeyValue::new("loss", 0.25), KeyValue::new("pair", "gbpusd")];
        let text = pretty(
            "train",
            &Span {
                attributes,
                ..Span::default()
            },
        );
        assert!(text.contains("  loss = 0.25\n  pair = gbpusd\n"), "{text}");
    }
}
