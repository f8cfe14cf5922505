"""Train a model for one task per pair.

Usage: `python train/run_training.py --pairs gbpusd --epochs 3 --batch-size 32`
"""

from __future__ import annotations

import sys
from pathlib import Path

EXAMPLE_FOLDER = Path(__file__).resolve().parents[1]
if str(EXAMPLE_FOLDER) not in sys.path:
    sys.path.insert(0, str(EXAMPLE_FOLDER))

from models.tasks import TASK_KEYS, task_by_key
from train.arguments import read_training_arguments, training_parser
from train.core.agent_train import train_model
from train.pair_training import train_pairs
from train.program import set_up_tracing

SERVICE_NAME = "sequence-training"


def main(arguments: list[str] | None = None) -> int:
    """Train, evaluate and keep a single-task model of every pair; return the exit status."""
    parser = training_parser("Train a model of one task.", "checkpoints/{pair}.pt", 20)
    parser.add_argument("--task", choices=TASK_KEYS, default="direction", help="what to predict")
    training = read_training_arguments(parser, arguments)
    set_up_tracing(SERVICE_NAME, training.given)

    task = task_by_key(training.given.task, training.dataset.labels.top_k)
    return train_pairs((task,), {}, {"task": task.key}, training, train_model)


if __name__ == "__main__":
    sys.exit(main())
