//! A folder filled with the benchmark's spans, compacted: what it occupies, and trace by id.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use anyhow::{Context, ensure};

use super::memory::resident_mib;
use crate::bench::end_to_end::{blocks_bytes, field, program, settle, start};
use crate::bench::report::{Bar, Figure};
use crate::bench::{empty_folder, folder};
use crate::server::Server;
use crate::{process, workspace};

/// 2026-01-01: when the first trace starts, on both sides of every comparison.
pub(super) const START: &str = "2026-01-01T00:00:00Z";
pub(super) const START_UNIX_NANO: u64 = 1_767_225_600_000_000_000;
/// Days over which the traces lie, as in the published comparison.
pub(super) const DAYS: u64 = 10;

const FOLDER: &str = "store-filled";

/// A folder in which every span is in compacted blocks.
pub(super) struct Filled {
    pub(super) folder: PathBuf,
    pub(super) spans: u64,
    bytes: f64,
}

impl Filled {
    /// Fills a folder through the real server.
    pub(super) fn fill(spans: u64) -> anyhow::Result<Self> {
        let folder = empty_folder(FOLDER)?;
        let binary = workspace::binary("release", "lumitrace");
        let server = Server::start_on_free_ports(&binary, &folder)?;
        let mut generate = process::command(&binary);
        generate.args(["generate", "--quiet", "--shape", "benchmark"]);
        generate.args(["--connections", "8", "--to", &server.otlp_http]);
        generate.args(["--start", START, "--spread", &format!("{DAYS}d")]);
        process::run(generate.args(["--spans", &spans.to_string()]))?;
        Self::at_rest(server, folder, spans)
    }

    /// The folder that was filled last.
    pub(super) fn reuse(spans: u64) -> anyhow::Result<Self> {
        let folder = folder(FOLDER);
        ensure!(
            folder.is_dir(),
            "no folder was filled yet: leave out --reuse"
        );
        let binary = workspace::binary("release", "lumitrace");
        let server = Server::start_on_free_ports(&binary, &folder)?;
        let found = &server.get("/status")?["spans"];
        ensure!(
            *found == spans,
            "the folder that was filled last has {found} spans, not {spans}: leave out --reuse"
        );
        Self::at_rest(server, folder, spans)
    }

    /// What the server made of the folder, once it has come to rest.
    fn at_rest(server: Server, folder: PathBuf, spans: u64) -> anyhow::Result<Self> {
        settle(&server, &folder)?;
        drop(server);
        let bytes = blocks_bytes(&folder)?;
        Ok(Self {
            folder,
            spans,
            bytes,
        })
    }

    pub(super) fn disk(&self) -> anyhow::Result<Vec<Figure>> {
        let entropy = program("entropy", &[])?;
        process::say(&format!("entropy in bits a span: {}", entropy["bits"]));
        let bound = field(&entropy, "bytes_per_span")?;
        let ours = self.bytes / self.spans as f64;
        let what = format!("bytes on disk per span of {}, compacted", self.spans);
        Ok(vec![
            Figure::alone(&what, "B", ours, Some(Bar::Below(55.0))),
            Figure::alone(
                &format!("the same beside the entropy bound of the data, {bound:.1} B"),
                "times",
                ours / bound,
                Some(Bar::Below(1.3)),
            ),
        ])
    }

    /// Has the system keep the files in memory: what is asked about is warm.
    fn read_once(&self) -> anyhow::Result<()> {
        let blocks = self.folder.join("blocks");
        let entries = fs::read_dir(&blocks).context("cannot read the folder of blocks")?;
        for entry in entries {
            let path = entry.context("cannot read the folder of blocks")?.path();
            let mut file =
                File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
            io::copy(&mut file, &mut io::sink())
                .with_context(|| format!("cannot read {}", path.display()))?;
        }
        Ok(())
    }

    pub(super) fn lookup(&self) -> anyhow::Result<Vec<Figure>> {
        self.read_once()?;
        let binary = workspace::binary("release", "lumitrace");
        let (server, _) = start(&binary, &self.folder)?;
        let spans = self.spans.to_string();
        let arguments = ["--ui", &server.ui, "--spans", &spans, "--searches", "3"];
        let report = program("lookup", &arguments).context("lookups over HTTP")?;
        // After the questions: what is read when it is first needed counts, too.
        let resident = resident_mib(server.pid())?;
        let among = format!("among {spans} spans, over HTTP, warm");
        let row = |what: &str, key: &str, part: &str, bar: f64| -> anyhow::Result<Figure> {
            let name = part.trim_end_matches("_ms");
            let value = field(&report[key], part)?;
            Ok(Figure::alone(
                &format!("{what} {among}, {name}"),
                "ms",
                value,
                Some(Bar::Below(bar)),
            ))
        };
        let absent = "trace by an id that does not exist,";
        Ok(vec![
            row("trace by id", "trace_by_id", "p50_ms", 2.0)?,
            row("trace by id", "trace_by_id", "p99_ms", 10.0)?,
            row(absent, "absent_id", "p99_ms", 2.0)?,
            Figure::alone(
                &format!("resident memory of the server with {spans} spans, after these"),
                "MiB",
                resident,
                Some(Bar::Below(256.0)),
            ),
        ])
    }
}
