"""Setting tracing up, once per process, and taking it down again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from lumitrace import _lumitrace, _opentelemetry, _process
from lumitrace._lumitrace import (
    ConsoleSpanExporter,
    FileSpanExporter,
    InMemorySpanExporter,
    JaegerSpanExporter,
    TracerProvider,
    ZipkinSpanExporter,
)

_LOGGER = logging.getLogger("lumitrace")
# Taken again by what OpenTelemetry loads while tracing is set up.
_lock = threading.RLock()
_at_shutdown: list[Callable[[], None]] = []

Exporter = (
    InMemorySpanExporter
    | ConsoleSpanExporter
    | FileSpanExporter
    | JaegerSpanExporter
    | ZipkinSpanExporter
    | Literal["otlp", "console", "jaeger", "zipkin", "file", "none"]
)
Protocol = Literal["http/protobuf", "http/json", "grpc"]


class Default(str):
    """A default that can be told from the same text passed by the program: the environment stands
    above the former and below the latter.
    """

    __slots__ = ()


DEFAULT_SERVICE_NAME = Default("sequence")

# Of what the environment does not say; the other defaults are the SDK's own.
_DEFAULTS = {"OTEL_SERVICE_NAME": str(DEFAULT_SERVICE_NAME)}


def setup_tracing(
    service_name: str = DEFAULT_SERVICE_NAME,
    otlp_endpoint: str = Default("http://localhost:4318"),
    environment: str = Default("development"),
    *,
    service_version: str | None = None,
    resource_attributes: Mapping[str, Any] | None = None,
    exporters: Sequence[Exporter] | None = None,
    protocol: Protocol | None = None,
    headers: Mapping[str, str] | None = None,
    compression: Literal["gzip", "none"] | None = None,
    timeout_ms: int | None = None,
    sampler: str | None = None,
    sampler_ratio: float | None = None,
    sampler_arg: str | None = None,
    switched_off: Sequence[str] | None = None,
    schedule_delay_ms: int | None = None,
    max_queue_size: int | None = None,
    max_export_batch_size: int | None = None,
    opentelemetry: bool = True,
) -> TracerProvider:
    """Set tracing up for this process and return the provider.

    What is passed here stands above the ``OTEL_*`` variables of the environment, which stand above
    the defaults. A second call returns the provider of the first. Never raises, and never waits
    for a collector: without one the program runs as if it were not traced, and one warning says so.

    :param service_name: ``service.name`` of the resource.
    :param otlp_endpoint: where to send: an origin (``/v1/traces`` is added over HTTP), a full URL,
        or ``host:port``.
    :param environment: ``deployment.environment.name`` of the resource.
    :param service_version: ``service.version`` of the resource; ``unknown`` by default.
    :param resource_attributes: more attributes of the resource.
    :param exporters: where spans go, each of them receives every span; ``["otlp"]`` by default.
        Also ``console``, ``jaeger``, ``zipkin``, ``file`` and ``none``, set up by the environment,
        and exporters such as :class:`FileSpanExporter`.
    :param protocol: ``http/protobuf`` (default), ``http/json`` or ``grpc``.
    :param headers: sent with every request, for instance an API key.
    :param compression: ``gzip`` or ``none`` (default).
    :param timeout_ms: how long one request may take, in milliseconds.
    :param sampler: a name as in ``OTEL_TRACES_SAMPLER``, such as ``traceidratio``.
    :param sampler_ratio: the share of traces to record, from 0 to 1.
    :param sampler_arg: the argument of another sampler, as in ``OTEL_TRACES_SAMPLER_ARG``: how many
        traces a second, for instance, with ``sampler="parentbased_rate_limited"``.
    :param switched_off: what the names of spans begin with that are left out of their traces, such
        as ``["websocket_events"]``; what such a span contains stays.
    :param schedule_delay_ms: the longest time that a span waits for its batch; 5000 by default, and
        1000 towards a Lumitrace server.
    :param max_queue_size: how many spans may wait; further ones are dropped and counted.
    :param max_export_batch_size: how many spans one request carries at most.
    :param opentelemetry: also serve ``opentelemetry.trace.get_tracer``, where OpenTelemetry's API
        is installed and the program has set no other provider.
    """
    options: dict[str, Any] = {
        "defaults": _DEFAULTS,
        "service_version": service_version,
        "resource_attributes": resource_attributes,
        "exporters": exporters,
        "protocol": protocol,
        "headers": headers,
        "compression": compression,
        "timeout_ms": timeout_ms,
        "sampler": sampler,
        "sampler_ratio": sampler_ratio,
        "sampler_arg": sampler_arg,
        "switched_off": switched_off,
        "schedule_delay_ms": schedule_delay_ms,
        "max_queue_size": max_queue_size,
        "max_export_batch_size": max_export_batch_size,
    }
    for name, value in (
        ("service_name", service_name),
        ("otlp_endpoint", otlp_endpoint),
        ("environment", environment),
    ):
        if not isinstance(value, Default):
            options[name] = value
    return set_up(options, opentelemetry=opentelemetry)


def set_up(options: Mapping[str, Any], *, opentelemetry: bool = True) -> TracerProvider:
    """What every entry point does: set tracing up with these options of the provider, unless that
    is done already.
    """
    passed = {name: value for name, value in options.items() if value is not None}
    with _lock:
        current = _lumitrace.get_tracer_provider()
        if current is not None:
            if not _waits_for_a_set_up():
                _warn_of_other_settings(passed)
                return current
            current.shutdown(_process.EXIT_TIMEOUT_MS)
        return _set_up(passed, opentelemetry)


def set_up_for_listeners() -> None:
    """Have spans recorded for listeners of this process, where tracing is not set up; a set-up that
    comes later takes the place of this one.
    """
    with _lock:
        if _lumitrace.get_tracer_provider() is None:
            _set_up({"listeners_only": True, "defaults": _DEFAULTS}, opentelemetry=True)


def set_up_automatically(service_name: str) -> None:
    """Set tracing up from the environment alone, for a program that is traced as it is; a set-up of
    the program's own takes the place of this one.

    :param service_name: the service's name where the environment gives none.
    """
    with _lock:
        if _lumitrace.get_tracer_provider() is None:
            provider = TracerProvider(defaults={"OTEL_SERVICE_NAME": service_name})
            _lumitrace._set_tracer_provider(provider, {"automatic": True})
            _process.install()


def at_shutdown(end: Callable[[], None]) -> None:
    """Have ``end`` called when tracing is shut down: what a set-up switched on ends with it."""
    if end not in _at_shutdown:
        _at_shutdown.append(end)


def _waits_for_a_set_up() -> bool:
    options = _lumitrace._tracer_provider_options() or {}
    return "listeners_only" in options or "automatic" in options


def _set_up(options: dict[str, Any], opentelemetry: bool) -> TracerProvider:
    provider = make_provider(options)
    _follow(provider, options)
    _opentelemetry.connect(register_provider=opentelemetry)
    return provider


def make_provider(options: dict[str, Any]) -> TracerProvider:
    """The provider that these settings describe; one that records nothing where they are wrong."""
    try:
        return TracerProvider(**options)
    except Exception as problem:
        _LOGGER.warning("tracing is off: %s: %s", type(problem).__name__, problem)
        return TracerProvider(enabled=False)


def adopt(provider: TracerProvider, options: dict[str, Any]) -> None:
    """Make ``provider`` the one that tracers follow, unless a program has set one up."""
    with _lock:
        current = _lumitrace.get_tracer_provider()
        if current is None or _waits_for_a_set_up():
            if current is not None:
                current.shutdown(_process.EXIT_TIMEOUT_MS)
            _follow(provider, options)


def _follow(provider: TracerProvider, options: dict[str, Any]) -> None:
    _lumitrace._set_tracer_provider(provider, options)
    _process.install()


def _warn_of_other_settings(options: dict[str, Any]) -> None:
    settings = _lumitrace._tracer_provider_options() or {}
    # Defaults ask for nothing.
    asked = [(name, value) for name, value in options.items() if name != "defaults"]
    other = sorted(name for name, value in asked if _differ(value, settings.get(name)))
    if other:
        _LOGGER.warning(
            "tracing is already set up; this call's %s changes nothing (call shutdown() first)",
            ", ".join(other),
        )


def _differ(one: object, other: object) -> bool:
    try:
        return bool(one != other)
    except Exception:  # arrays among the resource attributes, for instance
        return one is not other


def force_flush(timeout_millis: int = 30_000) -> bool:
    """Send every span that has ended. Returns whether that was done within the time."""
    provider = _lumitrace.get_tracer_provider()
    return provider is None or provider.force_flush(timeout_millis)


def shutdown(timeout_millis: int = _process.EXIT_TIMEOUT_MS) -> bool:
    """Send every span that has ended, stop, and make room for another set-up. Returns whether
    everything was sent within the time.
    """
    with _lock:
        for end in _at_shutdown:
            end()
        provider = _lumitrace.get_tracer_provider()
        _lumitrace._set_tracer_provider(None, {})
        return provider is None or provider.shutdown(timeout_millis)
