"""Tracing a program.

Set up once, near the start; then make spans by context manager or decorator:

    from lumitrace.tracing import TracingContext, get_tracer, setup_tracing, trace_function

    setup_tracing(service_name="my-service")
    tracer = get_tracer(__name__)

    with TracingContext(tracer, "operation_name", {"key": "value"}) as span:
        span.set_attribute("result", 42)

    @trace_function(tracer, func_name="my_op")
    def my_function(x, y):
        return x + y

A training loop has helpers of its own, whose names and attributes the run view knows:

    with trace_training_epoch(tracer, epoch, num_epochs) as epoch_span:
        with trace_batch_processing(tracer, batch_idx, batch_size) as batch_span:
            batch_span.set_attribute("loss", loss)
        with trace_validation(tracer) as validation_span:
            validation_span.set_attribute("val_loss", val_loss)

Nothing here raises into the program or makes it wait. Without set-up, without a collector, or with
``OTEL_SDK_DISABLED=true``, the same calls do nothing.
"""

from lumitrace._functions import AnyTracer, trace_function
from lumitrace._lumitrace import (
    ConsoleSpanExporter,
    Event,
    FinishedSpan,
    InMemorySpanExporter,
    InstrumentationScope,
    Link,
    Resource,
    Span,
    SpanContext,
    Status,
    StatusCode,
    Tracer,
    TracerProvider,
    TracingContext,
    current_span,
    get_tracer,
    trace_batch_processing,
    trace_data_loading,
    trace_feature_engineering,
    trace_training_epoch,
    trace_validation,
    use_span,
)
from lumitrace._setup import force_flush, setup_tracing, shutdown

__all__ = [
    "AnyTracer",
    "ConsoleSpanExporter",
    "Event",
    "FinishedSpan",
    "InMemorySpanExporter",
    "InstrumentationScope",
    "Link",
    "Resource",
    "Span",
    "SpanContext",
    "Status",
    "StatusCode",
    "Tracer",
    "TracerProvider",
    "TracingContext",
    "current_span",
    "force_flush",
    "get_tracer",
    "setup_tracing",
    "shutdown",
    "trace_batch_processing",
    "trace_data_loading",
    "trace_feature_engineering",
    "trace_function",
    "trace_training_epoch",
    "trace_validation",
    "use_span",
]
