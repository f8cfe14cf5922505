//! Truncated, oversized, bombed, wrongly typed and random requests: each gets the status that the
//! protocol asks for, and the server lives on with everything it had.

use super::harness::Server;
use super::spans::{self, Answer, JSON, PROTOBUF, grpc_client, post, protobuf, request, span};
use flate2::Compression;
use flate2::write::GzEncoder;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic_types::StatusExt;

/// The limit that these tests set, so that breaking it is quick.
const LIMIT: usize = 1 << 20;
const LIMIT_FLAG: [&str; 2] = ["--limits-max-request-bytes", "1MiB"];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn valid() -> Vec<u8> {
    protobuf("web", vec![span(99, 1, None, "valid")])
}

fn truncated() -> Vec<u8> {
    let mut bytes = valid();
    bytes.truncate(bytes.len() - 3);
    bytes
}

/// An attribute value nested far deeper than anyone means to.
fn deep_protobuf() -> Vec<u8> {
    let mut value = Vec::new();
    for _ in 0..5_000 {
        // AnyValue{array_value(5): ArrayValue{values(1): value}}
        value = field(5, &field(1, &value));
    }
    let attribute = [field(1, b"k"), field(2, &value)].concat();
    let ids = [field(1, &[1; 16]), field(2, &[1; 8])].concat();
    let span = [ids, field(9, &attribute)].concat();
    field(1, &field(2, &field(2, &span)))
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    prost::encode_length_delimiter(bytes.len(), &mut out).unwrap();
    out.extend_from_slice(bytes);
    out
}

fn deep_json() -> String {
    let depth = 10_000;
    let open = r#"{"arrayValue":{"values":["#.repeat(depth);
    let close = "]}}".repeat(depth);
    format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"k","value":{open}{close}}}]}}}}]}}"#
    )
}

