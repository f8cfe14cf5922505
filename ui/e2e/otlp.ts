/** Sends spans, log records and metrics to the server under test as any program would: OTLP as JSON over HTTP. */
import { randomBytes } from 'node:crypto';

const OTLP_URL = process.env.LUMITRACE_OTLP_URL ?? 'http://127.0.0.1:4318';
const MILLI = 1_000_000n;

type Scalar = string | number | bigint | boolean;
export type Attributes = Record<string, Scalar>;

export interface SpanSpec {
  name: string;
  traceId: string;
  spanId?: string;
  parentSpanId?: string;
  /** Milliseconds after the moment `base`. */
  start?: number;
  millis?: number;
  attributes?: Attributes;
  error?: string;
  /** Sets the status "ok", which spans have only if a program says so. */
  isOk?: boolean;
  events?: { name: string; at: number; attributes: Attributes }[];
}

export const newTraceId = () => randomBytes(16).toString('hex');
export const newSpanId = () => randomBytes(8).toString('hex');
/** A name that no other test and no earlier run has used. */
export const uniqueService = (what: string) => `${what}-${randomBytes(4).toString('hex')}`;

/** Now in unix nanoseconds, the base of the offsets in {@link SpanSpec}. */
export const nowNano = () => BigInt(Date.now()) * MILLI;

/** Whole numbers become ints, other numbers doubles; NaN and infinities travel as strings. */
function anyValue(value: Scalar) {
  switch (typeof value) {
    case 'string':
      return { stringValue: value };
    case 'boolean':
      return { boolValue: value };
    case 'bigint':
      return { intValue: value.toString() };
    case 'number':
      return Number.isInteger(value)
        ? { intValue: String(value) }
        : { doubleValue: Number.isFinite(value) ? value : String(value) };
  }
}

const keyValues = (attributes: Attributes) =>
  Object.entries(attributes).map(([key, value]) => ({ key, value: anyValue(value) }));

function otlpSpan(spec: SpanSpec, base: bigint) {
  const at = (millis: number) => (base + BigInt(Math.round(millis * 1e6))).toString();
  const start = spec.start ?? 0;
  return {
    traceId: spec.traceId,
    spanId: spec.spanId ?? newSpanId(),
    parentSpanId: spec.parentSpanId ?? '',
    name: spec.name,
    kind: 1,
    startTimeUnixNano: at(start),
    endTimeUnixNano: at(start + (spec.millis ?? 10)),
    attributes: keyValues(spec.attributes ?? {}),
    events: (spec.events ?? []).map((event) => ({
      name: event.name,
      timeUnixNano: at(event.at),
      attributes: keyValues(event.attributes),
    })),
    status:
      spec.error !== undefined ? { code: 2, message: spec.error } : { code: spec.isOk ? 1 : 0 },
  };
}

/** Sends spans of one service; resolves when the server has them durably, throws otherwise. */
export async function sendSpans(
  service: string,
  spans: SpanSpec[],
  base: bigint,
  resource: Attributes = {},
): Promise<void> {
  const body = {
    resourceSpans: [
      {
        resource: { attributes: keyValues({ 'service.name': service, ...resource }) },
        scopeSpans: [
          {
            scope: { name: 'lumitrace-ui-e2e', version: '1' },
            spans: spans.map((spec) => otlpSpan(spec, base)),
          },
        ],
      },
    ],
  };
  await post('/v1/traces', body);
}

export interface LogSpec {
  body: string;
  traceId?: string;
  spanId?: string;
  /** OpenTelemetry's number; `INFO` unless said. */
  severity?: number;
  /** Milliseconds after the moment `base`. */
  at?: number;
  attributes?: Attributes;
}

/** Sends log records of one service; resolves when the server has them durably. */
export async function sendLogs(service: string, logs: LogSpec[], base: bigint): Promise<void> {
  const logRecords = logs.map((spec) => ({
    timeUnixNano: (base + BigInt(Math.round((spec.at ?? 0) * 1e6))).toString(),
    severityNumber: spec.severity ?? 9,
    body: { stringValue: spec.body },
    traceId: spec.traceId ?? '',
    spanId: spec.spanId ?? '',
    attributes: keyValues(spec.attributes ?? {}),
  }));
  await post('/v1/logs', {
    resourceLogs: [
      {
        resource: { attributes: keyValues({ 'service.name': service }) },
        scopeLogs: [{ scope: { name: 'lumitrace-ui-e2e', version: '1' }, logRecords }],
      },
    ],
  });
}

export interface GaugePoint {
  value: number;
  /** Milliseconds after the moment `base`. */
  at: number;
  attributes?: Attributes;
}

/** Sends metrics of one service as OTLP spells them; resolves when the server has them durably. */
export async function sendMetrics(service: string, metrics: unknown[]): Promise<void> {
  await post('/v1/metrics', {
    resourceMetrics: [
      {
        resource: { attributes: keyValues({ 'service.name': service }) },
        scopeMetrics: [{ scope: { name: 'lumitrace-ui-e2e', version: '1' }, metrics }],
      },
    ],
  });
}

const atMillis = (base: bigint, millis: number) =>
  (base + BigInt(Math.round(millis * 1e6))).toString();

/** A gauge as OTLP spells it; NaN and infinities travel as strings. */
export function gauge(name: string, points: GaugePoint[], base: bigint, unit = '') {
  const dataPoints = points.map(({ value, at, attributes }) => ({
    timeUnixNano: atMillis(base, at),
    asDouble: Number.isFinite(value) ? value : String(value),
    attributes: keyValues(attributes ?? {}),
  }));
  return { name, unit, description: `What ${name} is`, gauge: { dataPoints } };
}

/** A cumulative monotonic sum that grows by `step` each second. */
export function counter(name: string, step: number, seconds: number, base: bigint) {
  const dataPoints = Array.from({ length: seconds }, (_, at) => ({
    startTimeUnixNano: base.toString(),
    timeUnixNano: atMillis(base, (at + 1) * 1_000),
    asInt: String((at + 1) * step),
  }));
  return {
    name,
    unit: '{item}',
    sum: { aggregationTemporality: 2, isMonotonic: true, dataPoints },
  };
}

/** A delta histogram of whole seconds, each with the same ten values. */
export function histogram(name: string, seconds: number, base: bigint) {
  const dataPoints = Array.from({ length: seconds }, (_, at) => ({
    startTimeUnixNano: atMillis(base, at * 1_000),
    timeUnixNano: atMillis(base, (at + 1) * 1_000),
    count: '10',
    sum: 120,
    bucketCounts: ['4', '4', '2'],
    explicitBounds: [10, 20],
    min: 8,
    max: 40,
  }));
  return { name, unit: 'ms', histogram: { aggregationTemporality: 1, dataPoints } };
}

async function post(path: string, body: unknown): Promise<void> {
  const response = await fetch(OTLP_URL + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) {
    throw new Error(`the server refused a request: ${response.status} ${await response.text()}`);
  }
}
