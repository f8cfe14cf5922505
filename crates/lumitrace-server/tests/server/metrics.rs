//! Metrics: every kind of point taken in every form, kept through kills, and shown as series.

use super::harness::Server;
use super::spans::{
    self, Answer, JSON, PROTOBUF, attribute, now_unix_nano, post, protobuf, span, text,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, any_value};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
    SummaryDataPoint, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use serde_json::{Value, json};
use std::io::Write;
use tonic::codec::CompressionEncoding;
use tonic::transport::Endpoint;

const SECOND: u64 = 1_000_000_000;
const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

fn metric(name: &str, unit: &str, data: metric::Data) -> Metric {
    Metric {
        name: name.to_owned(),
        unit: unit.to_owned(),
        description: format!("what {name} is"),
        data: Some(data),
        ..Metric::default()
    }
}

pub(super) fn request(service: &str, metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let scope_metrics = ScopeMetrics {
        scope: Some(InstrumentationScope {
            name: "tests".to_owned(),
            ..InstrumentationScope::default()
        }),
        metrics,
        ..ScopeMetrics::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: vec![text("service.name", service)],
                ..Resource::default()
            }),
            scope_metrics: vec![scope_metrics],
            ..ResourceMetrics::default()
        }],
    }
}

pub(super) fn metrics_protobuf(service: &str, metrics: Vec<Metric>) -> Vec<u8> {
    request(service, metrics).encode_to_vec()
}

/// A point that was measured at `time`, and counted since ten seconds before.
fn number(time: u64, value: f64) -> NumberDataPoint {
    NumberDataPoint {
        start_time_unix_nano: time - 10 * SECOND,
        time_unix_nano: time,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

pub(super) fn gauge(name: &str, values: &[f64]) -> Metric {
    let now = now_unix_nano();
    let times = (0..).map(|number| now + number * SECOND);
    let points = times.zip(values).map(|(time, value)| number(time, *value));
    let data_points = points.collect();
    metric(name, "1", metric::Data::Gauge(Gauge { data_points }))
}

/// An exponential histogram of three values, counted from `start` to `time`.
fn exponential(start: u64, time: u64) -> metric::Data {
    let point = ExponentialHistogramDataPoint {
        start_time_unix_nano: start,
        time_unix_nano: time,
        count: 3,
        sum: Some(6.0),
        zero_count: 2,
        positive: Some(Buckets {
            offset: 1,
            bucket_counts: vec![1],
        }),
        ..ExponentialHistogramDataPoint::default()
    };
    metric::Data::ExponentialHistogram(ExponentialHistogram {
        data_points: vec![point],
        aggregation_temporality: CUMULATIVE,
    })
}

/// One metric of each kind, all measured at `time`.
fn every_kind(time: u64) -> Vec<Metric> {
    let start = time - 10 * SECOND;
    let step = attribute("step", any_value::Value::IntValue(7));
    let histogram = HistogramDataPoint {
        attributes: vec![step.clone()],
        start_time_unix_nano: start,
        time_unix_nano: time,
        count: 10,
        sum: Some(100.0),
        bucket_counts: vec![4, 4, 2],
        explicit_bounds: vec![10.0, 20.0],
        min: Some(8.0),
        max: Some(40.0),
        ..HistogramDataPoint::default()
    };
    let summary = SummaryDataPoint {
        start_time_unix_nano: start,
        time_unix_nano: time,
        count: 5,
        sum: 9.0,
        quantile_values: vec![ValueAtQuantile {
            quantile: 0.999,
            value: 1.5,
        }],
        ..SummaryDataPoint::default()
    };
    let sum = Sum {
        data_points: vec![number(time, 5.0)],
        aggregation_temporality: CUMULATIVE,
        is_monotonic: true,
    };
    let gauge = Gauge {
        data_points: vec![NumberDataPoint {
            attributes: vec![step],
            ..number(time, f64::NAN)
        }],
    };
    vec![
        metric("a.gauge", "%", metric::Data::Gauge(gauge)),
        metric("b.sum", "By", metric::Data::Sum(sum)),
        metric(
            "c.histogram",
            "ms",
            metric::Data::Histogram(Histogram {
                data_points: vec![histogram],
                aggregation_temporality: CUMULATIVE,
            }),
        ),
        metric("d.exponential", "s", exponential(start, time)),
        metric(
            "e.summary",
            "s",
            metric::Data::Summary(Summary {
                data_points: vec![summary],
            }),
        ),
    ]
}

/// The same in OTLP/JSON.
fn every_kind_as_json(service: &str, time: u64) -> String {
    let (start, time) = ((time - 10 * SECOND).to_string(), time.to_string());
    let step = json!([{"key": "step", "value": {"intValue": "7"}}]);
    let times = |point: Value| {
        let mut point = point;
        point["startTimeUnixNano"] = json!(start);
        point["timeUnixNano"] = json!(time);
        json!([point])
    };
    let gauge = json!({"dataPoints": times(json!({"asDouble": "NaN", "attributes": step}))});
    let sum = json!({
        "aggregationTemporality": 2, "isMonotonic": true,
        "dataPoints": times(json!({"asDouble": 5.0})),
    });
    let histogram = times(json!({
        "count": "10", "sum": 100, "bucketCounts": ["4", "4", "2"], "explicitBounds": [10, 20],
        "min": 8, "max": 40, "attributes": step,
    }));
    let exponential = times(json!({
        "count": "3", "sum": 6, "scale": 0, "zeroCount": "2",
        "positive": {"offset": 1, "bucketCounts": ["1"]},
    }));
    let summary = times(json!({
        "count": "5", "sum": 9, "quantileValues": [{"quantile": 0.999, "value": 1.5}],
    }));
    let named = |name: &str, unit: &str, key: &str, data: Value| {
        let description = format!("what {name} is");
        json!({"name": name, "unit": unit, "description": description, key: data})
    };
    let cumulative = |points: Value| json!({"aggregationTemporality": 2, "dataPoints": points});
    let metrics = json!([
        named("a.gauge", "%", "gauge", gauge),
        named("b.sum", "By", "sum", sum),
        named("c.histogram", "ms", "histogram", cumulative(histogram)),
        named(
            "d.exponential",
            "s",
            "exponentialHistogram",
            cumulative(exponential)
        ),
        named("e.summary", "s", "summary", json!({"dataPoints": summary})),
    ]);
    json!({"resourceMetrics": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": service}}
        ]},
        "scopeMetrics": [{"scope": {"name": "tests"}, "metrics": metrics}],
    }]})
    .to_string()
}

