/** Small traces for tests, written as indented names. */
import type { TraceColumns } from '../api/contract';
import { tableFromColumns, type TraceTable } from './trace_table';

/**
 * A trace from lines such as `root`, `  child!`: two blanks are a level, `!` marks an error, `~` a
 * running span. Row `n` starts at `n` ms and takes 10 ms.
 */
export function traceOf(text: string): TraceTable {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const depths = lines.map((line) => (/^ */.exec(line)?.[0].length ?? 0) / 2);
  const names = lines.map((line) => line.trim().replace(/[!~]$/, ''));
  const columns: TraceColumns = {
    trace_id: '0'.repeat(32),
    start_unix_nano: '0',
    duration_nano: String((lines.length + 10) * 1e6),
    span_count: lines.length,
    error_count: 0,
    state: 'complete',
    root_missing: false,
    services: ['svc'],
    names,
    run_id: null,
    spans: {
      id: names.map((_, row) => `id${row}`),
      parent: depths.map((depth, row) =>
        depths.slice(0, row).findLastIndex((above) => above === depth - 1),
      ),
      depth: depths,
      name: names.map((_, row) => row),
      service: names.map(() => 0),
      kind: names.map(() => 'internal'),
      start_offset_nano: names.map((_, row) => row * 1e6),
      duration_nano: names.map(() => 10e6),
      status: lines.map((line) => (line.endsWith('!') ? 2 : 0)),
      state: lines.map((line) => (line.endsWith('~') ? 1 : 0)),
      event_count: names.map(() => 0),
      label: names.map(() => null),
    },
  };
  return tableFromColumns(columns);
}

export const TREE = `
root
  a
    a1
    a2!
  b
    b1
`;

/** A trace in which every span but the last has one child; the last one failed. */
export function chainOf(length: number): TraceColumns {
  const rows = Array.from({ length }, (_, row) => row);
  const all = <T>(value: T) => rows.map(() => value);
  return {
    trace_id: '0'.repeat(32),
    start_unix_nano: '0',
    duration_nano: String(length),
    span_count: length,
    error_count: 1,
    state: 'complete',
    root_missing: false,
    services: ['svc'],
    names: ['call'],
    run_id: null,
    spans: {
      id: rows.map((row) => `id${row}`),
      parent: rows.map((row) => row - 1),
      depth: rows,
      name: all(0),
      service: all(0),
      kind: all('internal'),
      start_offset_nano: rows,
      duration_nano: rows.map((row) => length - row),
      status: rows.map((row) => (row === length - 1 ? 2 : 0)),
      state: all(0),
      event_count: all(0),
      label: all(null),
    },
  };
}
