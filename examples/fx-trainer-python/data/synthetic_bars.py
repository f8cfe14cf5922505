"""Seeded minute bars that look like a currency pair's, for use where there is no data.

The process has what makes such data hard and what makes it learnable: volatility clusters (a
log-volatility that reverts slowly), it follows the trading sessions of the day, some minutes have
no trade, and the price carries a slowly reverting drift, hidden in the noise of single minutes.
Real pairs are much less predictable: results on these bars say nothing about real ones.
"""

from __future__ import annotations

import zlib

import numpy as np

from data.bars import Bars, FloatArray, TimeArray
from data.histdata import central_to_utc
from features.rolling import exponential_filter

_START_PRICES = {
    "audusd": 0.66,
    "eurgbp": 0.85,
    "eurjpy": 160.0,
    "eurusd": 1.09,
    "gbpusd": 1.27,
    "nzdusd": 0.61,
    "usdcad": 1.36,
    "usdchf": 0.88,
    "usdjpy": 148.0,
}
_MINUTE_VOLATILITY = 7e-5
_LOG_VOLATILITY_REVERSION = 0.985
_LOG_VOLATILITY_SPREAD = 0.5
_DRIFT_REVERSION = 0.98
_DRIFT_SHARE = 0.6
_STEPS_PER_MINUTE = 4
_MISSING_MINUTES = 0.004  # Share of the minutes without a trade, which real files leave out.
_SUNDAY, _FRIDAY, _SATURDAY = 6, 4, 5
_MARKET_HOUR = 16  # Opens on Sunday and closes on Friday at 17:00 in New York, 16:00 Central.


def price_digits(pair: str) -> int:
    """Return the decimals in which the pair is quoted: 3 against the yen, 5 otherwise."""
    return 3 if pair.endswith("jpy") else 5


def generate_bars(pair: str, year: int, count: int | None, seed: int) -> Bars:
    """Return the first `count` bars of a synthetic year, or all of it (None, or more than it has).

    The same arguments give the same bars. A year ends at the price at which it began, so that
    years generated one by one join without a jump.
    """
    rng = np.random.default_rng([seed, zlib.crc32(pair.encode()), year])
    minutes = trading_minutes(year)
    local = minutes[rng.random(len(minutes)) >= _MISSING_MINUTES][:count]
    log_steps = _log_price_steps(local, rng)

    path = np.cumsum(log_steps.reshape(-1))
    path -= path[-1] * np.arange(1, len(path) + 1) / len(path)
    path = path.reshape(log_steps.shape)
    before = np.concatenate([[0.0], path[:-1, -1]])
    path = np.column_stack([before, path])
    start_price = _START_PRICES.get(pair, 1.0)
    prices = np.round(start_price * np.exp(path), price_digits(pair))
    return Bars(
        time=central_to_utc(local),
        open=prices[:, 0],
        high=prices.max(axis=1),
        low=prices.min(axis=1),
        close=prices[:, -1],
        volume=np.zeros(len(local)),  # HistData's currency files hold no volume either.
    )


def trading_minutes(year: int) -> TimeArray:
    """Return the minutes (US-Central wall clock) of the year in which the market is open."""
    start, end = (
        np.datetime64(f"{y:04d}-01-01T00:00", "m").astype(np.int64) for y in (year, year + 1)
    )
    minute = np.arange(start, end)  # Since 1970: whole numbers are far faster than datetime64.
    weekday = (minute // (24 * 60) + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0.
    hour = minute // 60 % 24
    closed = (
        (weekday == _SATURDAY)
        | ((weekday == _SUNDAY) & (hour < _MARKET_HOUR))
        | ((weekday == _FRIDAY) & (hour >= _MARKET_HOUR))
    )
    open_minutes: TimeArray = minute[~closed].astype("datetime64[m]").astype("datetime64[s]")
    return open_minutes


def _log_price_steps(local: TimeArray, rng: np.random.Generator) -> FloatArray:
    """Return the log-price changes within each minute, shape (minutes, steps)."""
    count = len(local)
    log_volatility = _LOG_VOLATILITY_SPREAD * _reverting(count, _LOG_VOLATILITY_REVERSION, rng)
    volatility = _MINUTE_VOLATILITY * _session_activity(local) * np.exp(log_volatility)
    drift = _DRIFT_SHARE * _reverting(count, _DRIFT_REVERSION, rng)
    noise = rng.standard_normal((count, _STEPS_PER_MINUTE)) / np.sqrt(_STEPS_PER_MINUTE)
    steps: FloatArray = volatility[:, None] * (drift[:, None] / _STEPS_PER_MINUTE + noise)
    return steps


def _reverting(count: int, persistence: float, rng: np.random.Generator) -> FloatArray:
    """Return a mean-reverting (AR(1)) path with mean 0 and standard deviation 1."""
    shocks = rng.standard_normal(count) * np.sqrt(1.0 - persistence**2)
    alpha = 1.0 - persistence
    return exponential_filter(shocks / alpha, alpha, initial=float(rng.standard_normal()))


def _session_activity(local: TimeArray) -> FloatArray:
    """Return how lively the market is: quiet in Asia's hours, more at London's and New York's."""
    hour = local.astype("datetime64[s]").astype(np.int64) % 86_400 / 3600.0
    london = np.exp(-(((hour - 3.0) / 2.5) ** 2))
    new_york = np.exp(-(((hour - 8.5) / 2.5) ** 2))
    return np.asarray(0.6 + 0.5 * london + 0.8 * new_york, dtype=np.float64)
