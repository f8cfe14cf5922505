from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from data.bars import Bars
from data.labels import LabelSettings, candle_pattern, compute_labels

SETTINGS = LabelSettings(t_out=2, lookahead_window=3, top_k=2)
Maker = Callable[..., Bars]


def labels_at_two(bars: Bars, settings: LabelSettings = SETTINGS) -> dict[str, Any]:
    """The labels of the bar with two bars before and three after it."""
    labels = compute_labels(bars, np.array([2]), settings)
    return {key: values[0].tolist() for key, values in labels.items()}


@pytest.mark.parametrize(
    ("end", "code"), [(0.9998, 0), (0.99995, 1), (1.0, 1), (1.00005, 1), (1.0002, 2)]
)
def test_direction_compares_the_return_over_the_horizon_with_the_flat_threshold(
    make_bars: Maker, end: float, code: int
) -> None:
    assert labels_at_two(make_bars([1, 1, 1, 5, end, 5]))["direction"] == code


@pytest.mark.parametrize(
    ("first", "second", "code"), [(1.1, 0.8, 0), (1.25, 0.8, 1), (0.9, 1.3, 2)]
)
def test_trend_compares_the_mean_future_return_with_the_flat_threshold(
    make_bars: Maker, first: float, second: float, code: int
) -> None:
    assert labels_at_two(make_bars([1, 1, 1, first, second, 9]))["trend"] == code


@pytest.mark.parametrize(
    ("closes", "rises", "regime"),
    [
        ([1, 1, 1, 1.1, 1, 1], 1, 2),  # calm, then wild
        ([1, 1.1, 1, 1, 1, 1], 0, 0),  # wild, then calm
        ([1, 1, 1, 1, 1, 1], 0, 1),
    ],
)
def test_volatility_and_its_regime_compare_the_deviations_after_and_before(
    make_bars: Maker, closes: list[float], rises: int, regime: int
) -> None:
    labels = labels_at_two(make_bars(closes))
    assert (labels["volatility"], labels["vol_regime"]) == (rises, regime)


def test_the_minimal_change_and_the_cut_are_measured_in_population_deviations(
    make_bars: Maker,
) -> None:
    bars = make_bars([1, 2, 2, 6, 6, 6])
    change = (math.log(3) - math.log(2)) / 2
    for margin, rises, regime in [(-1e-9, 1, 2), (1e-9, 0, 1)]:
        settings = LabelSettings(
            t_out=2,
            lookahead_window=3,
            top_k=2,
            vol_min_change=change + margin,
            vol_regime_cut=change + margin,
        )
        labels = labels_at_two(bars, settings)
        assert (labels["volatility"], labels["vol_regime"]) == (rises, regime)


@pytest.mark.parametrize(
    ("candle", "code"),
    [
        ((1.00, 1.5, 0.5, 1.05), 0),  # body 5 % of the range
        ((1.00, 1.0, 1.0, 1.00), 0),  # no range at all
        ((1.00, 1.6, 0.9, 1.50), 1),
        ((1.50, 1.6, 0.9, 1.00), 2),
        ((1.40, 1.5, 0.5, 1.50), 3),  # between the thresholds
    ],
)
def test_candle_pattern_is_read_from_body_over_range_of_the_next_bar(
    make_bars: Maker, candle: tuple[float, float, float, float], code: int
) -> None:
    open_, high, low, close = candle
    bars = make_bars(
        [1, 1, 1, close, 1, 1],
        open=[1, 1, 1, open_, 1, 1],
        high=[1, 1, 1, high, 1, 1],
        low=[1, 1, 1, low, 1, 1],
    )
    assert labels_at_two(bars)["candle_pattern"] == code
    assert candle_pattern(bars)[3] == code


def test_returns_closes_and_the_largest_of_them_are_the_future_ones(make_bars: Maker) -> None:
    labels = labels_at_two(make_bars([9, 9, 1, 1.5, 0.5, 2]))
    assert labels["return"] == pytest.approx([math.log(0.5)])
    assert labels["next_close"] == [1.5]
    assert labels["max_return"] == pytest.approx([math.log(2)])
    assert labels["topk_returns"] == pytest.approx([math.log(2), math.log(1.5)])
    assert labels["topk_prices"] == [2, 1.5]


@pytest.mark.parametrize(
    ("ahead", "code"), [((1, 0.9, 0.8), 1), ((0.9, 0.9, 1.1), 0), ((0.9, 0.9, 0.8), 1)]
)
def test_sell_now_holds_when_no_future_return_is_positive(
    make_bars: Maker, ahead: tuple[float, ...], code: int
) -> None:
    assert labels_at_two(make_bars([1, 1, 1, *ahead]))["sell_now"] == code


def test_many_anchors_at_once_give_what_each_gives_alone(bars: Bars) -> None:
    settings = LabelSettings()
    anchors = np.arange(20, 120)
    together = compute_labels(bars, anchors, settings)
    for row, anchor in enumerate(anchors):
        alone = compute_labels(bars, np.array([anchor]), settings)
        for key, values in alone.items():
            assert (together[key][row] == values[0]).all(), key
