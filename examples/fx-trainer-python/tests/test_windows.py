from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from data.bars import Bars, DataError
from data.labels import LabelSettings
from data.prepare_dataset import BarSource, DatasetSettings, PreparedDataset, prepare_dataset
from data.windows import WindowSettings, batches_in_order, shuffled_batches, split_by_time
from features.agent_features import FeatureSettings, compute_features
from models.tasks import multitask

TASKS = multitask(top_k=3, predict_sell_now=True)
SETTINGS = WindowSettings(t_in=12, stride=1, train_ratio=0.6, val_ratio=0.2)


@pytest.fixture
def dataset(tmp_path: Path) -> PreparedDataset:
    source = BarSource(input_root=tmp_path, bars=400)
    return prepare_dataset("gbpusd", TASKS, DatasetSettings(source=source, windows=SETTINGS))


def test_windows_and_their_labels_stay_within_their_part_and_fill_it() -> None:
    split = split_by_time(1000, first_row=50, bars_before=10, horizon=7, settings=SETTINGS)
    for anchors, start, end in [
        (split.train, 50, 600),
        (split.val, 600, 800),
        (split.test, 800, 1000),
    ]:
        assert anchors[0] - 11 == start
        assert anchors[-1] + 7 == end - 1
        assert (np.diff(anchors) == 1).all()


def test_the_stride_is_the_distance_from_one_window_to_the_next() -> None:
    every = split_by_time(1000, 50, 10, 7, SETTINGS)
    third = split_by_time(1000, 50, 10, 7, replace(SETTINGS, stride=3))
    for part in ("train", "val", "test"):
        assert (getattr(third, part) == getattr(every, part)[::3]).all()


def test_too_few_bars_are_a_clear_error() -> None:
    with pytest.raises(DataError, match=r"90 bars are too few: .* fits into train, val, test"):
        split_by_time(90, first_row=50, bars_before=10, horizon=7, settings=SETTINGS)


def test_fewer_bars_than_an_indicator_needs_are_a_clear_error(tmp_path: Path) -> None:
    source = BarSource(input_root=tmp_path, bars=30)
    with pytest.raises(DataError, match="30 bars are too few"):
        prepare_dataset("gbpusd", TASKS, DatasetSettings(source=source))


def test_a_window_holds_the_scaled_features_up_to_its_anchor(
    dataset: PreparedDataset, tmp_path: Path
) -> None:
    windows, targets = dataset.val[[0, 5]]
    assert windows.shape == (2, 12, 27)
    following, _ = dataset.val[[1]]
    assert torch.equal(following[0, :-1], windows[0, 1:])
    assert {key: tuple(value.shape) for key, value in targets.items()} == {
        task.key: (2,) if task.higher_is_better else (2, task.outputs) for task in TASKS
    }


def test_scaling_is_measured_on_the_training_part_alone(dataset: PreparedDataset) -> None:
    rows = torch.cat([dataset.train[[0]][0][0], dataset.train[range(len(dataset.train))][0][:, -1]])
    # The rows between the first complete one and the last training anchor are just these.
    assert torch.allclose(rows.mean(dim=0)[:20], torch.zeros(20), atol=0.15)
    for key, deviation in dataset.scaling.target_std.items():
        assert deviation > 0.0
        assert float(dataset.train.targets[key].std(correction=0)) == pytest.approx(1.0, rel=1e-5)


def test_price_targets_are_distances_from_the_anchors_close_in_natural_units(
    tmp_path: Path, make_bars: Callable[..., Bars]
) -> None:
    source = BarSource(input_root=tmp_path, bars=400)
    settings = DatasetSettings(source=source, windows=SETTINGS)
    dataset = prepare_dataset("gbpusd", TASKS, settings)
    natural = dataset.val.targets["next_close"] * dataset.scaling.target_std["next_close"]
    assert 0.0 < float(natural.abs().max()) < 0.01


def test_a_given_scaling_is_used_instead_of_a_measured_one(tmp_path: Path) -> None:
    source = BarSource(input_root=tmp_path, bars=400)
    settings = DatasetSettings(source=source, windows=SETTINGS, labels=LabelSettings())
    first = prepare_dataset("gbpusd", TASKS, settings)
    doubled = type(first.scaling)(
        first.scaling.feature_mean, first.scaling.feature_std * 2, first.scaling.target_std
    )
    second = prepare_dataset("gbpusd", TASKS, settings, doubled)
    assert torch.allclose(second.val[[0]][0] * 2, first.val[[0]][0])


@pytest.mark.parametrize("batch_size", [1, 7, 64, 10_000])
def test_batches_cover_every_window_once(dataset: PreparedDataset, batch_size: int) -> None:
    count = len(dataset.val)
    for batches in (
        batches_in_order(dataset.val, batch_size),
        shuffled_batches(dataset.val, batch_size, seed=1),
    ):
        seen = torch.cat([targets["return"] for _, targets in batches])
        assert len(batches) == -(-count // batch_size)
        assert torch.equal(
            seen.sort(dim=0).values, dataset.val.targets["return"].sort(dim=0).values
        )


def test_the_order_of_shuffled_batches_is_the_seeds(dataset: PreparedDataset) -> None:
    def order(seed: int) -> torch.Tensor:
        return torch.cat([t["return"] for _, t in shuffled_batches(dataset.train, 16, seed)])

    assert torch.equal(order(1), order(1))
    assert not torch.equal(order(1), order(2))


def test_features_before_the_first_complete_row_are_in_no_window(
    dataset: PreparedDataset, bars: Bars
) -> None:
    first_row = compute_features("gbpusd", bars, FeatureSettings()).first_complete_row
    assert int(dataset.train.anchors[0]) - 11 >= first_row
