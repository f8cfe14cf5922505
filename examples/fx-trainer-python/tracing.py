"""Lumitrace's tracing where it is installed; where it is not, the same names doing nothing.

The only place of the example that knows that Lumitrace may be absent.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

try:
    from lumitrace.tracing import (
        TracingContext,
        get_tracer,
        setup_tracing,
        trace_batch_processing,
        trace_data_loading,
        trace_feature_engineering,
        trace_function,
        trace_training_epoch,
        trace_validation,
    )
except ImportError as import_error:
    _REASON = str(import_error)

    class _NoSpan:
        """Takes whatever a span or a tracer is asked and does nothing."""

        def __enter__(self) -> _NoSpan:
            return self

        def __exit__(self, *_exception: object) -> None:
            return None

        def __getattr__(self, _name: str) -> Callable[..., None]:
            return lambda *_arguments, **_named: None

    def _no_span(*_arguments: Any, **_named: Any) -> Any:
        return _NoSpan()

    def _unchanged(*_arguments: Any, **_named: Any) -> Any:
        return lambda function: function

    def _warn_once(*_arguments: Any, **_named: Any) -> Any:
        warnings.warn(
            f"training goes on without tracing: {_REASON}. Install the lumitrace package to trace.",
            RuntimeWarning,
            stacklevel=3,
        )

    setup_tracing = _warn_once
    get_tracer = TracingContext = _no_span
    trace_training_epoch = trace_batch_processing = trace_validation = _no_span
    trace_data_loading = trace_feature_engineering = _no_span
    trace_function = _unchanged

__all__ = [
    "VERSION",
    "TracingContext",
    "get_tracer",
    "set_up_program_tracing",
    "setup_tracing",
    "trace_batch_processing",
    "trace_data_loading",
    "trace_feature_engineering",
    "trace_function",
    "trace_training_epoch",
    "trace_validation",
]


# Of the programs of the example, which are released with Lumitrace.
VERSION = "0.1.0"


def set_up_program_tracing(
    service_name: str, otlp_endpoint: str | None, environment: str | None
) -> None:
    """Set tracing up for one program; whatever goes wrong is a warning and the program goes on.

    What is None is left to Lumitrace: the `OTEL_*` variables first, then its defaults
    (`http://localhost:4318`, environment `development`).
    """
    given: dict[str, Any] = {"otlp_endpoint": otlp_endpoint, "environment": environment}
    try:
        setup_tracing(
            service_name=service_name,
            service_version=VERSION,
            **{key: value for key, value in given.items() if value is not None},
        )
    except Exception as error:  # Tracing must never stop a training, whatever its set-up raises.
        warnings.warn(f"training goes on without tracing: {error}", RuntimeWarning, stacklevel=2)
