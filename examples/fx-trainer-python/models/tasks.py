"""What the network can learn: one task per head, with the kind of its loss and its metric."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum


class Kind(Enum):
    """How a task's output is read, and with it the loss."""

    CLASS = "class"  # cross-entropy over the outputs; metric: accuracy
    BINARY = "binary"  # one logit, binary cross-entropy; metric: accuracy
    REGRESSION = "regression"  # mean squared error; metric: root mean squared error


@dataclass(frozen=True)
class Task:
    """One head. `key` names the head, its label and its loss (`task.<key>`)."""

    key: str
    kind: Kind
    outputs: int
    metric: str

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger metric is a better one: true for accuracies."""
        return self.kind is not Kind.REGRESSION


_TASKS = (
    Task("direction", Kind.CLASS, 3, "dir_acc"),
    Task("volatility", Kind.CLASS, 2, "vol_acc"),
    Task("trend", Kind.CLASS, 3, "trend_acc"),
    Task("vol_regime", Kind.CLASS, 3, "vol_regime_acc"),
    Task("candle_pattern", Kind.CLASS, 4, "candle_acc"),
    Task("return", Kind.REGRESSION, 1, "ret_rmse"),
    Task("next_close", Kind.REGRESSION, 1, "close_rmse"),
    Task("max_return", Kind.REGRESSION, 1, "max_ret_rmse"),
    Task("topk_returns", Kind.REGRESSION, 0, "topk_ret_rmse"),
    Task("topk_prices", Kind.REGRESSION, 0, "topk_price_rmse"),
    Task("sell_now", Kind.BINARY, 1, "sell_now_acc"),
)
TASK_KEYS = tuple(task.key for task in _TASKS)


def task_by_key(key: str, top_k: int) -> Task:
    """Return the task of that key; the top-k tasks have `top_k` outputs. Raises KeyError."""
    for task in _TASKS:
        if task.key == key:
            return task if task.outputs else replace(task, outputs=top_k)
    raise KeyError(key)


def multitask(top_k: int, predict_sell_now: bool) -> tuple[Task, ...]:
    """Return the tasks of the multi-task model; `sell_now` is the optional eleventh."""
    keys = TASK_KEYS if predict_sell_now else TASK_KEYS[:-1]
    return tuple(task_by_key(key, top_k) for key in keys)
