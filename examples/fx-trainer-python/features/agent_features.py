"""The features: indicators of minute bars, in groups that can be switched off.

Every feature of a row uses that row and earlier ones only. Rows without enough history hold NaN.
Prices enter as ratios, so that a feature means the same at every price level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from data.bars import Bars, FloatArray
from features.rolling import exponential_mean, rolling_mean, rolling_std, rolling_sum
from tracing import get_tracer, trace_feature_engineering

Features = dict[str, FloatArray]
tracer = get_tracer(__name__)

FEATURE_GROUPS = (
    "price",
    "sma",
    "ema",
    "rsi",
    "bollinger",
    "atr",
    "volatility",
    "spread",
    "wick_imbalance",
    "microstructure",
    "intrinsic_time",
)


@dataclass(frozen=True)
class FeatureSettings:
    """Windows in bars, and the groups to compute; the defaults are the reference workload's."""

    sma_windows: tuple[int, ...] = (10, 20, 50)
    ema_windows: tuple[int, ...] = (10, 20, 50)
    rsi_window: int = 14
    bollinger_window: int = 20
    bollinger_deviations: float = 2.0
    atr_window: int = 14
    short_vol_window: int = 10
    long_vol_window: int = 50
    spread_window: int = 20
    wick_imbalance_window: int = 5
    microstructure_windows: tuple[int, ...] = (5, 10, 20)
    directional_change: float = 0.001
    groups: tuple[str, ...] = FEATURE_GROUPS


@dataclass(frozen=True)
class FeatureTable:
    """Named feature columns of all bars, shape (bars, features), and the first complete row."""

    names: tuple[str, ...]
    values: FloatArray
    first_complete_row: int


def compute_features(pair: str, bars: Bars, settings: FeatureSettings) -> FeatureTable:
    """Compute the chosen groups inside a `feature_engineering` span."""
    with trace_feature_engineering(tracer, pair, 0) as span:
        columns: Features = {}
        for group in settings.groups:
            columns.update(_compute_group(group, bars, settings))
        values = np.column_stack(list(columns.values()))
        incomplete = np.flatnonzero(~np.isfinite(values).all(axis=1))
        first_complete_row = int(incomplete[-1]) + 1 if len(incomplete) else 0
        span.set_attribute("feature_count", len(columns))
        span.set_attribute("feature_groups", ",".join(settings.groups))
        span.set_attribute("num_samples", len(bars))
        return FeatureTable(tuple(columns), values, first_complete_row)


def log_returns(close: FloatArray) -> FloatArray:
    """Return the log return of each bar against the one before, NaN for the first."""
    return np.concatenate([[np.nan], np.diff(np.log(close))])


def _compute_group(group: str, bars: Bars, settings: FeatureSettings) -> Features:
    return {
        "price": _price,
        "sma": _sma,
        "ema": _ema,
        "rsi": _rsi,
        "bollinger": _bollinger,
        "atr": _atr,
        "volatility": _volatility,
        "spread": _spread,
        "wick_imbalance": _wick_imbalance,
        "microstructure": _microstructure,
        "intrinsic_time": _intrinsic_time,
    }[group](bars, settings)


def _price(bars: Bars, _settings: FeatureSettings) -> Features:
    return {
        "log_return": log_returns(bars.close),
        "bar_range": (bars.high - bars.low) / bars.close,
        "bar_body": (bars.close - bars.open) / bars.close,
    }


def _sma(bars: Bars, settings: FeatureSettings) -> Features:
    return {
        f"sma_{window}": bars.close / rolling_mean(bars.close, window) - 1.0
        for window in settings.sma_windows
    }


def _ema(bars: Bars, settings: FeatureSettings) -> Features:
    return {
        f"ema_{window}": bars.close / exponential_mean(bars.close, 2.0 / (window + 1), window) - 1.0
        for window in settings.ema_windows
    }


