"""A trace as one page to look at, without a server and without a network."""

from __future__ import annotations

from os import PathLike, fspath
from typing import Any

_PAGE = "_timeline.html"
_PLACE = "/*TRACE*/"


def visualize_trace(
    trace_data: dict[str, Any] | str | PathLike[str],
    output_file: str | PathLike[str] = "trace_visualization.html",
) -> str:
    """Write a trace as one HTML file that shows its spans on a timeline, and return its path.

    The file needs nothing else: no server, no network, no other file.

    :param trace_data: what :meth:`TraceCollector.get_trace` returned, or the path of a file that
        :meth:`TraceCollector.save_trace` has written.
    :param output_file: the file; one that exists is replaced.
    :raises OSError: when a file cannot be read or written.
    :raises ValueError: when this is no trace.
    """
    import json
    from pathlib import Path

    from lumitrace._otlp import spans_of

    trace = trace_data
    if not isinstance(trace, dict):
        trace = json.loads(Path(trace).read_text(encoding="utf-8"))
    # Read through: what is no trace is told here and not by an empty page.
    for _ in spans_of(trace):
        pass
    # Text of the trace ends no element: JSON's escapes mean the same to the page.
    text = json.dumps(trace).replace("<", "\\u003c").replace(">", "\\u003e")
    page = Path(__file__).with_name(_PAGE).read_text(encoding="utf-8")
    Path(output_file).write_text(page.replace(_PLACE, text), encoding="utf-8")
    return fspath(output_file)
