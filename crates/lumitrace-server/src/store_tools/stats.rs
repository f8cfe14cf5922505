//! `lumitrace store stats`.

use std::fmt;
use std::path::{Path, PathBuf};

use lumitrace_store::inspect::{self, FolderContent};
use serde::Serialize;

use super::wording::{Table, bytes, count, name, time};
use super::{Outcome, print};

pub(super) const ABOUT: &str = "Say what a folder holds, without changing it";

pub(super) const EXAMPLES: &str = "\
Examples:
  lumitrace store stats
  lumitrace store stats --data-dir /backup/lumitrace --json | jq .bytes_per_span

It changes nothing, and needs no lock: while a server runs on the folder, it says what that has \
written so far. The blocks themselves are not read; `lumitrace store check` does.";

/// How many of the largest blocks are listed.
const LARGEST_BLOCKS: usize = 5;

/// What to say.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Arguments {
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, dir: &Path) -> anyhow::Result<Outcome> {
    let content = inspect::inspect(dir)?;
    let report = Report::new(dir, &content);
    print(&report, arguments.json, false)?;
    Ok(match report.damages.is_empty() {
        true => Outcome::Done,
        false => Outcome::Trouble,
    })
}

/// What is printed. Times are nanoseconds since the Unix epoch.
#[derive(Debug, Serialize)]
struct Report {
    data_dir: PathBuf,
    format_version: u32,
    in_use: bool,
    in_use_by_pid: Option<u32>,
    spans: u64,
    bytes: u64,
    /// Of spans in blocks.
    bytes_per_span: Option<f64>,
    first_start_unix_nano: Option<u64>,
    last_start_unix_nano: Option<u64>,
    blocks: Blocks,
    log: Log,
    /// What is beside the spans.
    others: Vec<Shelf>,
    files: Vec<Files>,
    services: Vec<Service>,
    damages: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Blocks {
    count: u64,
    spans: u64,
    bytes: u64,
    largest: Vec<Block>,
}

#[derive(Debug, Serialize)]
struct Block {
    name: String,
    spans: u64,
    bytes: u64,
    first_start_unix_nano: u64,
    last_start_unix_nano: u64,
}

#[derive(Debug, Serialize)]
struct Log {
    segments: u64,
    bytes: u64,
    spans: u64,
}

#[derive(Debug, Serialize)]
struct Shelf {
    name: &'static str,
    records: u64,
    blocks: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Files {
    kind: &'static str,
    count: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Service {
    name: String,
    spans: u64,
    errors: u64,
    first_start_unix_nano: u64,
    last_start_unix_nano: u64,
}

impl Report {
    fn new(dir: &Path, content: &FolderContent) -> Self {
        let mut blocks: Vec<Block> = content
            .blocks
            .iter()
            .map(|block| Block {
                name: block.name.clone(),
                spans: block.spans,
                bytes: block.bytes,
                first_start_unix_nano: block.first_start_unix_nano,
                last_start_unix_nano: block.last_start_unix_nano,
            })
            .collect();
        let block_spans = blocks.iter().map(|block| block.spans).sum();
        let block_bytes: u64 = blocks.iter().map(|block| block.bytes).sum();
        let block_count = blocks.len() as u64;
        blocks.sort_by_key(|block| std::cmp::Reverse(block.bytes));
        blocks.truncate(LARGEST_BLOCKS);
        let files = content.files.iter().map(|(kind, total)| Files {
            kind: kind.as_str(),
            count: total.files,
            bytes: total.bytes,
        });
        let others = content.others.iter().map(|shelf| Shelf {
            name: shelf.name.as_str(),
            records: shelf.records,
            blocks: shelf.blocks,
            bytes: shelf.bytes,
        });
        let services = content.services.iter().map(|service| Service {
            name: service.name.clone(),
            spans: service.span_count,
            errors: service.error_count,
            first_start_unix_nano: service.first_start_unix_nano,
            last_start_unix_nano: service.last_start_unix_nano,
        });
        Self {
            data_dir: dir.to_owned(),
            format_version: content.format_version,
            in_use: content.in_use.is_some(),
            in_use_by_pid: content.in_use.and_then(|in_use| in_use.pid),
            spans: content.spans(),
            bytes: content.bytes(),
            bytes_per_span: (block_spans > 0).then(|| block_bytes as f64 / block_spans as f64),
            first_start_unix_nano: content.first_start_unix_nano,
            last_start_unix_nano: content.last_start_unix_nano,
            blocks: Blocks {
                count: block_count,
                spans: block_spans,
                bytes: block_bytes,
                largest: blocks,
            },
            log: Log {
                segments: content.log.segments,
                bytes: content.log.bytes,
                spans: content.log.spans,
            },
            others: others.collect(),
            files: files.collect(),
            services: services.collect(),
            damages: content.damages.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Report {
    fn files_table(&self) -> Table {
        let mut table = Table::new(&["files", "number", "size"]);
        for kind in &self.files {
            table.row([kind.kind.to_owned(), count(kind.count), bytes(kind.bytes)]);
        }
        table
    }

    fn services_table(&self) -> Table {
        let mut table = Table::new(&["services", "spans", "failed", "first start", "last start"]);
        for service in &self.services {
            table.row([
                name(&service.name),
                count(service.spans),
                count(service.errors),
                time(service.first_start_unix_nano),
                time(service.last_start_unix_nano),
            ]);
        }
        table
    }

    fn blocks_table(&self) -> Table {
        let mut table = Table::new(&[
            "largest blocks",
            "spans",
            "size",
            "first start",
            "last start",
        ]);
        for block in &self.blocks.largest {
            table.row([
                block.name.clone(),
                count(block.spans),
                bytes(block.bytes),
                time(block.first_start_unix_nano),
                time(block.last_start_unix_nano),
            ]);
        }
        table
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "folder  {}", self.data_dir.display())?;
        if self.in_use {
            let who = self
                .in_use_by_pid
                .map_or_else(|| "a process".to_owned(), |pid| format!("process {pid}"));
            writeln!(
                f,
                "        in use by {who}: this is what it has written so far"
            )?;
        }
        writeln!(
            f,
            "spans   {}: {} in {} blocks, {} only in the log",
            count(self.spans),
            count(self.blocks.spans),
            count(self.blocks.count),
            count(self.log.spans)
        )?;
        for shelf in &self.others {
            writeln!(
                f,
                "{:<7} {}, in {} blocks and a log of together {}",
                shelf.name,
                count(shelf.records),
                count(shelf.blocks),
                bytes(shelf.bytes)
            )?;
        }
        write!(f, "size    {}", bytes(self.bytes))?;
        match self.bytes_per_span {
            Some(each) => writeln!(f, "; in blocks {each:.1} bytes per span")?,
            None => writeln!(f)?,
        }
        if let (Some(first), Some(last)) = (self.first_start_unix_nano, self.last_start_unix_nano) {
            writeln!(f, "starts  {} to {}", time(first), time(last))?;
        }
        write!(f, "\n{}", self.files_table())?;
        write!(f, "\n{}", self.services_table())?;
        write!(f, "\n{}", self.blocks_table())?;
        for damage in &self.damages {
            writeln!(f, "\ndamage: {damage}")?;
        }
        if !self.damages.is_empty() {
            writeln!(f, "`lumitrace store check` says all that is damaged")?;
        }
        Ok(())
    }
}
