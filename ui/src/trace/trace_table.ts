/**
 * A trace as a struct of arrays: what 100,000 spans need to be scrolled without garbage.
 *
 * Rows are spans in tree pre-order, so the subtree of row `r` is `r .. subtreeEnd[r]`.
 */
import type { TraceColumns } from '../api/contract';

export const RUNNING = 1;
export const INTERRUPTED = 2;
export const STATUS_ERROR = 2;

export interface TraceTable {
  traceId: string;
  count: number;
  ids: string[];
  parent: Int32Array;
  /** As deep as a trace is long: a chain of calls has one row per level. */
  depth: Uint32Array;
  name: Uint32Array;
  service: Uint32Array;
  names: string[];
  services: string[];
  labels: (string | null)[];
  kinds: string[];
  /** Nanoseconds since the start of the trace; exact up to 104 days. */
  start: Float64Array;
  duration: Float64Array;
  status: Uint8Array;
  state: Uint8Array;
  events: Uint32Array;
  /** First row after the subtree of a row. */
  subtreeEnd: Int32Array;
  /** Errors in the subtree below a row, itself not counted. */
  errorsBelow: Uint32Array;
  rowOf: Map<string, number>;
  /** Length of the trace in nanoseconds, at least 1. */
  totalNano: number;
}

export function tableFromColumns(trace: TraceColumns): TraceTable {
  const { spans } = trace;
  const count = spans.id.length;
  const table: TraceTable = {
    traceId: trace.trace_id,
    count,
    ids: spans.id,
    parent: Int32Array.from(spans.parent),
    depth: Uint32Array.from(spans.depth),
    name: Uint32Array.from(spans.name),
    service: Uint32Array.from(spans.service),
    names: trace.names,
    services: trace.services,
    labels: spans.label,
    kinds: spans.kind,
    start: Float64Array.from(spans.start_offset_nano),
    duration: Float64Array.from(spans.duration_nano),
    status: Uint8Array.from(spans.status),
    state: Uint8Array.from(spans.state),
    events: Uint32Array.from(spans.event_count),
    subtreeEnd: new Int32Array(count),
    errorsBelow: new Uint32Array(count),
    rowOf: new Map(),
    totalNano: Math.max(1, Number(trace.duration_nano)),
  };
  spans.id.forEach((id, row) => {
    // A client and a server may share one id; the first of them answers to it.
    if (!table.rowOf.has(id)) table.rowOf.set(id, row);
  });
  fillSubtrees(table);
  return table;
}

/** One pass from the last row to the first: every child is seen before its parent. */
function fillSubtrees(table: TraceTable): void {
  const { parent, subtreeEnd, errorsBelow, status, count } = table;
  for (let row = 0; row < count; row += 1) subtreeEnd[row] = row + 1;
  for (let row = count - 1; row >= 0; row -= 1) {
    const up = parent[row] ?? -1;
    if (up < 0) continue;
    subtreeEnd[up] = Math.max(subtreeEnd[up] ?? 0, subtreeEnd[row] ?? 0);
    const own = status[row] === STATUS_ERROR ? 1 : 0;
    errorsBelow[up] = (errorsBelow[up] ?? 0) + (errorsBelow[row] ?? 0) + own;
  }
}

export function hasChildren(table: TraceTable, row: number): boolean {
  return (table.subtreeEnd[row] ?? 0) > row + 1;
}

/** The name that people read: the span's name and, for training spans, its place `(1/3)`. */
export function spanTitle(table: TraceTable, row: number): string {
  const name = table.names[table.name[row] ?? 0] ?? '';
  const label = table.labels[row];
  return label ? `${name} ${label}` : name;
}

export function serviceOf(table: TraceTable, row: number): string {
  return table.services[table.service[row] ?? 0] ?? '';
}

export function nameOf(table: TraceTable, row: number): string {
  return table.names[table.name[row] ?? 0] ?? '';
}

/**
 * Where a span's bar ends. A running span has no end yet: its bar reaches to `now`, an offset in
 * nanoseconds like all others.
 */
export function endOf(table: TraceTable, row: number, now: number): number {
  const start = table.start[row] ?? 0;
  const end = start + (table.duration[row] ?? 0);
  return table.state[row] === RUNNING ? Math.max(end, now) : end;
}
