"""Sends one small trace and a log record with OpenTelemetry's own Python SDK, as its manual shows it.

The endpoint comes from OTEL_EXPORTER_OTLP_ENDPOINT. The browser tests look for what it sends.
"""

import logging

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

resource = Resource.create({"service.name": "opentelemetry-python-client"})
provider = TracerProvider(resource=resource)
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("checkout")

logger_provider = LoggerProvider(resource=resource)
logger_provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
logger = logging.getLogger("checkout")
logger.addHandler(LoggingHandler(logger_provider=logger_provider))

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
        logger.exception("payment failed for order %d", 17, extra={"order": 17})

provider.shutdown()
logger_provider.shutdown()
