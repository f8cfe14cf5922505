//! A GPU platform: one trace is the way of one workload from its submission to its cost.

use lumitrace_model::{KeyValue, ResourceSpans, SpanId, SpanKind};

use super::{resource, stack_trace};
use crate::generate::random::Random;
use crate::generate::trace_builder::{Failure, OpenSpan, Process, TraceBuilder};

const TOTAL_GPUS: u64 = 64;
const GPUS_PER_NODE: u64 = 8;
/// Card types with their memory in MB.
const CARDS: [(&str, i64); 4] = [
    ("NVIDIA H100 80GB HBM3", 81_559),
    ("NVIDIA A100-SXM4-80GB", 81_920),
    ("NVIDIA L40S", 46_068),
    ("Tesla T4", 15_360),
];
/// What runs on GPUs, how long in seconds, and how busy it keeps them in percent.
const JOBS: [(&str, f64, (i64, i64)); 4] = [
    ("inference", 4.0, (20, 45)),
    ("heavy_inference", 20.0, (45, 75)),
    ("training", 120.0, (70, 98)),
    ("batch", 60.0, (85, 100)),
];
const STRATEGIES: [&str; 4] = ["least_utilized", "best_fit", "priority", "round_robin"];
/// A device is sampled so often while a job runs on it, at most.
const MOST_SAMPLES: u64 = 12;

/// A device, as the scheduler knows it.
struct Gpu {
    index: u64,
    name: &'static str,
    memory_total: i64,
    memory_used: i64,
    utilization: i64,
    temperature: i64,
}

impl Gpu {
    fn draw(random: &mut Random) -> Self {
        let index = random.below(TOTAL_GPUS);
        // All cards of a node are of one type.
        let (name, memory_total) = CARDS[(index / GPUS_PER_NODE % CARDS.len() as u64) as usize];
        let utilization = random.between(0, 100);
        Self {
            index,
            name,
            memory_total,
            memory_used: memory_total * random.between(2, 90) / 100,
            utilization,
            temperature: 34 + utilization * 42 / 100 + random.between(-3, 3),
        }
    }

    fn id(&self) -> String {
        format!("gpu-{}-{}", self.node(), self.index % GPUS_PER_NODE)
    }

    fn node(&self) -> u64 {
        self.index / GPUS_PER_NODE
    }

    fn describe(&self, span: &mut OpenSpan) {
        span.set("gpu.id", self.id())
            .set("gpu.name", self.name)
            .set("gpu.memory_total", self.memory_total)
            .set("gpu.memory_used", self.memory_used)
            .set("gpu.utilization", self.utilization)
            .set("gpu.temperature", self.temperature);
    }
}

struct Workload {
    id: String,
    name: String,
    kind: &'static str,
    seconds: f64,
    busy: (i64, i64),
    memory_required: i64,
    priority: i64,
}

impl Workload {
    fn draw(random: &mut Random) -> Self {
        let (kind, seconds, busy) = JOBS[random.skewed(JOBS.len() as u64) as usize];
        Self {
            id: format!("wl-{}", random.hex(12)),
            name: format!("{kind}-{}", random.skewed(300)),
            kind,
            seconds: random.log_normal(seconds, 0.8),
            busy,
            memory_required: random.log_normal(12_000.0, 0.6) as i64,
            priority: random.between(0, 10),
        }
    }

    fn describe(&self, span: &mut OpenSpan) {
        span.set("workload.id", self.id.clone())
            .set("workload.name", self.name.clone())
            .set("workload.priority", self.priority)
            .set("workload.memory_required", self.memory_required);
    }
}

