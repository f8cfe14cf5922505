"""Setting tracing up by a manager, which is also the tracer of programs that name none."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Mapping
from enum import Enum
from typing import Any, overload

from lumitrace import _lumitrace, _process, _setup
from lumitrace._lumitrace import FinishedSpan, InMemorySpanExporter, Resource, Tracer
from lumitrace._setup import Default

_LOGGER = logging.getLogger("lumitrace")
_NAME = "lumitrace.tracing"


class TraceExporterType(str, Enum):
    """Where a :class:`TracingManager` sends spans."""

    CONSOLE = "console"
    JAEGER = "jaeger"
    OTLP = "otlp"
    IN_MEMORY = "in_memory"
    NONE = "none"


class _DefaultPort(int):
    """A default that can be told from the same number passed by the program."""


DEFAULT_SERVICE_NAME = Default("continuum")
DEFAULT_EXPORTER_TYPE = Default("console")
DEFAULT_JAEGER_HOST = Default("localhost")
DEFAULT_JAEGER_PORT = _DefaultPort(6831)
DEFAULT_OTLP_ENDPOINT = Default("http://localhost:4317")

# What each parameter is called in the environment; the names are OpenTelemetry's.
_DEFAULTS = {
    "OTEL_SERVICE_NAME": str(DEFAULT_SERVICE_NAME),
    "OTEL_TRACES_EXPORTER": str(DEFAULT_EXPORTER_TYPE),
    "OTEL_EXPORTER_JAEGER_AGENT_HOST": str(DEFAULT_JAEGER_HOST),
    "OTEL_EXPORTER_JAEGER_AGENT_PORT": str(int(DEFAULT_JAEGER_PORT)),
    "OTEL_EXPORTER_OTLP_ENDPOINT": str(DEFAULT_OTLP_ENDPOINT),
}


class TracingManager(Tracer):
    """Sets tracing up for this process, and is a tracer: everything that a tracer can do, it can.

    A second manager changes nothing about where spans go, as :func:`setup_tracing` does not; one
    that asks for memory while spans are kept there already shares that memory, emptied. Never
    raises: what cannot be used leaves a warning, and the program runs on.

    :param service_name: ``service.name`` of the resource of every span.
    :param exporter_type: where spans go: a :class:`TraceExporterType` or its name. ``none`` records
        nothing. By default what the environment says (``TRACING_EXPORTER``,
        ``OTEL_TRACES_EXPORTER``), otherwise the console.
    :param jaeger_host: where the Jaeger agent is, for ``jaeger``.
    :param jaeger_port: its port for compact thrift over UDP.
    :param otlp_endpoint: where to send, for ``otlp``; as that of :func:`setup_tracing`. Given
        without ``exporter_type``, it means ``otlp``.
    :param enabled: ``False`` switches tracing off, whatever else is said.
    :param resource_attributes: more attributes of the resource.
    """

    exporter_type: TraceExporterType | None
    """Where spans were asked to go; ``None`` where something else sets tracing up."""
    _asked_service_name: str
    _memory: InMemorySpanExporter | None

    def __new__(
        cls,
        service_name: str = DEFAULT_SERVICE_NAME,
        exporter_type: str | TraceExporterType = DEFAULT_EXPORTER_TYPE,
        jaeger_host: str = DEFAULT_JAEGER_HOST,
        jaeger_port: int = DEFAULT_JAEGER_PORT,
        otlp_endpoint: str = DEFAULT_OTLP_ENDPOINT,
        enabled: bool = True,
        *,
        resource_attributes: Mapping[str, Any] | None = None,
    ) -> TracingManager:
        self = super().__new__(cls, _NAME)
        self._asked_service_name = str(service_name)
        exporters = _exporters(exporter_type)
        if not exporters and _given(otlp_endpoint) is not None:
            exporters = [TraceExporterType.OTLP.value]
        self.exporter_type = _type_of(exporters)
        self._memory = _memory_among(exporters)
        options = {
            "service_name": _given(service_name),
            "exporters": exporters or None,
            "jaeger_host": _given(jaeger_host),
            "jaeger_port": None if isinstance(jaeger_port, _DefaultPort) else jaeger_port,
            "otlp_endpoint": _given(otlp_endpoint),
            "resource_attributes": resource_attributes,
            # Nothing is recorded that nobody gets.
            "enabled": None if enabled and exporters != ["none"] else False,
            "defaults": _DEFAULTS,
        }
        _setup.set_up(options)
        return self

    @classmethod
    def following(cls) -> TracingManager:
        """A manager that sets nothing up: it records as soon as something else has."""
        manager = super().__new__(cls, _NAME)
        manager._asked_service_name = str(DEFAULT_SERVICE_NAME)
        manager.exporter_type = None
        manager._memory = None
        return manager

    @property
    def tracer(self) -> Tracer:
        """The tracer: itself."""
        return self

    @property
    def service_name(self) -> str:
        """``service.name`` of the resource in force."""
        name = self.resource.attributes.get("service.name") if self.resource else None
        return str(name or self._asked_service_name)

    @property
    def resource(self) -> Resource | None:
        """What every exported span says about this process; ``None`` before the set-up."""
        provider = _lumitrace.get_tracer_provider()
        return provider.resource if provider is not None else None

    @property
    def enabled(self) -> bool:
        """Whether spans are recorded: tracing is set up, and neither ``enabled`` nor the
        environment has switched it off.
        """
        return self.is_enabled()

    def get_finished_spans(self) -> tuple[FinishedSpan, ...]:
        """The spans in memory, in the order in which they ended; none where they go elsewhere."""
        return self._memory.get_finished_spans() if self._memory is not None else ()

    def clear(self) -> None:
        """Forget the spans in memory."""
        if self._memory is not None:
            self._memory.clear()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send every span that has ended. Returns whether that was done within the time."""
        return _setup.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: int = _process.EXIT_TIMEOUT_MS) -> bool:
        """Send every span that has ended, stop, and make room for another set-up. Returns whether
        everything was sent within the time.
        """
        return _setup.shutdown(timeout_millis)

    def __await__(self) -> Generator[None, None, TracingManager]:
        """Nothing to wait for: the set-up is done when the manager is there."""
        yield from ()
        return self


