//! A disk that is full or cannot be written.

use super::harness::{PATIENCE, Server};
use super::spans::{self, PROTOBUF, grpc_client, post, protobuf, request, span, trace_id};
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
    fn mount(path: PathBuf, options: &str) -> Option<Self> {
        std::fs::create_dir_all(&path).unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(&path);
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self { path }),
            Ok(output) => {
                let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                eprintln!("skipped: a small file system cannot be mounted here: {reason}");
                None
            }
            Err(error) => {
                eprintln!("skipped: a small file system cannot be mounted here: {error}");
                None
            }
        }
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
    let (status, _) = server
        .get(&format!("/api/lumitrace/v1/traces/{}", trace_id(2)))
        .await;
    assert_eq!(status, 200);
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
