from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from eval.metrics import Metrics, MetricTotals, Outputs, task_losses, weights_of
from eval.risk import RiskGate, summarise_trading
from models.tasks import TASK_KEYS, Task, multitask, task_by_key

TASKS = multitask(top_k=3, predict_sell_now=True)
WEIGHTS = {key: 0.5 + index for index, key in enumerate(TASK_KEYS)}
TARGET_STD = {task.key: 2.0 for task in TASKS if not task.higher_is_better}
SAMPLES = 33


def outputs_and_targets(tasks: tuple[Task, ...] = TASKS) -> tuple[Outputs, Outputs]:
    torch.manual_seed(5)
    outputs: Outputs = {}
    targets: Outputs = {}
    for task in tasks:
        outputs[task.key] = torch.randn(SAMPLES, task.outputs)
        if task.higher_is_better:
            targets[task.key] = torch.randint(0, max(task.outputs, 2), (SAMPLES,))
        else:
            targets[task.key] = torch.randn(SAMPLES, task.outputs)
    return outputs, targets


def aggregate(batch_size: int) -> Metrics:
    outputs, targets = outputs_and_targets()
    totals = MetricTotals(TASKS, weights_of(TASKS, WEIGHTS, torch.device("cpu")), TARGET_STD)
    for start in range(0, SAMPLES, batch_size):
        part = slice(start, start + batch_size)
        batch_outputs = {key: value[part] for key, value in outputs.items()}
        batch_targets = {key: value[part] for key, value in targets.items()}
        losses = task_losses(batch_outputs, batch_targets, TASKS)
        totals.add(batch_outputs, batch_targets, losses)
    return totals.result()


@pytest.mark.parametrize("batch_size", [1, 2, 8, 10, 16, 32, 64])
def test_metrics_do_not_depend_on_the_batch_size(batch_size: int) -> None:
    """T35; batches of 8, 16 and 32 leave a last batch of one sample."""
    whole, parts = aggregate(SAMPLES), aggregate(batch_size)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-6)
    assert parts.values == pytest.approx(whole.values, rel=1e-6)
    assert parts.task_losses == pytest.approx(whole.task_losses, rel=1e-6)


def test_the_mean_of_batch_values_would_be_another_number() -> None:
    outputs, targets = outputs_and_targets()
    squared = (outputs["return"] - targets["return"]).square()
    batch_means = [float(squared[:32].mean().sqrt()), float(squared[32:].mean().sqrt())]
    assert aggregate(32).values["ret_rmse"] != pytest.approx(sum(batch_means) / 2 * 2.0, rel=1e-3)


def test_metrics_follow_their_formulas() -> None:
    outputs, targets = outputs_and_targets()
    metrics = aggregate(10)
    hits = sum(
        max(range(3), key=lambda code: float(logits[code])) == int(target)
        for logits, target in zip(outputs["direction"], targets["direction"], strict=True)
    )
    assert metrics.values["dir_acc"] == hits / SAMPLES == metrics.primary
    bids = sum(
        (float(logit) > 0) == bool(target)
        for logit, target in zip(outputs["sell_now"], targets["sell_now"], strict=True)
    )
    assert metrics.values["sell_now_acc"] == bids / SAMPLES
    error = (outputs["topk_prices"] - targets["topk_prices"]).square().sum()
    expected = math.sqrt(float(error) / (SAMPLES * 3)) * 2.0
    assert metrics.values["topk_price_rmse"] == pytest.approx(expected, rel=1e-6)
    weighted = sum(WEIGHTS[key] * loss for key, loss in metrics.task_losses.items())
    assert metrics.loss == pytest.approx(weighted)


def test_the_documented_metric_names_are_all_there() -> None:
    documented = {
        "dir_acc",
        "vol_acc",
        "trend_acc",
        "vol_regime_acc",
        "candle_acc",
        "ret_rmse",
        "close_rmse",
    }
    assert documented <= set(aggregate(10).values)


def test_without_a_batch_there_is_nothing_to_measure() -> None:
    weights = weights_of(TASKS, {}, torch.device("cpu"))
    with pytest.raises(ValueError, match="no batch was added"):
        MetricTotals(TASKS, weights, TARGET_STD).result()


def test_top_k_sets_the_outputs_and_sell_now_is_optional() -> None:
    assert task_by_key("topk_returns", 5).outputs == 5
    assert [task.key for task in multitask(3, False)] == list(TASK_KEYS[:-1])
    assert len(multitask(3, True)) == 11


def test_the_risk_gate_keeps_out_of_wild_markets_and_unsure_predictions() -> None:
    probabilities = np.array(
        [[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.1, 0.1, 0.8], [0.35, 0.3, 0.35], [0.1, 0.8, 0.1]]
    )
    volatility = np.array([1.0, 1.0, 9.0, 1.0, 1.0])
    returns = np.array([-0.02, 0.01, -0.05, -0.07, 0.5])
    gate = RiskGate(max_volatility=2.0)
    gated = summarise_trading(probabilities, volatility, returns, gate)
    assert (gated.positions, gated.blocked) == (2, 2)
    assert gated.mean_return == pytest.approx(0.015)
    free = summarise_trading(probabilities, volatility, returns, None)
    assert (free.positions, free.blocked) == (4, 0)
    assert free.mean_return == pytest.approx((0.02 + 0.01 - 0.05 + 0.07) / 4)


def test_without_any_position_the_mean_return_is_zero() -> None:
    flat = np.array([[0.1, 0.8, 0.1]])
    assert summarise_trading(flat, np.ones(1), np.ones(1), None).mean_return == 0.0
