"""Sends one small trace, a log record and metrics with OpenTelemetry's own Python SDK, as its manual shows it.

The endpoint comes from OTEL_EXPORTER_OTLP_ENDPOINT. The browser tests look for what it sends.
"""

import logging

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
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

reader = PeriodicExportingMetricReader(OTLPMetricExporter())
by_factor = View(
    instrument_name="checkout.size", aggregation=ExponentialBucketHistogramAggregation()
)
meter_provider = MeterProvider(resource=resource, metric_readers=[reader], views=[by_factor])
metrics.set_meter_provider(meter_provider)
meter = metrics.get_meter("checkout")
orders = meter.create_counter("checkout.orders", unit="{order}", description="Orders placed")
in_stock = meter.create_gauge("checkout.stock", unit="{item}")
duration = meter.create_histogram("checkout.duration", unit="s")
size = meter.create_histogram("checkout.size", unit="By")

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

    orders.add(2, {"kind": "book"})
    orders.add(1, {"kind": "lamp"})
    in_stock.set(17)
    for number in range(1, 101):
        duration.record(number / 100)
        size.record(number)

provider.shutdown()
meter_provider.shutdown()
logger_provider.shutdown()