/// Requests below the limit, in JSON and in protobuf, of nothing but empty groups: each takes two
/// or three bytes, and a hundred in memory.
fn empty_items() -> (Vec<u8>, Vec<u8>) {
    let count = LIMIT / 4;
    let json = format!(r#"{{"resourceSpans":[{}{{}}]}}"#, "{},".repeat(count));
    (json.into(), field(1, &[]).repeat(count))
}

struct Case {
    name: &'static str,
    content_type: &'static str,
    encoding: &'static str,
    body: Vec<u8>,
    status: u16,
    /// The gRPC code within the body.
    code: i32,
}

fn case(name: &'static str, content_type: &'static str, body: impl Into<Vec<u8>>) -> Case {
    Case {
        name,
        content_type,
        encoding: "identity",
        body: body.into(),
        status: 400,
        code: 3,
    }
}

fn cases() -> Vec<Case> {
    let too_large = |case: Case| Case {
        status: 413,
        code: 8,
        ..case
    };
    let gzipped = |case: Case| Case {
        encoding: "gzip",
        ..case
    };
    let zeros = vec![0; LIMIT * 8];
    let (empty_json, empty_protobuf) = empty_items();
    vec![
        case("truncated protobuf", PROTOBUF, truncated()),
        case("protobuf of another wire type", PROTOBUF, [0x08, 0x01]),
        case("JSON sent as protobuf", PROTOBUF, r#"{"resourceSpans":[]}"#),
        case("protobuf nested too deep", PROTOBUF, deep_protobuf()),
        case("truncated JSON", JSON, r#"{"resourceSpans":["#),
        case("JSON of another type", JSON, r#"{"resourceSpans":5}"#),
        case("JSON that is no object", JSON, "[1]"),
        case(
            "JSON with an id that is not hexadecimal",
            JSON,
            bad_id().to_string(),
        ),
        case("JSON nested too deep", JSON, deep_json()),
        case("empty JSON", JSON, ""),
        case("protobuf sent as JSON", JSON, valid()),
        gzipped(case("no gzip", PROTOBUF, valid())),
        gzipped(case("truncated gzip", PROTOBUF, &gzip(&valid())[..20])),
        Case {
            encoding: "zstd",
            ..case("no zstd", PROTOBUF, valid())
        },
        Case {
            encoding: "deflate",
            ..case("no deflate", PROTOBUF, [0xff; 9])
        },
        too_large(case("oversized protobuf", PROTOBUF, vec![0; LIMIT + 1])),
        too_large(case("oversized JSON", JSON, vec![b' '; LIMIT * 3])),
        too_large(gzipped(case("gzip bomb", PROTOBUF, gzip(&zeros)))),
        too_large(Case {
            encoding: "zstd",
            ..case("zstd bomb", JSON, zstd::encode_all(&zeros[..], 19).unwrap())
        }),
        gzipped(case("empty items in JSON", JSON, gzip(&empty_json))),
        gzipped(case(
            "empty items in protobuf",
            PROTOBUF,
            gzip(&empty_protobuf),
        )),
        Case {
            status: 415,
            code: 12,
            encoding: "br",
            ..case("brotli", PROTOBUF, valid())
        },
    ]
}

fn bad_id() -> Value {
    let mut request = spans::json_request("web", 1, 1, "x");
    request["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] = json!({"not": "text"});
    request
}

/// The code in a `google.rpc.Status` in the encoding of the request.
fn status_code(answer: &Answer, content_type: &str) -> i32 {
    assert_eq!(answer.header("content-type"), content_type);
    if content_type == JSON {
        let status: Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(!status["message"].as_str().unwrap().is_empty());
        return i32::try_from(status["code"].as_i64().unwrap()).unwrap();
    }
    let status: tonic_types::Status = prost::Message::decode(&answer.body[..]).unwrap();
    assert!(!status.message.is_empty());
    status.code
}

/// Stores one span, so that its loss would be noticed.
async fn store_one(server: &Server) {
    let url = format!("http://{}/v1/traces", server.otlp_http);
    assert_eq!(post(&url, PROTOBUF, valid()).await.status, 200);
}

async fn assert_unharmed(server: &Server) {
    let (status, trace) = server
        .get(&format!("/api/lumitrace/v1/traces/{}", spans::trace_id(99)))
        .await;
    assert_eq!((status, &trace["span_count"]), (200, &json!(1)), "{trace}");
    assert!(!server.log().contains("panicked"), "{}", server.log());
    assert_eq!(server.metric("lumitrace_ingest_in_flight_bytes").await, 0.0);
}

#[tokio::test]
async fn every_kind_of_broken_body_gets_its_http_status_on_both_ports() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &LIMIT_FLAG).await;
    store_one(&server).await;
    let mut refused = 0.0;
    for port in server.otlp_ports() {
        for case in cases() {
            let request = Client::new()
                .post(format!("http://{port}/v1/traces"))
                .header("content-type", case.content_type)
                .header("content-encoding", case.encoding)
                .body(case.body);
            let answer = spans::send(request).await;
            assert_eq!(answer.status, case.status, "{}", case.name);
            assert_eq!(
                status_code(&answer, case.content_type),
                case.code,
                "{}",
                case.name
            );
            assert_eq!(
                answer.header("retry-after"),
                "",
                "{}: must not be resent",
                case.name
            );
            refused += 1.0;
        }
    }
    let counted = async |reason: &str| {
        let name = format!("lumitrace_ingest_refused_requests_total{{reason=\"{reason}\"}}");
        server.metric(&name).await
    };
    let counts = [
        counted("malformed").await,
        counted("too_large").await,
        counted("encoding").await,
    ];
    assert_eq!(counts.iter().sum::<f64>(), refused, "{counts:?}");
    assert_unharmed(&server).await;
}

#[tokio::test]
async fn wrong_methods_types_and_paths_get_their_http_status() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    store_one(&server).await;
    for port in server.otlp_ports() {
        let base = format!("http://{port}");
        let answer = |method: Method, path: &str, content_type: &str| {
            let request = Client::new()
                .request(method, format!("{base}{path}"))
                .header("content-type", content_type)
                .body(valid());
            spans::send(request)
        };
        for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::GET] {
            let answer = answer(method.clone(), "/v1/traces", PROTOBUF).await;
            assert_eq!(answer.status, 405, "{method}");
            assert_eq!(answer.header("allow"), "POST", "{method}");
            assert!(answer.header("content-type").starts_with("text/plain"));
        }
        for content_type in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "nonsense",
            "",
        ] {
            assert_eq!(
                answer(Method::POST, "/v1/traces", content_type)
                    .await
                    .status,
                415
            );
        }
        for path in ["/v1development/profiles", "/v2/traces"] {
            let answer = answer(Method::POST, path, PROTOBUF).await;
            assert_eq!(answer.status, 404, "{path}");
            assert_eq!(status_code(&answer, PROTOBUF), 12, "{path}");
        }
        let health = reqwest::get(&base).await.unwrap();
        assert_eq!(health.status(), 200);
        let text = health.text().await.unwrap();
        assert!(
            text.contains("Lumitrace is up") && text.contains(&server.ui),
            "{text}"
        );
    }
    assert_unharmed(&server).await;
}

