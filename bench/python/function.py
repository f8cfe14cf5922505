"""One side of the comparison of decorators: by how much a decorated empty function takes longer.

    python function.py lumitrace|opentelemetry ENDPOINT CALLS

Lumitrace's is `@trace_function`, which also records the function's name and how it ended;
OpenTelemetry's is `@tracer.start_as_current_span`. The time is that of the calling thread, spans
are batched and sent meanwhile, and calls come in bursts below the queue's size.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from sides import start

BURST = 1_500


def empty() -> None:
    """Do nothing."""


def decorated(side: str, tracer: Any) -> Callable[[], None]:
    """Return the empty function, traced as a user of the library would do it."""
    if side == "lumitrace":
        from lumitrace.tracing import trace_function

        decorator: Any = trace_function(tracer)
    else:
        decorator = tracer.start_as_current_span("empty")
    traced: Callable[[], None] = decorator(empty)
    return traced


def thread_seconds(function: Callable[[], None], calls: int) -> float:
    """Return the CPU time that this thread takes for so many calls."""
    started = time.thread_time()
    for _ in range(calls):
        function()
    return time.thread_time() - started


def main() -> None:
    """Call both functions in turn and print what the decorator adds."""
    side, endpoint, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
    provider = start(side, endpoint)
    traced = decorated(side, provider.get_tracer("bench"))
    thread_seconds(traced, 200)
    added = 0.0
    for first in range(0, calls, BURST):
        burst = min(BURST, calls - first)
        added += thread_seconds(traced, burst) - thread_seconds(empty, burst)
        provider.force_flush()
    provider.shutdown()
    print(json.dumps({"added_ns": added / calls * 1e9}))


main()
