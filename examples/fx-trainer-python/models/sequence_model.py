"""The network: convolution and LSTM side by side, attention over time, one head per task."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.tasks import Task

_CONV_CHANNELS = 32
_CONV_KERNEL = 3
_LSTM_UNITS = 64
_ATTENTION_UNITS = 64
_DROPOUT = 0.1


class TemporalAttention(nn.Module):
    """Weighs the time steps by what they contain and returns their weighted sum."""

    def __init__(self, channels: int, units: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(channels, units), nn.Tanh(), nn.Linear(units, 1))

    def forward(self, steps: Tensor) -> Tensor:
        """Map (batch, time, channels) to (batch, channels)."""
        weights = torch.softmax(self.score(steps), dim=1)
        return (weights * steps).sum(dim=1)


class SequenceModel(nn.Module):
    """Maps windows of features to the raw outputs (logits or scaled values) of every task."""

    def __init__(self, feature_count: int, tasks: tuple[Task, ...]) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(
            feature_count, _CONV_CHANNELS, _CONV_KERNEL, padding=_CONV_KERNEL // 2
        )
        self.lstm = nn.LSTM(feature_count, _LSTM_UNITS, batch_first=True)
        channels = _CONV_CHANNELS + _LSTM_UNITS
        self.attention = TemporalAttention(channels, _ATTENTION_UNITS)
        self.dropout = nn.Dropout(_DROPOUT)
        # Prefixed: a module cannot be called "return" or shadow an attribute of ModuleDict.
        self.heads = nn.ModuleDict(
            {f"head_{task.key}": nn.Linear(channels, task.outputs) for task in tasks}
        )
        self._keys = tuple(task.key for task in tasks)

    def forward(self, windows: Tensor) -> dict[str, Tensor]:
        """Map (batch, time, features) to one (batch, outputs) tensor per task."""
        convolved = torch.relu(self.convolution(windows.transpose(1, 2))).transpose(1, 2)
        recurrent, _ = self.lstm(windows)
        summary = self.dropout(self.attention(torch.cat([convolved, recurrent], dim=2)))
        return {key: self.heads[f"head_{key}"](summary) for key in self._keys}