pub(super) fn trace(mut trace: TraceBuilder, start_unix_nano: u64) -> Vec<ResourceSpans> {
    let workload = Workload::draw(&mut trace.random);
    let platform = trace.process(
        resource("gpu-platform", "go", "control-0".to_owned()),
        ("agentaflow.api", "1.0.0"),
    );
    let scheduler = trace.process(
        resource("gpu-scheduler", "go", "control-0".to_owned()),
        ("agentaflow.scheduler", "1.0.0"),
    );
    let kind = SpanKind::Server;
    let name = "POST /api/v1/workloads";
    let mut root = trace.open(platform, None, name, kind, start_unix_nano);
    root.set("http.request.method", "POST")
        .set("http.route", "/api/v1/workloads")
        .set("url.scheme", "http")
        .set("server.address", "gpu-platform")
        .set("user.id", format!("team-{}", trace.random.skewed(40)));
    workload.describe(&mut root);
    let parent = Some(root.id());

    let internal = SpanKind::Internal;
    let start = start_unix_nano + 150_000;
    let name = "gpu_scheduling.submit_workload";
    let mut submit = trace.open(scheduler, parent, name, internal, start);
    submit.set("operation", "submit_workload");
    workload.describe(&mut submit);
    let submitted = start + trace.random.nanos(0.4);
    let facts = vec![KeyValue::new("workload.id", workload.id.clone())];
    submit.event(submitted, "workload.submitted", facts);
    trace.close(submit, submitted);

    let queued = submitted + trace.random.nanos(900.0);
    let (gpu, placed) = schedule(&mut trace, scheduler, parent, &workload, queued);
    let status = if gpu.is_some() { 201 } else { 503 };
    root.set("http.response.status_code", status);
    let end = match gpu {
        Some(gpu) => {
            let end = run_job(&mut trace, parent, &workload, &gpu, placed);
            account(&mut trace, platform, parent, &workload, end)
        }
        None => {
            root.fail_with_message("no GPU has enough free memory");
            placed
        }
    };
    trace.close(root, end + 100_000);
    trace.finish()
}

/// Weighs the candidates; returns the chosen device and when it was placed on it.
fn schedule(
    trace: &mut TraceBuilder,
    scheduler: Process,
    parent: Option<SpanId>,
    workload: &Workload,
    start: u64,
) -> (Option<Gpu>, u64) {
    let internal = SpanKind::Internal;
    let mut span = trace.open(
        scheduler,
        parent,
        "gpu_scheduling.schedule",
        internal,
        start,
    );
    let candidates: Vec<Gpu> = (0..trace.random.between(2, 6))
        .map(|_| Gpu::draw(&mut trace.random))
        .collect();
    let strategy = *trace.random.pick(&STRATEGIES);
    span.set("operation", "schedule")
        .set("scheduler.strategy", strategy)
        .set("scheduler.queue_size", trace.random.skewed(60))
        .set("scheduler.available_gpus", candidates.len())
        .set("scheduler.total_gpus", TOTAL_GPUS);
    let mut now = start + 50_000;
    let mut chosen: Option<Gpu> = None;
    for gpu in candidates {
        let name = "gpu_scheduling.decision";
        let mut decision = trace.open(scheduler, Some(span.id()), name, internal, now);
        gpu.describe(&mut decision);
        decision.set("workload.id", workload.id.clone());
        let fits = gpu.memory_total - gpu.memory_used >= workload.memory_required;
        let reason = match (fits, &chosen) {
            (false, _) => "not enough free memory",
            (true, Some(best)) if best.utilization <= gpu.utilization => "busier than another",
            (true, _) => "fits",
        };
        decision
            .set("decision.accepted", reason == "fits")
            .set("decision.reason", reason);
        let end = now + 20_000 + trace.random.below(80_000);
        now = trace.close(decision, end);
        if reason == "fits" {
            chosen = Some(gpu);
        }
    }
    span.set("scheduler.scheduled_count", i64::from(chosen.is_some()));
    if let Some(gpu) = &chosen {
        let name = "gpu_scheduling.placement";
        let mut placement = trace.open(scheduler, Some(span.id()), name, internal, now);
        gpu.describe(&mut placement);
        workload.describe(&mut placement);
        let end = now + trace.random.nanos(8.0);
        now = trace.close(placement, end);
    } else {
        span.fail_with_message("no GPU has enough free memory");
    }
    let facts = vec![KeyValue::new(
        "workloads.scheduled",
        i64::from(chosen.is_some()),
    )];
    span.event(now, "scheduling.completed", facts);
    (chosen, trace.close(span, now))
}

