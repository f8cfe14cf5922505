"""Lumitrace: see what your models do.

``lumitrace.tracing`` traces a program: set up once, then spans by context manager or decorator.

    from lumitrace.tracing import TracingContext, get_tracer, setup_tracing

    setup_tracing(service_name="sequence-training")
    tracer = get_tracer(__name__)
    with TracingContext(tracer, "operation_name", {"key": "value"}) as span:
        span.set_attribute("result", 42)
"""

from lumitrace._lumitrace import __version__

__all__ = ["__version__"]
