"""One side of the comparison of imports: by how much longer an interpreter takes with the library.

    python importing.py lumitrace|opentelemetry ENDPOINT 1

What is imported is what a program needs to set tracing up with OTLP over HTTP. Compiled files are
there; the fastest of several starts counts, each way.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

STARTS = 7
PROGRAMS = {
    "lumitrace": "import lumitrace.tracing",
    "opentelemetry": (
        "import opentelemetry.sdk.trace.export, "
        "opentelemetry.exporter.otlp.proto.http.trace_exporter"
    ),
}


def seconds(program: str) -> float:
    """Return how long the fastest start of an interpreter with this program took."""
    times = []
    for _ in range(STARTS):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True)
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    """Start interpreters and print what the import adds, in milliseconds."""
    program = PROGRAMS[sys.argv[1]]
    seconds(program)
    print(json.dumps({"added_ms": (seconds(program) - seconds("pass")) * 1e3}))


main()
