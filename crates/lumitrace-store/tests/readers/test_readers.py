"""Blocks and exported files are Parquet as others read it: each of them finds every value.

The files are the golden ones that the store's own tests read: spans, log records and points of
every kind, with attributes of every type, in every version of a block.
"""

from __future__ import annotations

import re
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chdb
import duckdb
import pandas
import pyarrow
import pyarrow.parquet
import pytest

Row = dict[str, Any]

GOLDEN = Path(__file__).parent.parent / "golden"
FILES = sorted(GOLDEN.rglob("*.parquet"))
DOCUMENTS = Path(__file__).parents[4] / "docs" / "formats"


def rows_of_arrow(path: Path) -> list[Row]:
    rows: list[Row] = pyarrow.parquet.read_table(path).to_pylist()
    return rows


def rows_of_pandas(path: Path) -> list[Row]:
    frame = pandas.read_parquet(path, dtype_backend="pyarrow")
    columns = {str(name): frame[name].array.__arrow_array__().to_pylist() for name in frame}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def rows_of_duckdb(path: Path) -> list[Row]:
    found = duckdb.sql(f"SELECT * FROM read_parquet('{path}')")
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def rows_of_clickhouse(path: Path) -> list[Row]:
    # Its strings are bytes, which are text only where somebody says so.
    question = (
        f"SELECT * FROM file('{path}', Parquet) SETTINGS output_format_arrow_string_as_string = 0"
    )
    rows: list[Row] = chdb.query(question, "ArrowTable").to_pylist()
    return rows


def comparable(value: Any) -> Any:
    """The same for the same value: texts as bytes, doubles by their bits."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bool):
        # ClickHouse has numbers for truth values in places.
        return int(value)
    if isinstance(value, float):
        return struct.pack(">d", value)
    if isinstance(value, dict):
        return {key: comparable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [comparable(inner) for inner in value]
    return value


def test_there_are_blocks_of_every_kind() -> None:
    names = [str(path.relative_to(GOLDEN)) for path in FILES]
    for kind in ("v4", "logs-v4", "metrics-v4", "records"):
        assert any(name.startswith(kind) for name in names), names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(GOLDEN)))
@pytest.mark.parametrize("read", [rows_of_pandas, rows_of_duckdb, rows_of_clickhouse])
def test_every_reader_finds_every_value(read: Any, path: Path) -> None:
    expected = [comparable(row) for row in rows_of_arrow(path)]
    assert expected
    found = [comparable(row) for row in read(path)]
    assert [sorted(row) for row in found] == [sorted(row) for row in expected]
    for name in expected[0]:
        assert [row[name] for row in found] == [row[name] for row in expected], name


def test_a_question_in_sql_is_answered_from_a_block() -> None:
    block = next(path for path in FILES if "v4-log2/blocks" in str(path))
    question = (
        "SELECT count(*), max(duration_nano), bool_or(\"attr.string\" = 'Größe') "
        f"FROM read_parquet('{block}') WHERE service_name = 'trainer' AND name = 'batch_processing'"
    )
    count, longest, has_attribute = duckdb.sql(question).fetchall()[0]
    rows = [row for row in rows_of_arrow(block) if row["service_name"] == "trainer"]
    rows = [row for row in rows if row["name"] == "batch_processing"]
    assert rows
    assert count == len(rows)
    assert longest == max(row["duration_nano"] for row in rows)
    assert has_attribute


def documented() -> Iterator[Any]:
    """Each statement in SQL that the description of the formats shows."""
    for document in sorted(DOCUMENTS.glob("*.md")):
        for block in re.findall(r"```sql\n(.*?)```", document.read_text(), re.DOTALL):
            statements = [part for part in block.split(";") if part.strip()]
            for number, statement in enumerate(statements, start=1):
                yield pytest.param(statement, id=f"{document.stem}-{number}")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the documents mean it: that of a store, with exported files beside."""
    for shelf, golden in [
        ("blocks", "v4-log2/blocks"),
        ("logs/blocks", "logs-v4/logs/blocks"),
        ("metrics/blocks", "metrics-v4/metrics/blocks"),
    ]:
        shutil.copytree(GOLDEN / golden, tmp_path / shelf)
    for file in (GOLDEN / "records").glob("*.parquet"):
        shutil.copy(file, tmp_path)
    [block] = (tmp_path / "blocks").glob("*.parquet")
    table = pyarrow.parquet.read_table(block)
    # Attributes that the documents ask for, which the golden spans lack.
    for name, kind in [("loss", pyarrow.float64()), ("gen_ai.input.messages", pyarrow.string())]:
        table = table.append_column(f"attr.{name}", pyarrow.nulls(len(table), kind))
    pyarrow.parquet.write_table(table, block)
    shutil.copy(block, tmp_path / "block.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("statement", list(documented()))
def test_what_the_documents_ask_in_sql_is_answered(statement: str) -> None:
    assert duckdb.sql(statement).columns
    duckdb.sql(statement).fetchall()
