"""From a folder of bars to tensors: load or synthesise, clean, compute, label, split, scale.

As a program it only makes the bars ready and says what is there:

    python data/prepare_dataset.py --pairs gbpusd,eurusd --bars 20000
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

EXAMPLE_FOLDER = Path(__file__).resolve().parents[1]
if str(EXAMPLE_FOLDER) not in sys.path:
    sys.path.insert(0, str(EXAMPLE_FOLDER))

from data.bars import Bars, DataError, FloatArray, IndexArray, clean_bars
from data.histdata import files_of_years, find_bar_files, read_bar_files, write_bar_file
from data.labels import PRICE_LABELS, LabelSettings, compute_labels
from data.synthetic_bars import generate_bars, price_digits
from data.windows import Split, WindowDataset, WindowSettings, split_by_time
from features.agent_features import (
    FeatureSettings,
    FeatureTable,
    compute_features,
    log_returns,
)
from features.rolling import rolling_std
from models.tasks import Kind, Task
from tracing import get_tracer, trace_data_loading, trace_function

tracer = get_tracer(__name__)

_DEFAULT_SYNTHETIC_YEAR = 2024
_SYNTHETIC_PREFIX = "SYNTHETIC_"


@dataclass(frozen=True)
class BarSource:
    """Where bars come from, and how many: the newest `bars` are used (0: all).

    Where there are no files, `bars` bars per year (the seed's) are made.
    """

    input_root: Path = Path("output_central")
    years: tuple[int, ...] = ()
    bars: int = 60_000
    seed: int = 7
    skip_bad_rows: bool = False


@dataclass(frozen=True)
class DatasetSettings:
    """Everything that decides what the network gets to see."""

    source: BarSource = field(default_factory=BarSource)
    features: FeatureSettings = field(default_factory=FeatureSettings)
    windows: WindowSettings = field(default_factory=WindowSettings)
    labels: LabelSettings = field(default_factory=LabelSettings)


@dataclass(frozen=True)
class Scaling:
    """Means and deviations of the training part, by which features and targets are scaled."""

    feature_mean: Tensor
    feature_std: Tensor
    target_std: dict[str, float]


@dataclass(frozen=True)
class PreparedDataset:
    """The three parts of one pair's windows and what is needed to read the results.

    `*_volatility` holds, per window, the volatility of its last `t_out` bars; `test_return` the
    log return over the `t_out` bars that follow.
    """

    pair: str
    feature_names: tuple[str, ...]
    scaling: Scaling
    train: WindowDataset
    val: WindowDataset
    test: WindowDataset
    train_volatility: FloatArray
    test_volatility: FloatArray
    test_return: FloatArray


def load_bars(pair: str, source: BarSource) -> Bars:
    """Read and clean a pair's bars inside a `data_loading` span; synthesise them if there are none.

    Raises DataError (with file, line and reason for a malformed row).
    """
    # The count is known when the work is done; should it fail, none is what was loaded.
    with trace_data_loading(tracer, pair, 0) as span:
        folder = source.input_root / pair
        files = [path for path in find_bar_files(folder) if not _is_synthetic(path)]
        simulated = not files
        files = _synthetic_files(pair, folder, source) if simulated else files
        read = read_bar_files(files_of_years(files, source.years), source.skip_bad_rows)
        bars, dropped = clean_bars(read.bars)
        bars = bars.select(np.arange(len(bars))[-source.bars :])
        span.set_attribute("num_samples", len(bars))
        span.set_attribute("data.simulated", simulated)
        counts = {**asdict(dropped), "bad_row": read.skipped_rows}
        for reason, count in counts.items():
            span.set_attribute(f"dropped.{reason}", count)
        if len(bars) == 0:
            raise DataError(f"{folder} holds no usable bar: {counts} dropped")
        report = ", ".join(f"{count} {reason}" for reason, count in counts.items() if count)
        print(
            f"{pair}: {len(bars)} bars{' (synthetic)' if simulated else ''}, "
            f"{bars.time[0]} to {bars.time[-1]} UTC" + (f"; dropped: {report}" if report else "")
        )
        return bars


def prepare_dataset(
    pair: str, tasks: tuple[Task, ...], settings: DatasetSettings, scaling: Scaling | None = None
) -> PreparedDataset:
    """Load a pair's bars and make the three parts ready for training.

    `scaling` is given for a model that was trained before; without it the training part's is used.
    Raises DataError.
    """
    bars = load_bars(pair, settings.source)
    table = compute_features(pair, bars, settings.features)
    split = split_by_time(
        len(bars),
        table.first_complete_row,
        settings.labels.t_out,
        settings.labels.horizon,
        settings.windows,
    )
    targets = {
        name: _natural_targets(bars, getattr(split, name), tasks, settings.labels)
        for name in ("train", "val", "test")
    }
    if scaling is None:
        scaling = _measure_scaling(table, split, targets["train"], tasks)
    features = _scale_features(table.values, scaling)
    parts = {
        name: WindowDataset(
            features,
            getattr(split, name),
            _scale_targets(part_targets, scaling),
            settings.windows.t_in,
        )
        for name, part_targets in targets.items()
    }
    close = np.log(bars.close)
    return PreparedDataset(
        pair=pair,
        feature_names=table.names,
        scaling=scaling,
        **parts,
        train_volatility=_recent_volatility(bars, split.train, settings.labels.t_out),
        test_volatility=_recent_volatility(bars, split.test, settings.labels.t_out),
        test_return=close[split.test + settings.labels.t_out] - close[split.test],
    )


def _is_synthetic(path: Path) -> bool:
    return path.name.startswith(_SYNTHETIC_PREFIX)


def _synthetic_files(pair: str, folder: Path, source: BarSource) -> list[Path]:
    """Return the synthetic files of these settings; write those that are missing and say so.

    The settings are in the file names: other settings never change or reuse an existing file.
    """
    files = []
    for year in source.years or (_DEFAULT_SYNTHETIC_YEAR,):
        stem = f"{_SYNTHETIC_PREFIX}{pair.upper()}_SEED{source.seed}_BARS{source.bars}_M1_{year}"
        path = folder / f"{stem}.csv"
        if not path.exists():
            _write_synthetic_bars(path, pair, year, source)
            print(f"{pair}: no bars in {folder}, so synthetic ones were written: {path.name}")
        files.append(path)
    return files


@trace_function(tracer, func_name="synthesise_bars")
def _write_synthetic_bars(path: Path, pair: str, year: int, source: BarSource) -> None:
    bars = generate_bars(pair, year, source.bars or None, source.seed)
    write_bar_file(path, bars, price_digits(pair))


def _natural_targets(
    bars: Bars, anchors: IndexArray, tasks: tuple[Task, ...], settings: LabelSettings
) -> dict[str, Tensor]:
    """Return the labels of the tasks as tensors; prices as distance from the anchor's close."""
    labels = compute_labels(bars, anchors, settings)
    targets: dict[str, Tensor] = {}
    for task in tasks:
        label = labels[task.key]
        if task.key in PRICE_LABELS:
            label = label - bars.close[anchors][:, None]
        targets[task.key] = torch.from_numpy(label)
    return targets


def _measure_scaling(
    table: FeatureTable, split: Split, train_targets: dict[str, Tensor], tasks: tuple[Task, ...]
) -> Scaling:
    """Measure means and deviations on the bars and targets of the training part alone."""
    rows = table.values[table.first_complete_row : int(split.train[-1]) + 1]
    deviation = rows.std(axis=0)
    target_std = {
        task.key: float(train_targets[task.key].std(correction=0)) or 1.0
        for task in tasks
        if task.kind is Kind.REGRESSION
    }
    return Scaling(
        feature_mean=torch.from_numpy(rows.mean(axis=0)),
        feature_std=torch.from_numpy(np.where(deviation > 0.0, deviation, 1.0)),
        target_std=target_std,
    )


def _scale_features(values: FloatArray, scaling: Scaling) -> Tensor:
    # Rows before the first complete one are in no window; zero keeps them harmless.
    scaled = (torch.from_numpy(values) - scaling.feature_mean) / scaling.feature_std
    return torch.nan_to_num(scaled).float()


def _scale_targets(targets: dict[str, Tensor], scaling: Scaling) -> dict[str, Tensor]:
    return {
        key: (label / scaling.target_std[key]).float() if key in scaling.target_std else label
        for key, label in targets.items()
    }


def _recent_volatility(bars: Bars, anchors: IndexArray, count: int) -> FloatArray:
    volatility: FloatArray = rolling_std(log_returns(bars.close), count)[anchors]
    return volatility


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say which pairs and bars a program uses."""
    defaults = BarSource()
    group = parser.add_argument_group("bars")
    group.add_argument(
        "--pairs", type=pair_list, default="gbpusd", help="comma list (default: %(default)s)"
    )
    group.add_argument(
        "--years", type=_year_list, default=(), help="comma list (default: all that are there)"
    )
    group.add_argument(
        "--input-root",
        type=Path,
        default=defaults.input_root,
        help="folder of <pair>/*.csv or *.zip in HistData's format (default: %(default)s)",
    )
    group.add_argument(
        "--bars",
        type=int,
        default=defaults.bars,
        help="use the newest so many bars, 0 for all; where there are none, synthesise so many per "
        "year (default: %(default)s)",
    )
    group.add_argument(
        "--seed", type=int, default=defaults.seed, help="of bars and training (default: 7)"
    )
    group.add_argument(
        "--skip-bad-rows", action="store_true", help="count malformed rows instead of stopping"
    )


def source_from(given: argparse.Namespace) -> BarSource:
    """Return the source that the flags describe."""
    return BarSource(
        input_root=given.input_root,
        years=given.years,
        bars=given.bars,
        seed=given.seed,
        skip_bad_rows=given.skip_bad_rows,
    )


def pair_list(text: str) -> tuple[str, ...]:
    """Read a comma list of pairs; a pair names a folder, so it is letters only."""
    pairs = tuple(dict.fromkeys(pair.strip().lower() for pair in text.split(",")))
    if not all(pair.isalpha() and pair.isascii() for pair in pairs):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of pairs such as gbpusd,eurusd")
    return pairs


def _year_list(text: str) -> tuple[int, ...]:
    years = tuple(sorted({int(year) for year in text.split(",")}))
    if not all(1970 <= year <= 2100 for year in years):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of years such as 2023,2024")
    return years


def main(arguments: list[str] | None = None) -> int:
    """Make the bars of the pairs ready and say how many there are."""
    parser = argparse.ArgumentParser(description="Load, check or synthesise minute bars.")
    add_source_arguments(parser)
    given = parser.parse_args(arguments)
    try:
        for pair in given.pairs:
            load_bars(pair, source_from(given))
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
