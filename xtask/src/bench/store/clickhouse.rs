//! The same spans and the same questions for us and for ClickHouse's engine, in turn.

use anyhow::{Context, ensure};
use serde_json::Value;

use super::filled::{DAYS, Filled, START_UNIX_NANO};
use crate::bench::empty_folder;
use crate::bench::end_to_end::{field, program};
use crate::bench::report::{Bar, Figure};
use crate::python::Environment;
use crate::{process, workspace};

/// ClickHouse as a library.
const ENGINE: &str = "chdb==4.4.0";
const PEER: &str = "ClickHouse";
/// Questions, what they are called in the table, and how many times better than the peer we are to
/// be.
const QUESTIONS: [(&str, &str, f64); 6] = [
    ("attribute_equals", "every span with attribute = value", 1.0),
    (
        "newest_of_service_and_time",
        "newest 20 of a service within an hour",
        1.0,
    ),
    ("newest_slow", "newest 20 of 75 ms or longer", 1.0),
    ("errors_by_service", "failed spans by service", 1.0),
    (
        "p95_by_service_and_operation",
        "p95 by service and operation over everything, to within 1 %",
        1.0,
    ),
    ("trace_by_id", "trace by id", 10.0),
];

pub(super) fn measure(filled: &Filled, rounds: usize) -> anyhow::Result<Vec<Figure>> {
    let folder = empty_folder("store-clickhouse")?;
    std::fs::create_dir_all(&folder).context("cannot make a folder for ClickHouse")?;
    let rows = folder.join("rows.jsonl.zst");
    let rows = rows.to_string_lossy();
    let spans = filled.spans.to_string();
    let (start, days) = (START_UNIX_NANO.to_string(), DAYS.to_string());
    let written = program(
        "rows",
        &[
            "--to",
            &rows,
            "--spans",
            &spans,
            "--start-unix-nano",
            &start,
            "--days",
            &days,
        ],
    )?;
    let ids = written["trace_ids"].as_array().context("no trace ids")?;
    let ids: Vec<&str> = ids.iter().filter_map(Value::as_str).collect();

    let hour = START_UNIX_NANO + DAYS * 86_400_000_000_000 / 2;
    let (hour, rounds) = (hour.to_string(), rounds.to_string());
    let environment = Environment::create(&workspace::cache().join("clickhouse"))?;
    environment.install(&[ENGINE])?;
    let mut peer = environment.python();
    peer.args(["bench/python/clickhouse.py", &rows]);
    peer.arg(folder.join("data"));
    let text = process::output(peer.args([&hour, &rounds, &ids.join(",")]))?;
    let theirs: Value = serde_json::from_str(&text).context("ClickHouse's side: no JSON")?;
    let ours = program(
        "questions",
        &[
            "--dir",
            &filled.folder.to_string_lossy(),
            "--spans",
            &spans,
            "--hour-unix-nano",
            &hour,
            "--rounds",
            &rounds,
        ],
    )?;
    let mut figures = Vec::new();
    for (key, what, times_better) in QUESTIONS {
        ensure!(
            ours[key]["check"] == theirs[key]["check"],
            "{what}: {} is not {PEER}'s answer, {}",
            ours[key]["check"],
            theirs[key]["check"]
        );
        let rounds = times(&ours[key])?.into_iter().zip(times(&theirs[key])?);
        figures.push(Figure::paired(
            &format!("{what}, among {spans} spans, in one process"),
            "ms",
            PEER,
            &rounds.collect::<Vec<_>>(),
            Some(Bar::TimesBetter(times_better)),
        )?);
    }
    let bytes = field(&theirs, "disk_bytes")? / filled.spans as f64;
    process::say(&format!(
        "{PEER} keeps the same spans in {bytes:.1} bytes each"
    ));
    Ok(figures)
}

fn times(answer: &Value) -> anyhow::Result<Vec<f64>> {
    let times = answer["ms"].as_array().context("no times")?;
    times
        .iter()
        .map(|time| time.as_f64().context("a time is no number"))
        .collect()
}
