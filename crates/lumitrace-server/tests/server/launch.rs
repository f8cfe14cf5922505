//! `lumitrace run`: programs that are started with tracing on.

use super::harness::{lumitrace, until};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// `lumitrace run`, with what programs are found by and a cache of its own.
fn launch(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = lumitrace(&["run"]);
    command
        .args(arguments)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("XDG_CACHE_HOME", dir.join("cache"))
        .env("TMPDIR", dir);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_program_takes_the_place_of_the_launcher_with_its_arguments_and_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let shell = ["--", "sh", "-c", "echo $$ $1; exit 7", "sh", "--epochs=3"];
    let child = launch(dir.path(), &shell)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    // The same process id: signals reach it as if it had been started alone.
    assert_eq!(text(&output.stdout), format!("{pid} --epochs=3\n"));
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn the_program_finds_the_environment_in_which_python_traces_itself() {
    let dir = tempfile::tempdir().unwrap();
    let output = launch(dir.path(), &["--auto", "torch", "--", "env"])
        .env("PYTHONPATH", "/mine")
        .output()
        .unwrap();
    let environment = text(&output.stdout);
    let value = |name: &str| {
        let mut lines = environment.lines();
        lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
    };
    assert_eq!(value("LUMITRACE_AUTO").as_deref(), Some("torch"));
    assert_eq!(value("OTEL_SERVICE_NAME").as_deref(), Some("env"));
    let path = value("PYTHONPATH").unwrap();
    let (bootstrap, rest) = path.split_once(':').unwrap();
    assert_eq!(rest, "/mine");
    assert!(Path::new(bootstrap).join("sitecustomize.py").is_file());
    assert!(Path::new(bootstrap).starts_with(dir.path().join("cache")));
}

#[test]
fn a_program_that_cannot_be_started_is_told_as_shells_do() {
    let dir = tempfile::tempdir().unwrap();
    let missing = launch(dir.path(), &["--", "no-such-program"]).output();
    let missing = missing.unwrap();
    assert_eq!(missing.status.code(), Some(127));
    assert!(text(&missing.stderr).contains("cannot start no-such-program"));
    let file = dir.path().join("text");
    std::fs::write(&file, "no program").unwrap();
    let refused = launch(dir.path(), &["--", file.to_str().unwrap()]).output();
    assert_eq!(refused.unwrap().status.code(), Some(126));
    let nothing = launch(dir.path(), &[]).output().unwrap();
    assert_eq!(nothing.status.code(), Some(2));
    assert!(text(&nothing.stderr).contains("<COMMAND>"));
}

#[test]
fn it_says_where_to_look_and_whether_anybody_receives() {
    let dir = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let said = || {
        let arguments = [
            "--endpoint",
            &endpoint,
            "--service-name",
            "fx",
            "--",
            "true",
        ];
        text(&launch(dir.path(), &arguments).output().unwrap().stderr)
    };
    assert_eq!(said(), format!("lumitrace: tracing fx to {endpoint}\n"));
    drop(listener);
    let said = said();
    assert!(said.contains(&format!("nobody receives at {endpoint}")));
    assert!(said.contains("lumitrace serve"), "{said}");
}

/// A program beside a temporary server.
struct Served {
    child: Child,
    stderr: std::path::PathBuf,
}

impl Served {
    fn start(dir: &Path, shell: &str) -> Self {
        let stderr = dir.join("stderr.txt");
        let binary = env!("CARGO_BIN_EXE_lumitrace");
        let child = launch(dir, &["--serve", "--", "sh", "-c", shell, binary])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        Self { child, stderr }
    }

    /// The rest of the line that it says, behind `beginning`.
    async fn said(&self, beginning: &str) -> String {
        until(beginning, async || {
            let stderr = std::fs::read_to_string(&self.stderr).unwrap();
            let (_, rest) = stderr.split_once(beginning)?;
            Some(rest.split_once('\n')?.0.to_owned())
        })
        .await
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
    }

    async fn exit_code(&mut self) -> Option<i32> {
        until("its end", async || self.child.try_wait().unwrap())
            .await
            .code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_temporary_server_shows_what_came_until_it_is_ended_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let generate = r#""$0" generate --traces 3 --to "$OTEL_EXPORTER_OTLP_ENDPOINT"; exit 5"#;
    let mut served = Served::start(dir.path(), generate);
    let ui = served.said("tracing sh; look at ").await;
    served.said("the program has ended (exit status: 5)").await;
    let stats = reqwest::get(format!("{ui}/api/services")).await.unwrap();
    assert!(stats.status().is_success());
    assert!(!stats.text().await.unwrap().contains("\"data\":[]"));
    served.signal("-INT");
    assert_eq!(served.exit_code().await, Some(5));
    let left = std::fs::read_dir(dir.path()).unwrap();
    let names = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: Vec<String> = names
        .filter(|name| name.starts_with("lumitrace-run-"))
        .collect();
    assert_eq!(names, Vec::<String>::new());
}

#[tokio::test]
async fn a_signal_to_end_reaches_the_program_beside_the_server_and_ends_both() {
    let dir = tempfile::tempdir().unwrap();
    let patient = "trap 'exit 9' TERM; echo ready >&2; while :; do sleep 0.01; done";
    let mut served = Served::start(dir.path(), patient);
    served.said("ready").await;
    served.signal("-TERM");
    assert_eq!(served.exit_code().await, Some(9));
}

#[tokio::test]
async fn a_program_killed_beside_the_server_has_the_exit_code_of_its_signal() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path(), "kill -KILL $$");
    served.said("the program has ended (signal: 9").await;
    served.signal("-TERM");
    assert_eq!(served.exit_code().await, Some(137));
}
