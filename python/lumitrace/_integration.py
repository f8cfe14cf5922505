"""Tracing for a platform as a whole: set up from one description, wrapped around its components."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lumitrace import _process, _setup
from lumitrace._health import Health, health_check
from lumitrace._service import TracingService
from lumitrace._wrappers import (
    GPUScheduler,
    MetricsCollector,
    MonitoringService,
    TracedGPUScheduler,
    TracedMetricsCollector,
    TracedMonitoring,
)

_LOGGER = logging.getLogger("lumitrace")

_DEFAULTS = {
    "OTEL_SERVICE_NAME": "agentaflow-sro",
    "OTEL_TRACES_EXPORTER": "jaeger",
    "OTEL_EXPORTER_JAEGER_ENDPOINT": "http://localhost:14268/api/traces",
}
# What an `exporter_type` is called among the exporters.
_EXPORTERS = {"jaeger": "jaeger", "otlp": "otlp", "stdout": "console", "console": "console"}


@dataclass
class TracingConfig:
    """What a :class:`TracingIntegration` is set up with.

    What is left at ``None`` is left to the environment, and then to the defaults: the service
    ``agentaflow-sro``, everything sampled, and Jaeger's collector at
    ``http://localhost:14268/api/traces``. Where any exporter is named, the named ones are used, all
    of them.
    """

    service_name: str | None = None
    service_version: str | None = None
    environment: str | None = None
    jaeger_endpoint: str | None = None
    """Where Jaeger's collector takes thrift over HTTP."""
    sampling_ratio: float | None = None
    """The share of traces that is recorded, from 0 to 1."""
    enable_jaeger: bool | None = None
    enable_stdout: bool | None = None
    """Print spans, beside other exporters or alone."""
    exporter_type: str | None = None
    """One exporter by name: ``jaeger``, ``otlp``, ``stdout`` or ``none``."""
    otlp_endpoint: str | None = None
    """Where to send over OTLP; as that of :func:`lumitrace.tracing.setup_tracing`."""
    sample_rate: float | None = None
    """The same as ``sampling_ratio``, which counts where both are given."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """More attributes of the resource."""
    enabled_spans: Sequence[str] | None = None
    """The families of spans that are recorded; see :class:`TracingService`."""

    def ratio(self) -> float | None:
        """The share of traces that is recorded, by whichever spelling."""
        if self.sampling_ratio is None:
            return self.sample_rate
        if self.sample_rate not in (None, self.sampling_ratio):
            _LOGGER.warning(
                "sampling_ratio=%s and sample_rate=%s differ; sampling_ratio is used",
                self.sampling_ratio,
                self.sample_rate,
            )
        return self.sampling_ratio

    def exporters(self) -> list[str] | None:
        """The names of the exporters; ``None`` where the choice is left to the environment."""
        named: list[str] = []
        if self.enable_jaeger:
            named.append("jaeger")
        if self.exporter_type is not None:
            named += self._by_type(str(self.exporter_type).strip().lower())
        if self.otlp_endpoint is not None:
            named.append("otlp")
        if self.enable_stdout:
            named.append("console")
        named = list(dict.fromkeys(named))
        if named or self.exporter_type == "none":
            return named
        return [] if self.enable_jaeger is False else None

    def _by_type(self, exporter_type: str) -> list[str]:
        if exporter_type in _EXPORTERS:
            return [_EXPORTERS[exporter_type]]
        if exporter_type != "none":
            _LOGGER.warning(
                "exporter_type=%r is not used: it is one of %s, none",
                exporter_type,
                ", ".join(_EXPORTERS),
            )
        return []


class TracingIntegration:
    """Sets tracing up by a :class:`TracingConfig`, and wraps the components of a platform.

    Never raises: what cannot be used leaves a warning. Where tracing is set up already, it stays as
    it is.
    """

    def __init__(self, config: TracingConfig | None = None) -> None:
        self.config = TracingConfig() if config is None else config
        exporters = self.config.exporters()
        _setup.set_up(
            {
                "service_name": self.config.service_name,
                "service_version": self.config.service_version,
                "environment": self.config.environment,
                "exporters": exporters or None,
                # Nothing is recorded that nobody gets.
                "enabled": False if exporters == [] else None,
                "jaeger_endpoint": self.config.jaeger_endpoint,
                "otlp_endpoint": self.config.otlp_endpoint,
                "sampler_ratio": self.config.ratio(),
                "resource_attributes": self.config.attributes or None,
                "defaults": _DEFAULTS,
            }
        )
        self._service = TracingService(self.config.enabled_spans)

    def get_tracing_service(self) -> TracingService:
        """What makes the spans."""
        return self._service

    def wrap_gpu_scheduler(self, scheduler: GPUScheduler) -> TracedGPUScheduler:
        """The scheduler, traced."""
        return TracedGPUScheduler(scheduler, self._service)

    def wrap_metrics_collector(self, collector: MetricsCollector) -> TracedMetricsCollector:
        """The collector, traced."""
        return TracedMetricsCollector(collector, self._service)

    def wrap_monitoring_service(self, monitoring: MonitoringService) -> TracedMonitoring:
        """The monitoring service, traced."""
        return TracedMonitoring(monitoring, self._service)

    def health_check(self) -> Health:
        """How tracing is; see :func:`lumitrace.tracing.health_check`."""
        return health_check()

    def shutdown(self, timeout_millis: int = _process.EXIT_TIMEOUT_MS) -> bool:
        """Send every span that has ended, and stop. Returns whether everything was sent within the
        time.
        """
        return _setup.shutdown(timeout_millis)


def new_tracing_integration(config: TracingConfig | None = None) -> TracingIntegration:
    """The same as :class:`TracingIntegration`."""
    return TracingIntegration(config)
