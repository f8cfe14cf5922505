// Sends one small trace with OpenTelemetry's own JavaScript SDK (OTLP/JSON over HTTP, its default).
//
// The endpoint comes from OTEL_EXPORTER_OTLP_ENDPOINT. The browser tests look for what it sends.

import { SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { NodeSDK } from "@opentelemetry/sdk-node";

process.env.OTEL_SERVICE_NAME = "opentelemetry-javascript-client";
const sdk = new NodeSDK({ traceExporter: new OTLPTraceExporter() });
sdk.start();
const tracer = trace.getTracer("storefront");

tracer.startActiveSpan("GET /products", { kind: SpanKind.SERVER }, (request) => {
  request.setAttribute("http.request.method", "GET");
  request.setAttribute("http.response.status_code", 200);
  tracer.startActiveSpan("query_catalogue", (query) => {
    query.setAttribute("rows", 12);
    query.setAttribute("ratio", 0.25);
    query.end();
  });
  tracer.startActiveSpan("render_template", (render) => {
    render.recordException(new TypeError("price is undefined"));
    render.setStatus({ code: SpanStatusCode.ERROR, message: "price is undefined" });
    render.end();
  });
  request.end();
});

await sdk.shutdown();
