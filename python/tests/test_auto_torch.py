"""PyTorch programs that are traced as they are."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from collector import Collector
from programs import child_names, children, ended_ns, environment, run, run_traced, started_ns

pytestmark = pytest.mark.timeout(600)

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

LOOP = """
import os, sys, torch
from torch.utils.data import DataLoader, TensorDataset

def main():
    torch.manual_seed(0)
    x = torch.randn(24, 4)
    y = x.sum(1, keepdim=True)
    workers = int(os.environ.get("WORKERS", "0"))
    method = os.environ.get("METHOD") or None
    loader = DataLoader(
        TensorDataset(x, y), batch_size=8, num_workers=workers, multiprocessing_context=method,
        persistent_workers=bool(os.environ.get("PERSISTENT")),
    )
    held_out = DataLoader(TensorDataset(x[:10], y[:10]), batch_size=5)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(2):
        for a, b in loader:
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(model(a), b)
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            for a, b in held_out:
                model(a)
        torch.save(model.state_dict(), "model.pt")
    print(f"{loss.item():.6f}")

if __name__ == "__main__":
    main()
"""


def assert_is_whole(collector: Collector) -> None:
    """The spans of LOOP, each once, and in their places."""
    run_span = collector.one("training_run")
    assert run_span.parent_id is None
    assert child_names(collector, run_span) == ["training_epoch", "training_epoch"]
    for number, epoch in enumerate(children(collector, run_span), start=1):
        assert epoch.attributes["epoch"] == number
        assert child_names(collector, epoch) == [
            "batch_processing",
            "batch_processing",
            "batch_processing",
            "validation",
            "checkpoint",
        ]
        *batches, validation, checkpoint = children(collector, epoch)
        assert [batch.attributes["batch_index"] for batch in batches] == [1, 2, 3]
        assert {batch.attributes["batch_size"] for batch in batches} == {8}
        assert validation.attributes == {"epoch": number, "num_batches": 2, "num_samples": 10}
        assert checkpoint.attributes == {"path": "model.pt"}
        assert ended_ns(epoch) == ended_ns(checkpoint)
        assert started_ns(epoch) <= started_ns(batches[0])
    assert len({span.span_id for span in collector.spans}) == 13 == len(collector.spans)


def test_S23_T17_a_training_loop_has_run_epochs_batches_validations_and_checkpoints(
    collector: Collector, tmp_path: Path
) -> None:
    result = run_traced(tmp_path, LOOP, collector)
    assert_is_whole(collector)
    assert result.stderr == ""
    assert {span.resource["service.name"] for span in collector.spans} == {"train"}
    plain = run([sys.executable, "train.py"], environment(), tmp_path)
    assert result.stdout == plain.stdout  # and trains the same


@pytest.mark.parametrize(
    ("method", "workers", "persistent"), [("fork", "2", ""), ("spawn", "1", "1")]
)
def test_S23_workers_of_a_loader_add_no_spans_and_lose_none(
    collector: Collector, tmp_path: Path, method: str, workers: str, persistent: str
) -> None:
    result = run_traced(
        tmp_path, LOOP, collector, WORKERS=workers, METHOD=method, PERSISTENT=persistent
    )
    assert_is_whole(collector)
    assert "Error" not in result.stderr


def test_S23_a_compiled_model_has_no_break_and_is_compiled_no_more_often(
    collector: Collector, tmp_path: Path
) -> None:
    program = """
import json, torch
from torch._dynamo.utils import counters
from torch.utils.data import DataLoader, TensorDataset

