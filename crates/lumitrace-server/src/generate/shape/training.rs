//! Training runs with the names that training programs use: one trace is one run.

use lumitrace_model::{KeyValue, ResourceSpans, SpanId, SpanKind, names};

use super::{resource, stack_trace};
use crate::generate::random::Random;
use crate::generate::trace_builder::{Failure, OpenSpan, Process, TraceBuilder};

const PAIRS: [&str; 6] = ["eurusd", "gbpusd", "usdjpy", "audusd", "usdchf", "nzdusd"];
/// Tasks of a run with several, and the value at which their losses start.
const TASKS: [(&str, f64); 5] = [
    ("task.direction", 1.1),
    ("task.volatility", 0.69),
    ("task.trend", 1.1),
    ("task.return", 0.02),
    ("task.next_close", 0.05),
];
const BATCH_SIZE: u64 = 64;
/// A running mean of the loss goes to the epoch span every so many batches.
const LOG_EVERY: u64 = 50;

/// How a run ends.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Finishes,
    /// The loss becomes NaN at this batch of all.
    Diverges(u64),
    /// The GPU is out of memory at this batch of all.
    OutOfMemory(u64),
}

/// One run in the making.
struct Run {
    trace: TraceBuilder,
    process: Process,
    root: SpanId,
    multitask: bool,
    epochs: u64,
    batches: u64,
    batch_ms: f64,
    fate: Fate,
    first_loss: f64,
    final_loss: f64,
}

pub(super) fn trace(mut trace: TraceBuilder, start_unix_nano: u64) -> Vec<ResourceSpans> {
    let random = &mut trace.random;
    let multitask = random.chance(0.3);
    let pair = *random.pick(&PAIRS);
    let attributes = run_resource(random, multitask);
    let process = trace.process(attributes, ("sequence.train", "0.9.0"));
    let mut root = trace.open(
        process,
        None,
        "training_run",
        SpanKind::Internal,
        start_unix_nano,
    );
    let random = &mut trace.random;
    let epochs = random.log_normal(4.0, 0.5).clamp(1.0, 20.0) as u64;
    let batches = random.log_normal(40.0, 0.6).clamp(8.0, 400.0) as u64;
    let learning_rate = *random.pick(&[1e-4, 3e-4, 1e-3, 3e-3]);
    root.set("pair", pair)
        .set("batch_size", BATCH_SIZE)
        .set("epochs", epochs)
        .set("learning_rate", learning_rate)
        .set("weight_decay", 0.01)
        .set("grad_clip", 1.0)
        .set("seed", trace.random.between(0, 9_999))
        .set("device", "cuda:0");
    let random = &mut trace.random;
    let mut run = Run {
        process,
        root: root.id(),
        multitask,
        epochs,
        batches,
        batch_ms: random.log_normal(80.0, 0.6),
        fate: fate(random, epochs * batches),
        first_loss: 1.0 + random.fraction(),
        final_loss: 0.1 + 0.4 * random.fraction(),
        trace,
    };
    let mut now = run.prepare(pair, start_unix_nano + 2_000_000);
    let mut failure = None;
    for epoch in 1..=epochs {
        (now, failure) = run.epoch(epoch, now);
        if failure.is_some() {
            break;
        }
    }
    match failure {
        Some(failure) => {
            root.fail(now, &failure);
        }
        None => {
            now = run.evaluation(pair, now);
            root.set("epochs_trained", epochs).succeed();
        }
    }
    run.trace.close(root, now + 1_000_000);
    run.trace.finish()
}

fn run_resource(random: &mut Random, multitask: bool) -> Vec<KeyValue> {
    let service = if multitask {
        "sequence-multitask-training"
    } else {
        "sequence-training"
    };
    let host = format!("gpu-node-{:02}", random.skewed(24));
    let mut attributes = resource(service, "python", host);
    attributes.extend([
        KeyValue::new(names::SERVICE_INSTANCE_ID, random.uuid()),
        KeyValue::new(names::PROCESS_PID, random.between(1_000, 60_000)),
        KeyValue::new("process.runtime.name", "cpython"),
        KeyValue::new("process.runtime.version", "3.12.4"),
    ]);
    attributes
}

fn fate(random: &mut Random, batches: u64) -> Fate {
    let at = batches / 3 + random.below(batches - batches / 3);
    match random.below(100) {
        0..4 => Fate::Diverges(at),
        4..7 => Fate::OutOfMemory(at),
        _ => Fate::Finishes,
    }
}

impl Run {
    fn open(&mut self, parent: SpanId, name: &'static str, start: u64) -> OpenSpan {
        self.trace
            .open(self.process, Some(parent), name, SpanKind::Internal, start)
    }

    /// The loss that batch number `step` of all has, without noise.
    fn expected_loss(&self, step: u64) -> f64 {
        let progress = step as f64 / (self.epochs * self.batches) as f64;
        self.final_loss + (self.first_loss - self.final_loss) * (-4.0 * progress).exp()
    }

    /// Reads data and computes features; returns when both are done.
    fn prepare(&mut self, pair: &'static str, start: u64) -> u64 {
        let samples = self.batches * BATCH_SIZE;
        let mut loading = self.open(self.root, names::DATA_LOADING, start);
        loading.set("pair", pair).set("num_samples", samples);
        let end = start + self.trace.random.nanos(1_500.0);
        let end = self.trace.close(loading, end);
        let mut features = self.open(self.root, names::FEATURE_ENGINEERING, end + 50_000);
        features
            .set("pair", pair)
            .set("feature_count", 42)
            .set("num_samples", samples);
        let end = end + self.trace.random.nanos(3_000.0);
        self.trace.close(features, end)
    }