/// Sends metrics in protobuf, and has them acknowledged.
async fn send(server: &Server, service: &str, metrics: Vec<Metric>) {
    let url = format!("http://{}/v1/metrics", server.otlp_http);
    let answer = post(&url, PROTOBUF, metrics_protobuf(service, metrics)).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b""[..]));
}

async fn ask(server: &Server, path: &str) -> Value {
    let path = format!("/api/lumitrace/v1/metrics{path}");
    let (status, answer) = server.get(&path).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// The last values of each curve of a series.
fn curves(series: &Value) -> Value {
    let curves = series["curves"].as_array().unwrap().iter();
    let shown = curves.map(|curve| {
        let points = curve["points"].as_array().unwrap().iter();
        let values: Vec<Value> = points.map(|point| point["last"].clone()).collect();
        (curve["name"].as_str().unwrap().to_owned(), json!(values))
    });
    Value::Object(shown.collect())
}

/// Checks that `service` has one point of every kind, and that it is what was sent.
async fn assert_every_kind(server: &Server, service: &str, time: u64) {
    let list = ask(server, &format!("?service={service}")).await;
    let listed = |name: &str, kind: &str, unit: &str, temporality: Option<&str>| {
        json!({
            "name": name,
            "kind": kind,
            "unit": unit,
            "description": format!("what {name} is"),
            "temporality": temporality,
            "is_monotonic": (kind == "sum").then_some(true),
        })
    };
    let cumulative = Some("cumulative");
    let kinds = [
        listed("a.gauge", "gauge", "%", None),
        listed("b.sum", "sum", "By", cumulative),
        listed("c.histogram", "histogram", "ms", cumulative),
        listed("d.exponential", "exponential_histogram", "s", cumulative),
        listed("e.summary", "summary", "s", None),
    ];
    assert_eq!(list["total"], 5, "{list}");
    for (listed, expected) in list["metrics"].as_array().unwrap().iter().zip(kinds) {
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&listed[key], value, "{key} of {listed}");
        }
    }
    let p99 = 20.0 + 20.0 * (9.9 - 8.0) / 2.0;
    let exponential_p99 = 2.0 * 2_f64.powf(0.97);
    for (name, expected) in [
        ("a.gauge", json!({"value": ["NaN"]})),
        ("b.sum", json!({"value": [5.0]})),
        ("b.sum&rate=true", json!({"rate": [0.5]})),
        (
            "c.histogram",
            json!({"count": [10.0], "sum": [100.0], "p50": [12.5], "p95": [35.0], "p99": [p99]}),
        ),
        (
            "d.exponential",
            json!({"count": [3.0], "sum": [6.0], "p50": [0.0],
                   "p95": [2.0 * 2_f64.powf(0.95 * 3.0 - 2.0)], "p99": [exponential_p99]}),
        ),
        (
            "e.summary",
            json!({"count": [5.0], "sum": [9.0], "p99.9": [1.5]}),
        ),
    ] {
        let answer = ask(server, &format!("/series?service={service}&name={name}")).await;
        assert_eq!(answer["total_series"], 1, "{answer}");
        let series = &answer["series"][0];
        assert_eq!(rounded(curves(series)), rounded(expected), "{name}");
        assert_eq!(series["service"], service);
        assert_eq!(series["scope"]["name"], "tests");
        let point = &series["curves"][0]["points"][0];
        assert_eq!(point["time_unix_nano"], time.to_string());
        let has_step = matches!(name, "a.gauge" | "c.histogram");
        let step = json!([{"key": "step", "type": "int", "value": "7"}]);
        let expected = if has_step { step } else { json!([]) };
        assert_eq!(series["attributes"], expected, "{name}");
    }
}

