"""ClickHouse's side of the comparison of stores, in this process.

    python clickhouse.py ROWS FOLDER HOUR_UNIX_NANO ROUNDS TRACE_ID,TRACE_ID,...

ROWS is what the program `rows` wrote. The table has the columns, codecs, indexes and order of the
OpenTelemetry Collector's ClickHouse exporter, with its table of trace ids and times filled by a
materialised view. Prints for each question the milliseconds of each round and a check value.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from chdb.session import Session

HOUR_NANO = 3_600_000_000_000

SPANS = """
CREATE TABLE spans.otel_traces (
    Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    ParentSpanId String CODEC(ZSTD(1)),
    TraceState String CODEC(ZSTD(1)),
    SpanName LowCardinality(String) CODEC(ZSTD(1)),
    SpanKind LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    SpanAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    Duration UInt64 CODEC(T64, ZSTD(1)),
    StatusCode LowCardinality(String) CODEC(ZSTD(1)),
    StatusMessage String CODEC(ZSTD(1)),
    Events Nested (
        Timestamp DateTime64(9),
        Name LowCardinality(String),
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    Links Nested (
        TraceId String,
        SpanId String,
        TraceState String,
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_res_attr_key mapKeys(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_res_attr_value mapValues(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_span_attr_key mapKeys(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_span_attr_value mapValues(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_duration Duration TYPE minmax GRANULARITY 1,
    INDEX idx_lower_span_name lower(SpanName) TYPE tokenbf_v1(32768, 3, 0) GRANULARITY 8
) ENGINE = MergeTree
PARTITION BY toDate(Timestamp)
PRIMARY KEY (ServiceName, SpanName, toDateTime(Timestamp))
ORDER BY (ServiceName, SpanName, toDateTime(Timestamp), Timestamp)
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1
"""

TRACE_TIMES = """
CREATE TABLE spans.otel_traces_trace_id_ts (
    TraceId String CODEC(ZSTD(1)),
    Start DateTime CODEC(Delta, ZSTD(1)),
    End DateTime CODEC(Delta, ZSTD(1)),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = MergeTree
PARTITION BY toDate(Start)
ORDER BY (TraceId, Start)
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1
"""

TRACE_TIMES_VIEW = """
CREATE MATERIALIZED VIEW spans.otel_traces_trace_id_ts_mv TO spans.otel_traces_trace_id_ts AS
SELECT TraceId, min(Timestamp) AS Start, max(Timestamp) AS End
FROM spans.otel_traces WHERE TraceId != '' GROUP BY TraceId
"""

ROW = {
    "Timestamp": "DateTime64(9)",
    "TraceId": "String",
    "SpanId": "String",
    "ParentSpanId": "String",
    "SpanName": "String",
    "SpanKind": "String",
    "ServiceName": "String",
    "ResourceAttributes": "Map(String, String)",
    "ScopeName": "String",
    "ScopeVersion": "String",
    "SpanAttributes": "Map(String, String)",
    "Duration": "UInt64",
    "StatusCode": "String",
}
NANOS = "toUnixTimestamp64Nano(Timestamp)"


def main() -> None:
    """Load the rows, ask the questions, print the times."""
    rows, folder, hour, rounds, trace_ids = sys.argv[1:6]
    session = Session(folder)
    seconds = load(session, rows)
    report: dict[str, Any] = {
        name: measure(session, sql, int(rounds)) for name, sql in questions(int(hour)).items()
    }
    trace_by_id(session, trace_ids.split(","))  # warms up
    report["trace_by_id"] = trace_by_id(session, trace_ids.split(","))
    size = "SELECT sum(bytes_on_disk) AS v FROM system.parts WHERE active AND database = 'spans'"
    report["disk_bytes"] = int(ask(session, size)[0]["v"])
    report["load_seconds"] = seconds
    print(json.dumps(report))


def ask(session: Session, sql: str) -> list[dict[str, Any]]:
    """Run a query on two threads, return its rows."""
    answer = session.query(f"{sql} SETTINGS max_threads = 2", "JSON")
    rows: list[dict[str, Any]] = json.loads(answer.bytes())["data"]
    return rows


def load(session: Session, rows: str) -> float:
    """Fill the table and merge its parts; return how long it took."""
    started = time.monotonic()
    session.query("CREATE DATABASE spans ENGINE = Atomic")
    for statement in (SPANS, TRACE_TIMES, TRACE_TIMES_VIEW):
        session.query(statement)
    path, columns = Path(rows).resolve(), ", ".join(ROW)
    types = ", ".join(f"{name} {kind}" for name, kind in ROW.items())
    session.query(
        f"INSERT INTO spans.otel_traces ({columns}) "
        f"SELECT {columns} FROM file('{path}', 'JSONEachRow', '{types}') SETTINGS max_threads = 2"
    )
    session.query("OPTIMIZE TABLE spans.otel_traces FINAL")
    session.query("OPTIMIZE TABLE spans.otel_traces_trace_id_ts FINAL")
    return time.monotonic() - started


def questions(hour: int) -> dict[str, str]:
    """Name what is asked, and how; each answer has its check value in the column v."""
    newest = "ORDER BY Timestamp DESC LIMIT 20"
    start, end = (f"fromUnixTimestamp64Nano({t})" for t in (hour, hour + HOUR_NANO))
    columns = f"TraceId, SpanId, SpanName, ServiceName, Duration, StatusCode, {NANOS} AS v"
    return {
        "attribute_equals": f"SELECT {columns} FROM spans.otel_traces "
        "WHERE SpanAttributes['attribute.key-5'] = 'value-17'",
        "newest_of_service_and_time": f"SELECT {columns} FROM spans.otel_traces "
        f"WHERE ServiceName = 'service-3' AND Timestamp >= {start} AND Timestamp <= {end} {newest}",
        "newest_slow": f"SELECT {columns} FROM spans.otel_traces "
        f"WHERE Duration >= 75000000 {newest}",
        "errors_by_service": "SELECT ServiceName, count() AS v FROM spans.otel_traces "
        "WHERE StatusCode = 'Error' GROUP BY ServiceName",
        "p95_by_service_and_operation": "SELECT ServiceName, SpanName, "
        "quantile(0.95)(Duration) AS v FROM spans.otel_traces GROUP BY ServiceName, SpanName",
    }


def measure(session: Session, sql: str, rounds: int) -> dict[str, Any]:
    """Ask once to warm up, then so many times."""
    rows = ask(session, sql)
    times = []
    for _ in range(rounds):
        started = time.monotonic()
        rows = ask(session, sql)
        times.append((time.monotonic() - started) * 1e3)
    return {"ms": times, "check": check(sql, rows)}


def check(sql: str, rows: list[dict[str, Any]]) -> int:
    """Tell one number by which both sides' answers can be compared."""
    if "ORDER BY" in sql:
        return min(int(row["v"]) for row in rows)
    if "count()" in sql:
        return sum(int(row["v"]) for row in rows)
    return len(rows)


def trace_by_id(session: Session, trace_ids: list[str]) -> dict[str, Any]:
    """Ask for whole traces, by the times that the materialised view holds."""
    times, spans = [], 0
    for trace_id in trace_ids:
        range_of = f"FROM spans.otel_traces_trace_id_ts WHERE TraceId = '{trace_id}'"
        sql = (
            f"WITH (SELECT min(Start) {range_of}) AS start, "
            f"(SELECT max(End) + 1 {range_of}) AS end "
            f"SELECT * FROM spans.otel_traces WHERE TraceId = '{trace_id}' "
            "AND Timestamp >= start AND Timestamp <= end"
        )
        started = time.monotonic()
        spans += len(ask(session, sql))
        times.append((time.monotonic() - started) * 1e3)
    return {"ms": times, "check": spans}


main()