#[tokio::test]
async fn the_web_interfaces_port_refuses_what_is_not_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    store_one(&server).await;
    for (method, path, status) in [
        (Method::POST, "/v1/traces", 404),
        (Method::POST, "/", 405),
        (Method::POST, "/api/traces", 405),
        (Method::PUT, "/api/lumitrace/v1/status", 405),
        (Method::GET, "/api/nothing", 404),
        (Method::GET, "/api/lumitrace/v1/traces/%00", 400),
    ] {
        let url = format!("http://{}{path}", server.ui);
        let request = Client::new().request(method.clone(), url).body(truncated());
        let answer = spans::send(request).await;
        assert_eq!(answer.status, status, "{method} {path}");
    }
    assert_unharmed(&server).await;
}

#[tokio::test]
async fn no_path_leads_out_of_the_web_interfaces_files() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    for path in [
        "/../../../../../../../../etc/passwd",
        "/assets/../../../../../../../../etc/passwd",
        "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "//etc/passwd",
        "/../../Cargo.toml",
    ] {
        // Raw, because every client tidies such paths up.
        let mut stream = TcpStream::connect(&server.ui).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 "), "{path}: {answer}");
        assert!(
            !answer.contains("root:") && !answer.contains("[workspace"),
            "{path}"
        );
    }
}

/// One gRPC call with this message, over plain HTTP/2, so that it may be as broken as can be.
async fn grpc_call(port: &str, encoding: Option<&str>, body: Vec<u8>) -> Answer {
    let client = Client::builder().http2_prior_knowledge().build().unwrap();
    let path = "opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let mut request = client
        .post(format!("http://{port}/{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body);
    if let Some(encoding) = encoding {
        request = request.header("grpc-encoding", encoding);
    }
    spans::send(request).await
}

fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[flag][..], &length.to_be_bytes(), message].concat()
}

/// Name, `grpc-encoding`, body and the code expected.
type Call = (&'static str, Option<&'static str>, Vec<u8>, Code);

fn broken_calls() -> Vec<Call> {
    use Code::{InvalidArgument as Invalid, ResourceExhausted as TooLarge, Unimplemented};
    let gzip_header = Some("gzip");
    let cut = frame(0, &valid())[..30].to_vec();
    let large = frame(0, &vec![0; LIMIT + 1]);
    let bomb = frame(1, &gzip(&vec![0; LIMIT * 8]));
    vec![
        ("truncated message", None, frame(0, &truncated()), Invalid),
        ("truncated frame", None, cut, Invalid),
        ("no frame", None, Vec::new(), Invalid),
        ("unknown flag", None, frame(9, &valid()), Invalid),
        ("flag without encoding", None, frame(1, &valid()), Invalid),
        ("no gzip", gzip_header, frame(1, &valid()), Invalid),
        ("nested too deep", None, frame(0, &deep_protobuf()), Invalid),
        (
            "unknown encoding",
            Some("br"),
            frame(1, &valid()),
            Unimplemented,
        ),
        ("oversized", None, large, TooLarge),
        ("gzip bomb", gzip_header, bomb, TooLarge),
    ]
}

#[tokio::test]
async fn every_kind_of_broken_call_gets_its_grpc_status_on_both_ports() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &LIMIT_FLAG).await;
    store_one(&server).await;
    for port in server.otlp_ports() {
        for (name, encoding, body, code) in broken_calls() {
            let answer = grpc_call(port, encoding, body).await;
            assert_eq!(answer.status, 200, "{name}: gRPC says it in grpc-status");
            assert_eq!(
                answer.header("grpc-status"),
                (code as i32).to_string(),
                "{name}"
            );
            assert!(!answer.header("grpc-message").is_empty(), "{name}");
            let details = answer.header("grpc-status-details-bin");
            assert_eq!(details, "", "{name}: no RetryInfo, it must not be resent");
        }
    }
    assert_unharmed(&server).await;
}

#[tokio::test]
async fn other_grpc_services_are_unimplemented() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let client = Client::builder().http2_prior_knowledge().build().unwrap();
    for (path, code) in [
        (
            "opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
            "12",
        ),
        ("some.Service/Method", "12"),
    ] {
        let request = client
            .post(format!("http://{}/{path}", server.otlp_grpc))
            .header("content-type", "application/grpc")
            .body(frame(0, b""));
        assert_eq!(
            spans::send(request).await.header("grpc-status"),
            code,
            "{path}"
        );
    }
    let health = client
        .post(format!(
            "http://{}/grpc.health.v1.Health/Check",
            server.otlp_grpc
        ))
        .header("content-type", "application/grpc")
        .body(frame(0, b""));
    assert_eq!(spans::send(health).await.body, frame(0, &[8, 1]));
}

#[tokio::test]
async fn grpc_over_http1_is_told_what_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let url = format!("http://{}/v1/traces", server.otlp_grpc);
    let answer = post(&url, "application/grpc", frame(0, &valid())).await;
    assert_eq!(answer.status, 505);
    assert!(String::from_utf8_lossy(&answer.body).contains("HTTP/2"));
}

