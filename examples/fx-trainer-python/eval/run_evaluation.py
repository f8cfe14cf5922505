"""Measure a model on bars it has not seen: inside a training, or later from its checkpoint.

python eval/run_evaluation.py --pairs gbpusd --checkpoint-path checkpoints/{pair}.pt
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

EXAMPLE_FOLDER = Path(__file__).resolve().parents[1]
if str(EXAMPLE_FOLDER) not in sys.path:
    sys.path.insert(0, str(EXAMPLE_FOLDER))

from data.bars import FloatArray
from data.prepare_dataset import (
    PreparedDataset,
    add_source_arguments,
    prepare_dataset,
    source_from,
)
from data.windows import batches_in_order
from eval.metrics import Metrics, Outputs, measure
from eval.risk import RiskGate, TradingSummary, summarise_trading
from models.sequence_model import SequenceModel
from tracing import TracingContext, get_tracer
from train.core.trained_model import ModelCard, load_trained_model
from train.program import (
    add_program_arguments,
    check_program_arguments,
    checkpoint_path,
    run_for_pairs,
    set_up_tracing,
)

SERVICE_NAME = "sequence-evaluation"
tracer = get_tracer(__name__)


def evaluate(
    model: SequenceModel,
    dataset: PreparedDataset,
    card: ModelCard,
    batch_size: int,
    device: torch.device,
    use_risk_gate: bool = True,
) -> Metrics:
    """Measure the model on the test part inside an `evaluation` span, print and return it.

    A model that predicts directions is also judged by what they would have earned.
    """
    start = {"pair": dataset.pair, "num_samples": len(dataset.test)}
    with TracingContext(tracer, "evaluation", start) as span:
        directions: list[torch.Tensor] = []
        predicts_direction = any(task.key == "direction" for task in card.tasks)

        def keep_directions(outputs: Outputs) -> None:
            if predicts_direction:
                directions.append(outputs["direction"])

        batches = batches_in_order(dataset.test, batch_size)
        metrics = measure(model, batches, card, device, keep_directions)
        span.set_attribute("test_loss", metrics.loss)
        span.set_attribute("test_metric", metrics.primary)
        for name, value in metrics.values.items():
            span.set_attribute(f"test.{name}", value)
        values = "  ".join(f"{name} {value:.4g}" for name, value in metrics.values.items())
        print(f"{dataset.pair}: test_loss {metrics.loss:.4f}  {values}")
        if predicts_direction:
            probabilities = torch.cat(directions).softmax(dim=1).double().cpu().numpy()
            summary = _judge_trading(probabilities, dataset, use_risk_gate)
            for name, number in vars(summary).items():
                span.set_attribute(f"trading.{name}", number)
            print(
                f"{dataset.pair}: {summary.positions} positions, {summary.blocked} blocked by the "
                f"risk gate, mean return {summary.mean_return:.2e} before costs"
            )
        return metrics


def _judge_trading(
    probabilities: FloatArray, dataset: PreparedDataset, use_risk_gate: bool
) -> TradingSummary:
    gate = RiskGate.from_training(dataset.train_volatility) if use_risk_gate else None
    return summarise_trading(probabilities, dataset.test_volatility, dataset.test_return, gate)


def main(arguments: list[str] | None = None) -> int:
    """Evaluate a checkpoint of every pair on the pair's test part."""
    parser = argparse.ArgumentParser(description="Evaluate trained models.")
    add_source_arguments(parser)
    add_program_arguments(parser, default_checkpoint="checkpoints/{pair}.pt")
    given = parser.parse_args(arguments)
    check_program_arguments(parser, given)
    set_up_tracing(SERVICE_NAME, given)

    def evaluate_pair(pair: str) -> None:
        model, card = load_trained_model(checkpoint_path(given, pair))
        card = card.with_source(source_from(given))
        device = torch.device(given.device)
        dataset = prepare_dataset(pair, card.tasks, card.dataset, card.scaling)
        evaluate(model.to(device), dataset, card, given.batch_size, device, not given.disable_risk)

    return run_for_pairs(
        "evaluation_run",
        given.pairs,
        {"device": given.device},
        evaluate_pair,
        quiet=given.quiet,
    )


if __name__ == "__main__":
    sys.exit(main())