def main():
    x = torch.randn(16, 4)
    layers = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU())
    model = torch.compile(layers, backend="eager")
    loader = DataLoader(TensorDataset(x), batch_size=4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    @torch.compile(backend="eager")
    def step():
        optimizer.step()

    for epoch in range(2):
        for (a,) in loader:
            model(a).sum().backward()
            optimizer.step()
            step()
    found = {name: dict(counter) for name, counter in counters.items()}
    print(json.dumps([found.get("stats"), found.get("graph_break"), found.get("frames")]))

main()
"""
    traced = run_traced(tmp_path, program, collector)
    plain = run([sys.executable, "train.py"], environment(), tmp_path)
    assert plain.returncode == 0, plain.stderr
    statistics, breaks, frames = json.loads(plain.stdout)
    with_tracing = json.loads(traced.stdout)
    assert with_tracing[:2] == [statistics, breaks]
    assert with_tracing[2]["total"] <= frames["total"]
    assert statistics["unique_graphs"] >= 2
    assert len(collector.named("batch_processing")) == 8


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_S23_no_batch_waits_for_the_device(collector: Collector, tmp_path: Path) -> None:
    program = """
import torch
from torch.utils.data import DataLoader

loader = DataLoader([torch.ones(4, device="cuda") for _ in range(6)], batch_size=None)
model = torch.nn.Linear(4, 1).cuda()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model(next(iter(loader))).sum().backward()
optimizer.step()
torch.cuda.set_sync_debug_mode("error")
for a in loader:
    optimizer.zero_grad()
    model(a).sum().backward()
    optimizer.step()
torch.cuda.set_sync_debug_mode("default")
"""
    run_traced(tmp_path, program, collector)
    batches = collector.named("batch_processing")
    assert len(batches) >= 6
    assert any("torch.memory.allocated_bytes" in batch.attributes for batch in batches)


def test_S23_no_module_is_a_span_unless_that_is_asked_for(
    collector: Collector, tmp_path: Path
) -> None:
    program = """
import torch
model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
model(torch.ones(1, 2))
try:
    model(torch.ones(1, 3))
except RuntimeError:
    print("raised")
"""
    run_traced(tmp_path, program, collector)
    assert collector.spans == []
    result = run_traced(tmp_path, program, collector, LUMITRACE_TORCH_MODULES="1")
    assert result.stdout == "raised\n"
    first, second = [span for span in collector.spans if span.parent_id is None]
    assert first.attributes == {"module": "Sequential"}
    below = children(collector, first)
    assert [span.name for span in below] == ["forward", "forward"]
    assert [span.attributes["module"] for span in below] == ["Linear", "ReLU"]
    assert [span.attributes["module"] for span in children(collector, second)] == ["Linear"]


def test_T20_an_error_that_ends_the_training_is_on_its_spans(
    collector: Collector, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text(
        LOOP.replace("        with torch.no_grad():", "        raise ValueError('NaN')").replace(
            "            for a, b in held_out:\n                model(a)\n", ""
        )
    )
    command = [sys.executable, "-m", "lumitrace.auto", "train.py"]
    result = run(command, environment(collector), tmp_path)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "ValueError: NaN"
    training = collector.one("training_run")
    assert training.attributes["error.type"] == "ValueError"
    assert training.proto.status.code == 2
    events = [event for span in collector.spans for event in span.proto.events]
    assert len(events) == 1


def test_T20_a_checkpoint_that_cannot_be_saved_is_an_error_and_still_raised(
    collector: Collector, tmp_path: Path
) -> None:
    program = """
import torch
try:
    torch.save({"a": 1}, "no/such/folder/model.pt")
except Exception as error:
    print(type(error).__name__)
import io
torch.save({"a": 1}, io.BytesIO())
if torch.distributed.is_available():
    import torch.distributed.checkpoint
    torch.distributed.checkpoint.save({"a": torch.ones(1)}, checkpoint_id="sharded")
else:
    torch.save({"a": torch.ones(1)}, "sharded")
from lumitrace.tracing import TracingContext
with TracingContext(None, "checkpoint_save"):
    torch.save({"a": 1}, "theirs.pt")
"""
    result = run_traced(tmp_path, program, collector)
    span, sharded = collector.named("checkpoint")
    assert len(collector.spans) == 3
    assert sharded.attributes == {"path": "sharded"}
    assert span.attributes["error.type"] == result.stdout.strip()
    assert span.proto.status.code == 2


def test_T1_a_batch_of_whatever_the_program_makes_is_traced_without_a_size(
    collector: Collector, tmp_path: Path
) -> None:
    program = """
import torch
from torch.utils.data import DataLoader

class Batch:
    @property
    def shape(self):
        raise RuntimeError("no shape")

loader = DataLoader([1, 2, 3, 4], batch_size=2, collate_fn=lambda rows: Batch())
model = torch.nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for batch in loader:
    model(torch.ones(1, 1)).sum().backward()
    optimizer.step()
for batch in DataLoader([{"a": torch.ones(3)}] * 4, batch_size=2):
    optimizer.step()
"""
    result = run_traced(tmp_path, program, collector)
    assert result.stderr == ""
    sizes = [span.attributes.get("batch_size") for span in collector.named("batch_processing")]
    assert sizes == [None, None, 2, 2]


def test_a_process_that_is_forked_in_a_training_leaves_the_spans_to_its_parent(
    collector: Collector, tmp_path: Path
) -> None:
    program = LOOP.replace(
        "            optimizer.step()\n",
        "            optimizer.step()\n"
        "            child = os.fork()\n"
        "            if child == 0:\n"
        "                sys.exit(0)\n"
        "            assert os.waitpid(child, 0)[1] == 0\n",
    )
    run_traced(tmp_path, program, collector)
    assert_is_whole(collector)


def test_T4_a_training_runs_to_its_end_without_a_collector(tmp_path: Path) -> None:
    result = run_traced(tmp_path, LOOP, None, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert float(result.stdout) > 0
    (warning,) = result.stderr.splitlines()
    assert "cannot send spans" in warning
