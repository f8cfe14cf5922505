/**
 * The shapes of the server's own HTTP API (`/api/lumitrace/v1`), as they travel.
 *
 * 64-bit times and durations are decimal strings of nanoseconds; they become `bigint` where they
 * are computed with. Every string in here comes from traced programs and is shown as text only.
 */

/** A floating point number; the three that JSON cannot say travel as strings. */
export type WireNumber = number | 'NaN' | 'Infinity' | '-Infinity';

/** Unix nanoseconds or a duration in nanoseconds, as a decimal string. */
export type NanoString = string;

export type SpanState = 'complete' | 'running' | 'interrupted';
export type RunState = 'running' | 'finished' | 'failed' | 'interrupted';
export type StatusCode = 'unset' | 'ok' | 'error';

export type TypedValue =
  | { type: 'string'; value: string }
  | { type: 'bool'; value: boolean }
  | { type: 'int'; value: string }
  | { type: 'double'; value: WireNumber }
  | { type: 'bytes'; value: string }
  | { type: 'array'; value: TypedValue[] }
  | { type: 'map'; value: Attribute[] }
  | { type: 'null'; value?: null };

export type Attribute = { key: string } & TypedValue;

export interface Service {
  name: string;
  last_seen_unix_nano: NanoString;
}

export interface Operation {
  name: string;
  kind: string;
}

export interface ServiceCount {
  name: string;
  span_count: number;
  error_count: number;
}

export interface TraceSummary {
  trace_id: string;
  root_service: string;
  root_name: string;
  start_unix_nano: NanoString;
  duration_nano: NanoString;
  span_count: number;
  error_count: number;
  matched_span_count: number;
  services: ServiceCount[];
  state: SpanState;
  root_missing: boolean;
  run_id: string | null;
}

/** What every answer that reads stored records may say. */
export interface Answer {
  /** What was left out because it is damaged: file, offset and reason. Absent if nothing was. */
  damaged?: string[];
}

export interface TracePage extends Answer {
  traces: TraceSummary[];
  next: string | null;
  /** The search gave up before it had looked at everything: more may match. */
  truncated: boolean;
}

/** A whole trace as columns, rows in tree pre-order with siblings by start time. */
export interface TraceColumns extends Answer {
  trace_id: string;
  start_unix_nano: NanoString;
  duration_nano: NanoString;
  span_count: number;
  error_count: number;
  state: SpanState;
  root_missing: boolean;
  services: string[];
  names: string[];
  run_id: string | null;
  spans: {
    id: string[];
    /** Row index of the parent, -1 for a root. */
    parent: number[];
    depth: number[];
    name: number[];
    service: number[];
    kind: string[];
    start_offset_nano: number[];
    duration_nano: number[];
    /** 0 unset, 1 ok, 2 error. */
    status: number[];
    /** 0 complete, 1 running, 2 interrupted. */
    state: number[];
    event_count: number[];
    label: (string | null)[];
  };
}

export interface SpanEvent {
  name: string;
  time_unix_nano: NanoString;
  offset_nano: NanoString;
  attributes: Attribute[];
  dropped_attributes_count: number;
}

export interface SpanLink {
  trace_id: string;
  span_id: string;
  attributes: Attribute[];
}

export interface SpanException {
  type: string | null;
  message: string | null;
  stacktrace: string | null;
}

export interface SpanDetails extends Answer {
  trace_id: string;
  span_id: string;
  parent_span_id: string | null;
  name: string;
  /** Its place among its like, such as `(1/3)`, for training spans. */
  label: string | null;
  kind: string;
  service: string;
  start_unix_nano: NanoString;
  end_unix_nano: NanoString;
  duration_nano: NanoString;
  state: SpanState;
  status: { code: StatusCode; message: string };
  attributes: Attribute[];
  dropped_attributes_count: number;
  events: SpanEvent[];
  dropped_events_count: number;
  links: SpanLink[];
  dropped_links_count: number;
  exception: SpanException | null;
  resource: { attributes: Attribute[] };
  scope: { name: string; version: string; attributes: Attribute[] };
  trace_state: string;
  flags: number;
}

/** Something that a program said at one moment. */
export interface LogRecord {
  /** Its place in the list of results; unique. */
  id: string;
  time_unix_nano: NanoString;
  observed_time_unix_nano: NanoString;
  /** OpenTelemetry's, 1 to 24; 0 where the program did not say. */
  severity_number: number;
  /** The level as the program spells it, or empty. */
  severity_text: string;
  service: string;
  event_name: string;
  body: TypedValue;
  trace_id: string | null;
  span_id: string | null;
  flags: number;
  attributes: Attribute[];
  dropped_attributes_count: number;
  resource: { attributes: Attribute[] };
  scope: { name: string; version: string; attributes: Attribute[] };
}

export interface LogPage extends Answer {
  logs: LogRecord[];
  next: string | null;
  /** The search gave up before it had looked at everything: older ones may match. */
  truncated: boolean;
}

export type MetricKind = 'gauge' | 'sum' | 'histogram' | 'exponential_histogram' | 'summary';

/** What a metric is. */
export interface MetricInfo {
  name: string;
  kind: MetricKind;
  /** As UCUM spells it, or empty; null where the server has not found it out. */
  unit: string | null;
  description: string | null;
  temporality: 'unspecified' | 'delta' | 'cumulative' | null;
  /** Only of sums. */
  is_monotonic: boolean | null;
}

