//! The shapes that traffic comes in. Every trace is a function of seed and number alone.

pub(super) mod agents;
pub mod benchmark;
mod gpu_cluster;
mod http;
mod stack_trace;
mod training;

use super::random::Random;
use super::trace_builder::TraceBuilder;
use lumitrace_model::{KeyValue, ResourceSpans, names};

/// What kind of program the traffic comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// Training runs: epochs, batches, validation, losses that fall with noise, some that end in
    /// NaN or out of memory
    Training,
    /// LLM agents: turns of conversations that send their whole history each time, tool calls,
    /// retrieval, tokens
    Agents,
    /// A web shop of 12 services with databases, a cache and a queue
    Http,
    /// A GPU platform: submission, scheduling decision, placement, job, samples of the devices, cost
    GpuCluster,
    /// What the published comparison of trace stores sends: 10 spans a trace, 11 attributes, 97
    /// keys, 1,000 values, 10 services
    Benchmark,
    /// All of the above but the benchmark, most of it HTTP
    Mixed,
}

/// What decides the content of traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// The kind of program.
    pub shape: Shape,
    /// The same seed gives the same traces.
    pub seed: u64,
    /// Size of the document that an agent is asked about, in bytes.
    pub payload_bytes: usize,
}

impl Content {
    /// Trace `number`, begun at `start_unix_nano`: its spans, by process.
    pub fn trace(&self, number: u64, start_unix_nano: u64) -> Vec<ResourceSpans> {
        let builder = |stream| TraceBuilder::new(Random::new(self.seed, stream, number));
        match self.shape {
            Shape::Benchmark => benchmark::trace(self.seed, number, start_unix_nano),
            Shape::Training => training::trace(builder("training"), start_unix_nano),
            Shape::Http => http::trace(builder("http"), start_unix_nano),
            Shape::GpuCluster => gpu_cluster::trace(builder("gpu-cluster"), start_unix_nano),
            Shape::Agents => {
                let turn = agents::Turn::new(self.seed, number, self.payload_bytes);
                agents::trace(builder("agents"), turn, start_unix_nano)
            }
            Shape::Mixed => Self {
                shape: mixed(&mut Random::new(self.seed, "mixed", number)),
                ..*self
            }
            .trace(number, start_unix_nano),
        }
    }
}

fn mixed(random: &mut Random) -> Shape {
    match random.below(100) {
        0..80 => Shape::Http,
        80..92 => Shape::Agents,
        92..98 => Shape::GpuCluster,
        _ => Shape::Training,
    }
}

/// The resource of a process as an SDK with its usual detectors sends it.
fn resource(service: &'static str, language: &'static str, host: String) -> Vec<KeyValue> {
    vec![
        KeyValue::new(names::SERVICE_NAME, service),
        KeyValue::new(names::SERVICE_VERSION, "1.4.2"),
        KeyValue::new(names::DEPLOYMENT_ENVIRONMENT_NAME, "production"),
        KeyValue::new(names::HOST_NAME, host),
        KeyValue::new("telemetry.sdk.name", "opentelemetry"),
        KeyValue::new("telemetry.sdk.language", language),
    ]
}

#[cfg(test)]
mod tests;
