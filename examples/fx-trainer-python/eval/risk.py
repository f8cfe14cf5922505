"""What the predicted directions would have earned, and the gate that keeps out of bad moments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.bars import FloatArray

_DOWN, _UP = 0, 2


@dataclass(frozen=True)
class RiskGate:
    """Takes no position when the market is wilder than usual or the model is unsure."""

    max_volatility: float
    min_confidence: float = 0.4

    @staticmethod
    def from_training(volatility: FloatArray) -> RiskGate:
        """Allow the calmer 95 % of what the training part has seen."""
        return RiskGate(max_volatility=float(np.quantile(volatility, 0.95)))

    def allows(self, probabilities: FloatArray, volatility: FloatArray) -> npt.NDArray[np.bool_]:
        """Say for each window whether a position may be taken."""
        sure = probabilities.max(axis=1) >= self.min_confidence
        calm = volatility <= self.max_volatility
        return np.asarray(sure & calm)


@dataclass(frozen=True)
class TradingSummary:
    """One unit long or short per window, held over the horizon; costs are not counted.

    `mean_return` is the mean log return per position, 0.0 without any.
    """

    positions: int
    blocked: int
    mean_return: float


def summarise_trading(
    probabilities: FloatArray, volatility: FloatArray, returns: FloatArray, gate: RiskGate | None
) -> TradingSummary:
    """Take the positions that the direction probabilities suggest and the gate allows."""
    predicted = probabilities.argmax(axis=1)
    side = (predicted == _UP).astype(np.float64) - (predicted == _DOWN)
    wanted = side != 0.0
    taken = wanted & gate.allows(probabilities, volatility) if gate else wanted
    return TradingSummary(
        positions=int(taken.sum()),
        blocked=int((wanted & ~taken).sum()),
        mean_return=float((side * returns)[taken].mean()) if taken.any() else 0.0,
    )
