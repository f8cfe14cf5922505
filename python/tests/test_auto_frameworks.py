"""Lightning and Hugging Face's Trainer in programs that are traced as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from collector import Collector
from programs import child_names, children, run_traced

pytestmark = pytest.mark.timeout(600)

pytest.importorskip("torch", reason="PyTorch is not installed")

LIGHTNING = """
import pickle, torch
from torch.utils.data import DataLoader, TensorDataset
import {package} as lightning

class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
    def training_step(self, batch, index):
        loss = self.layer(batch[0]).pow(2).mean()
        self.log("train_loss", loss)
        return loss
    def validation_step(self, batch, index):
        self.log("val_loss", self.layer(batch[0]).pow(2).mean())
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)

loader = DataLoader(TensorDataset(torch.randn(12, 4)), batch_size=4)
trainer = lightning.Trainer(
    max_epochs=2, accelerator="cpu", logger=False, enable_progress_bar=False,
    enable_model_summary=False, log_every_n_steps=1, enable_checkpointing=False,
)
pickle.loads(pickle.dumps(trainer.callbacks))
trainer.fit(Model(), loader, loader)
"""

TRANSFORMERS = """
import pickle, torch
from transformers import PretrainedConfig, PreTrainedModel, Trainer, TrainingArguments

class Config(PretrainedConfig):
    model_type = "tiny"

class Model(PreTrainedModel):
    config_class = Config
    def __init__(self, config):
        super().__init__(config)
        self.layer = torch.nn.Linear(4, 1)
        self.post_init()
    def forward(self, x=None, labels=None):
        out = self.layer(x).squeeze(-1)
        return {"loss": (out - labels).pow(2).mean(), "logits": out}

rows = [{"x": torch.randn(4), "labels": torch.tensor(0.0)} for _ in range(12)]
arguments = TrainingArguments(
    output_dir="out", num_train_epochs=2, per_device_train_batch_size=4, logging_steps=1,
    eval_strategy="epoch", save_strategy="epoch", report_to=[], disable_tqdm=True, use_cpu=True,
)
trainer = Trainer(Model(Config()), arguments, train_dataset=rows, eval_dataset=rows[:8])
pickle.loads(pickle.dumps(trainer.callback_handler.callbacks))
trainer.train()
"""


@pytest.mark.parametrize("package", ["lightning.pytorch", "pytorch_lightning"])
def test_S23_lightning_tells_of_its_epochs_batches_and_validations(
    collector: Collector, tmp_path: Path, package: str
) -> None:
    pytest.importorskip(package, reason="Lightning is not installed")
    run_traced(tmp_path, LIGHTNING.replace("{package}", package), collector)
    training = collector.one("training_run")
    assert training.attributes["model"] == "Model"
    assert child_names(collector, training) == ["training_epoch", "training_epoch"]
    for number, epoch in enumerate(children(collector, training), start=1):
        assert epoch.attributes["epoch"] == number
        assert epoch.attributes["total_epochs"] == 2
        assert epoch.attributes["train_loss"] >= 0
        *batches, validation = children(collector, epoch)
        assert [batch.name for batch in batches] == ["batch_processing"] * 3
        assert [batch.attributes["batch_index"] for batch in batches] == [1, 2, 3]
        assert {batch.attributes["batch_size"] for batch in batches} == {4}
        steps = [batch.attributes["global_step"] for batch in batches]
        assert steps == [3 * number - 2, 3 * number - 1, 3 * number]
        assert all(batch.attributes["train_loss"] >= 0 for batch in batches)
        assert all(batch.attributes["data_wait_ms"] >= 0 for batch in batches)
        assert validation.name == "validation"
        assert validation.attributes["val_loss"] >= 0


def test_S23_hugging_faces_trainer_tells_of_its_steps_losses_evaluations_and_checkpoints(
    collector: Collector, tmp_path: Path
) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    run_traced(tmp_path, TRANSFORMERS, collector)
    training = collector.one("training_run")
    assert training.attributes["model"] == "Model"
    assert training.attributes["max_steps"] == 6
    assert training.attributes["train_loss"] >= 0
    epochs = [span for span in children(collector, training) if span.name == "training_epoch"]
    assert [epoch.attributes["total_epochs"] for epoch in epochs] == [2, 2]
    for number, epoch in enumerate(epochs, start=1):
        assert epoch.attributes["epoch"] == number
        below = children(collector, epoch)
        batches = [span for span in below if span.name == "batch_processing"]
        assert [batch.attributes["batch_index"] for batch in batches] == [1, 2, 3]
        assert [batch.attributes["global_step"] for batch in batches] == [
            3 * number - 2,
            3 * number - 1,
            3 * number,
        ]
        assert all(batch.attributes["loss"] >= 0 for batch in batches)
        assert all(batch.attributes["batch_size"] == 4 for batch in batches)
        (validation,) = [span for span in below if span.name == "validation"]
        assert validation.attributes["val_loss"] >= 0
        assert [span for span in below if span.name == "checkpoint"]
    assert len(collector.named("batch_processing")) == 6


def test_a_framework_that_is_switched_off_leaves_its_training_to_the_loops_own_signs(
    collector: Collector, tmp_path: Path
) -> None:
    pytest.importorskip("pytorch_lightning", reason="Lightning is not installed")
    run_traced(
        tmp_path,
        LIGHTNING.replace("{package}", "pytorch_lightning"),
        collector,
        LUMITRACE_AUTO_DISABLED="lightning",
    )
    assert "model" not in collector.one("training_run").attributes
    assert len(collector.named("training_epoch")) == 2
