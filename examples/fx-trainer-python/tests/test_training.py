from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from data.labels import LabelSettings
from data.prepare_dataset import BarSource, DatasetSettings, PreparedDataset, prepare_dataset
from data.windows import WindowSettings
from models.sequence_model import SequenceModel
from models.tasks import Task, multitask, task_by_key
from tracing import TracingContext, get_tracer
from train.core.agent_train import train_model
from train.core.agent_train_multitask import train_multitask
from train.core.checkpoints import CheckpointError, Checkpoints, epochs_by_loss, load_checkpoint
from train.core.early_stopping import EarlyStopping
from train.core.trained_model import ModelCard, load_trained_model
from train.core.training_loop import LoopSettings, TrainingOutcome

ExportedSpans = Callable[[], list[Any]]
CPU = torch.device("cpu")
DIRECTION = (task_by_key("direction", 3),)
ALL_TASKS = multitask(top_k=3, predict_sell_now=False)
QUICK = LoopSettings(batch_size=32, epochs=2, log_every=2, patience=0)


class Setup:
    """A small model, its data and where its checkpoints go."""

    def __init__(self, folder: Path, tasks: tuple[Task, ...], bars: int = 500) -> None:
        self.settings = DatasetSettings(
            source=BarSource(input_root=folder / "bars", bars=bars),
            windows=WindowSettings(t_in=16, stride=1),
            labels=LabelSettings(),
        )
        self.folder = folder
        self.tasks = tasks
        self.dataset: PreparedDataset = prepare_dataset("gbpusd", tasks, self.settings)
        names, scaling = self.dataset.feature_names, self.dataset.scaling
        self.card = ModelCard("gbpusd", tasks, {}, names, scaling, self.settings)

    def checkpoints(self, name: str = "model", top_n: int = 3) -> Checkpoints:
        return Checkpoints(self.folder / f"{name}.pt", top_n)

    def train(
        self,
        settings: LoopSettings = QUICK,
        checkpoints: Checkpoints | None = None,
        resume: bool = False,
        seed: int = 1,
    ) -> tuple[SequenceModel, TrainingOutcome]:
        torch.manual_seed(seed)
        model = SequenceModel(len(self.dataset.feature_names), self.tasks)
        train = train_model if len(self.tasks) == 1 else train_multitask
        checkpoints = checkpoints or self.checkpoints()
        outcome = train(model, self.dataset, self.card, settings, checkpoints, CPU, resume)
        return model, outcome


@pytest.fixture
def single(tmp_path: Path) -> Setup:
    return Setup(tmp_path, DIRECTION)


@pytest.fixture
def multi(tmp_path: Path) -> Setup:
    return Setup(tmp_path, ALL_TASKS)


def test_the_model_learns_from_the_synthetic_bars(tmp_path: Path) -> None:
    setup = Setup(tmp_path, DIRECTION, bars=4000)
    _, outcome = setup.train(replace(QUICK, epochs=3))
    losses = outcome.train_losses
    assert losses[0] > losses[1] > losses[2]
    assert losses[2] < 0.95 * math.log(3)


def test_every_task_can_be_learned_alone(tmp_path: Path) -> None:
    for task in multitask(top_k=2, predict_sell_now=True):
        folder = tmp_path / task.key
        setup = Setup(folder, (replace(task, outputs=3) if "topk" in task.key else task,))
        _, outcome = setup.train(replace(QUICK, epochs=1, max_batches=2))
        assert math.isfinite(outcome.val_losses[0])


def test_the_weights_of_the_losses_weigh_the_total(multi: Setup) -> None:
    only = {task.key: 0.0 for task in ALL_TASKS} | {"trend": 2.0}
    multi.card = replace(multi.card, weights=only)
    checkpoints = multi.checkpoints()
    multi.train(replace(QUICK, epochs=1, learning_rate=1e-12), checkpoints)
    alone = Setup(multi.folder / "alone", (task_by_key("trend", 3),))
    untrained_loss = alone.train(replace(QUICK, epochs=1, learning_rate=1e-12))[1].train_losses[0]
    total = load_checkpoint(checkpoints.path)["train_losses"][0]
    # Other heads, so other first weights: the same loss only in size.
    assert total == pytest.approx(2.0 * untrained_loss, rel=0.2)


