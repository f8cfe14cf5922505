//! A disk that is full or cannot be written.

use super::harness::{PATIENCE, Server};
use super::spans::{self, PROTOBUF, grpc_client, post, protobuf, request, span, trace_id};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tonic::Code;
use tonic_types::StatusExt;

/// A small file system of its own, unmounted when dropped.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// `None`, with a word why, where this machine does not let us mount one.
    ///
    /// # Panics
    /// As root in continuous integration, where the guarantee must not go untested in silence.
    fn mount(path: PathBuf, options: &str) -> Option<Self> {
        std::fs::create_dir_all(&path).unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(&path);
        let reason = match mount.output() {
            Ok(output) if output.status.success() => return Some(Self { path }),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        let message = format!("a small file system cannot be mounted here: {reason}");
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
        assert!(
            !(is_root && std::env::var_os("CI").is_some()),
            "{message}; allow mounting (CAP_SYS_ADMIN), or unset CI to skip this test"
        );
        eprintln!("skipped: {message}");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that is still ending must not keep it.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

fn fill(path: &Path) -> PathBuf {
    let file = path.join("filler");
    // Ends when the disk is full, which is what it is for.
    let _ = std::fs::write(&file, vec![0; 64 << 20]);
    file
}

#[tokio::test]
async fn a_full_disk_is_said_and_spans_are_taken_again_once_there_is_space() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(dir.path().join("disk"), "size=32m") else {
        return;
    };
    let data = disk.path.join("data");
    let server = Server::try_start_at(&data, dir.path(), &[]).await.unwrap();
    let url = format!("http://{}/v1/traces", server.otlp_http);
    let answer = post(
        &url,
        PROTOBUF,
        protobuf("web", vec![span(1, 1, None, "before")]),
    )
    .await;
    assert_eq!(answer.status, 200);

    let filler = fill(&disk.path);
    // A page or two may be left over; a large span does not fit.
    let mut large = span(2, 1, None, "large");
    large.attributes = vec![spans::text("prompt", &"x".repeat(1 << 20))];
    let answer = post(&url, PROTOBUF, protobuf("web", vec![large.clone()])).await;
    assert_eq!(answer.status, 503);
    assert!(!answer.header("retry-after").is_empty());
    let status: tonic_types::Status = prost::Message::decode(&answer.body[..]).unwrap();
    assert!(status.message.contains("space"), "{}", status.message);

    assert_says_its_health(&server, Some("space")).await;

    let mut client = grpc_client(&server.otlp_grpc).await;
    let status = client
        .export(request("web", vec![large.clone()]))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.get_details_retry_info().is_some());
    let name = "lumitrace_ingest_refused_requests_total{reason=\"store_unavailable\"}";
    assert_eq!(server.metric(name).await, 2.0);
    let (status, _) = server
        .get(&format!("/api/lumitrace/v1/traces/{}", trace_id(1)))
        .await;
    assert_eq!(status, 200, "what was acknowledged is still there");

    std::fs::remove_file(filler).unwrap();
    let begun = std::time::Instant::now();
    while post(&url, PROTOBUF, protobuf("web", vec![large.clone()]))
        .await
        .status
        != 200
    {
        assert!(begun.elapsed() < PATIENCE, "spans are never taken again");
    }
    assert_says_its_health(&server, None).await;
    let (status, _) = server
        .get(&format!("/api/lumitrace/v1/traces/{}", trace_id(2)))
        .await;
    assert_eq!(status, 200);
}

/// Every place that tells of health names this `problem`, or that there is none.
async fn assert_says_its_health(server: &Server, problem: Option<&str>) {
    let healthy = problem.is_none();
    let (code, ready) = server.get("/readyz").await;
    let (_, status) = server.get("/api/lumitrace/v1/status").await;
    assert_eq!(code, if healthy { 200 } else { 503 }, "{ready}");
    assert_eq!(status["healthy"], healthy, "{status}");
    for text in [&ready, &status["problem"]] {
        let names = |problem| text.as_str().is_some_and(|text| text.contains(problem));
        assert!(problem.is_none_or(names), "{text}");
    }
    let metric = server.metric("lumitrace_store_healthy").await;
    assert_eq!(metric, f64::from(u8::from(healthy)));
}

#[tokio::test]
async fn a_read_only_data_folder_is_named_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(dir.path().join("disk"), "size=1m,ro") else {
        return;
    };
    let data = disk.path.join("data");
    let log = Server::try_start_at(&data, dir.path(), &[])
        .await
        .err()
        .unwrap();
    assert!(log.contains(&*data.to_string_lossy()), "{log}");
    assert!(
        log.contains("Read-only") || log.contains("read-only"),
        "{log}"
    );
    assert!(log.contains("data_dir"), "{log}");
}

#[tokio::test]
async fn a_data_folder_in_use_is_said_with_its_owner() {
    let dir = tempfile::tempdir().unwrap();
    let _server = Server::start(dir.path()).await;
    let log = Server::try_start(dir.path(), &[]).await.err().unwrap();
    assert!(log.contains("in use by"), "{log}");
}
