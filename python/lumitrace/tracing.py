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

A service sets up with :func:`initialize_tracing`, and an experiment with :func:`enable_tracing`;
they differ in their defaults. ``docs/python.md`` is the guide to everything here.

Nothing here raises into the program or makes it wait. Without set-up, without a collector, or with
``OTEL_SDK_DISABLED=true``, the same calls do nothing.
"""

from lumitrace._collector import TraceCollector, TraceData, TraceExporter
from lumitrace._components import (
    AgentInstrumentation,
    APIInstrumentation,
    CacheInstrumentation,
    DatabaseInstrumentation,
    ExternalServiceInstrumentation,
    KnowledgeGraphInstrumentation,
    OrchestratorInstrumentation,
)
from lumitrace._decorators import (
    instrument,
    trace_async,
    trace_method,
    trace_operation,
    trace_performance,
)
from lumitrace._distributed import DistributedTracer
from lumitrace._events import log_event
from lumitrace._functions import AnyTracer, trace_function
from lumitrace._health import Health, health_check
from lumitrace._instrumentation import instrument_system
from lumitrace._log_capture import enable_tracing
from lumitrace._logged import execution_context, logged_function
from lumitrace._lumitrace import (
    ConsoleSpanExporter,
    Event,
    FileSpanExporter,
    FinishedSpan,
    InMemorySpanExporter,
    InstrumentationScope,
    JaegerSpanExporter,
    Link,
    Resource,
    Span,
    SpanContext,
    Status,
    StatusCode,
    Tracer,
    TracerProvider,
    TracingContext,
    ZipkinSpanExporter,
    current_span,
    extract,
    inject,
    trace_batch_processing,
    trace_data_loading,
    trace_feature_engineering,
    trace_training_epoch,
    trace_validation,
    use_span,
)
from lumitrace._manager import (
    TraceExporterType,
    TracingManager,
    get_tracer,
    initialize_tracing,
    set_tracer,
)
from lumitrace._setup import force_flush, setup_tracing, shutdown
from lumitrace._timeline import visualize_trace

create_span = get_tracer("lumitrace.tracing").start_as_current_span
"""A span around a block: ``with create_span("model_inference") as span``. The parameters are those
of :meth:`Tracer.start_as_current_span`.
"""

__all__ = [
    "APIInstrumentation",
    "AgentInstrumentation",
    "AnyTracer",
    "CacheInstrumentation",
    "ConsoleSpanExporter",
    "DatabaseInstrumentation",
    "DistributedTracer",
    "Event",
    "ExternalServiceInstrumentation",
    "FileSpanExporter",
    "FinishedSpan",
    "Health",
    "InMemorySpanExporter",
    "InstrumentationScope",
    "JaegerSpanExporter",
    "KnowledgeGraphInstrumentation",
    "Link",
    "OrchestratorInstrumentation",
    "Resource",
    "Span",
    "SpanContext",
    "Status",
    "StatusCode",
    "TraceCollector",
    "TraceData",
    "TraceExporter",
    "TraceExporterType",
    "Tracer",
    "TracerProvider",
    "TracingContext",
    "TracingManager",
    "ZipkinSpanExporter",
    "create_span",
    "current_span",
    "enable_tracing",
    "execution_context",
    "extract",
    "force_flush",
    "get_tracer",
    "health_check",
    "initialize_tracing",
    "inject",
    "instrument",
    "instrument_system",
    "log_event",
    "logged_function",
    "set_tracer",
    "setup_tracing",
    "shutdown",
    "trace_async",
    "trace_batch_processing",
    "trace_data_loading",
    "trace_feature_engineering",
    "trace_function",
    "trace_method",
    "trace_operation",
    "trace_performance",
    "trace_training_epoch",
    "trace_validation",
    "use_span",
    "visualize_trace",
]
