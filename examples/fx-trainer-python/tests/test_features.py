"""Every feature against a slow definition in plain Python, read row by row."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from data.bars import Bars
from features.agent_features import FEATURE_GROUPS, FeatureSettings, compute_features
from features.rolling import exponential_filter

Row = Callable[[Bars, int], float]


def window(values: npt.NDArray[Any], row: int, length: int) -> list[float]:
    assert row + 1 >= length
    return [float(value) for value in values[row + 1 - length : row + 1]]


def returns(bars: Bars, row: int, length: int) -> list[float]:
    closes = window(bars.close, row, length + 1)
    return [math.log(after / before) for before, after in pairwise(closes)]


def changes(bars: Bars, row: int, length: int) -> list[float]:
    closes = window(bars.close, row, length + 1)
    return [after - before for before, after in pairwise(closes)]


def smoothed(values: list[float], alpha: float) -> float:
    level = values[0]
    for value in values[1:]:
        level += alpha * (value - level)
    return level


def ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else 0.0


def rsi(bars: Bars, row: int) -> float:
    moves = [0.0, *changes(bars, row, row)]
    gain = smoothed([max(move, 0.0) for move in moves], 1 / 14)
    loss = smoothed([max(-move, 0.0) for move in moves], 1 / 14)
    return 100.0 - 100.0 / (1.0 + gain / loss)


def atr(bars: Bars, row: int) -> float:
    ranges = []
    for i in range(row + 1):
        before = float(bars.close[max(i - 1, 0)])
        high, low = float(bars.high[i]), float(bars.low[i])
        ranges.append(max(high - low, abs(high - before), abs(low - before)))
    return smoothed(ranges, 1 / 14) / float(bars.close[row])


def wick_imbalance(bars: Bars, row: int) -> float:
    shares = []
    for i in range(row - 4, row + 1):
        top, bottom = max(bars.open[i], bars.close[i]), min(bars.open[i], bars.close[i])
        wicks = (bars.high[i] - top) - (bottom - bars.low[i])
        shares.append(ratio(float(wicks), float(bars.high[i] - bars.low[i])))
    return statistics.fmean(shares)


def directional_change(bars: Bars, row: int) -> tuple[float, float, float]:
    prices = [math.log(close) for close in bars.close[: row + 1]]
    up, extreme, turned_at = True, prices[0], 0
    for i, price in enumerate(prices):
        if up and price <= extreme - 0.001:
            up, extreme, turned_at = False, price, i
        elif not up and price >= extreme + 0.001:
            up, extreme, turned_at = True, price, i
        else:
            extreme = max(extreme, price) if up else min(extreme, price)
    move = prices[row] - prices[turned_at]
    return (1.0 if up else -1.0, move, math.log(1 + row - turned_at))


def relative_ranges(bars: Bars, row: int, length: int) -> list[float]:
    return [
        float((bars.high[i] - bars.low[i]) / bars.close[i])
        for i in range(row - length + 1, row + 1)
    ]


def average(alpha_window: int) -> Row:
    return lambda bars, row: (
        float(bars.close[row]) / smoothed(window(bars.close, row, row + 1), 2 / (alpha_window + 1))
        - 1
    )


def simple(length: int) -> Row:
    return lambda bars, row: (
        float(bars.close[row]) / statistics.fmean(window(bars.close, row, length)) - 1
    )


def tick_imbalance(length: int) -> Row:
    return lambda bars, row: statistics.fmean(np.sign(changes(bars, row, length)))


def efficiency(length: int) -> Row:
    return lambda bars, row: ratio(
        sum(changes(bars, row, length)), sum(map(abs, changes(bars, row, length)))
    )


DEFINITIONS: dict[str, Row] = {
    "log_return": lambda bars, row: returns(bars, row, 1)[0],
    "bar_range": lambda bars, row: relative_ranges(bars, row, 1)[0],
    "bar_body": lambda bars, row: float((bars.close[row] - bars.open[row]) / bars.close[row]),
    **{f"sma_{length}": simple(length) for length in (10, 20, 50)},
    **{f"ema_{length}": average(length) for length in (10, 20, 50)},
    "rsi_14": rsi,
    "bollinger_position": lambda bars, row: (
        (float(bars.close[row]) - statistics.fmean(window(bars.close, row, 20)))
        / (2 * statistics.pstdev(window(bars.close, row, 20)))
    ),
    "bollinger_width": lambda bars, row: (
        4
        * statistics.pstdev(window(bars.close, row, 20))
        / statistics.fmean(window(bars.close, row, 20))
    ),
    "atr_14": atr,
    "vol_short": lambda bars, row: statistics.pstdev(returns(bars, row, 10)),
    "vol_long": lambda bars, row: statistics.pstdev(returns(bars, row, 50)),
    "vol_ratio": lambda bars, row: (
        statistics.pstdev(returns(bars, row, 10)) / statistics.pstdev(returns(bars, row, 50))
    ),
    "spread_20": lambda bars, row: statistics.fmean(relative_ranges(bars, row, 20)),
    "wick_imbalance_5": wick_imbalance,
    **{f"tick_imbalance_{length}": tick_imbalance(length) for length in (5, 10, 20)},
    **{f"efficiency_{length}": efficiency(length) for length in (5, 10, 20)},
    "dc_direction": lambda bars, row: directional_change(bars, row)[0],
    "dc_move": lambda bars, row: directional_change(bars, row)[1],
    "dc_age": lambda bars, row: directional_change(bars, row)[2],
}


def test_every_feature_of_the_default_settings_has_a_definition_here(bars: Bars) -> None:
    assert set(compute_features("gbpusd", bars, FeatureSettings()).names) == set(DEFINITIONS)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_feature_follows_its_definition(bars: Bars, name: str) -> None:
    table = compute_features("gbpusd", bars, FeatureSettings())
    column = table.values[:, table.names.index(name)]
    for row in (50, 51, 77, 123, 299):
        expected = DEFINITIONS[name](bars, row)
        assert column[row] == pytest.approx(expected, rel=1e-7, abs=1e-12), row


def test_rows_are_complete_once_the_longest_window_is_full(bars: Bars) -> None:
    table = compute_features("gbpusd", bars, FeatureSettings())
    assert table.first_complete_row == 50
    assert np.isfinite(table.values[50:]).all()


def test_no_feature_looks_ahead(bars: Bars) -> None:
    whole = compute_features("gbpusd", bars, FeatureSettings())
    past = compute_features("gbpusd", bars.select(np.arange(150)), FeatureSettings())
    np.testing.assert_allclose(whole.values[50:150], past.values[50:], rtol=1e-9, atol=1e-15)


def test_a_market_that_stands_still_gives_finite_features(make_bars: Callable[..., Bars]) -> None:
    table = compute_features("gbpusd", make_bars([1.25] * 120), FeatureSettings())
    assert np.isfinite(table.values[table.first_complete_row :]).all()
    assert table.values[60, table.names.index("rsi_14")] == 50.0


def test_groups_and_windows_are_chosen_by_the_settings(bars: Bars) -> None:
    only = compute_features("gbpusd", bars, FeatureSettings(groups=("sma",), sma_windows=(3, 7)))
    assert only.names == ("sma_3", "sma_7")
    assert only.first_complete_row == 6
    counts = {
        group: len(compute_features("gbpusd", bars, FeatureSettings(groups=(group,))).names)
        for group in FEATURE_GROUPS
    }
    assert sum(counts.values()) == len(DEFINITIONS)


@pytest.mark.parametrize("length", [1, 255, 256, 257, 1000])
def test_the_exponential_filter_equals_its_recursion_at_every_length(length: int) -> None:
    values = np.random.default_rng(1).standard_normal(length)
    level, expected = 0.3, []
    for value in values:
        level = 0.9 * level + 0.1 * value
        expected.append(level)
    np.testing.assert_allclose(exponential_filter(values, 0.1, 0.3), expected, rtol=1e-9)


def test_feature_engineering_is_traced_with_pair_and_count(
    bars: Bars, exported_spans: Callable[[], list[Any]]
) -> None:
    compute_features("gbpusd", bars, FeatureSettings())
    (span,) = exported_spans()
    assert span.name == "feature_engineering"
    assert span.attributes["pair"] == "gbpusd"
    assert span.attributes["feature_count"] == len(DEFINITIONS)
