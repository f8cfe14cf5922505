"""Checkpoints on disk: one file per epoch, of which the best few and the newest stay.

For the path `checkpoints/gbpusd.pt` the epochs are `gbpusd.epoch-0001.pt` and so on, and
`gbpusd.pt` itself is the best of them. Each file is written whole or not at all.
"""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path
from typing import Any

import torch

from data.histdata import replaced_file

State = dict[str, Any]


class CheckpointError(Exception):
    """A checkpoint cannot be used; the message says which and why."""


class Checkpoints:
    """The checkpoints of one training, at most `top_n` of the best and the newest."""

    def __init__(self, path: Path, top_n: int) -> None:
        self.path = path
        self._top_n = top_n
        self._epoch_name = re.compile(
            re.escape(path.stem) + r"\.epoch-(\d+)" + re.escape(path.suffix)
        )

    def save(self, epoch: int, state: State, val_losses: list[float]) -> Path:
        """Write an epoch's state and drop what is no longer among the best or the newest.

        `val_losses` holds the validation loss of every epoch so far, this one's last.
        """
        path = self.path_of_epoch(epoch)
        with replaced_file(path) as temporary:
            torch.save(state, temporary)
        ranked = epochs_by_loss(val_losses)
        if ranked[0] == epoch:
            with replaced_file(self.path) as temporary:
                shutil.copyfile(path, temporary)
        kept = {epoch, *ranked[: self._top_n]}
        for other, file in self._epoch_files().items():
            if other not in kept:
                file.unlink()
        return path

    def load_newest(self) -> State:
        """Return the state of the newest epoch. Raises CheckpointError if there is none."""
        files = self._epoch_files()
        if not files:
            raise CheckpointError(f"--resume: there is no {self.path_of_epoch(1)} or later")
        return load_checkpoint(files[max(files)])

    def clear(self) -> int:
        """Remove the epochs of an earlier training at this path; return how many there were."""
        files = self._epoch_files()
        for file in files.values():
            file.unlink()
        return len(files)

    def path_of_epoch(self, epoch: int) -> Path:
        """Return where an epoch's state is kept."""
        return self.path.with_name(f"{self.path.stem}.epoch-{epoch:04d}{self.path.suffix}")

    def _epoch_files(self) -> dict[int, Path]:
        if not self.path.parent.is_dir():
            return {}
        matches = ((self._epoch_name.fullmatch(p.name), p) for p in self.path.parent.iterdir())
        return {int(match.group(1)): path for match, path in matches if match}


def epochs_by_loss(val_losses: list[float]) -> list[int]:
    """Return the epochs (from 1) by validation loss, best first; NaN last, ties to the earlier."""

    def rank(epoch: int) -> tuple[bool, float]:
        loss = val_losses[epoch - 1]
        return math.isnan(loss), loss

    return sorted(range(1, len(val_losses) + 1), key=rank)


def load_checkpoint(path: Path) -> State:
    """Read a checkpoint, data only: nothing in the file is executed. Raises CheckpointError."""
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist; train first") from None
    except Exception as error:
        raise CheckpointError(f"{path} is not a checkpoint of this program: {error}") from error
    return state
