"""Tracing a platform that runs models and GPUs: set up once, wrapped around what is there.

from lumitrace.observability import TracingConfig, TracingIntegration

integration = TracingIntegration(TracingConfig(service_name="my-platform", enable_stdout=True))
scheduler = integration.wrap_gpu_scheduler(scheduler)
scheduler.schedule()

service = integration.get_tracing_service()
with service.trace_model_serving("generate", "my-model") as operation:
    operation.set_attribute("batch.size", 32)
"""

from lumitrace._asgi import TracingMiddleware
from lumitrace._integration import TracingConfig, TracingIntegration, new_tracing_integration
from lumitrace._service import FAMILIES, Operation, TracingService
from lumitrace._wrappers import (
    GPUScheduler,
    MetricsCollector,
    MonitoringService,
    TracedGPUScheduler,
    TracedMetricsCollector,
    TracedMonitoring,
)

__all__ = [
    "FAMILIES",
    "GPUScheduler",
    "MetricsCollector",
    "MonitoringService",
    "Operation",
    "TracedGPUScheduler",
    "TracedMetricsCollector",
    "TracedMonitoring",
    "TracingConfig",
    "TracingIntegration",
    "TracingMiddleware",
    "TracingService",
    "new_tracing_integration",
]
