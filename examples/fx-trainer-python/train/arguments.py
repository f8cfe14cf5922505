"""The command line of the two trainings.

Flags are checked here, before any work is done. The settings they end in live beside the code
that they steer, and so do their defaults.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from data.labels import LabelSettings
from data.prepare_dataset import DatasetSettings, add_source_arguments, source_from
from data.windows import WindowSettings
from features.agent_features import FEATURE_GROUPS, FeatureSettings
from models.tasks import TASK_KEYS
from train.core.training_loop import LoopSettings
from train.program import add_program_arguments, check_program_arguments, positive_int

Settings = TypeVar("Settings", FeatureSettings, WindowSettings, LabelSettings, LoopSettings)


@dataclass(frozen=True)
class TrainingArguments:
    """What the command line of a training asks for."""

    pairs: tuple[str, ...]
    dataset: DatasetSettings
    loop: LoopSettings
    resume: bool
    given: argparse.Namespace

    def attributes(self) -> dict[str, Any]:
        """Return the settings as attributes of a run span: flat, lists as comma lists."""
        settings = {
            **asdict(self.loop),
            **asdict(self.dataset.windows),
            **asdict(self.dataset.labels),
            **{f"features.{key}": value for key, value in vars(self.dataset.features).items()},
            "device": self.given.device,
        }
        return {
            key: ",".join(map(str, value)) if isinstance(value, tuple) else value
            for key, value in settings.items()
            if value is not None
        }


def training_parser(
    description: str, default_checkpoint: str, default_epochs: int
) -> argparse.ArgumentParser:
    """Return the parser with the flags of both trainings; each program adds its own."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add_source_arguments(parser)
    add_program_arguments(parser, default_checkpoint)
    _add_loop_arguments(parser, default_epochs)
    _add_window_and_label_arguments(parser)
    _add_feature_arguments(parser)
    return parser


def add_loss_weight_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one `--loss-w-*` flag per task."""
    group = parser.add_argument_group("weights of the losses")
    for key in TASK_KEYS:
        flag = f"--loss-w-{key.replace('_', '-')}"
        group.add_argument(flag, type=_not_negative, default=1.0, help=f"of {key}")


def loss_weights(given: argparse.Namespace) -> dict[str, float]:
    """Return the weight of every task's loss."""
    return {key: getattr(given, f"loss_w_{key}") for key in TASK_KEYS}


def read_training_arguments(
    parser: argparse.ArgumentParser, arguments: list[str] | None
) -> TrainingArguments:
    """Parse and check the flags; ends the program with a message where they make no sense."""
    given = parser.parse_args(arguments)
    check_program_arguments(parser, given)
    given.groups = _chosen_groups(parser, given)
    given.lookahead_window = given.lookahead_window or given.t_out
    if given.train_ratio + given.val_ratio >= 1.0:
        parser.error("--train-ratio and --val-ratio must leave a part for the test")
    if given.top_k > given.lookahead_window:
        parser.error("--top-k must not exceed --lookahead-window")
    return TrainingArguments(
        pairs=given.pairs,
        dataset=DatasetSettings(
            source=source_from(given),
            features=_read_settings(FeatureSettings, given),
            windows=_read_settings(WindowSettings, given),
            labels=_read_settings(LabelSettings, given),
        ),
        loop=_read_settings(LoopSettings, given),
        resume=given.resume,
        given=given,
    )


def _read_settings(kind: type[Settings], given: argparse.Namespace) -> Settings:
    """Fill settings from the flags of the same names; a field without a flag is an error."""
    return kind(**{field.name: getattr(given, field.name) for field in fields(kind)})


