"""Windows over the bars: which there are in each part of the split, and how batches take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler

from data.bars import DataError, IndexArray

Batch = tuple[Tensor, dict[str, Tensor]]


@dataclass(frozen=True)
class WindowSettings:
    """Bars per window, from one to the next, and the shares of training and validation.

    The rest of the bars is the test part.
    """

    t_in: int = 120
    stride: int = 8
    train_ratio: float = 0.70
    val_ratio: float = 0.15


@dataclass(frozen=True)
class Split:
    """The anchors (last bar of a window) of each part, in order of time."""

    train: IndexArray
    val: IndexArray
    test: IndexArray


def split_by_time(
    bar_count: int, first_row: int, bars_before: int, horizon: int, settings: WindowSettings
) -> Split:
    """Split the bars by time; a window and all its labels lie within one part.

    `first_row` is the first row with complete features, `bars_before` what labels need before an
    anchor, `horizon` what they need after it. Raises DataError if a part has no window.
    """
    train_end = int(bar_count * settings.train_ratio)
    val_end = int(bar_count * (settings.train_ratio + settings.val_ratio))
    reach_back = max(settings.t_in - 1, bars_before)
    starts = {"train": first_row, "val": train_end, "test": val_end}
    ends = {"train": train_end, "val": val_end, "test": bar_count}
    parts = {
        name: np.arange(
            starts[name] + reach_back, ends[name] - horizon, settings.stride, dtype=np.int64
        )
        for name in starts
    }
    empty = [name for name, anchors in parts.items() if len(anchors) == 0]
    if empty:
        raise DataError(
            f"{bar_count} bars are too few: no window of {settings.t_in} + {horizon} bars fits "
            f"into {', '.join(empty)}; use more bars, shorter windows or other ratios"
        )
    return Split(**parts)


class WindowDataset(Dataset[Batch]):
    """Windows of scaled features with their targets; takes many indices at once.

    The windows overlap and are cut when asked for, so the data is held once.
    """

    def __init__(
        self, features: Tensor, anchors: IndexArray, targets: dict[str, Tensor], t_in: int
    ) -> None:
        self.anchors = torch.from_numpy(anchors)
        self.targets = targets
        self._features = features
        self._offsets = torch.arange(1 - t_in, 1)

    def __len__(self) -> int:
        return len(self.anchors)

    def __getitem__(self, indices: Sequence[int]) -> Batch:
        chosen = torch.as_tensor(indices)
        rows = self.anchors[chosen][:, None] + self._offsets
        return self._features[rows], {key: label[chosen] for key, label in self.targets.items()}


def batches_in_order(dataset: WindowDataset, batch_size: int) -> DataLoader[Batch]:
    """Return batches in order of time; the last may be short."""
    return _loader(dataset, BatchSampler(SequentialSampler(dataset), batch_size, drop_last=False))


def shuffled_batches(dataset: WindowDataset, batch_size: int, seed: int) -> DataLoader[Batch]:
    """Return batches in an order given by the seed; the last may be short."""
    sampler = RandomSampler(dataset, generator=torch.Generator().manual_seed(seed))
    return _loader(dataset, BatchSampler(sampler, batch_size, drop_last=False))


def _loader(dataset: WindowDataset, batches: BatchSampler) -> DataLoader[Batch]:
    # As `sampler` with automatic batching off, a batch of indices is one look-up in the dataset.
    return DataLoader(dataset, sampler=batches, batch_size=None)