    /// One pass over the data; returns when it ended, and why early.
    fn epoch(&mut self, epoch: u64, start: u64) -> (u64, Option<Failure>) {
        let mut span = self.open(self.root, names::TRAINING_EPOCH, start);
        span.set("epoch", epoch).set("total_epochs", self.epochs);
        let mut now = start;
        let mut sum = 0.0;
        for index in 1..=self.batches {
            // The loader is waited for between the spans.
            now += self.trace.random.nanos(self.batch_ms / 20.0);
            let (end, loss, failure) = self.batch(span.id(), epoch, index, now);
            now = end;
            sum += loss;
            if let Some(failure) = failure {
                span.fail(now, &failure);
                self.trace.close(span, now);
                return (now, Some(failure));
            }
            if index % LOG_EVERY == 0 {
                span.set(format!("loss_at_step_{index}"), sum / index as f64);
            }
        }
        let train_loss = sum / self.batches as f64;
        let (end, val_loss) = self.validation(span.id(), train_loss, now);
        now = self.checkpoint(span.id(), epoch, val_loss, end);
        span.set("train_loss", train_loss)
            .set("val_loss", val_loss)
            .set("val_metric", 1.0 / (1.0 + val_loss));
        (self.trace.close(span, now), None)
    }

    /// One batch; returns when it ended, its loss, and why the run cannot go on.
    fn batch(
        &mut self,
        parent: SpanId,
        epoch: u64,
        index: u64,
        start: u64,
    ) -> (u64, f64, Option<Failure>) {
        let mut span = self.open(parent, names::BATCH_PROCESSING, start);
        let step = (epoch - 1) * self.batches + index;
        let end = start + self.trace.random.nanos(self.batch_ms);
        span.set("epoch", epoch)
            .set("batch_index", index)
            .set("batch_size", BATCH_SIZE)
            .set("global_step", step);
        if self.fate == Fate::OutOfMemory(step) {
            let failure = out_of_memory(&mut self.trace.random);
            span.fail(end, &failure);
            return (self.trace.close(span, end), 0.0, Some(failure));
        }
        let loss = match self.fate {
            Fate::Diverges(at) if step >= at => f64::NAN,
            _ => self.trace.random.log_normal(self.expected_loss(step), 0.08),
        };
        span.set("loss", loss);
        if self.multitask {
            for (task, first) in TASKS {
                let scale = first * loss / self.first_loss;
                span.set(task, self.trace.random.log_normal(scale, 0.05));
            }
        }
        let failure = loss.is_nan().then(|| diverged(step));
        if let Some(failure) = &failure {
            span.fail(end, failure);
        }
        (self.trace.close(span, end), loss, failure)
    }

    fn validation(&mut self, parent: SpanId, train_loss: f64, start: u64) -> (u64, f64) {
        let mut span = self.open(parent, names::VALIDATION, start + 20_000);
        let random = &mut self.trace.random;
        let val_loss = random.log_normal(train_loss * 1.08, 0.03);
        let end = start + random.nanos(self.batch_ms * self.batches as f64 / 8.0);
        let accuracy = |loss: f64| 1.0 / (1.0 + loss);
        span.set("val_loss", val_loss)
            .set("val.dir_acc", accuracy(val_loss))
            .set("val.vol_acc", accuracy(random.log_normal(val_loss, 0.1)))
            .set("val.ret_rmse", random.log_normal(val_loss / 50.0, 0.1))
            .set("val.close_rmse", random.log_normal(val_loss / 20.0, 0.1));
        (self.trace.close(span, end), val_loss)
    }

    fn checkpoint(&mut self, parent: SpanId, epoch: u64, val_loss: f64, start: u64) -> u64 {
        let mut span = self.open(parent, "checkpoint_save", start + 10_000);
        span.set("epoch", epoch)
            .set("val_loss", val_loss)
            .set(
                "checkpoint.path",
                format!("checkpoints/epoch_{epoch:03}.safetensors"),
            )
            .set("checkpoint.size_bytes", 1_846_272_u64);
        let end = start + self.trace.random.nanos(120.0);
        self.trace.close(span, end)
    }

    fn evaluation(&mut self, pair: &'static str, start: u64) -> u64 {
        let mut span = self.open(self.root, "evaluation", start + 100_000);
        let random = &mut self.trace.random;
        let loss = random.log_normal(self.final_loss * 1.1, 0.05);
        let end = start + random.nanos(800.0);
        span.set("pair", pair)
            .set("num_samples", self.batches * BATCH_SIZE / 5)
            .set("test_loss", loss)
            .set("test_metric", 1.0 / (1.0 + loss));
        self.trace.close(span, end)
    }
}

const FRAMES: [(&str, &str, &str); 3] = [
    (
        "run_training.py",
        "main",
        "history = trainer.fit(train, val)",
    ),
    ("train/loop.py", "fit", "loss = self.train_epoch(epoch)"),
    ("train/loop.py", "train_epoch", "loss = self.step(batch)"),
];

fn out_of_memory(random: &mut Random) -> Failure {
    let message = format!(
        "CUDA out of memory. Tried to allocate {:.2} GiB. GPU 0 has a total capacity of 79.11 GiB \
         of which {:.2} MiB is free.",
        random.log_normal(2.0, 0.8),
        random.log_normal(300.0, 0.6)
    );
    failure("torch.cuda.OutOfMemoryError", message, 118)
}

fn diverged(step: u64) -> Failure {
    let message = format!("the loss is not finite at step {step}");
    failure("FloatingPointError", message, 131)
}

fn failure(exception_type: &'static str, message: String, line: u64) -> Failure {
    let stacktrace = stack_trace::python(&FRAMES, exception_type, &message, line);
    Failure {
        exception_type,
        message,
        stacktrace,
    }
}
