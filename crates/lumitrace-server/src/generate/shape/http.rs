//! A web shop: requests that go through services, databases, a cache and a queue.

mod landscape;

use landscape::{ENTRIES, Endpoint, Language, SERVICES, Service, Step};
use lumitrace_model::{KeyValue, ResourceSpans, SpanId, SpanKind};

use super::{resource, stack_trace};
use crate::generate::random::Random;
use crate::generate::trace_builder::{Failure, OpenSpan, Process, TraceBuilder};

/// A step fails of itself with this probability.
const FAILS: f64 = 0.004;

/// A request in the making.
struct Shop {
    trace: TraceBuilder,
    /// The process of each service that took part.
    processes: [Option<Process>; SERVICES.len()],
    user: u64,
}

/// When something ended, and whether it failed.
struct Outcome {
    end: u64,
    failed: bool,
}

pub(super) fn trace(trace: TraceBuilder, start_unix_nano: u64) -> Vec<ResourceSpans> {
    let mut shop = Shop {
        trace,
        processes: [None; SERVICES.len()],
        user: 0,
    };
    shop.user = shop.trace.random.skewed(100_000);
    let mut draw = shop.trace.random.below(100);
    let entry = ENTRIES.iter().find(|(share, ..)| {
        let found = draw < *share;
        draw = draw.saturating_sub(*share);
        found
    });
    // The shares add up to a hundred.
    let (_, service, endpoint) = entry.unwrap_or(&ENTRIES[0]);
    let gateway = shop.process(0);
    let name = format!("{} /api{}", endpoint.method, endpoint.route);
    let mut root = shop
        .trace
        .open(gateway, None, name, SpanKind::Server, start_unix_nano);
    shop.describe_server(&mut root, endpoint);
    let start = start_unix_nano + shop.trace.random.nanos(0.3);
    let outcome = shop.call(0, Some(root.id()), *service, endpoint, start);
    answer(&mut root, outcome.failed);
    let end = outcome.end + shop.trace.random.nanos(0.2);
    shop.trace.close(root, end);
    shop.trace.finish()
}

fn answer(span: &mut OpenSpan, failed: bool) {
    span.set("http.response.status_code", if failed { 500 } else { 200 });
    if failed {
        span.set("error.type", "500").fail_with_message("");
    }
}

impl Shop {
    fn process(&mut self, index: usize) -> Process {
        if let Some(process) = self.processes[index] {
            return process;
        }
        let service = &SERVICES[index];
        let pod = self.trace.random.below(service.pods);
        let (language, scope) = match service.language {
            Language::Java => (
                "java",
                ("io.opentelemetry.spring-webmvc-6.0", "2.17.0-alpha"),
            ),
            Language::Python => (
                "python",
                ("opentelemetry.instrumentation.fastapi", "0.56b0"),
            ),
            Language::Go => (
                "go",
                (
                    "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp",
                    "0.62.0",
                ),
            ),
            Language::Node => ("nodejs", ("@opentelemetry/instrumentation-http", "0.203.0")),
        };
        let mut attributes = resource(service.name, language, format!("node-{}", pod % 5));
        let name = format!("{}-7d9f8b6c5-{:05x}", service.name, 0x2_b3f1 + pod * 7_919);
        attributes.extend([
            KeyValue::new("service.namespace", "shop"),
            KeyValue::new("k8s.namespace.name", "shop"),
            KeyValue::new("k8s.pod.name", name),
        ]);
        let process = self.trace.process(attributes, scope);
        self.processes[index] = Some(process);
        process
    }

