"""Train one model for all tasks per pair.

Usage: `python train/run_training_multitask.py --pairs gbpusd --epochs 3 --batch-size 32`
"""

from __future__ import annotations

import sys
from pathlib import Path

EXAMPLE_FOLDER = Path(__file__).resolve().parents[1]
if str(EXAMPLE_FOLDER) not in sys.path:
    sys.path.insert(0, str(EXAMPLE_FOLDER))

from models.tasks import multitask
from train.arguments import (
    add_loss_weight_arguments,
    loss_weights,
    read_training_arguments,
    training_parser,
)
from train.core.agent_train_multitask import train_multitask
from train.pair_training import train_pairs
from train.program import set_up_tracing

SERVICE_NAME = "sequence-multitask-training"


def main(arguments: list[str] | None = None) -> int:
    """Train, evaluate and keep a multi-task model of every pair; return the exit status."""
    parser = training_parser("Train a model of all tasks.", "checkpoints/{pair}_multitask.pt", 10)
    parser.add_argument("--predict-sell-now", action="store_true", help="add the eleventh task")
    add_loss_weight_arguments(parser)
    training = read_training_arguments(parser, arguments)
    set_up_tracing(SERVICE_NAME, training.given)

    tasks = multitask(training.dataset.labels.top_k, training.given.predict_sell_now)
    weights = {
        key: weight
        for key, weight in loss_weights(training.given).items()
        if key in {task.key for task in tasks}
    }
    attributes = {f"loss_weight.{key}": weight for key, weight in weights.items()}
    return train_pairs(tasks, weights, attributes, training, train_multitask)


if __name__ == "__main__":
    sys.exit(main())
