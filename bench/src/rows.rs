//! Writes the benchmark's spans as rows of the OpenTelemetry ClickHouse exporter's table, one JSON
//! object a line, compressed with zstd. Prints `{"spans", "trace_ids"}`: some ids to ask for.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use crate::statistics::asked_traces;
use anyhow::Context;
use clap::Args;
use lumitrace_model::{KeyValue, Resource, Scope, Span, SpanKind, StatusCode, Value, names, value};
use lumitrace_server::generate::shape::{Content, Shape, benchmark};
use lumitrace_server::generate::traffic::{Times, Total, Traffic};
use serde_json::{Map, json};

/// Writes rows for ClickHouse.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The file to write.
    #[arg(long)]
    to: PathBuf,
    /// How many spans.
    #[arg(long)]
    spans: u64,
    /// Seed of the traffic.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// When the first trace starts.
    #[arg(long)]
    start_unix_nano: u64,
    /// Days over which the traces lie.
    #[arg(long)]
    days: u64,
}

/// Does what [the module](self) says.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let content = Content {
        shape: Shape::Benchmark,
        seed: arguments.seed,
        payload_bytes: 0,
    };
    let times = Times::Spread {
        start_unix_nano: arguments.start_unix_nano,
        length: Duration::from_secs(arguments.days * 86_400),
    };
    let mut traffic = Traffic::new(content, Total::Spans(arguments.spans), times, 1_000);
    let file = File::create(&arguments.to).context("cannot create the file")?;
    let mut rows = zstd::Encoder::new(BufWriter::new(file), 1)?;
    while let Some(batch) = traffic.next_batch_at(0) {
        for group in &batch {
            for scope in &group.scope_spans {
                for span in &scope.spans {
                    let row = row(&group.resource, &scope.scope, span);
                    serde_json::to_writer(&mut rows, &row)?;
                    rows.write_all(b"\n")?;
                }
            }
        }
    }
    rows.finish()?.flush()?;
    let ids = asked_traces(traffic.traces())
        .map(|number| benchmark::trace_id(arguments.seed, number).to_string());
    let report = json!({ "spans": arguments.spans, "trace_ids": ids.collect::<Vec<_>>() });
    #[allow(clippy::print_stdout, reason = "the line is the program's result")]
    {
        println!("{report}");
    }
    Ok(())
}

/// The exporter's columns; what the benchmark's spans do not have is left to the defaults.
fn row(resource: &Resource, scope: &Scope, span: &Span) -> serde_json::Value {
    let service = value::find(&resource.attributes, names::SERVICE_NAME);
    let parent = span.parent_span_id.map(|id| id.to_string());
    json!({
        // Nanoseconds: a number would lose digits on the way.
        "Timestamp": decimal_seconds(span.start_unix_nano),
        "TraceId": span.trace_id.to_string(),
        "SpanId": span.span_id.to_string(),
        "ParentSpanId": parent.unwrap_or_default(),
        "SpanName": span.name,
        "SpanKind": match span.kind {
            SpanKind::Server => "Server",
            _ => "Internal",
        },
        "ServiceName": service.and_then(Value::as_str).unwrap_or_default(),
        "ResourceAttributes": texts(&resource.attributes),
        "ScopeName": scope.name,
        "ScopeVersion": scope.version,
        "SpanAttributes": texts(&span.attributes),
        "Duration": span.duration_nano(),
        "StatusCode": match span.status.code {
            StatusCode::Unset => "Unset",
            StatusCode::Ok => "Ok",
            StatusCode::Error => "Error",
        },
    })
}

fn decimal_seconds(unix_nano: u64) -> String {
    format!(
        "{}.{:09}",
        unix_nano / 1_000_000_000,
        unix_nano % 1_000_000_000
    )
}

/// Attributes as the exporter stores them: every value is text.
fn texts(attributes: &[KeyValue]) -> Map<String, serde_json::Value> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone().into_owned(),
        Value::Int(int) => int.to_string(),
        Value::Double(double) => double.to_string(),
        other => format!("{other:?}"),
    };
    let pairs = attributes.iter();
    pairs
        .map(|pair| (pair.key.clone().into_owned(), text(&pair.value).into()))
        .collect()
}
