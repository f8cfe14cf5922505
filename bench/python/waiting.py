"""One side of the comparison of memory: end spans that are not sent, report what they occupy.

    python waiting.py lumitrace|opentelemetry ENDPOINT SPANS

The receiver is not there, the queue has room for all spans, and neither the clock nor a full batch
makes the processor send them. Reported are the resident bytes by which the process
grows for each span while as many wait already, so that memory that was free before does not count.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from sides import start

FIRST_SEND_TIMEOUT_S = 30.0
# The port of the discard protocol, which is not served.
NOBODY = "http://127.0.0.1:9"


def main() -> None:
    """End the spans and print how much memory one takes."""
    side, spans = sys.argv[1], int(sys.argv[3])
    keep_waiting(3 * spans)
    provider = start(side, NOBODY)
    tracer = provider.get_tracer("bench")
    end_spans(tracer, 1)
    if side == "lumitrace":
        wait_for_first_failure(provider)
    end_spans(tracer, spans)
    before = resident_bytes()
    end_spans(tracer, spans)
    grown = resident_bytes() - before
    if side == "lumitrace" and provider.statistics()["waiting_spans"] < 2 * spans:
        raise SystemExit(f"the spans do not wait: {provider.statistics()}")
    print(json.dumps({"bytes_per_span": grown / spans}), flush=True)
    # Without the end of the program, which would send what waits.
    os._exit(0)


def end_spans(tracer: Any, count: int) -> None:
    """Start and end so many spans with four attributes."""
    for index in range(count):
        with tracer.start_as_current_span("batch_processing") as span:
            span.set_attribute("batch_index", index)
            span.set_attribute("batch_size", 32)
            span.set_attribute("loss", 0.5)
            span.set_attribute("task", "direction")


def keep_waiting(spans: int) -> None:
    """Make the batch processors of this process hold so many spans back."""
    os.environ["OTEL_BSP_MAX_QUEUE_SIZE"] = str(spans)
    os.environ["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"] = str(spans)
    os.environ["OTEL_BSP_SCHEDULE_DELAY"] = "3600000"


def wait_for_first_failure(provider: Any) -> None:
    """Wait until Lumitrace knows that nobody is there: before that, much that waits is sent."""
    deadline = time.monotonic() + FIRST_SEND_TIMEOUT_S
    while not provider.statistics()["failed_exports"]:
        if time.monotonic() > deadline:
            raise SystemExit(f"the first span is not tried: {provider.statistics()}")
        time.sleep(0.01)


def resident_bytes() -> int:
    """Return the memory of this process that is in RAM (proc(5), second field of `statm`)."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


main()
