/** Which rows the waterfall shows: the tree less what is collapsed, or what a filter keeps. */
import type { TimeWindow } from './time_window';
import { hasChildren, spanTitle, STATUS_ERROR, type TraceTable } from './trace_table';

export interface RowFilter {
  /** Leaves only spans that failed, and their ancestors for orientation. */
  errorsOnly: boolean;
}

/** Rows in order, as indices into the table. Collapsed rows stay, their subtrees go. */
export function visibleRows(
  table: TraceTable,
  collapsed: ReadonlySet<string>,
  filter: RowFilter,
): Int32Array {
  const kept = filter.errorsOnly ? rowsWithErrors(table) : null;
  const rows = new Int32Array(table.count);
  let length = 0;
  let row = 0;
  while (row < table.count) {
    if (kept !== null && kept[row] === 0) {
      row = table.subtreeEnd[row] ?? row + 1;
      continue;
    }
    rows[length] = row;
    length += 1;
    const id = table.ids[row];
    row =
      collapsed.size > 0 && id !== undefined && collapsed.has(id)
        ? (table.subtreeEnd[row] ?? row + 1)
        : row + 1;
  }
  return rows.subarray(0, length);
}

function rowsWithErrors(table: TraceTable): Uint8Array {
  const kept = new Uint8Array(table.count);
  for (let row = 0; row < table.count; row += 1) {
    if (table.status[row] === STATUS_ERROR || (table.errorsBelow[row] ?? 0) > 0) kept[row] = 1;
  }
  return kept;
}

/** Position of a table row among the visible ones by binary search; -1 when it is hidden. */
export function positionOf(rows: Int32Array, row: number): number {
  let low = 0;
  let high = rows.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const value = rows[middle] ?? 0;
    if (value === row) return middle;
    if (value < row) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

/** The first visible row that starts inside a part of time, -1 if none does. */
export function firstStartingIn(
  table: TraceTable,
  rows: Int32Array,
  { start, end }: TimeWindow,
): number {
  return (
    rows.find((row) => (table.start[row] ?? -1) >= start && (table.start[row] ?? 0) < end) ?? -1
  );
}

/** The set with all ancestors of `row` expanded, or the same set when they were. */
export function expandTo(
  table: TraceTable,
  collapsed: ReadonlySet<string>,
  row: number,
): ReadonlySet<string> {
  let next: Set<string> | null = null;
  for (let up = table.parent[row] ?? -1; up >= 0; up = table.parent[up] ?? -1) {
    const id = table.ids[up] ?? '';
    if (collapsed.has(id)) {
      next ??= new Set(collapsed);
      next.delete(id);
    }
  }
  return next ?? collapsed;
}

/** Every row with children at `depth` or deeper, for "collapse all". */
export function collapseBelow(table: TraceTable, depth: number): Set<string> {
  const collapsed = new Set<string>();
  for (let row = 0; row < table.count; row += 1) {
    if ((table.depth[row] ?? 0) >= depth && hasChildren(table, row)) {
      collapsed.add(table.ids[row] ?? '');
    }
  }
  return collapsed;
}

/** Rows whose name, label, service or id contains the text, whatever its case. */
export function findRows(table: TraceTable, text: string): Int32Array {
  const needle = text.trim().toLowerCase();
  if (needle === '') return new Int32Array(0);
  // Names and services are few, rows are many: text is compared once per name.
  const matches = (candidate: string) => candidate.toLowerCase().includes(needle);
  const nameHits = table.names.map(matches);
  const serviceHits = table.services.map(matches);
  const found: number[] = [];
  for (let row = 0; row < table.count; row += 1) {
    const isHit =
      nameHits[table.name[row] ?? 0] ||
      serviceHits[table.service[row] ?? 0] ||
      table.ids[row] === needle ||
      ((table.labels[row] ?? null) !== null && matches(spanTitle(table, row)));
    if (isHit) found.push(row);
  }
  return Int32Array.from(found);
}

/** The found row after (`step` 1) or before (`step` -1) the row `from`, round the end; -1 if none. */
export function nextFound(found: Int32Array, from: number, step: 1 | -1): number {
  if (found.length === 0) return -1;
  if (step === 1) {
    for (const row of found) if (row > from) return row;
    return found[0] ?? -1;
  }
  for (let at = found.length - 1; at >= 0; at -= 1) {
    const row = found[at] ?? -1;
    if (row < from) return row;
  }
  return found[found.length - 1] ?? -1;
}
