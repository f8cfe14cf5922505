"""Runs programs of the tests as they are, in processes of their own, traced without their doing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from collector import Collector, ReceivedSpan

PATIENCE_SECONDS = 570
"""Importing PyTorch takes seconds of processor time, which a busy machine may not have at once."""


def environment(collector: Collector | None = None, **variables: str) -> dict[str, str]:
    """An environment without settings of tracing, but for these."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "LUMITRACE_"))
    }
    if collector is not None:
        clean["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.endpoint
    return {**clean, **variables}


def run(
    command: list[str], variables: dict[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, env=variables, cwd=folder
    )


def run_traced(
    folder: Path,
    program: str,
    collector: Collector | None,
    *arguments: str,
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    """Writes the program to ``train.py`` and runs it by ``python -m lumitrace.auto``."""
    (folder / "train.py").write_text(program)
    result = run(
        [sys.executable, "-m", "lumitrace.auto", "train.py", *arguments],
        environment(collector, **variables),
        folder,
    )
    assert result.returncode == 0, result.stderr
    return result


def child_names(collector: Collector, parent: ReceivedSpan) -> list[str]:
    """The names of the spans right below a span, by start."""
    return [span.name for span in children(collector, parent)]


def children(collector: Collector, parent: ReceivedSpan) -> list[ReceivedSpan]:
    """The spans right below a span, by start."""
    below = [span for span in collector.spans if span.parent_id == parent.span_id]
    return sorted(below, key=lambda span: span.proto.start_time_unix_nano)


def ended_ns(span: ReceivedSpan) -> int:
    return int(span.proto.end_time_unix_nano)


def started_ns(span: ReceivedSpan) -> int:
    return int(span.proto.start_time_unix_nano)