def test_the_same_seed_trains_the_same_model(single: Setup) -> None:
    first, second = single.train()[1], single.train()[1]
    assert first == second
    assert single.train(seed=2)[1] != first


@pytest.mark.parametrize(
    ("losses", "patience", "stops_after"),
    [
        ([3.0, 2.0, 1.0, 0.5], 2, None),
        ([3.0, 2.0, 2.0, 2.5, 1.0], 2, 4),
        ([3.0, 4.0, 2.0, 4.0, 4.0], 2, 5),
        ([3.0, math.nan, math.nan], 2, 3),
        ([3.0, 4.0, 5.0, 6.0], 0, None),
    ],
)
def test_training_stops_when_patience_is_used_up(
    losses: list[float], patience: int, stops_after: int | None
) -> None:
    stopping = EarlyStopping(patience)
    stopped_after = None
    for epoch, loss in enumerate(losses, start=1):
        stopping.take(loss)
        if stopping.should_stop:
            stopped_after = epoch
            break
    assert stopped_after == stops_after


def test_a_training_that_does_not_get_better_ends_early(
    single: Setup, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = replace(QUICK, epochs=30, patience=2, learning_rate=0.02)
    _, outcome = single.train(settings)
    assert outcome.stopped_early
    best = min(outcome.val_losses)
    assert outcome.val_losses.index(best) == len(outcome.val_losses) - 3
    assert "stopped early: no better validation loss in 2 epochs" in capsys.readouterr().out


def test_epochs_are_ranked_by_loss_with_nan_last() -> None:
    assert epochs_by_loss([2.0, math.nan, 1.0, 1.0]) == [3, 4, 1, 2]


def test_the_best_and_the_newest_checkpoints_stay_and_the_best_has_the_name(
    tmp_path: Path,
) -> None:
    checkpoints = Checkpoints(tmp_path / "c" / "model.v1.pt", top_n=2)
    losses = [5.0, 3.0, 4.0, 2.0, 6.0]
    for epoch in range(1, 6):
        checkpoints.save(epoch, {"epoch": epoch}, losses[:epoch])
    names = sorted(path.name for path in (tmp_path / "c").iterdir())
    kept = [f"model.v1.epoch-{epoch:04d}.pt" for epoch in (2, 4, 5)]
    assert names == sorted([*kept, "model.v1.pt"])
    assert load_checkpoint(checkpoints.path) == {"epoch": 4}
    assert checkpoints.load_newest() == {"epoch": 5}


def test_a_checkpoint_that_fails_half_way_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path / "model.pt", top_n=3)
    checkpoints.save(1, {"epoch": 1}, [1.0])

    def write_half(_state: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", write_half)
    with pytest.raises(OSError, match="no space left"):
        checkpoints.save(2, {"epoch": 2}, [1.0, 0.5])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.epoch-0001.pt", "model.pt"]
    assert load_checkpoint(checkpoints.path) == {"epoch": 1}


@pytest.mark.parametrize("seed_of_second_process", [1, 99])
def test_a_resumed_training_equals_one_that_was_never_interrupted(
    single: Setup, seed_of_second_process: int
) -> None:
    whole_model, whole = single.train(replace(QUICK, epochs=4), single.checkpoints("whole"))
    halves = single.checkpoints("halves")
    single.train(replace(QUICK, epochs=2), halves)
    model, resumed = single.train(
        replace(QUICK, epochs=4), halves, resume=True, seed=seed_of_second_process
    )
    assert resumed == whole
    for name, weights in whole_model.state_dict().items():
        assert torch.equal(model.state_dict()[name], weights), name


def test_resuming_without_a_checkpoint_says_so(single: Setup) -> None:
    with pytest.raises(CheckpointError, match=r"--resume: there is no .*epoch-0001\.pt"):
        single.train(resume=True)


def test_resuming_another_training_is_refused(single: Setup) -> None:
    checkpoints = single.checkpoints()
    single.train(replace(QUICK, epochs=1), checkpoints)
    single.card = replace(single.card, pair="eurusd")
    with pytest.raises(CheckpointError, match="pair are gbpusd, this training's are eurusd"):
        single.train(checkpoints=checkpoints, resume=True)


def test_a_new_training_replaces_the_epochs_of_an_earlier_one(
    single: Setup, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = single.checkpoints()
    single.train(replace(QUICK, epochs=3), checkpoints)
    single.train(replace(QUICK, epochs=1), checkpoints)
    assert "replacing 3 checkpoints of an earlier training" in capsys.readouterr().out
    assert len(load_checkpoint(checkpoints.path)["val_losses"]) == 1
    assert len(list(single.folder.glob("model.epoch-*"))) == 1


def test_the_best_epochs_weights_are_used_and_can_be_loaded(single: Setup) -> None:
    checkpoints = single.checkpoints()
    model, outcome = single.train(replace(QUICK, epochs=6, learning_rate=0.01), checkpoints)
    loaded, card = load_trained_model(checkpoints.path)
    for name, weights in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weights), name
    saved = load_checkpoint(checkpoints.path)["val_losses"]
    assert saved[-1] == min(outcome.val_losses)
    assert card.feature_names == single.card.feature_names
    assert card.tasks == DIRECTION


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_a_file_that_is_no_checkpoint_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.pt is not a checkpoint of this program"):
        load_trained_model(path)
    with pytest.raises(CheckpointError, match=r"absent\.pt does not exist"):
        load_trained_model(tmp_path / "absent.pt")
    torch.save({"model": {}}, path)
    with pytest.raises(CheckpointError, match="of another version"):
        load_trained_model(path)


def children(spans: list[Any], parent: Any) -> list[Any]:
    below = [
        span for span in spans if span.parent and span.parent.span_id == parent.context.span_id
    ]
    return sorted(below, key=lambda span: span.start_time)


def named(spans: list[Any], name: str) -> list[Any]:
    found = [span for span in spans if span.name == name]
    return sorted(found, key=lambda span: span.start_time)


def test_epochs_hold_their_batches_and_their_validation(
    single: Setup, exported_spans: ExportedSpans
) -> None:
    """T17, T18, T19."""
    _, outcome = single.train()
    spans = exported_spans()
    epochs = named(spans, "training_epoch")
    assert [epoch.attributes["epoch"] for epoch in epochs] == [1, 2]
    for number, epoch in enumerate(epochs, start=1):
        *batches, validation = children(spans, epoch)
        assert {batch.name for batch in batches} == {"batch_processing"}
        assert len(batches) == math.ceil(len(single.dataset.train) / 32)
        assert validation.name == "validation"
        assert validation.start_time >= batches[-1].end_time
        assert validation.end_time <= epoch.end_time

        indices = [batch.attributes["batch_index"] for batch in batches]
        assert indices == list(range(1, len(batches) + 1))
        assert sum(batch.attributes["batch_size"] for batch in batches) == len(single.dataset.train)
        assert all(isinstance(batch.attributes["loss"], float) for batch in batches)
        assert not any(key.startswith("task.") for key in batches[0].attributes)

        expected = {
            "epoch": number,
            "total_epochs": 2,
            "train_loss": outcome.train_losses[number - 1],
            "val_loss": outcome.val_losses[number - 1],
            "val_metric": validation.attributes["val_metric"],
        }
        assert {key: epoch.attributes[key] for key in expected} == expected
        assert validation.attributes["epoch"] == number
        assert validation.attributes["val_loss"] == outcome.val_losses[number - 1]


def test_the_validation_span_covers_the_evaluation(
    single: Setup, exported_spans: ExportedSpans, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T19: what the evaluation does is below the validation span."""
    forward = SequenceModel.forward

    def traced_forward(model: SequenceModel, windows: torch.Tensor) -> Any:
        name = "forward_training" if model.training else "forward_evaluation"
        with TracingContext(get_tracer("test"), name):
            return forward(model, windows)

    monkeypatch.setattr(SequenceModel, "forward", traced_forward)
    single.train(replace(QUICK, epochs=1))
    spans = exported_spans()
    (validation,) = named(spans, "validation")
    evaluated = named(spans, "forward_evaluation")
    assert len(evaluated) == math.ceil(len(single.dataset.val) / 32)
    assert evaluated == children(spans, validation)


def test_running_means_of_the_loss_are_on_the_epoch_by_step(
    single: Setup, exported_spans: ExportedSpans
) -> None:
    single.train()
    spans = exported_spans()
    for epoch in named(spans, "training_epoch"):
        batches = named(children(spans, epoch), "batch_processing")
        steps = {batch.attributes["global_step"]: index for index, batch in enumerate(batches)}
        logged = {
            int(key.removeprefix("loss_at_step_")): value
            for key, value in epoch.attributes.items()
            if key.startswith("loss_at_step_")
        }
        assert set(logged) == {step for step in steps if step % 2 == 0}
        for step, mean in logged.items():
            seen = [b.attributes for b in batches[: steps[step] + 1]]
            loss_sum = sum(batch["loss"] * batch["batch_size"] for batch in seen)
            assert mean == pytest.approx(loss_sum / sum(batch["batch_size"] for batch in seen))


def test_a_multi_task_batch_has_every_tasks_loss_and_a_validation_every_metric(
    multi: Setup, exported_spans: ExportedSpans
) -> None:
    multi.train(replace(QUICK, epochs=1))
    spans = exported_spans()
    for batch in named(spans, "batch_processing"):
        tasks = {key: value for key, value in batch.attributes.items() if key.startswith("task.")}
        assert set(tasks) == {f"task.{task.key}" for task in ALL_TASKS}
        assert sum(tasks.values()) == pytest.approx(batch.attributes["loss"], rel=1e-5)
    (validation,) = named(spans, "validation")
    values = {key for key in validation.attributes if key.startswith("val.")}
    assert values == {f"val.{task.metric}" for task in ALL_TASKS}
    assert validation.attributes["val_metric"] == validation.attributes["val.dir_acc"]


def test_checkpoints_are_traced_beside_the_epochs(
    single: Setup, exported_spans: ExportedSpans
) -> None:
    single.train()
    saves = named(exported_spans(), "checkpoint_save")
    assert [save.attributes["epoch"] for save in saves] == [1, 2]
    for save in saves:
        path = Path(save.attributes["checkpoint.path"])
        assert path.stat().st_size == save.attributes["checkpoint.size_bytes"]


def test_a_loss_that_is_not_a_number_ends_training_and_shows_on_its_batch(
    single: Setup, exported_spans: ExportedSpans
) -> None:
    """T20, T21."""
    single.dataset.train[[0]][0]  # the dataset works before it is spoiled
    single.dataset.train._features[:] = float("nan")
    with pytest.raises(
        FloatingPointError, match=r"the loss became nan in epoch 1, batch 1; .*0.001"
    ):
        single.train()
    spans = exported_spans()
    (batch,) = named(spans, "batch_processing")
    (epoch,) = named(spans, "training_epoch")
    assert batch.status.status_code.name == "ERROR"
    assert batch.attributes["error.type"] == "FloatingPointError"
    assert "the loss became nan" in batch.attributes["error.message"]
    assert math.isnan(batch.attributes["loss"])
    (event,) = batch.events
    assert event.name == "exception"
    assert "FloatingPointError" in event.attributes["exception.stacktrace"]
    assert (epoch.status.status_code.name, epoch.events) == ("ERROR", [])
    assert not named(spans, "validation")


@pytest.mark.parametrize("tasks", [DIRECTION, ALL_TASKS])
def test_a_batch_reads_from_the_device_once(
    tasks: tuple[Task, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = Setup(tmp_path, tasks)
    # The optimiser reads its step counters, which are on the CPU whatever the device.
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda _optimizer: None)
    reads: list[str] = []
    originals = {name: getattr(torch.Tensor, name) for name in ("item", "tolist", "__float__")}

    def counted(name: str) -> Any:
        def read(tensor: torch.Tensor) -> Any:
            if tensor.dtype.is_floating_point:  # Shuffled indices are read too, on the CPU.
                reads.append(name)
            return originals[name](tensor)

        return read

    for name in originals:
        monkeypatch.setattr(torch.Tensor, name, counted(name))

    def reads_of(batches: int, batch_size: int) -> int:
        reads.clear()
        setup.train(replace(QUICK, epochs=1, max_batches=batches, batch_size=batch_size))
        return len(reads)

    assert reads_of(batches=5, batch_size=32) - reads_of(batches=2, batch_size=32) == 3
    # Smaller batches mean more of them in the validation, which reads only its result.
    assert reads_of(batches=2, batch_size=32) == reads_of(batches=2, batch_size=8)