    fn describe_server(&mut self, span: &mut OpenSpan, endpoint: &'static Endpoint) {
        let random = &mut self.trace.random;
        let path = endpoint
            .route
            .replace("{id}", &self.user.to_string())
            .replace("{sku}", &format!("sku-{}", random.skewed(20_000)));
        span.set("http.request.method", endpoint.method)
            .set("http.route", endpoint.route)
            .set("url.path", path)
            .set("url.scheme", "https")
            .set("network.protocol.version", "1.1")
            .set(
                "client.address",
                format!("10.1.{}.{}", random.below(8), random.below(250)),
            )
            .set("user_agent.original", *random.pick(&USER_AGENTS))
            .set("user.id", format!("user-{}", self.user));
    }

    /// A call from one service to another: the client's span and the server's.
    fn call(
        &mut self,
        from: usize,
        parent: Option<SpanId>,
        to: usize,
        endpoint: &'static Endpoint,
        start: u64,
    ) -> Outcome {
        let (caller, callee) = (self.process(from), self.process(to));
        let kind = SpanKind::Client;
        let mut client = self
            .trace
            .open(caller, parent, endpoint.method, kind, start);
        client
            .set("http.request.method", endpoint.method)
            .set("server.address", SERVICES[to].name)
            .set("server.port", 8080)
            .set("network.protocol.version", "1.1");
        let arrived = start + self.trace.random.nanos(0.25);
        let name = format!("{} {}", endpoint.method, endpoint.route);
        let kind = SpanKind::Server;
        let mut server = self
            .trace
            .open(callee, Some(client.id()), name, kind, arrived);
        self.describe_server(&mut server, endpoint);
        let mut now = arrived + self.trace.random.nanos(endpoint.own_ms);
        let mut failed = false;
        for (probability, step) in endpoint.steps {
            if !self.trace.random.chance(*probability) {
                continue;
            }
            let outcome = self.step(to, server.id(), step, now);
            now = outcome.end + 20_000;
            if outcome.failed {
                failed = true;
                break;
            }
        }
        if !failed && self.trace.random.chance(FAILS) {
            failed = true;
            let failure = failure(&mut self.trace.random, &SERVICES[to]);
            server.fail(now, &failure);
        }
        answer(&mut server, failed);
        self.trace.close(server, now);
        let end = now + self.trace.random.nanos(0.25);
        answer(&mut client, failed);
        self.trace.close(client, end);
        Outcome { end, failed }
    }

    fn step(&mut self, service: usize, parent: SpanId, step: &Step, start: u64) -> Outcome {
        match *step {
            Step::Call(to, endpoint) => self.call(service, Some(parent), to, endpoint, start),
            Step::Query(system, operation, collection, statement) => {
                let facts = (system, operation, collection, statement);
                self.query(service, parent, facts, start)
            }
            Step::Cache(prefix) => self.cache(service, parent, prefix, start),
            Step::Publish(topic, consumer) => self.publish(service, parent, topic, consumer, start),
        }
    }

    fn query(
        &mut self,
        service: usize,
        parent: SpanId,
        (system, operation, collection, statement): (
            &'static str,
            &'static str,
            &'static str,
            &'static str,
        ),
        start: u64,
    ) -> Outcome {
        let process = self.process(service);
        let name = format!("{operation} {collection}");
        let kind = SpanKind::Client;
        let mut span = self.trace.open(process, Some(parent), name, kind, start);
        let random = &mut self.trace.random;
        span.set("db.system.name", system)
            .set("db.operation.name", operation)
            .set("db.collection.name", collection)
            .set("db.namespace", "shop")
            .set("db.query.text", statement)
            .set("server.address", format!("{system}-{}", random.below(3)));
        let failed = random.chance(FAILS);
        // A lock is waited for now and then.
        let median_ms = if random.chance(0.01) { 400.0 } else { 3.5 };
        let end = start + random.nanos(median_ms);
        if failed {
            let failure = failure(random, &SERVICES[service]);
            span.fail(end, &failure);
        } else {
            span.set("db.response.returned_rows", random.skewed(500));
        }
        let end = self.trace.close(span, end);
        Outcome { end, failed }
    }

