"""Sends one small trace with OpenTelemetry's own Python SDK, exactly as its manual shows it.

The endpoint comes from OTEL_EXPORTER_OTLP_ENDPOINT. The browser tests look for what it sends.
"""

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider(
    resource=Resource.create({"service.name": "opentelemetry-python-client"}),
)
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("checkout")

with tracer.start_as_current_span("POST /checkout", kind=trace.SpanKind.SERVER) as request:
    request.set_attribute("http.request.method", "POST")
    request.set_attribute("http.response.status_code", 500)
    with tracer.start_as_current_span("reserve_stock") as stock:
        stock.set_attribute("items", ["book", "lamp"])
        stock.add_event("reserved", {"count": 2})
    try:
        with tracer.start_as_current_span("charge_card"):
            raise ConnectionError("the payment service does not answer")
    except ConnectionError as error:
        request.set_status(trace.Status(trace.StatusCode.ERROR, str(error)))

provider.shutdown()
