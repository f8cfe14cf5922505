"""What ``opentelemetry-instrument`` sets up: ``OTEL_PYTHON_CONFIGURATOR=lumitrace``.

Traces are ours. Metrics and log records are the SDK's, set up by its own code; each of the three
may fail without the others.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from opentelemetry import trace
from opentelemetry.environment_variables import OTEL_PYTHON_ID_GENERATOR, OTEL_TRACES_EXPORTER
from opentelemetry.sdk import _configuration as sdk
from opentelemetry.sdk.environment_variables import (
    _OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED,
    OTEL_PYTHON_TRACER_CONFIGURATOR,
    OTEL_TRACES_SAMPLER,
)
from opentelemetry.sdk.resources import TELEMETRY_AUTO_VERSION, Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from lumitrace import _lumitrace
from lumitrace.opentelemetry.provider import TracerProvider

_LOGGER = logging.getLogger("lumitrace")

# What the native half knows by name; others are looked for among installed packages.
NATIVE_EXPORTERS = frozenset({"otlp", "console", "file", "jaeger", "zipkin", "none"})
_OTLP_PROTOCOLS = {"otlp_proto_http": "http/protobuf", "otlp_proto_grpc": "grpc"}


class Configurator(sdk._BaseConfigurator):
    """Sets up what the ``OTEL_*`` variables describe."""

    def _configure(
        self,
        auto_instrumentation_version: str | None = None,
        resource_attributes: dict[str, Any] | None = None,
        **_: object,
    ) -> None:
        attributes = dict(resource_attributes or {})
        if auto_instrumentation_version:
            attributes[TELEMETRY_AUTO_VERSION] = auto_instrumentation_version
        resource = Resource.create(attributes)
        tracing = _try("tracing", lambda: _set_up_tracing(resource))
        # The same name of the service as on spans, which are never of an unknown one.
        resource = tracing.resource if tracing else resource
        _try("metrics", lambda: _set_up_metrics(resource))
        _try("logging", lambda: _set_up_logging(resource))


def _set_up_tracing(resource: Resource) -> TracerProvider:
    settings, further = exporter_settings(os.environ.get(OTEL_TRACES_EXPORTER, ""))
    provider = TracerProvider(
        sampler=_sampler(),
        resource=resource,
        id_generator=_try("the id generator", _id_generator),
        _tracer_configurator=sdk._import_tracer_configurator(
            os.environ.get(OTEL_PYTHON_TRACER_CONFIGURATOR)
        ),
        **settings,
    )
    for name in further:
        _try(f"the exporter {name}", partial(_add_exporter, provider, name))
    trace.set_tracer_provider(provider)
    return provider


def exporter_settings(names: str) -> tuple[dict[str, Any], Sequence[str]]:
    """What the native half is to export to by ``OTEL_TRACES_EXPORTER``, and the exporters that are
    written in Python.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if not wanted:
        return {}, ()
    settings: dict[str, Any] = {"exporters": []}
    further = []
    for name in wanted:
        if name in _OTLP_PROTOCOLS:
            settings["protocol"] = _OTLP_PROTOCOLS[name]
            settings["exporters"].append("otlp")
        elif name in NATIVE_EXPORTERS:
            settings["exporters"].append(name)
        else:
            further.append(name)
    return settings, further


def _add_exporter(provider: TracerProvider, name: str) -> None:
    ((_, exporter_class),) = sdk._import_config_components([name], "opentelemetry_traces_exporter")
    if not issubclass(exporter_class, SpanExporter):
        raise TypeError(f"{exporter_class.__name__} is no span exporter")
    provider.add_span_processor(BatchSpanProcessor(exporter_class()))


def _sampler() -> Any:
    """The sampler that is written in Python; ``None`` leaves the choice to the native half."""
    name = os.environ.get(OTEL_TRACES_SAMPLER, "").strip()
    if not name or _lumitrace._has_sampler(name):
        return None
    return sdk._import_sampler(name)


def _id_generator() -> Any:
    name = os.environ.get(OTEL_PYTHON_ID_GENERATOR, "").strip()
    # The SDK's default: ours is random too, and seeds do not touch it.
    return None if name in ("", "random") else sdk._import_id_generator(name)


def _set_up_metrics(resource: Resource) -> None:
    _, exporters, _ = sdk._import_exporters([], sdk._get_exporter_names("metrics"), [])
    configurator = sdk._import_meter_configurator(sdk._get_meter_configurator())
    sdk._init_metrics(exporters, resource, meter_configurator=configurator)


def _set_up_logging(resource: Resource) -> None:
    _, _, exporters = sdk._import_exporters([], [], sdk._get_exporter_names("logs"))
    configurator = sdk._import_logger_configurator(sdk._get_logger_configurator())
    handles = os.environ.get(_OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED, "").strip()
    sdk._init_logging(
        exporters, resource, handles.lower() == "true", logger_configurator=configurator
    )


def _try(what: str, set_up: Callable[[], Any]) -> Any:
    try:
        return set_up()
    except Exception as problem:
        _LOGGER.warning(
            "%s is not set up (%s: %s); the rest is", what, type(problem).__name__, problem
        )
        return None
