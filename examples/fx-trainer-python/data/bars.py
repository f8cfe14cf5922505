"""Minute bars as columns, and the removal of those that cannot be right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
TimeArray = npt.NDArray[np.datetime64]
IndexArray = npt.NDArray[np.int64]


class DataError(Exception):
    """The bars cannot be used; the message names what is wrong and what to do."""


@dataclass(frozen=True)
class Bars:
    """Bars of one pair in columns of equal length; `time` is UTC, `datetime64[s]`."""

    time: TimeArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray

    def __len__(self) -> int:
        return len(self.time)

    def select(self, rows: IndexArray | npt.NDArray[np.bool_]) -> Bars:
        """Return the given rows, as a new set of bars."""
        return Bars(
            self.time[rows],
            self.open[rows],
            self.high[rows],
            self.low[rows],
            self.close[rows],
            self.volume[rows],
        )

    @staticmethod
    def concatenate(parts: list[Bars]) -> Bars:
        """Join sets of bars in the order given."""
        return Bars(
            np.concatenate([part.time for part in parts]),
            np.concatenate([part.open for part in parts]),
            np.concatenate([part.high for part in parts]),
            np.concatenate([part.low for part in parts]),
            np.concatenate([part.close for part in parts]),
            np.concatenate([part.volume for part in parts]),
        )


@dataclass(frozen=True)
class Dropped:
    """How many bars `clean_bars` dropped, by reason."""

    nan: int
    duplicate: int
    impossible: int


def clean_bars(bars: Bars) -> tuple[Bars, Dropped]:
    """Sort bars by time and drop NaN, repeated minutes (the first stays) and impossible prices.

    Impossible means: not above zero, infinite, or high and low do not enclose open and close.
    """
    bars = bars.select(np.argsort(bars.time, kind="stable"))

    prices = np.stack([bars.open, bars.high, bars.low, bars.close])
    complete = np.asarray(~np.isnan(prices).any(axis=0))
    nan_count = int((~complete).sum())
    bars = bars.select(complete)

    first_of_minute = np.ones(len(bars), dtype=bool)
    first_of_minute[1:] = bars.time[1:] != bars.time[:-1]
    duplicate_count = int((~first_of_minute).sum())
    bars = bars.select(first_of_minute)

    possible = (
        (bars.low > 0)
        & np.isfinite(bars.high)
        & (bars.low <= np.minimum(bars.open, bars.close))
        & (bars.high >= np.maximum(bars.open, bars.close))
    )
    impossible_count = int((~possible).sum())
    return bars.select(possible), Dropped(nan_count, duplicate_count, impossible_count)
