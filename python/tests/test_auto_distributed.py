"""Trainings of several processes: one trace over all ranks, and no message between them for it."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
from collector import Collector
from programs import environment, run

pytestmark = pytest.mark.timeout(600)

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
if not torch.distributed.is_available():
    pytest.skip("PyTorch has no torch.distributed here", allow_module_level=True)

TRAIN = """
import os, sys, torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

def train():
    torch.manual_seed(0)
    x = torch.randn(16, 4)
    loader = DataLoader(TensorDataset(x), batch_size=4)
    model = DistributedDataParallel(torch.nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for (a,) in loader:
        optimizer.zero_grad()
        model(a).sum().backward()
        optimizer.step()
    dist.destroy_process_group()
"""
BY_LAUNCHER = (
    TRAIN
    + """
dist.init_process_group("gloo")
train()
"""
)
BY_ITSELF = (
    TRAIN
    + """
def rank(number, world_size):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=sys.argv[1])
    dist.init_process_group("gloo", rank=number, world_size=world_size)
    train()

if __name__ == "__main__":
    torch.multiprocessing.start_processes(rank, (2,), nprocs=2, start_method=sys.argv[2])
"""
)


def assert_one_trace_of_two_ranks(collector: Collector) -> None:
    runs = sorted(collector.named("training_run"), key=lambda span: span.attributes["rank"])
    assert [span.attributes["rank"] for span in runs] == [0, 1]
    assert [span.attributes["world_size"] for span in runs] == [2, 2]
    assert [span.parent_id for span in runs] == [None, None]
    assert len({span.trace_id for span in collector.spans}) == 1
    assert {span.attributes["run.id"] for span in runs} == {runs[0].trace_id}
    assert len(collector.named("training_epoch")) == 2
    assert len(collector.named("batch_processing")) == 8
    assert len({span.span_id for span in collector.spans}) == 12


def test_S23_ranks_of_torchrun_are_in_one_trace_and_say_which_they_are(
    collector: Collector, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text(BY_LAUNCHER)
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    result = run(
        [sys.executable, "-m", "lumitrace.auto", *torchrun, "train.py"],
        environment(collector),
        tmp_path,
    )
    assert result.returncode == 0, result.stderr
    assert_one_trace_of_two_ranks(collector)
    for span in collector.spans:
        assert span.resource["rank"] in (0, 1)
        assert span.resource["world_size"] == 2
        assert span.resource["local_rank"] == span.resource["rank"]
        assert span.resource["job.launcher"] == "torchrun"
        assert span.resource["service.name"] == "train"
        assert span.resource["run.id"] == span.trace_id


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_S23_processes_that_the_program_starts_are_in_one_trace(
    collector: Collector, tmp_path: Path, method: str
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    (tmp_path / "train.py").write_text(BY_ITSELF)
    result = run(
        [sys.executable, "-m", "lumitrace.auto", "train.py", port, method],
        environment(collector),
        tmp_path,
    )
    assert result.returncode == 0, result.stderr
    assert_one_trace_of_two_ranks(collector)
