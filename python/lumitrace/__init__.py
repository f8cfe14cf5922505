"""Lumitrace: see what your models do.

``lumitrace.tracing`` traces a program: set up once, then spans by context manager or decorator.
``lumitrace.metrics`` records measurements, and ``lumitrace.observability`` traces a platform that
runs models and GPUs. ``docs/python.md`` is the guide to all of it.

    from lumitrace.tracing import TracingContext, get_tracer, setup_tracing

    setup_tracing(service_name="sequence-training")
    tracer = get_tracer(__name__)
    with TracingContext(tracer, "operation_name", {"key": "value"}) as span:
        span.set_attribute("result", 42)

Modules in reading order: ``_setup``, ``_manager`` and ``_process`` (setting up, and the end),
``_functions`` and ``_decorators`` (spans of functions), ``_redaction`` (what is shown of values),
``_events`` and ``_components`` (things that happen), ``_log_capture`` and ``_logged`` (the log),
``_collector``, ``_otlp``, ``_chrome_trace`` and ``_timeline`` (traces to keep and to look at),
``_distributed``, ``_instrumentation`` and ``_opentelemetry`` (other processes and libraries),
``_service``, ``_wrappers``, ``_asgi`` and ``_integration`` (platforms), ``_health``,
``pytest_plugin``. The native half is ``_lumitrace``.
"""

from lumitrace._lumitrace import __version__

__all__ = ["__version__"]