/// With numbers as text of nine digits, in which doubles of one value do not differ.
fn rounded(value: Value) -> Value {
    match value {
        Value::Number(number) => format!("{:.9}", number.as_f64().unwrap()).into(),
        Value::Array(list) => list.into_iter().map(rounded).collect(),
        Value::Object(map) => {
            let entries = map.into_iter().map(|(key, value)| (key, rounded(value)));
            Value::Object(entries.collect())
        }
        other => other,
    }
}

#[tokio::test]
async fn every_kind_of_point_is_taken_over_http_in_protobuf_and_json_on_both_ports() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path()).await;
    let time = now_unix_nano();
    let mut services = Vec::new();
    for (number, port) in server.otlp_ports().into_iter().enumerate() {
        for (way, path) in [("path", "/v1/metrics"), ("root", "/")] {
            let url = format!("http://{port}{path}");
            let service = format!("{way}-pb-{number}");
            let body = request(&service, every_kind(time)).encode_to_vec();
            let answer = post(&url, PROTOBUF, body).await;
            assert_eq!((answer.status, &answer.body[..]), (200, &b""[..]));
            assert_eq!(answer.header("content-type"), PROTOBUF);
            services.push(service);

            let service = format!("{way}-js-{number}");
            let answer = post(&url, JSON, every_kind_as_json(&service, time)).await;
            assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]));
            assert_eq!(answer.header("content-type"), JSON);
            services.push(service);
        }
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let body = request("zipped", every_kind(time)).encode_to_vec();
    encoder.write_all(&body).unwrap();
    let zstd = zstd::encode_all(&request("zstd", every_kind(time)).encode_to_vec()[..], 0);
    for (service, encoding, body) in [
        ("zipped", "gzip", encoder.finish().unwrap()),
        ("zstd", "zstd", zstd.unwrap()),
    ] {
        let request = reqwest::Client::new()
            .post(format!("http://{}/v1/metrics", server.otlp_http))
            .header("content-type", PROTOBUF)
            .header("content-encoding", encoding)
            .body(body);
        assert_eq!(spans::send(request).await.status, 200);
        services.push(service.to_owned());
    }
    for service in &services {
        assert_every_kind(&server, service, time).await;
    }
    let counted =
        |protocol| format!("lumitrace_ingest_metric_points_total{{protocol=\"{protocol}\"}}");
    for (protocol, points) in [("otlp_http_protobuf", 30.0), ("otlp_http_json", 20.0)] {
        assert_eq!(server.metric(&counted(protocol)).await, points);
    }
    assert_eq!(server.metric("lumitrace_store_metric_points").await, 50.0);
    let (_, status) = server.get("/api/lumitrace/v1/status").await;
    assert_eq!(
        (&status["metric_points"], &status["spans"]),
        (&50.into(), &0.into())
    );
    assert_eq!(status["otlp"]["metric_points"], 50);

    server.kill();
    let server = Server::start(dir.path()).await;
    for service in &services {
        assert_every_kind(&server, service, time).await;
    }
}

