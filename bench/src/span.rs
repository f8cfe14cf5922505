//! One traced unit of work in three libraries, in turn: a root span with 99 children, each made
//! current while it is open. Prints nanoseconds of process CPU time per span for every round, as
//! `{"lumitrace": [...], "opentelemetry_sdk": [...], "fastrace": [...]}`, and the same of the first two with
//! a sampler that records nothing, less those of an empty loop, as `"..._sampled_out"`.
//!
//! Each library batches in the background into an exporter that throws the spans away, so what is
//! measured is recording and batching. Work comes in bursts below the queues' size with a flush
//! after each, so that no library gains by dropping spans.

use std::hint::black_box;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use lumitrace::exporter::{ExportBatch, ExportError, ExportReceipt, SpanExporter};
use opentelemetry::KeyValue;
use opentelemetry::trace::{Tracer as _, TracerProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use rustix::time::{ClockId, clock_gettime};

const CHILDREN: u64 = 99;
const UNITS_PER_BURST: u64 = 15;
const BURSTS_PER_ROUND: u64 = 40;
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// Compares the cost of a span.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Rounds of each library.
    #[arg(long, default_value_t = 11)]
    rounds: usize,
    /// Attributes on each span: none or three.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(0..=3))]
    attributes: u8,
}

/// Does what [the module](self) says.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let with_attributes = arguments.attributes > 0;
    let ours = lumitrace::TracerProvider::builder().exporter(Sink).build();
    let theirs = opentelemetry_sdk::trace::SdkTracerProvider::builder()
        .with_batch_exporter(Sink)
        .build();
    fastrace::set_reporter(Sink, fastrace::collector::Config::default());

    let (tracer, otel_tracer) = (ours.tracer("bench"), theirs.tracer("bench"));
    let off = sampled_out();
    let mut rounds: [Vec<f64>; 5] = Default::default();
    // The first round warms up and is not kept.
    for number in 0..=arguments.rounds {
        let costs = [
            round(
                || lumitrace_unit(&tracer, with_attributes),
                || {
                    ours.force_flush(FLUSH_TIMEOUT)
                        .context("lumitrace cannot flush")
                },
            )?,
            round(
                || opentelemetry_unit(&otel_tracer, with_attributes),
                || {
                    theirs
                        .force_flush()
                        .context("opentelemetry_sdk cannot flush")
                },
            )?,
            round(
                || fastrace_unit(with_attributes),
                || {
                    fastrace::flush();
                    Ok(())
                },
            )?,
            over_empty_loop(|| lumitrace_child(&off.0, 0, false))?,
            over_empty_loop(|| opentelemetry_child(&off.1, 0, false))?,
        ];
        if number > 0 {
            rounds
                .iter_mut()
                .zip(costs)
                .for_each(|(kept, cost)| kept.push(cost));
        }
    }
    let [lumitrace, opentelemetry, fastrace, off, opentelemetry_off] = rounds;
    let report = serde_json::json!({
        "lumitrace": lumitrace, "opentelemetry_sdk": opentelemetry, "fastrace": fastrace,
        "lumitrace_sampled_out": off, "opentelemetry_sdk_sampled_out": opentelemetry_off,
    });
    #[allow(clippy::print_stdout, reason = "the line is the program's result")]
    {
        println!("{report}");
    }
    Ok(())
}

/// Tracers of providers that record nothing.
fn sampled_out() -> (lumitrace::Tracer, opentelemetry_sdk::trace::SdkTracer) {
    let ours = lumitrace::TracerProvider::builder()
        .sampler(lumitrace::sampler::AlwaysOff)
        .exporter(Sink)
        .build();
    let theirs = opentelemetry_sdk::trace::SdkTracerProvider::builder()
        .with_sampler(opentelemetry_sdk::trace::Sampler::AlwaysOff)
        .with_batch_exporter(Sink)
        .build();
    (ours.tracer("bench"), theirs.tracer("bench"))
}

/// Nanoseconds of CPU time of a span over those of a turn of an empty loop.
fn over_empty_loop(mut span: impl FnMut()) -> anyhow::Result<f64> {
    let turns = 0..=CHILDREN;
    let empty = round(
        || {
            turns.clone().for_each(|turn| {
                black_box(turn);
            });
        },
        || Ok(()),
    )?;
    let traced = round(
        || {
            turns.clone().for_each(|turn| {
                black_box(turn);
                span();
            });
        },
        || Ok(()),
    )?;
    Ok(traced - empty)
}

/// Nanoseconds of CPU time of the whole process per span.
fn round(
    mut unit: impl FnMut(),
    mut flush: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let started = process_cpu();
    for _ in 0..BURSTS_PER_ROUND {
        (0..UNITS_PER_BURST).for_each(|_| unit());
        flush()?;
    }
    let spans = BURSTS_PER_ROUND * UNITS_PER_BURST * (CHILDREN + 1);
    Ok((process_cpu() - started).as_nanos() as f64 / spans as f64)
}

fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

fn lumitrace_unit(tracer: &lumitrace::Tracer, with_attributes: bool) {
    let _root = tracer.span("unit").enter();
    (0..CHILDREN).for_each(|index| lumitrace_child(tracer, index, with_attributes));
}

fn lumitrace_child(tracer: &lumitrace::Tracer, index: u64, with_attributes: bool) {
    let span = tracer.span("batch_processing").enter();
    if with_attributes {
        span.set_attribute("batch_index", index);
        span.set_attribute("batch_size", 32);
        span.set_attribute("loss", 0.5);
    }
}

fn opentelemetry_unit(tracer: &opentelemetry_sdk::trace::SdkTracer, with_attributes: bool) {
    tracer.in_span("unit", |_| {
        (0..CHILDREN).for_each(|index| opentelemetry_child(tracer, index, with_attributes));
    });
}

fn opentelemetry_child(
    tracer: &opentelemetry_sdk::trace::SdkTracer,
    index: u64,
    with_attributes: bool,
) {
    tracer.in_span("batch_processing", |context| {
        if with_attributes {
            let span = opentelemetry::trace::TraceContextExt::span(&context);
            span.set_attribute(KeyValue::new("batch_index", index as i64));
            span.set_attribute(KeyValue::new("batch_size", 32));
            span.set_attribute(KeyValue::new("loss", 0.5));
        }
    });
}

/// fastrace knows text only: its properties cost the conversion that its users pay.
fn fastrace_unit(with_attributes: bool) {
    use fastrace::prelude::{LocalSpan, Span, SpanContext};
    let root = Span::root("unit", SpanContext::random());
    let _parent = root.set_local_parent();
    for index in 0..CHILDREN {
        let span = LocalSpan::enter_with_local_parent("batch_processing");
        let _span = if with_attributes {
            span.with_properties(|| {
                [
                    ("batch_index", index.to_string()),
                    ("batch_size", 32.to_string()),
                    ("loss", 0.5.to_string()),
                ]
            })
        } else {
            span
        };
    }
}

/// Throws spans away.
#[derive(Debug, Clone)]
struct Sink;

impl SpanExporter for Sink {
    fn name(&self) -> String {
        "sink".to_owned()
    }

    fn export(&mut self, _: &ExportBatch, _: Duration) -> Result<ExportReceipt, ExportError> {
        Ok(ExportReceipt::default())
    }
}

impl opentelemetry_sdk::trace::SpanExporter for Sink {
    async fn export(&self, _: Vec<opentelemetry_sdk::trace::SpanData>) -> OTelSdkResult {
        Ok(())
    }
}

impl fastrace::collector::Reporter for Sink {
    fn report(&mut self, _: Vec<fastrace::collector::SpanRecord>) {}
}
