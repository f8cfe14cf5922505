"""What belongs to a model's weights when they are used again: its tasks, inputs and scaling."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from data.labels import LabelSettings
from data.prepare_dataset import BarSource, DatasetSettings, Scaling
from data.windows import WindowSettings
from features.agent_features import FeatureSettings
from models.sequence_model import SequenceModel
from models.tasks import Task, task_by_key
from train.core.checkpoints import CheckpointError, State, load_checkpoint


@dataclass(frozen=True)
class ModelCard:
    """The parts of a checkpoint that do not change while a model trains."""

    pair: str
    tasks: tuple[Task, ...]
    weights: dict[str, float]
    feature_names: tuple[str, ...]
    scaling: Scaling
    dataset: DatasetSettings

    def to_state(self) -> State:
        """Return the card as plain values and tensors, without where the bars came from."""
        return {
            "pair": self.pair,
            "tasks": [task.key for task in self.tasks],
            "weights": self.weights,
            "feature_names": list(self.feature_names),
            "scaling": vars(self.scaling),
            "features": asdict(self.dataset.features),
            "windows": asdict(self.dataset.windows),
            "labels": asdict(self.dataset.labels),
        }

    @staticmethod
    def from_state(state: State) -> ModelCard:
        """Read the card from a checkpoint's state. Raises CheckpointError if it does not fit."""
        try:
            labels = LabelSettings(**state["labels"])
            return ModelCard(
                pair=state["pair"],
                tasks=tuple(task_by_key(key, labels.top_k) for key in state["tasks"]),
                weights=state["weights"],
                feature_names=tuple(state["feature_names"]),
                scaling=Scaling(**state["scaling"]),
                dataset=DatasetSettings(
                    features=FeatureSettings(**state["features"]),
                    windows=WindowSettings(**state["windows"]),
                    labels=labels,
                ),
            )
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"the checkpoint is of another version: {error!r}") from error

    def with_source(self, source: BarSource) -> ModelCard:
        """Return the same card for bars from another place."""
        return replace(self, dataset=replace(self.dataset, source=source))


def load_trained_model(path: Path) -> tuple[SequenceModel, ModelCard]:
    """Read a model and its card from a checkpoint. Raises CheckpointError."""
    state = load_checkpoint(path)
    card = ModelCard.from_state(state)
    model = SequenceModel(len(card.feature_names), card.tasks)
    model.load_state_dict(state["model"])
    return model, card