#[tokio::test]
async fn every_kind_of_point_is_taken_over_grpc_on_both_ports() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let time = now_unix_nano();
    for (number, port) in server.otlp_ports().into_iter().enumerate() {
        let endpoint = Endpoint::from_shared(format!("http://{port}")).unwrap();
        let client = MetricsServiceClient::new(endpoint.connect().await.unwrap());
        let mut client = client.send_compressed(CompressionEncoding::Gzip);
        let service = format!("rpc-{number}");
        let sent = request(&service, every_kind(time));
        let response = client.export(sent).await.unwrap();
        assert_eq!(response.into_inner().partial_success, None);
        assert_every_kind(&server, &service, time).await;
        // Nothing is fine too.
        client.export(request("web", vec![])).await.unwrap();
        let nameless = request("web", vec![gauge("", &[1.0, 2.0])]);
        let response = client.export(nameless).await.unwrap().into_inner();
        let partial = response.partial_success.unwrap();
        assert_eq!(partial.rejected_data_points, 2);
        assert!(partial.error_message.contains("name"), "{partial:?}");
    }
}

#[tokio::test]
async fn points_that_cannot_be_kept_are_refused_one_by_one_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let mut mixed = gauge("m", &[1.0, 2.0, 3.0]);
    if let Some(metric::Data::Gauge(gauge)) = &mut mixed.data {
        gauge.data_points[1].time_unix_nano = 0;
    }
    let url = format!("http://{}/v1/metrics", server.otlp_http);
    let body = request("web", vec![mixed]).encode_to_vec();
    let answer = post(&url, PROTOBUF, body).await;
    assert_eq!(answer.status, 200);
    let partial = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[
        {"name":"m","sum":{"dataPoints":[{"asInt":"5"}]}}]}]}]}"#;
    let answer = post(&url, JSON, partial).await;
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(told["partialSuccess"]["rejectedDataPoints"], "1");
    assert_eq!(
        told["partialSuccess"]["errorMessage"],
        "a data point has no time"
    );
    let rejected = server.metric("lumitrace_ingest_rejected_metric_points_total");
    assert_eq!(rejected.await, 2.0);
    let answer = ask(&server, "/series?name=m").await;
    assert_eq!(curves(&answer["series"][0]), json!({"value": [1.0, 3.0]}));
}

#[tokio::test]
async fn series_are_found_by_service_attribute_and_time_and_only_so_many_are_shown() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let start = now_unix_nano();
    let point = |worker: i64| NumberDataPoint {
        attributes: vec![attribute("worker", any_value::Value::IntValue(worker))],
        ..number(start + worker as u64 * SECOND, worker as f64)
    };
    let of = |workers: std::ops::Range<i64>| {
        let data_points = workers.map(point).collect();
        vec![metric("m", "1", metric::Data::Gauge(Gauge { data_points }))]
    };
    send(&server, "loader", of(0..3)).await;
    send(&server, "trainer", of(0..30)).await;
    for (query, total, shown) in [
        ("", 33, 20),
        ("&max_series=2", 33, 2),
        ("&max_series=100", 33, 33),
        ("&service=loader", 3, 3),
        ("&tag=worker%3D1", 2, 2),
        ("&tag=worker%3D1&tag=service.name%3Dloader", 1, 1),
        ("&service=nobody", 0, 0),
        (&format!("&start_unix_nano={}", start + 28 * SECOND), 2, 2),
        (&format!("&end_unix_nano={}", start + SECOND), 2, 2),
    ] {
        let answer = ask(&server, &format!("/series?name=m{query}")).await;
        assert_eq!(answer["total_series"], total, "{query}");
        assert_eq!(answer["series"].as_array().unwrap().len(), shown, "{query}");
    }
    let first = &ask(&server, "/series?name=m&max_series=11&service=trainer").await["series"][10];
    assert_eq!(
        first["attributes"][0]["value"], "10",
        "in the order of numbers"
    );
    assert_eq!(
        ask(&server, "/series?name=other").await["metric"],
        Value::Null
    );
    assert_eq!(ask(&server, "?text=M").await["total"], 1);
    assert_eq!(ask(&server, "?service=nobody").await["metrics"], json!([]));
    for wrong in [
        "/series",
        "/series?name=m&colour=red",
        "/series?name=m&tag=worker",
        "/series?name=m&rate=true",
        "/series?name=m&step=5",
        "?colour=red",
    ] {
        let (status, body) = server
            .get(&format!("/api/lumitrace/v1/metrics{wrong}"))
            .await;
        assert_eq!(status, 400, "{wrong}");
        assert_eq!(body["error"]["code"], "invalid_parameter");
    }
}

