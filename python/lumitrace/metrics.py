"""Measurements of a program.

Until metrics are sent as such, a measurement is an event ``metric`` on the current span, and
outside of spans on a span of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lumitrace._events import pairs_of, record_event

__all__ = ["instrument_of", "record_metric"]

# The end of a name, the instrument and the unit (UCUM, as OpenTelemetry writes it).
_RULES = (
    ("_ns", "histogram", "ns"),
    ("_us", "histogram", "us"),
    ("_ms", "histogram", "ms"),
    ("_seconds", "histogram", "s"),
    ("_latency", "histogram", "ms"),
    ("_duration", "histogram", "ms"),
    ("_tokens", "counter", "{token}"),
    ("_total", "counter", "1"),
    ("_bytes", "gauge", "By"),
    ("_percent", "gauge", "%"),
)


def record_metric(name: str, value: Any, tags: Mapping[str, Any] | None = None) -> None:
    """Record a measurement.

    The event ``metric`` carries ``metric.name``, ``metric.value``, and by the rule of
    :func:`instrument_of` ``metric.instrument`` and ``metric.unit``; each tag is ``tag.{name}``.

    :param name: what is measured, such as ``model_latency``, ``token_count``, ``error_rate``.
    :param value: a number, also one in a numpy scalar or a tensor of one element.
    :param tags: what it is measured of.
    """
    instrument, unit = instrument_of(name)
    attributes = {
        "metric.name": name,
        "metric.value": value,
        "metric.instrument": instrument,
        "metric.unit": unit,
    }
    for tag, said in pairs_of(tags).items():
        attributes[f"tag.{tag}"] = said
    record_event("metric", attributes)


def instrument_of(name: str) -> tuple[str, str]:
    """The instrument and the unit of a measurement, by how its name ends.

    Times (``_latency``, ``_duration``, ``_ms``, ``_seconds``, …) are histograms, in milliseconds
    unless the name says otherwise; ``_count`` and ``_total`` are counters, of what the name begins
    with; everything else is a gauge.

        >>> instrument_of("model_latency"), instrument_of("token_count")
        (('histogram', 'ms'), ('counter', '{token}'))
    """
    known = str(name)
    for ending, instrument, unit in _RULES:
        if known.endswith(ending):
            return instrument, unit
    if known.endswith("_count"):
        return "counter", f"{{{known.removesuffix('_count').rpartition('_')[2]}}}"
    return "gauge", "1"
