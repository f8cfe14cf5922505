"""Sharing context and tracers with OpenTelemetry's API, where that is installed.

Afterwards the current span is the same for both: a span of ours is what
``opentelemetry.trace.get_current_span()`` returns, and the parent of OpenTelemetry's spans, and the
other way round. Nothing here is needed where OpenTelemetry is not installed.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from contextvars import ContextVar
from typing import Any

from lumitrace import _lumitrace

_LOGGER = logging.getLogger("lumitrace")


def connect(*, register_provider: bool) -> bool:
    """Share the context, and with ``register_provider`` also become the provider behind
    ``opentelemetry.trace.get_tracer`` unless the program has chosen one. Returns whether
    OpenTelemetry's API is in use.
    """
    try:
        if not _is_installed():
            return False
        _share_context()
        if register_provider:
            _register_provider()
    except Exception as problem:
        # Names of the API that moved or vanished cost the interoperation and nothing else.
        _LOGGER.warning(
            "spans do not interoperate with the installed opentelemetry-api (%s: %s); "
            "tracing itself works",
            type(problem).__name__,
            problem,
        )
        return False
    return True


def _is_installed() -> bool:
    if "opentelemetry.trace" in sys.modules:
        return True
    return (
        importlib.util.find_spec("opentelemetry") is not None
        and importlib.util.find_spec("opentelemetry.trace") is not None
    )


def _share_context() -> None:
    from opentelemetry import context, trace
    from opentelemetry.trace.propagation import _SPAN_KEY

    variable = getattr(context._RUNTIME_CONTEXT, "_current_context", None)
    if not isinstance(variable, ContextVar) or not isinstance(variable.get(), context.Context):
        raise TypeError(f"the context runs on {type(context._RUNTIME_CONTEXT).__name__}")

    def span_context(
        trace_id: int, span_id: int, is_remote: bool, trace_flags: int, trace_state: str
    ) -> trace.SpanContext:
        return trace.SpanContext(
            trace_id,
            span_id,
            is_remote,
            trace.TraceFlags(trace_flags),
            trace.TraceState.from_header([trace_state]) if trace_state else None,
        )

    # `opentelemetry.trace.get_current_span` asks for an instance of its abstract class.
    trace.Span.register(_lumitrace.Span)
    trace.Tracer.register(_lumitrace.Tracer)
    trace.TracerProvider.register(_lumitrace.TracerProvider)
    _lumitrace._use_opentelemetry_context(variable, context.Context, _SPAN_KEY, span_context)


def _register_provider() -> None:
    from opentelemetry import trace

    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(_sdk_provider() or _api_provider())


def _sdk_provider() -> Any:
    """A provider that is one of OpenTelemetry's SDK, where that is installed."""
    if importlib.util.find_spec("opentelemetry.sdk") is None:
        return None
    try:
        from lumitrace.opentelemetry import TracerProvider

        return TracerProvider.of_program()
    except Exception as problem:
        _LOGGER.warning(
            "processors and exporters of the installed opentelemetry-sdk are not served (%s: %s); "
            "tracing itself works",
            type(problem).__name__,
            problem,
        )
        return None


def _api_provider() -> Any:
    from opentelemetry import trace

    class LumitraceTracerProvider(trace.TracerProvider):
        """Hands out tracers that follow Lumitrace's provider, whichever that is at the time."""

        def get_tracer(
            self,
            instrumenting_module_name: str,
            instrumenting_library_version: str | None = None,
            schema_url: str | None = None,
            attributes: Any = None,
        ) -> Any:
            return _lumitrace.get_tracer(
                instrumenting_module_name, instrumenting_library_version, schema_url, attributes
            )

    return LumitraceTracerProvider()