#[tokio::test]
async fn a_question_about_series_that_costs_too_much_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--query-max-spans", "10"]).await;
    send(&server, "trainer", vec![gauge("m", &[1.0; 100])]).await;
    let (status, answer) = server.get("/api/lumitrace/v1/metrics/series?name=m").await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (422, &json!("too_many_spans")),
        "{answer}"
    );
    assert_eq!(ask(&server, "").await["metrics"][0]["point_count"], 100);
}

#[tokio::test]
async fn broken_metrics_are_refused_like_broken_spans() {
    let dir = tempfile::tempdir().unwrap();
    let limit = ["--limits-max-request-bytes", "64KiB"];
    let server = Server::start_with(dir.path(), &limit).await;
    send(&server, "web", vec![gauge("kept", &[1.0])]).await;
    let url = format!("http://{}/v1/metrics", server.otlp_http);
    let good = request("web", vec![gauge("cut", &[1.0])]).encode_to_vec();
    let large = request("web", vec![gauge("large", &[1.0; 5_000])]).encode_to_vec();
    for (name, content_type, body, status) in [
        ("truncated", PROTOBUF, good[..good.len() - 3].to_vec(), 400),
        ("empty groups", PROTOBUF, [0x0a, 0].repeat(30_000), 400),
        (
            "spans",
            PROTOBUF,
            protobuf("web", vec![span(1, 1, None, "x")]),
            400,
        ),
        ("no JSON", JSON, b"{".to_vec(), 400),
        (
            "JSON of another type",
            JSON,
            br#"{"resourceMetrics":5}"#.to_vec(),
            400,
        ),
        ("too large", PROTOBUF, large, 413),
        ("no type", "", good.clone(), 415),
    ] {
        let answer: Answer = post(&url, content_type, body).await;
        assert_eq!(answer.status, status, "{name}");
        assert_eq!(answer.header("retry-after"), "", "{name}");
    }
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 405);
    assert_eq!(ask(&server, "").await["total"], 1);
    assert!(!server.log().contains("panicked"), "{}", server.log());
    assert_eq!(server.metric("lumitrace_ingest_in_flight_bytes").await, 0.0);
}

#[tokio::test]
async fn acknowledged_metrics_survive_kills() {
    let dir = tempfile::tempdir().unwrap();
    let small = ["--store-memtable-bytes", "64KiB"];
    let mut acknowledged = 0;
    for _ in 0..5_u64 {
        let mut server = Server::start_with(dir.path(), &small).await;
        for _ in 0..60 {
            acknowledged += 1;
            send(&server, "web", vec![gauge("m", &[f64::from(acknowledged)])]).await;
        }
        server.kill();
    }
    let server = Server::start(dir.path()).await;
    let answer = ask(&server, "/series?name=m").await;
    let expected: Vec<f64> = (1..=acknowledged).map(f64::from).collect();
    assert_eq!(curves(&answer["series"][0]), json!({"value": expected}));
    assert_eq!(server.metric("lumitrace_store_healthy").await, 1.0);
}
