"""Rolling and exponential statistics over a column; what lacks history yet is NaN."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from data.bars import FloatArray

# Long enough that the loop over blocks costs nothing, short enough that the kernel stays small.
_BLOCK_LENGTH = 256


def rolling_mean(values: FloatArray, window: int) -> FloatArray:
    """Return the mean of the last `window` values, NaN for the first `window - 1` rows."""
    return _after_warm_up(_windows(values, window).mean(axis=1), len(values))


def rolling_sum(values: FloatArray, window: int) -> FloatArray:
    """Return the sum of the last `window` values, NaN for the first `window - 1` rows."""
    return _after_warm_up(_windows(values, window).sum(axis=1), len(values))


def rolling_std(values: FloatArray, window: int) -> FloatArray:
    """Return the population standard deviation (ddof 0) of the last `window` values."""
    return _after_warm_up(_windows(values, window).std(axis=1), len(values))


def exponential_mean(values: FloatArray, alpha: float, window: int) -> FloatArray:
    """Return the exponential mean that starts at the first value, NaN for `window - 1` rows."""
    smoothed = exponential_filter(values, alpha, initial=float(values[0]))
    smoothed[: window - 1] = np.nan
    return smoothed


def exponential_filter(values: FloatArray, alpha: float, initial: float) -> FloatArray:
    """Return y with `y[i] = (1 - alpha) * y[i-1] + alpha * x[i]` and `y[-1] = initial`.

    Within a block the recursion is one matrix product; blocks are chained by their last value.
    """
    lag = np.subtract.outer(np.arange(_BLOCK_LENGTH), np.arange(_BLOCK_LENGTH))
    decay = 1.0 - alpha
    kernel = np.where(lag >= 0, alpha * decay ** np.abs(lag), 0.0)
    carry = decay ** np.arange(1, _BLOCK_LENGTH + 1)

    padding = -len(values) % _BLOCK_LENGTH
    padded = np.pad(values, (0, padding)).reshape(-1, _BLOCK_LENGTH)
    blocks: FloatArray = padded @ kernel.T
    level = initial
    for block in blocks:
        block += level * carry
        level = block[-1]
    return blocks.reshape(-1)[: len(values)]


def _windows(values: FloatArray, window: int) -> FloatArray:
    """Return every full window as a row; none if there are fewer values than a window has."""
    if len(values) < window:
        return np.empty((0, window))
    return sliding_window_view(values, window)


def _after_warm_up(complete: FloatArray, length: int) -> FloatArray:
    result = np.full(length, np.nan)
    result[length - len(complete) :] = complete
    return result