def initialize_tracing(
    service_name: str = DEFAULT_SERVICE_NAME,
    exporter_type: str | TraceExporterType = DEFAULT_EXPORTER_TYPE,
    jaeger_host: str = DEFAULT_JAEGER_HOST,
    jaeger_port: int = DEFAULT_JAEGER_PORT,
    otlp_endpoint: str = DEFAULT_OTLP_ENDPOINT,
    enabled: bool = True,
    *,
    resource_attributes: Mapping[str, Any] | None = None,
) -> TracingManager:
    """Set tracing up and return the manager, which :func:`get_tracer` returns from then on.

    May be awaited, and need not be: ``tracer = await initialize_tracing()`` in a coroutine, and
    ``tracer = initialize_tracing()`` everywhere else. The parameters are those of
    :class:`TracingManager`.
    """
    manager = TracingManager(
        service_name,
        exporter_type,
        jaeger_host,
        jaeger_port,
        otlp_endpoint,
        enabled,
        resource_attributes=resource_attributes,
    )
    set_tracer(manager)
    return manager


_manager: TracingManager | None = None


@overload
def get_tracer(module_name: None = None) -> TracingManager: ...
@overload
def get_tracer(
    module_name: str,
    version: str | None = None,
    schema_url: str | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> Tracer: ...
def get_tracer(
    module_name: str | None = None,
    version: str | None = None,
    schema_url: str | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> Tracer:
    """The tracer of a module; without a name, the program's manager.

    Usable before the set-up, from which on it records.
    """
    if module_name is not None:
        return _lumitrace.get_tracer(module_name, version, schema_url, attributes)
    global _manager
    if _manager is None:
        _manager = TracingManager.following()
    return _manager


def set_tracer(manager: TracingManager | None) -> None:
    """Have :func:`get_tracer` return this manager, or with ``None`` one that follows whatever the
    program sets up.
    """
    global _manager
    _manager = manager


def _given(value: str) -> str | None:
    return None if isinstance(value, Default) else value


def _exporters(exporter_type: str | TraceExporterType) -> list[Any]:
    """The exporters that a type stands for; none where the choice is left to the environment."""
    asked = exporter_type.value if isinstance(exporter_type, TraceExporterType) else exporter_type
    if isinstance(asked, Default):
        asked = os.environ.get("TRACING_EXPORTER", "").strip()
        if not asked:
            return []
    known = [it.value for it in TraceExporterType]
    name = str(asked).strip().lower()
    if name not in known:
        _LOGGER.warning(
            "exporter_type=%r is not used: it is one of %s; %s is used",
            asked,
            ", ".join(known),
            DEFAULT_EXPORTER_TYPE,
        )
        return [str(DEFAULT_EXPORTER_TYPE)]
    return [_memory()] if name == TraceExporterType.IN_MEMORY.value else [name]


def _memory() -> InMemorySpanExporter:
    """The memory in which spans are kept already, or else a new one."""
    options = _lumitrace._tracer_provider_options() or {}
    memory = _memory_among(options.get("exporters") or [])
    if memory is None:
        return InMemorySpanExporter()
    memory.clear()
    return memory


def _memory_among(exporters: Any) -> InMemorySpanExporter | None:
    for exporter in exporters:
        if isinstance(exporter, InMemorySpanExporter):
            return exporter
    return None


def _type_of(exporters: list[Any]) -> TraceExporterType:
    if not exporters:
        return TraceExporterType(str(DEFAULT_EXPORTER_TYPE))
    if isinstance(exporters[0], str):
        return TraceExporterType(exporters[0])
    return TraceExporterType.IN_MEMORY
