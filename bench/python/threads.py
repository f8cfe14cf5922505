"""One side of the comparison of threads: how much a thread is held up by others that trace.

    python threads.py lumitrace|opentelemetry ENDPOINT SPANS

A thread trains: it multiplies matrices, which leaves the interpreter's lock, between a few lines
of Python, which need it. Its time is taken alone, and while three other threads trace so many
batches as fast as they can, in bursts below the queue's size. Whatever holds the lock meanwhile,
recording or encoding, holds the training up.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from statistics import median
from typing import Any

import torch

from sides import start, trace_batches

THREADS = 3
BURST = 400
STEPS = 400
SIZE = 160


def train() -> float:
    """Return the seconds that the steps took."""
    weights = torch.ones(SIZE, SIZE)
    data = torch.ones(SIZE, SIZE)
    started = time.perf_counter()
    for step in range(STEPS):
        data = torch.tanh(data @ weights) / (1 + step)
    return time.perf_counter() - started


def trace(provider: Any, batches: int) -> None:
    """Trace so many batches, without losing any."""
    tracer = provider.get_tracer("bench")
    for first in range(0, batches, BURST):
        trace_batches(tracer, min(BURST, batches - first))
        provider.force_flush()


def train_beside(provider: Any, batches: int) -> float:
    """Return by how many seconds training took longer while the other threads traced."""
    alone = median(train() for _ in range(5))
    tracing = [
        threading.Thread(target=trace, args=(provider, batches // THREADS)) for _ in range(THREADS)
    ]
    for thread in tracing:
        thread.start()
    slowed = 0.0
    while any(thread.is_alive() for thread in tracing):
        slowed += train() - alone
    return slowed


def main() -> None:
    """Train beside tracing and print for how long that held the training up."""
    side, endpoint, spans = sys.argv[1], sys.argv[2], int(sys.argv[3])
    torch.set_num_threads(1)
    provider = start(side, endpoint)
    trace(provider, 500)
    train()
    slowed = train_beside(provider, spans)
    provider.shutdown()
    print(json.dumps({"slowed_ms": slowed * 1e3}))


main()
