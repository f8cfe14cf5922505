"""The provider: a ``TracerProvider`` of OpenTelemetry's SDK whose spans are native."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.util.types import Attributes

from lumitrace import _lumitrace, _opentelemetry, _setup
from lumitrace.opentelemetry.id_generator import RandomIdGenerator
from lumitrace.opentelemetry.processor import NativeSpanProcessor, SpanProcessors
from lumitrace.opentelemetry.sampling import NativeSampler, native_settings
from lumitrace.opentelemetry.tracer import Tracer

_LOGGER = logging.getLogger("lumitrace")


class TracerProvider(sdk.TracerProvider):
    """Makes tracers whose spans are recorded and sent by Lumitrace's Rust core.

    Takes what the SDK's provider takes, and the keyword arguments of
    :func:`lumitrace.tracing.setup_tracing` beside. Where those leave something open, the
    ``OTEL_*`` variables say where spans go and which are recorded. Processors, exporters, samplers
    and id generators written for OpenTelemetry's SDK are accepted; spans are then made by the
    SDK's code, at its cost, and go to all processors, Lumitrace's own last.

    Unless tracing is set up already, :mod:`lumitrace.tracing` uses the same provider.
    """

    def __init__(
        self,
        sampler: Sampler | None = None,
        resource: Resource | None = None,
        shutdown_on_exit: bool = True,
        active_span_processor: Any = None,
        id_generator: IdGenerator | None = None,
        span_limits: sdk.SpanLimits | None = None,
        *,
        meter_provider: metrics.MeterProvider | None = None,
        _tracer_configurator: Any = None,
        **settings: Any,
    ) -> None:
        limits = span_limits or _limits_of_environment()
        options = {
            **_resource_settings(resource),
            **((sampler and native_settings(sampler)) or {}),
            "span_limits": _limit_settings(limits),
            **settings,
        }
        self._native: _lumitrace.TracerProvider | None = _setup.make_provider(options)
        self._begin(
            sampler, shutdown_on_exit, active_span_processor, id_generator, limits,
            meter_provider, _tracer_configurator,
        )  # fmt: skip
        _setup.adopt(self._native, options)

    @classmethod
    def of_program(cls) -> TracerProvider:
        """A provider that follows :func:`lumitrace.tracing.setup_tracing`, whenever that is
        called, and again after :func:`lumitrace.tracing.shutdown`.
        """
        provider = cls.__new__(cls)
        provider._native = None
        provider._begin(None, True, None, None, _limits_of_environment(), None, None)
        return provider

    def _begin(
        self,
        sampler: Sampler | None,
        shutdown_on_exit: bool,
        active_span_processor: Any,
        id_generator: IdGenerator | None,
        limits: sdk.SpanLimits,
        meter_provider: metrics.MeterProvider | None,
        tracer_configurator: Any,
    ) -> None:
        _opentelemetry.connect(register_provider=False)
        later = {"meter_provider": meter_provider, "_tracer_configurator": tracer_configurator}
        super().__init__(
            sampler or NativeSampler(self._native),
            self._native_resource(),
            shutdown_on_exit,
            active_span_processor or SpanProcessors(),
            id_generator or RandomIdGenerator(),
            limits,
            # Younger than the other parameters.
            **{name: value for name, value in later.items() if value is not None},
        )
        is_native = sampler is not None and native_settings(sampler) is not None
        self._native_sampler = sampler if is_native else None
        # Not by this class's own method, which a subclass may use for something else.
        self._active_span_processor.add_span_processor(NativeSpanProcessor(self._native))

    def _native_resource(self) -> Resource:
        native = self._native or _lumitrace.get_tracer_provider()
        return Resource(native.resource.attributes) if native else Resource.create()

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> trace.Tracer:
        """The tracer of a library or module."""
        tracer = super().get_tracer(
            instrumenting_module_name, instrumenting_library_version, schema_url, attributes
        )
        return self._native_tracer(tracer) if type(tracer) is sdk.Tracer else tracer

    def _native_tracer(self, tracer: sdk.Tracer) -> Tracer:
        native = Tracer.of_provider(self._native, tracer, _native_sampler=self._native_sampler)
        # Where the SDK keeps its tracers, to hand them out again and to change their configuration;
        # older ones do not.
        tracers = getattr(self, "_tracers", {})
        if tracers.get(tracer._instrumentation_scope) is tracer:
            tracers[tracer._instrumentation_scope] = native
        return native

    def statistics(self) -> dict[str, int]:
        """What was exported and what was lost: see :meth:`lumitrace.tracing.TracerProvider`."""
        native = self._native or _lumitrace.get_tracer_provider()
        return native.statistics() if native else {}


def program_provider() -> TracerProvider:
    """The provider for ``OTEL_PYTHON_TRACER_PROVIDER=lumitrace``: the one that the program has set
    up, or one that the environment describes.
    """
    if _lumitrace.get_tracer_provider() is None:
        return TracerProvider()
    return TracerProvider.of_program()


def _resource_settings(resource: Resource | None) -> dict[str, Any]:
    """The native half's settings for a resource that the program made."""
    given = (resource or Resource.create()).attributes
    # The SDK that records is ours.
    attributes = {k: v for k, v in given.items() if not k.startswith("telemetry.sdk.")}
    name = str(attributes.pop(SERVICE_NAME, ""))
    if not name or name.startswith("unknown_service"):
        defaults = {"OTEL_SERVICE_NAME": _program_name()}
        return {"resource_attributes": attributes, "defaults": defaults}
    return {"resource_attributes": attributes, "service_name": name}


def _program_name() -> str:
    # `python -c`, `python -m` on its way and the interactive interpreter have none.
    arguments = getattr(sys, "argv", None)  # an interpreter inside another program has none
    program = Path(arguments[0]).stem if arguments else ""
    return "python" if program in ("", "-c", "-m") else program


def _limits_of_environment() -> sdk.SpanLimits:
    try:
        return sdk.SpanLimits()
    except ValueError as problem:
        _LOGGER.warning("limits of spans are the default ones: %s", problem)
    unset = sdk.SpanLimits.UNSET
    return sdk.SpanLimits(128, 128, 128, 128, 128, 128, unset, unset)


def _limit_settings(limits: sdk.SpanLimits) -> dict[str, int | None]:
    return {
        "attributes": limits.max_span_attributes,
        "events": limits.max_events,
        "links": limits.max_links,
        "attributes_per_event": limits.max_event_attributes,
        "attributes_per_link": limits.max_link_attributes,
        "value_length": limits.max_span_attribute_length,
    }
