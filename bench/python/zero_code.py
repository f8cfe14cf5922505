"""What it costs to trace a program as it is: the start of Python, and a batch of a training loop.

    python bench/python/zero_code.py

Prints processor time of the calling process and thread, the least of several rounds: what other
programs do meanwhile matters less to it than to the clock on the wall. Nothing is sent. The loop
does nothing but hand out batches and step an optimizer without gradients, so that what tracing adds
is not lost in it.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

START_ROUNDS = 20
BATCHES = 2_000
BATCH_ROUNDS = 8


def main() -> None:
    """Print both costs, plain and traced."""
    os.environ["OTEL_TRACES_EXPORTER"] = "none"
    plain, traced = start_ms()
    print(f"start of Python: {plain:.1f} ms, traced {traced:.1f} ms")
    plain, traced = batch_us()
    print(f"batch of PyTorch: {plain:.1f} us, traced {traced:.1f} us")


def start_ms() -> tuple[float, float]:
    """Return what starting Python without a program takes, plain and traced."""
    import lumitrace

    bootstrap = str(Path(lumitrace.__file__).parent / "auto" / "bootstrap")
    inherited = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join([bootstrap, inherited])
    plain = min(child_cpu_ms(inherited) for _ in range(START_ROUNDS))
    traced = min(child_cpu_ms(path) for _ in range(START_ROUNDS))
    return plain, traced


def child_cpu_ms(path: str) -> float:
    """Return the CPU time of an interpreter that does nothing, with this search path."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", "pass"], check=True, env={**os.environ, "PYTHONPATH": path}
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e3 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def batch_us() -> tuple[float, float]:
    """Return what a batch takes in one loop, before and after tracing begins."""
    import torch
    from lumitrace import auto
    from torch.utils.data import DataLoader, TensorDataset

    loader = DataLoader(TensorDataset(torch.zeros(BATCHES, 1)), batch_size=None)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)

    def epoch() -> float:
        started = time.thread_time()
        for _ in loader:
            optimizer.step()
        return 1e6 * (time.thread_time() - started) / BATCHES

    def least() -> float:
        epoch()
        return min(epoch() for _ in range(BATCH_ROUNDS))

    plain = least()
    auto.start()
    return plain, least()


if __name__ == "__main__":
    main()
