"""Having a program's libraries traced by the instrumentations that OpenTelemetry has for them."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterable
from typing import Any

from lumitrace import _opentelemetry

_LOGGER = logging.getLogger("lumitrace")

SYSTEM = ("fastapi", "httpx", "sqlalchemy", "redis")
"""The libraries that :func:`instrument_system` knows of by itself."""


def instrument_system(libraries: Iterable[str] = SYSTEM) -> dict[str, str]:
    """Have every request, query and command through these libraries traced, without other code.

    This switches on the ``opentelemetry-instrumentation-…`` packages that are installed; those
    that are missing or fail cost their own library's spans and nothing else.

    :param libraries: names of instrumentations, as those packages call them.
    :returns: for each library what became of it: ``instrumented``, ``not installed``, or what
        keeps it from being traced.
    """
    _opentelemetry.connect(register_provider=True)
    outcomes = {library: _instrument(library) for library in libraries}
    for library, outcome in outcomes.items():
        if outcome not in ("instrumented", "not installed"):
            _LOGGER.warning("%s is not traced: %s", library, outcome)
    return outcomes


def _instrument(library: str) -> str:
    try:
        if importlib.util.find_spec(library) is None:
            return "not installed"
        instrumentor = _instrumentor(library)
        if instrumentor is None:
            return f"the package opentelemetry-instrumentation-{library} is not installed"
        if not instrumentor.is_instrumented_by_opentelemetry:
            instrumentor.instrument()
        if not instrumentor.is_instrumented_by_opentelemetry:
            return "its instrumentation does not fit the installed version"
    except Exception as problem:  # of one instrumentation: the others work
        return f"{type(problem).__name__}: {problem}"
    return "instrumented"


def _instrumentor(library: str) -> Any:
    from importlib.metadata import entry_points

    for entry in entry_points(group="opentelemetry_instrumentor", name=library):
        return entry.load()()
    return None