/** A metric of which points are stored. */
export interface Metric extends MetricInfo {
  services: string[];
  point_count: number;
  last_seen_unix_nano: NanoString;
}

export interface MetricList extends Answer {
  metrics: Metric[];
  /** How many there are, be they listed or not. */
  total: number;
}

/** One bucket of a metric's curve. */
export type MetricPoint = Omit<SeriesPoint, 'step'>;

export interface MetricSeries {
  service: string;
  attributes: Attribute[];
  resource: { attributes: Attribute[] };
  scope: { name: string; version: string; attributes: Attribute[] };
  /** `value` or `rate`; `count`, `sum` and quantiles such as `p50` of distributions. */
  curves: { name: string; points: MetricPoint[] }[];
}

export interface MetricAnswer extends Answer {
  /** Null if there are no points. */
  metric: MetricInfo | null;
  /** Over how long the values of distributions were put together. */
  step_nano: NanoString | null;
  series: MetricSeries[];
  /** How many there are, be they shown or not. */
  total_series: number;
}

export interface RunSummary {
  run_id: string;
  service_name: string;
  environment: string | null;
  host: string | null;
  pid: string | number | null;
  instance: string | null;
  state: RunState;
  start_unix_nano: NanoString;
  last_seen_unix_nano: NanoString;
  end_unix_nano: NanoString | null;
  epoch: number | null;
  total_epochs: number | null;
  batch_count: number;
  last_loss: WireNumber | null;
  last_train_loss: WireNumber | null;
  last_val_loss: WireNumber | null;
  last_val_metric: WireNumber | null;
  best_val_loss: WireNumber | null;
  error_count: number;
  trace_ids: string[];
}

export interface Validation {
  span_id: string;
  trace_id: string;
  start_unix_nano: NanoString;
  duration_nano: NanoString;
  state: SpanState | 'failed';
  val_loss: WireNumber | null;
  val_metric: WireNumber | null;
  metrics: { name: string; value: WireNumber }[];
}

export interface Epoch {
  epoch: number | null;
  label: string;
  trace_id: string;
  span_id: string;
  state: SpanState | 'failed';
  start_unix_nano: NanoString;
  duration_nano: NanoString;
  train_loss: WireNumber | null;
  val_loss: WireNumber | null;
  val_metric: WireNumber | null;
  batch_count: number;
  batch_p50_nano: NanoString | null;
  batch_p95_nano: NanoString | null;
  samples_per_second: WireNumber | null;
  error_count: number;
  validations: Validation[];
}

export interface Phase {
  name: string;
  trace_id: string;
  span_id: string;
  start_unix_nano: NanoString;
  duration_nano: NanoString;
  state: SpanState | 'failed';
  attributes: Attribute[];
}

export interface RunError {
  trace_id: string;
  span_id: string;
  name: string;
  label: string | null;
  type: string | null;
  message: string | null;
  time_unix_nano: NanoString;
}

export type SeriesGroup = 'loss' | 'task' | 'validation' | 'epoch' | 'other';

export interface SeriesInfo {
  name: string;
  group: SeriesGroup;
  better: 'lower' | 'higher' | null;
  x: 'step' | 'epoch';
  point_count: number;
  last: WireNumber | null;
  min: WireNumber | null;
  max: WireNumber | null;
}

export interface RunList extends Answer {
  runs: RunSummary[];
}

/** What came of keeping a trace or a run. */
export interface Kept extends Answer {
  /** Whether all of it is kept; otherwise what can be read is. */
  archived: boolean;
  copied_spans: number;
}

export interface RunView extends Answer {
  summary: RunSummary;
  revision: number | string;
  attributes: Attribute[];
  parameters: Attribute[];
  epochs: Epoch[];
  phases: Phase[];
  errors: RunError[];
  series: SeriesInfo[];
  step_time: {
    p50_nano: NanoString;
    p95_nano: NanoString;
    between_p50_nano: NanoString | null;
  } | null;
  samples_per_second: WireNumber | null;
  eta_nano: NanoString | null;
}

/** One bucket of a curve: the last value in it and the band it moved in. */
export interface SeriesPoint {
  step: number;
  time_unix_nano: NanoString;
  last: WireNumber;
  min: WireNumber;
  max: WireNumber;
  count: number;
}

export interface Series {
  name: string;
  x: 'step' | 'epoch';
  points: SeriesPoint[];
}

export interface Batch {
  trace_id: string;
  span_id: string;
  label: string | null;
  step: number | null;
  start_unix_nano: NanoString;
  duration_nano: NanoString;
  state: SpanState | 'failed';
  status: StatusCode;
  loss: WireNumber | null;
  batch_size: number | string | null;
}

export interface ServerStatus extends Answer {
  version: string;
  started_unix_nano: NanoString;
  data_dir: string;
  spans: number;
  log_records: number;
  metric_points: number;
  blocks: number;
  disk_bytes: number;
  memtable_spans: number;
  merging: boolean;
  endpoints: { otlp_grpc: string; otlp_http: string; ui: string };
  otlp: {
    requests: number;
    spans: number;
    log_records: number;
    metric_points: number;
    rejected_spans: number;
    rejected_metric_points: number;
    refused_requests: number;
    posts_to_root: number;
  };
  healthy: boolean;
  problem: string | null;
}