/// The job on its node, with samples of the device; returns when it ended.
fn run_job(
    trace: &mut TraceBuilder,
    parent: Option<SpanId>,
    workload: &Workload,
    gpu: &Gpu,
    start: u64,
) -> u64 {
    let host = format!("gpu-node-{:02}", gpu.node());
    let node = trace.process(
        resource("gpu-node-agent", "rust", host),
        ("agentaflow.node", "1.0.0"),
    );
    let consumer = SpanKind::Consumer;
    let mut job = trace.open(node, parent, "gpu_job", consumer, start + 3_000_000);
    workload.describe(&mut job);
    job.set("gpu.id", gpu.id())
        .set("workload.type", workload.kind)
        .set(
            "k8s.pod.name",
            format!("{}-{}", workload.name, trace.random.hex(5)),
        );
    let length = (workload.seconds * 1e9) as u64;
    let samples = (workload.seconds / 5.0) as u64;
    let samples = samples.clamp(1, MOST_SAMPLES);
    for sample in 0..samples {
        let at = start + 3_000_000 + length * sample / samples;
        let name = "gpu_metrics.collect";
        let internal = SpanKind::Internal;
        let mut span = trace.open(node, Some(job.id()), name, internal, at);
        let utilization = trace.random.between(workload.busy.0, workload.busy.1);
        let now = Gpu {
            utilization,
            temperature: 36 + utilization * 45 / 100 + trace.random.between(-2, 4),
            memory_used: gpu.memory_used + workload.memory_required,
            ..*gpu
        };
        now.describe(&mut span);
        span.set("gpu.power_draw", 70.0 + 6.1 * utilization as f64);
        if now.temperature > 80 {
            let facts = vec![KeyValue::new("gpu.throttle_reason", "sw_thermal_slowdown")];
            span.event(at, "gpu.throttled", facts);
        }
        let end = at + trace.random.nanos(1.2);
        trace.close(span, end);
    }
    let end = start + 3_000_000 + length;
    if trace.random.chance(0.03) {
        let failure = device_failure(&mut trace.random, gpu);
        job.fail(end, &failure).set("workload.status", "failed");
    } else {
        job.set("workload.status", "completed").succeed();
    }
    trace.close(job, end)
}

fn account(
    trace: &mut TraceBuilder,
    platform: Process,
    parent: Option<SpanId>,
    workload: &Workload,
    start: u64,
) -> u64 {
    let internal = SpanKind::Internal;
    let name = "cost_tracking.record";
    let mut span = trace.open(platform, parent, name, internal, start + 500_000);
    let gpu_hours = workload.seconds / 3_600.0;
    span.set("cost.operation", workload.kind)
        .set("cost.gpu_hours", gpu_hours)
        .set("cost.amount", gpu_hours * 2.49)
        .set("cost.currency", "USD");
    let end = start + 500_000 + trace.random.nanos(0.6);
    trace.close(span, end)
}

fn device_failure(random: &mut Random, gpu: &Gpu) -> Failure {
    let (exception_type, message) = if random.chance(0.5) {
        (
            "torch.cuda.OutOfMemoryError",
            format!(
                "CUDA out of memory on {}: {} MB of {} MB in use",
                gpu.id(),
                gpu.memory_total - random.between(10, 400),
                gpu.memory_total
            ),
        )
    } else {
        (
            "XidError",
            format!("Xid 79 on {}: the GPU has fallen off the bus", gpu.id()),
        )
    };
    let frames = [
        ("serve/worker.py", "run", "output = self.model(batch)"),
        (
            "serve/model.py",
            "forward",
            "return self.head(self.body(x))",
        ),
    ];
    let stacktrace = stack_trace::python(&frames, exception_type, &message, 88);
    Failure {
        exception_type,
        message,
        stacktrace,
    }
}
