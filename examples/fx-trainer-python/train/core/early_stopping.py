"""When to stop: no better validation loss for a number of epochs."""

from __future__ import annotations

import math


class EarlyStopping:
    """Watches the validation loss. A loss that is not a number is no improvement."""

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._best_loss = math.inf
        self._epochs_without_gain = 0

    def take(self, val_loss: float) -> None:
        """Take the next epoch's validation loss."""
        if val_loss < self._best_loss:
            self._best_loss = val_loss
            self._epochs_without_gain = 0
        else:
            self._epochs_without_gain += 1

    @property
    def should_stop(self) -> bool:
        """Whether patience is used up; a patience of 0 never is."""
        return 0 < self._patience <= self._epochs_without_gain
