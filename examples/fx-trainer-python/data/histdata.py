"""HistData's minute-bar files: `YYYYmmdd HHMMSS;open;high;low;close;volume`, one bar a line.

Times in the files are US-Central wall clock; in the program they are UTC. The market is closed
when the clocks change (Sunday 02:00), so no bar falls into the hour that is missing or doubled.
"""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from data.bars import Bars, DataError, TimeArray

CENTRAL_TIME = ZoneInfo("America/Chicago")
_FIELD_NAMES = ("time", "open", "high", "low", "close", "volume")
_YEAR_IN_NAME = re.compile(r"M1_?(\d{4})(?:\d{2})?$")


class BarRowError(DataError):
    """One row of a bar file is malformed; the message holds file, line and reason."""


@dataclass(frozen=True)
class ReadBars:
    """The bars of one or several files, and how many malformed rows were skipped."""

    bars: Bars
    skipped_rows: int


def year_of_file(path: Path) -> int | None:
    """Return the year in a file name such as `DAT_ASCII_GBPUSD_M1_2024.csv`, None without one."""
    match = _YEAR_IN_NAME.search(path.stem)
    return int(match.group(1)) if match else None


def find_bar_files(folder: Path) -> list[Path]:
    """Return the folder's `.csv` and `.zip` files in name order; none if there is no folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in {".csv", ".zip"})


def files_of_years(files: list[Path], years: tuple[int, ...]) -> list[Path]:
    """Return the files of these years, or all if no years are given.

    Raises DataError if there is no file for one of the years.
    """
    missing = sorted(set(years) - {year_of_file(path) for path in files})
    if missing:
        wanted = ", ".join(map(str, missing))
        found = ", ".join(path.name for path in files)
        raise DataError(f"no bar file for {wanted} (found: {found}); add it or drop --years")
    return [path for path in files if not years or year_of_file(path) in years]


def read_bar_files(paths: Iterable[Path], skip_bad_rows: bool = False) -> ReadBars:
    """Read the bars of all files in the order given, neither sorted nor cleaned.

    Raises BarRowError at the first malformed row unless `skip_bad_rows`, which counts them.
    """
    parts: list[Bars] = []
    skipped_rows = 0
    for path in paths:
        for name, lines in _open_lines(path):
            part, skipped = _parse_lines(name, lines, skip_bad_rows)
            parts.append(part)
            skipped_rows += skipped
    return ReadBars(Bars.concatenate(parts), skipped_rows)


def write_bar_file(path: Path, bars: Bars, price_digits: int) -> None:
    """Write bars in HistData's format, atomically: readers see the whole file or none."""
    local = utc_to_central(bars.time)
    columns = zip(
        (stamp.strftime("%Y%m%d %H%M%S") for stamp in local.tolist()),
        bars.open.tolist(),
        bars.high.tolist(),
        bars.low.tolist(),
        bars.close.tolist(),
        bars.volume.tolist(),
        strict=True,
    )
    with replaced_file(path) as temporary, temporary.open("w", encoding="ascii") as file:
        for stamp, open_, high, low, close, volume in columns:
            prices = ";".join(f"{price:.{price_digits}f}" for price in (open_, high, low, close))
            file.write(f"{stamp};{prices};{volume:.0f}\n")


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and takes `path`'s place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def central_to_utc(local: TimeArray) -> TimeArray:
    """Convert US-Central wall-clock times to UTC, daylight saving included."""
    return _shift_by_hour(local, CENTRAL_TIME, UTC)


def utc_to_central(time: TimeArray) -> TimeArray:
    """Convert UTC times to US-Central wall-clock times, daylight saving included."""
    return _shift_by_hour(time, UTC, CENTRAL_TIME)


def _shift_by_hour(times: TimeArray, source: tzinfo, target: tzinfo) -> TimeArray:
    # An offset is constant within an hour, so a year needs some thousand look-ups, not 370,000.
    hours, hour_of_row = np.unique(times.astype("datetime64[h]"), return_inverse=True)
    converted = [
        hour.replace(tzinfo=source).astimezone(target).replace(tzinfo=None)
        for hour in hours.astype("datetime64[s]").tolist()
    ]
    offsets = np.array(converted, dtype="datetime64[s]") - hours.astype("datetime64[s]")
    shifted: TimeArray = times.astype("datetime64[s]") + offsets[hour_of_row]
    return shifted


def _open_lines(path: Path) -> Iterator[tuple[str, Iterator[str]]]:
    """Yield (name for messages, lines) of a CSV file, or of each CSV file in an archive."""
    if path.suffix.lower() != ".zip":
        with path.open(encoding="utf-8", errors="replace") as file:
            yield str(path), file
        return
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise DataError(f"{path} is not a readable zip archive: {error}") from error
    with archive:
        members = [name for name in archive.namelist() if name.lower().endswith(".csv")]
        if not members:
            raise DataError(f"{path} holds no .csv file")
        for member in members:
            with archive.open(member) as raw:
                lines = io.TextIOWrapper(raw, encoding="utf-8", errors="replace")
                yield f"{path}!{member}", lines


def _parse_lines(name: str, lines: Iterator[str], skip_bad_rows: bool) -> tuple[Bars, int]:
    times: list[datetime] = []
    values: list[list[float]] = []
    skipped = 0
    for line_number, line in enumerate(lines, start=1):
        row = line.strip()
        if not row:
            continue
        try:
            time, numbers = _parse_row(row)
        except ValueError as error:
            if not skip_bad_rows:
                raise BarRowError(
                    f"{name}:{line_number}: {error} (--skip-bad-rows skips and counts such rows)"
                ) from None
            skipped += 1
            continue
        times.append(time)
        values.append(numbers)
    columns = np.array(values, dtype=np.float64).reshape(-1, 5).T
    return Bars(central_to_utc(np.array(times, dtype="datetime64[s]")), *columns), skipped


def _parse_row(row: str) -> tuple[datetime, list[float]]:
    """Parse one row; the ValueError it raises says what is wrong with it."""
    fields = row.split(";")
    if len(fields) != len(_FIELD_NAMES):
        raise ValueError(f"expected 6 fields separated by ';', found {len(fields)}")
    stamp = fields[0]
    if not (len(stamp) == 15 and stamp[8] == " " and stamp.replace(" ", "", 1).isdecimal()):
        raise ValueError(f"time {stamp!r} is not of the form YYYYmmdd HHMMSS")
    try:
        # Slicing is several times faster than strptime, and a year has 370,000 rows.
        time = datetime(
            int(stamp[0:4]),
            int(stamp[4:6]),
            int(stamp[6:8]),
            int(stamp[9:11]),
            int(stamp[11:13]),
            int(stamp[13:15]),
        )
    except ValueError as error:
        raise ValueError(f"time {stamp!r} does not exist: {error}") from None
    numbers: list[float] = []
    for field_name, text in zip(_FIELD_NAMES[1:], fields[1:], strict=True):
        try:
            numbers.append(float(text))
        except ValueError:
            raise ValueError(f"{field_name} {text!r} is not a number") from None
    return time, numbers