#[tokio::test]
async fn what_exceeds_the_bytes_in_flight_is_asked_to_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--limits-max-in-flight-bytes", "64KiB"]).await;
    store_one(&server).await;
    let mut large = span(1, 1, None, "large");
    large.attributes = vec![spans::text("prompt", &"x".repeat(100 << 10))];

    let url = format!("http://{}/v1/traces", server.otlp_http);
    let answer = post(&url, PROTOBUF, protobuf("web", vec![large.clone()])).await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("retry-after"), "1");

    let mut client = grpc_client(&server.otlp_grpc).await;
    let status = client
        .export(request("web", vec![large]))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let retry = status.get_details_retry_info().unwrap();
    assert_eq!(retry.retry_delay, Some(Duration::from_secs(1)));
    assert_unharmed(&server).await;
}

#[tokio::test]
async fn random_bodies_never_harm() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &LIMIT_FLAG).await;
    store_one(&server).await;
    let mut random = StdRng::seed_from_u64(20_261);
    let client = Client::new();
    for round in 0..300 {
        let body = random_body(&mut random);
        let port = server.otlp_ports()[round % 2];
        let content_type = [PROTOBUF, JSON][random.random_range(0..2)];
        let encoding = ["identity", "gzip", "deflate", "zstd"][random.random_range(0..4)];
        let request = client
            .post(format!("http://{port}/v1/traces"))
            .header("content-type", content_type)
            .header("content-encoding", encoding)
            .body(body.clone());
        let status = spans::send(request).await.status;
        assert!(
            matches!(status, 200 | 400 | 413),
            "{status} for {encoding} {body:?}"
        );
        let answer = grpc_call(port, Some("gzip"), frame(random.random_range(0..2), &body)).await;
        let status = answer.header("grpc-status");
        assert!(
            matches!(status, "" | "0" | "3" | "8"),
            "{status} for {body:?}"
        );
    }
    assert_unharmed(&server).await;
}

/// Noise, or a valid request with some of its bytes changed, which reaches deeper.
fn random_body(random: &mut StdRng) -> Vec<u8> {
    if random.random_bool(0.3) {
        let mut noise = vec![0; random.random_range(0..2_000)];
        random.fill(&mut noise[..]);
        return noise;
    }
    let mut body = if random.random_bool(0.5) {
        protobuf(
            "noise",
            vec![span(random.random_range(1000..2000), 1, None, "mutant")],
        )
    } else {
        spans::json_request("noise", random.random_range(1000..2000), 1, "mutant")
            .to_string()
            .into()
    };
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..body.len());
        body[at] = random.random_range(0..=255);
    }
    if random.random_bool(0.3) {
        body.truncate(random.random_range(0..body.len()));
    }
    body
}

#[tokio::test]
async fn random_bytes_on_a_connection_never_harm_on_any_port() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    store_one(&server).await;
    let mut random = StdRng::seed_from_u64(4_317);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let tls_hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01];
    for round in 0..150 {
        let port = [&server.otlp_grpc, &server.otlp_http, &server.ui][round % 3];
        let mut noise = vec![0; random.random_range(1..500)];
        random.fill(&mut noise[..]);
        let start: &[u8] = match random.random_range(0..4) {
            0 => preface,
            1 => &tls_hello,
            2 => b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n",
            _ => b"",
        };
        let mut stream = TcpStream::connect(port.as_str()).await.unwrap();
        // The server may hang up while we still write.
        let _ = stream.write_all(&[start, &noise].concat()).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer));
        let _ = read.await.expect("the server hangs up on noise");
    }
    let errors: Vec<f64> = [
        server
            .metric("lumitrace_connection_errors_total{listener=\"otlp_grpc\"}")
            .await,
        server
            .metric("lumitrace_connection_errors_total{listener=\"otlp_http\"}")
            .await,
        server
            .metric("lumitrace_connection_errors_total{listener=\"ui\"}")
            .await,
    ]
    .into();
    assert!(errors.iter().all(|count| *count > 0.0), "{errors:?}");
    assert_unharmed(&server).await;
}

#[tokio::test]
async fn a_body_that_never_ends_is_cut_off_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--limits-body-timeout", "200ms"]).await;
    store_one(&server).await;
    let mut stream = TcpStream::connect(&server.otlp_http).await.unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {PROTOBUF}\r\nContent-Length: 100\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1024];
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut answer));
    let length = read.await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]).to_lowercase();
    assert!(answer.starts_with("http/1.1 503"), "{answer}");
    assert!(answer.contains("retry-after: 1"), "{answer}");
    drop(stream);
    assert_unharmed(&server).await;
}
