from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from data.bars import Bars, DataError, Dropped, clean_bars
from data.histdata import utc_to_central
from data.prepare_dataset import BarSource, load_bars, main
from data.synthetic_bars import generate_bars, trading_minutes


def weekday(times: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return (times.astype("datetime64[D]").astype(np.int64) + 3) % 7


def test_the_same_seed_gives_the_same_bars_and_another_seed_others() -> None:
    first, again = (generate_bars("gbpusd", 2024, 500, seed=1) for _ in range(2))
    assert (first.close == again.close).all()
    assert (first.time == again.time).all()
    assert (first.close != generate_bars("gbpusd", 2024, 500, seed=2).close).any()
    assert (first.close != generate_bars("eurusd", 2024, 500, seed=1).close).any()


def test_bars_are_all_possible_and_follow_one_another() -> None:
    bars = generate_bars("usdjpy", 2023, 5000, seed=1)
    _, dropped = clean_bars(bars)
    assert dropped == Dropped(0, 0, 0)
    assert (bars.open[1:] == bars.close[:-1]).all()
    assert (np.round(bars.close, 3) == bars.close).all()
    assert 100.0 < bars.close.min() < bars.close.max() < 200.0


def test_the_market_is_closed_at_weekends_and_some_minutes_have_no_trade() -> None:
    local = utc_to_central(generate_bars("gbpusd", 2024, 20_000, seed=1).time)
    hour = (local - local.astype("datetime64[D]")).astype("timedelta64[h]").astype(int)
    assert not (weekday(local) == 5).any()
    assert hour[weekday(local) == 6].min() == 16
    assert hour[weekday(local) == 4].max() == 15
    within_a_week = np.diff(local)[np.diff(local) < np.timedelta64(1, "h")]
    assert (within_a_week > np.timedelta64(60, "s")).any()


def test_volatility_clusters_and_follows_the_sessions() -> None:
    bars = generate_bars("gbpusd", 2024, 20_000, seed=1)
    size = np.abs(np.diff(np.log(bars.close)))
    assert np.corrcoef(size[:-1], size[1:])[0, 1] > 0.1
    local = utc_to_central(bars.time)[1:]
    hour = (local - local.astype("datetime64[D]")).astype("timedelta64[h]").astype(int)
    assert size[hour == 8].mean() > 1.5 * size[hour == 19].mean()


def test_years_join_without_a_jump() -> None:
    count = len(trading_minutes(2023))
    ends = generate_bars("gbpusd", 2023, None, seed=1)
    begins = generate_bars("gbpusd", 2024, 10, seed=1)
    assert 0.99 * count < len(ends) < count
    assert begins.open[0] == pytest.approx(ends.close[-1], rel=1e-4)


def test_where_there_are_no_bars_they_are_written_once_and_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = BarSource(input_root=tmp_path, bars=400)
    first = load_bars("gbpusd", source)
    said = capsys.readouterr().out
    (path,) = (tmp_path / "gbpusd").iterdir()
    assert "so synthetic ones were written" in said
    assert path.name in said
    assert path.name.startswith("SYNTHETIC_GBPUSD")

    written_at = path.stat().st_mtime_ns
    again = load_bars("gbpusd", source)
    assert "written" not in capsys.readouterr().out
    assert path.stat().st_mtime_ns == written_at
    assert (first.close == again.close).all()


def test_other_settings_leave_the_bars_of_earlier_ones_alone(tmp_path: Path) -> None:
    load_bars("gbpusd", BarSource(input_root=tmp_path, bars=400))
    other = load_bars("gbpusd", BarSource(input_root=tmp_path, bars=300, years=(2022, 2023)))
    assert len(other) == 300
    assert len(list((tmp_path / "gbpusd").iterdir())) == 3


def test_real_bars_are_preferred_and_the_newest_are_taken(tmp_path: Path, bars: Bars) -> None:
    load_bars("gbpusd", BarSource(input_root=tmp_path, bars=400))
    rows = [f"20200106 {9 + m // 60:02d}{m % 60:02d}00;1;1;1;1;0" for m in range(90)]
    (tmp_path / "gbpusd" / "DAT_ASCII_GBPUSD_M1_2020.csv").write_text("\n".join(rows))
    loaded = load_bars("gbpusd", BarSource(input_root=tmp_path, bars=30))
    assert len(loaded) == 30
    assert str(loaded.time[-1]) == "2020-01-06T16:29:00"
    assert len(load_bars("gbpusd", BarSource(input_root=tmp_path, bars=0))) == 90


def test_a_folder_without_a_usable_bar_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "gbpusd").mkdir()
    path = tmp_path / "gbpusd" / "DAT_ASCII_GBPUSD_M1_2020.csv"
    path.write_text("20200106 090000;1;nan;1;1;0\n")
    with pytest.raises(DataError, match="holds no usable bar"):
        load_bars("gbpusd", BarSource(input_root=tmp_path))


def test_the_program_makes_bars_ready_and_reports_bad_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--pairs", "gbpusd,eurusd", "--input-root", str(tmp_path), "--bars", "100"]
    assert main(flags) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"gbpusd", "eurusd"}
    (tmp_path / "eurusd" / "DAT_ASCII_EURUSD_M1_2020.csv").write_text("20200106;1\n")
    assert main(flags) == 1
    assert "DAT_ASCII_EURUSD_M1_2020.csv:1: expected 6 fields" in capsys.readouterr().err
