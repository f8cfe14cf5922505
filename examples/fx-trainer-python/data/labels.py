"""The labels: what lies ahead of a window, as class codes and regression targets.

For a window whose last bar is `a` (its anchor), "future return i" is the log return from the close
of `a` to the close of `a + i`. Volatilities are population standard deviations of one-bar log
returns. No label uses a bar of its own window as the thing to be predicted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.bars import Bars, FloatArray, IndexArray

Labels = dict[str, npt.NDArray[np.float64] | npt.NDArray[np.int64]]

# Regression targets that are prices: learned as distance from the anchor's close.
PRICE_LABELS = ("next_close", "topk_prices")

_DOJI_BODY_SHARE = 0.1
_STRONG_BODY_SHARE = 0.55


@dataclass(frozen=True)
class LabelSettings:
    """Horizons in bars and the thresholds of the classes (log returns)."""

    t_out: int = 10
    lookahead_window: int = 10
    top_k: int = 3
    flat_threshold: float = 1e-4
    vol_min_change: float = 0.0
    vol_regime_cut: float = 2e-5

    @property
    def horizon(self) -> int:
        """How many bars after the anchor the labels need."""
        return max(self.t_out, self.lookahead_window)


def compute_labels(bars: Bars, anchors: IndexArray, settings: LabelSettings) -> Labels:
    """Return every label for every anchor.

    Needs `settings.t_out` bars before and `settings.horizon` bars after each anchor.
    """
    future = _future_returns(bars, anchors, settings.t_out)
    ahead = _future_returns(bars, anchors, settings.lookahead_window)
    volatility_change = _volatility_change(bars, anchors, settings.t_out)
    best_first = -np.sort(-ahead, axis=1)[:, : settings.top_k]
    closes_ahead = bars.close[_rows_after(anchors, settings.lookahead_window)]
    return {
        "direction": three_way(future[:, -1], settings.flat_threshold),
        "volatility": (volatility_change > settings.vol_min_change).astype(np.int64),
        "trend": three_way(future.mean(axis=1), settings.flat_threshold),
        "vol_regime": three_way(volatility_change, settings.vol_regime_cut),
        "candle_pattern": candle_pattern(bars.select(anchors + 1)),
        "return": future[:, -1:],
        "next_close": bars.close[anchors + 1][:, None],
        "max_return": ahead.max(axis=1, keepdims=True),
        "topk_returns": best_first,
        "topk_prices": -np.sort(-closes_ahead, axis=1)[:, : settings.top_k],
        "sell_now": (ahead.max(axis=1) <= 0.0).astype(np.int64),
    }


def three_way(values: FloatArray, band: float) -> npt.NDArray[np.int64]:
    """Return 0 below -band, 2 above +band, 1 between (the band's edges included)."""
    return np.where(values < -band, 0, np.where(values > band, 2, 1)).astype(np.int64)


def candle_pattern(bars: Bars) -> npt.NDArray[np.int64]:
    """Return 0 doji, 1 strong rise, 2 strong fall, 3 hammer or other, by body over range.

    A bar without any range is a doji.
    """
    span = bars.high - bars.low
    body_share = np.abs(bars.close - bars.open) / np.where(span > 0.0, span, 1.0)
    strong = body_share > _STRONG_BODY_SHARE
    return np.select(
        [
            body_share < _DOJI_BODY_SHARE,
            strong & (bars.close > bars.open),
            strong & (bars.close < bars.open),
        ],
        [0, 1, 2],
        default=3,
    ).astype(np.int64)


def _rows_after(anchors: IndexArray, count: int) -> IndexArray:
    return anchors[:, None] + np.arange(1, count + 1)


def _future_returns(bars: Bars, anchors: IndexArray, count: int) -> FloatArray:
    log_close = np.log(bars.close)
    returns: FloatArray = log_close[_rows_after(anchors, count)] - log_close[anchors][:, None]
    return returns


def _volatility_change(bars: Bars, anchors: IndexArray, count: int) -> FloatArray:
    """Return the volatility of the next `count` bars less that of the last `count`."""
    returns = np.diff(np.log(bars.close), prepend=np.nan)
    rows_after = _rows_after(anchors, count)
    change: FloatArray = returns[rows_after].std(axis=1) - returns[rows_after - count].std(axis=1)
    return change
