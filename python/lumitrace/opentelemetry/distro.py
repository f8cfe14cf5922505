"""What ``opentelemetry-instrument`` asks for defaults: ``OTEL_PYTHON_DISTRO=lumitrace``."""

from __future__ import annotations

import os

from opentelemetry.environment_variables import OTEL_LOGS_EXPORTER, OTEL_METRICS_EXPORTER
from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined]
from opentelemetry.sdk.environment_variables import OTEL_EXPORTER_OTLP_PROTOCOL
from opentelemetry.util._importlib_metadata import entry_points


class Distro(BaseDistro):  # type: ignore[misc]
    """Sends traces, and metrics and log records where OpenTelemetry's exporters are installed, to
    port 4318 of this machine, unless the environment says otherwise.
    """

    def _configure(self, **_: object) -> None:
        os.environ.setdefault(OTEL_EXPORTER_OTLP_PROTOCOL, "http/protobuf")
        for variable, group in (
            (OTEL_METRICS_EXPORTER, "opentelemetry_metrics_exporter"),
            (OTEL_LOGS_EXPORTER, "opentelemetry_logs_exporter"),
        ):
            if entry_points(group=group, name="otlp_proto_http"):
                os.environ.setdefault(variable, "otlp")