def _rsi(bars: Bars, settings: FeatureSettings) -> Features:
    """Wilder's relative strength index, 0 to 100; 50 where the price has not moved at all."""
    window = settings.rsi_window
    change = np.diff(bars.close, prepend=bars.close[0])
    gain = exponential_mean(np.maximum(change, 0.0), 1.0 / window, window + 1)
    loss = exponential_mean(np.maximum(-change, 0.0), 1.0 / window, window + 1)
    moved = gain + loss
    rsi = np.where(moved > 0.0, 100.0 * gain / np.where(moved > 0.0, moved, 1.0), 50.0)
    rsi[np.isnan(moved)] = np.nan
    return {f"rsi_{window}": rsi}


def _bollinger(bars: Bars, settings: FeatureSettings) -> Features:
    """Where the close lies between the bands (-1 to 1 inside), and the bands' relative width."""
    mean = rolling_mean(bars.close, settings.bollinger_window)
    half_width = settings.bollinger_deviations * rolling_std(bars.close, settings.bollinger_window)
    return {
        "bollinger_position": _ratio(bars.close - mean, half_width),
        "bollinger_width": 2.0 * half_width / mean,
    }


def _atr(bars: Bars, settings: FeatureSettings) -> Features:
    """Wilder's average true range, as a share of the close."""
    before = np.concatenate([bars.close[:1], bars.close[:-1]])
    true_range = np.maximum(bars.high, before) - np.minimum(bars.low, before)
    window = settings.atr_window
    return {f"atr_{window}": exponential_mean(true_range, 1.0 / window, window) / bars.close}


def _volatility(bars: Bars, settings: FeatureSettings) -> Features:
    returns = log_returns(bars.close)
    short = rolling_std(returns, settings.short_vol_window)
    long = rolling_std(returns, settings.long_vol_window)
    return {"vol_short": short, "vol_long": long, "vol_ratio": _ratio(short, long)}


def _spread(bars: Bars, settings: FeatureSettings) -> Features:
    """The mean relative range: what the bars, which hold no bid and ask, tell of the spread."""
    window = settings.spread_window
    return {f"spread_{window}": rolling_mean((bars.high - bars.low) / bars.close, window)}


def _wick_imbalance(bars: Bars, settings: FeatureSettings) -> Features:
    """The mean of (upper wick - lower wick) / range: where prices were refused, -1 to 1."""
    upper = bars.high - np.maximum(bars.open, bars.close)
    lower = np.minimum(bars.open, bars.close) - bars.low
    imbalance = _ratio(upper - lower, bars.high - bars.low)
    window = settings.wick_imbalance_window
    return {f"wick_imbalance_{window}": rolling_mean(imbalance, window)}


def _microstructure(bars: Bars, settings: FeatureSettings) -> Features:
    """Per window: share of rising less falling bars, and net move over the path's length."""
    change = np.concatenate([[np.nan], np.diff(bars.close)])
    columns: Features = {}
    for window in settings.microstructure_windows:
        columns[f"tick_imbalance_{window}"] = rolling_mean(np.sign(change), window)
        net = rolling_sum(change, window)
        columns[f"efficiency_{window}"] = _ratio(net, rolling_sum(np.abs(change), window))
    return columns


def _intrinsic_time(bars: Bars, settings: FeatureSettings) -> Features:
    """Directional change: the clock that ticks when the price turns by the threshold.

    Columns: the current direction (1 up, -1 down), the log move since the turn was confirmed,
    and log(1 + bars) since then. A loop, because each turn depends on the one before.
    """
    log_close = np.log(bars.close).tolist()
    direction, extreme = 1.0, log_close[0]
    confirmed_at, confirmed_price = 0, log_close[0]
    rows = []
    for index, price in enumerate(log_close):
        if (price - extreme) * direction > 0.0:
            extreme = price
        elif (extreme - price) * direction >= settings.directional_change:
            direction, extreme = -direction, price
            confirmed_at, confirmed_price = index, price
        rows.append((direction, price - confirmed_price, math.log1p(index - confirmed_at)))
    directions, moves, ages = np.array(rows).T
    return {"dc_direction": directions, "dc_move": moves, "dc_age": ages}


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Divide; 0 where the denominator is 0 (nothing moved), NaN where either is NaN."""
    zero = denominator == 0.0
    quotient: FloatArray = np.where(zero, 0.0, numerator / np.where(zero, 1.0, denominator))
    return quotient
