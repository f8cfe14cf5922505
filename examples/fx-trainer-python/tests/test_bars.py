from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from data.bars import Bars, DataError, Dropped, clean_bars
from data.histdata import (
    BarRowError,
    central_to_utc,
    files_of_years,
    find_bar_files,
    read_bar_files,
    utc_to_central,
    write_bar_file,
    year_of_file,
)

GOOD_ROW = "20240102 170000;1.27100;1.27150;1.27050;1.27120;0"


def write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(rows) + "\n")
    return path


def times(*texts: str) -> npt.NDArray[Any]:
    return np.array(texts, dtype="datetime64[s]")


def test_a_row_is_read_with_its_time_turned_from_us_central_into_utc(tmp_path: Path) -> None:
    read = read_bar_files([write(tmp_path / "a.csv", GOOD_ROW)])
    assert read.bars.time[0] == np.datetime64("2024-01-02T23:00:00")
    assert [read.bars.open[0], read.bars.high[0]] == [1.271, 1.2715]
    assert [read.bars.low[0], read.bars.close[0], read.bars.volume[0]] == [1.2705, 1.2712, 0.0]
    assert read.skipped_rows == 0


def test_daylight_saving_changes_the_offset_from_six_to_five_hours() -> None:
    winter_and_summer = times("2024-03-08T12:00:00", "2024-03-11T12:00:00", "2024-11-04T12:00:00")
    utc = central_to_utc(winter_and_summer)
    assert (utc == times("2024-03-08T18:00:00", "2024-03-11T17:00:00", "2024-11-04T18:00:00")).all()
    assert (utc_to_central(utc) == winter_and_summer).all()


def test_bars_survive_being_written_and_read(tmp_path: Path, bars: Bars) -> None:
    path = tmp_path / "pair" / "DAT_ASCII_GBPUSD_M1_2024.csv"
    write_bar_file(path, bars, price_digits=5)
    read = read_bar_files([path]).bars
    for column in ("time", "open", "high", "low", "close", "volume"):
        assert (getattr(read, column) == getattr(bars, column)).all(), column
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_archives_are_read_member_by_member(tmp_path: Path) -> None:
    path = tmp_path / "HISTDATA_COM_ASCII_GBPUSD_M12024.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("DAT_ASCII_GBPUSD_M1_2024.csv", GOOD_ROW + "\n")
        archive.writestr("DAT_ASCII_GBPUSD_M1_2024.txt", "a report, not bars")
    assert len(read_bar_files([path]).bars) == 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("20240102 170100;1.1;1.2;1.0;1.1", "expected 6 fields separated by ';', found 5"),
        ("20240102 170100;1.1;high;1.0;1.1;0", "high 'high' is not a number"),
        ("20240102 170100;;1.2;1.0;1.1;0", "open '' is not a number"),
        ("2024-01-02 17:01;1.1;1.2;1.0;1.1;0", "is not of the form YYYYmmdd HHMMSS"),
        ("20240230 170100;1.1;1.2;1.0;1.1;0", "'20240230 170100' does not exist"),
        ("\ufffd\x00", "expected 6 fields"),
    ],
)
def test_a_bad_row_is_an_error_with_file_line_and_reason(
    tmp_path: Path, row: str, reason: str
) -> None:
    path = write(tmp_path / "a.csv", GOOD_ROW, "", row, GOOD_ROW)
    with pytest.raises(BarRowError) as raised:
        read_bar_files([path])
    assert str(raised.value).startswith(f"{path}:3: ")
    assert reason in str(raised.value)


def test_a_bad_row_in_an_archive_names_archive_and_member(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inner.csv", "nonsense\n")
    with pytest.raises(BarRowError, match=r"a\.zip!inner\.csv:1: expected 6 fields"):
        read_bar_files([path])


def test_bad_rows_are_skipped_and_counted_on_request(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "x", GOOD_ROW, "y;z")
    read = read_bar_files([path], skip_bad_rows=True)
    assert (len(read.bars), read.skipped_rows) == (1, 2)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 truncated"])
def test_a_broken_archive_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.zip is not a readable zip archive"):
        read_bar_files([path])


def test_the_year_comes_from_histdatas_file_names() -> None:
    names = {
        "DAT_ASCII_GBPUSD_M1_2024.csv": 2024,
        "HISTDATA_COM_ASCII_GBPUSD_M12023.zip": 2023,
        "HISTDATA_COM_ASCII_GBPUSD_M1202403.zip": 2024,
        "bars.csv": None,
    }
    assert {name: year_of_file(Path(name)) for name in names} == names


def test_only_the_wanted_years_are_taken_and_a_missing_year_is_named(tmp_path: Path) -> None:
    for year in (2022, 2023, 2024):
        write(tmp_path / f"DAT_ASCII_GBPUSD_M1_{year}.csv", GOOD_ROW)
    (tmp_path / "notes.txt").write_text("not bars")
    files = find_bar_files(tmp_path)
    assert len(files_of_years(files, ())) == 3
    assert [year_of_file(path) for path in files_of_years(files, (2022, 2024))] == [2022, 2024]
    with pytest.raises(DataError, match="no bar file for 2019, 2020"):
        files_of_years(files, (2019, 2020, 2024))
    assert find_bar_files(tmp_path / "absent") == []


def test_cleaning_sorts_and_drops_what_cannot_be_right_with_counts() -> None:
    rows = [
        ("2024-01-02T00:03", 1.0, 1.1, 0.9, 1.0),
        ("2024-01-02T00:01", 1.0, 1.1, 0.9, 1.0),
        ("2024-01-02T00:01", 2.0, 2.1, 1.9, 2.0),  # repeated minute: the first stays
        ("2024-01-02T00:02", 1.0, np.nan, 0.9, 1.0),
        ("2024-01-02T00:04", 1.0, 1.1, 1.05, 1.0),  # low above open and close
        ("2024-01-02T00:05", 1.2, 1.1, 0.9, 1.0),  # open above high
        ("2024-01-02T00:06", 0.0, 0.1, 0.0, 0.1),  # a price of zero
        ("2024-01-02T00:07", 1.0, np.inf, 0.9, 1.0),
    ]
    columns = list(zip(*rows, strict=True))
    open_, high, low, close = (np.array(column, dtype=np.float64) for column in columns[1:])
    bars = Bars(times(*columns[0]), open_, high, low, close, np.zeros(len(rows)))
    kept, dropped = clean_bars(bars)
    assert dropped == Dropped(nan=1, duplicate=1, impossible=4)
    assert (kept.time == times("2024-01-02T00:01", "2024-01-02T00:03")).all()
    assert kept.close.tolist() == [1.0, 1.0]