    fn cache(&mut self, service: usize, parent: SpanId, prefix: &str, start: u64) -> Outcome {
        let process = self.process(service);
        let kind = SpanKind::Client;
        let mut span = self.trace.open(process, Some(parent), "GET", kind, start);
        let random = &mut self.trace.random;
        span.set("db.system.name", "redis")
            .set("db.operation.name", "GET")
            .set(
                "db.query.text",
                format!("GET {prefix}{}", random.skewed(20_000)),
            )
            .set("server.address", "redis-0")
            .set("cache.hit", random.chance(0.8));
        let end = start + random.nanos(0.4);
        let end = self.trace.close(span, end);
        Outcome { end, failed: false }
    }

    fn publish(
        &mut self,
        service: usize,
        parent: SpanId,
        topic: &'static str,
        consumer: usize,
        start: u64,
    ) -> Outcome {
        let (sender, receiver) = (self.process(service), self.process(consumer));
        let name = format!("send {topic}");
        let kind = SpanKind::Producer;
        let mut sent = self.trace.open(sender, Some(parent), name, kind, start);
        let partition = self.trace.random.between(0, 11);
        let describe = |span: &mut OpenSpan, operation: &'static str| {
            span.set("messaging.system", "kafka")
                .set("messaging.destination.name", topic)
                .set("messaging.operation.type", operation)
                .set("messaging.destination.partition.id", partition.to_string());
        };
        describe(&mut sent, "send");
        let taken = start + self.trace.random.nanos(15.0);
        let name = format!("process {topic}");
        let kind = SpanKind::Consumer;
        let id = Some(sent.id());
        let mut processed = self.trace.open(receiver, id, name, kind, taken);
        describe(&mut processed, "process");
        let group = SERVICES[consumer].name;
        processed
            .set("messaging.consumer.group.name", group)
            .add_link(sent.link());
        let done = taken + self.trace.random.nanos(30.0);
        self.trace.close(processed, done);
        // The sender does not wait for those who take the message.
        let end = start + self.trace.random.nanos(1.5);
        let end = self.trace.close(sent, end);
        Outcome { end, failed: false }
    }
}

const USER_AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15",
    "ShopApp/7.31 (Android 15)",
    "python-requests/2.32.4",
];

fn failure(random: &mut Random, service: &Service) -> Failure {
    let milliseconds = random.between(1_000, 30_000);
    let line = random.skewed(300) + 20;
    match service.language {
        Language::Java => {
            let exception_type = "java.sql.SQLTransientConnectionException";
            let message = format!(
                "HikariPool-1 - Connection is not available, request timed out after \
                 {milliseconds}ms."
            );
            let stacktrace = stack_trace::java(exception_type, &message, "Product", line);
            Failure {
                exception_type,
                message,
                stacktrace,
            }
        }
        Language::Python => {
            let exception_type = "TimeoutError";
            let message = format!("no answer within {milliseconds} ms");
            let frames = [
                (
                    "api/routes.py",
                    "handle",
                    "return await service.run(request)",
                ),
                (
                    "api/service.py",
                    "run",
                    "rows = await self.pool.fetch(query)",
                ),
            ];
            let stacktrace = stack_trace::python(&frames, exception_type, &message, line);
            Failure {
                exception_type,
                message,
                stacktrace,
            }
        }
        Language::Go => Failure {
            exception_type: "*net.OpError",
            message: format!("read tcp 10.1.0.7:{}: i/o timeout", 32_000 + milliseconds),
            stacktrace: stack_trace::go("loadStock", "internal/stock/load", line),
        },
        Language::Node => {
            let message = format!("connect ECONNREFUSED 10.1.0.{}:6379", line % 250);
            let stacktrace = format!(
                "Error: {message}\n    at TCPConnectWrap.afterConnect [as oncomplete] \
                 (node:net:1637:16)\n    at handle (/srv/app/routes.js:{line}:9)\n"
            );
            Failure {
                exception_type: "Error",
                message,
                stacktrace,
            }
        }
    }
}