def _add_loop_arguments(parser: argparse.ArgumentParser, default_epochs: int) -> None:
    defaults = LoopSettings()
    group = parser.add_argument_group("training")
    add = group.add_argument
    add("--epochs", type=positive_int, default=default_epochs, help="at most so many")
    add("--learning-rate", type=_positive, default=defaults.learning_rate, help="of AdamW")
    add("--weight-decay", type=_not_negative, default=defaults.weight_decay, help="of AdamW")
    add(
        "--grad-clip",
        type=_not_negative,
        default=defaults.grad_clip,
        help="largest gradient norm; 0 lets gradients be",
    )
    add("--patience", type=int, default=defaults.patience, help="epochs without gain; 0: no stop")
    add("--log-every", type=positive_int, default=defaults.log_every, help="batches per report")
    add("--max-batches", type=positive_int, help="of an epoch, for quick trials")
    add("--top-n-checkpoints", type=positive_int, default=3, help="how many of the best to keep")
    add("--resume", action="store_true", help="go on from the newest checkpoint")


def _add_window_and_label_arguments(parser: argparse.ArgumentParser) -> None:
    windows, labels = WindowSettings(), LabelSettings()
    group = parser.add_argument_group("windows and labels")
    add = group.add_argument
    add("--t-in", type=positive_int, default=windows.t_in, help="bars of a window")
    add("--stride", type=positive_int, default=windows.stride, help="bars to the next window")
    add("--t-out", type=positive_int, default=labels.t_out, help="bars of the horizon")
    add("--lookahead-window", type=positive_int, help="as --t-out if not given")
    add("--top-k", type=positive_int, default=labels.top_k, help="how many of the largest")
    add("--train-ratio", type=_share, default=windows.train_ratio, help="share of the bars")
    add("--val-ratio", type=_share, default=windows.val_ratio, help="share of the bars")
    add("--flat-threshold", type=_not_negative, default=labels.flat_threshold, help="log return")
    add("--vol-min-change", type=float, default=labels.vol_min_change, help="of volatility = 1")
    add("--vol-regime-cut", type=_not_negative, default=labels.vol_regime_cut, help="log return")


def _add_feature_arguments(parser: argparse.ArgumentParser) -> None:
    defaults = FeatureSettings()
    group = parser.add_argument_group("features", f"groups: {', '.join(FEATURE_GROUPS)}")
    add = group.add_argument
    add("--feature-groups", type=_names, default="all", help="all, or a comma list")
    add("--exclude-feature-groups", type=_names, default=(), help="comma list")
    for flag in ("--sma-windows", "--ema-windows", "--microstructure-windows"):
        value = getattr(defaults, flag[2:].replace("-", "_"))
        add(flag, type=_window_list, default=value, help="comma list of bars")
    for flag in (
        "--rsi-window",
        "--bollinger-window",
        "--atr-window",
        "--short-vol-window",
        "--long-vol-window",
        "--spread-window",
        "--wick-imbalance-window",
    ):
        value = getattr(defaults, flag[2:].replace("-", "_"))
        add(flag, type=positive_int, default=value, help="bars")
    add(
        "--bollinger-deviations",
        type=_positive,
        default=defaults.bollinger_deviations,
        help="half the bands' width",
    )
    add(
        "--directional-change",
        type=_positive,
        default=defaults.directional_change,
        help="log price change that is a turn",
    )


def _chosen_groups(parser: argparse.ArgumentParser, given: argparse.Namespace) -> tuple[str, ...]:
    wanted = FEATURE_GROUPS if given.feature_groups == ("all",) else given.feature_groups
    unknown = sorted({*wanted, *given.exclude_feature_groups} - set(FEATURE_GROUPS))
    if unknown:
        known = ", ".join(FEATURE_GROUPS)
        parser.error(f"unknown feature groups {', '.join(unknown)}; there are: {known}")
    chosen = tuple(
        group
        for group in FEATURE_GROUPS
        if group in wanted and group not in given.exclude_feature_groups
    )
    if not chosen:
        parser.error("no feature group is left")
    return chosen


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _window_list(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(positive_int(window) for window in text.split(",")))


def _positive(text: str) -> float:
    number = float(text)
    if not 0.0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above zero")
    return number


def _not_negative(text: str) -> float:
    number = float(text)
    if not 0.0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is below zero")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0.0 < number < 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return number
