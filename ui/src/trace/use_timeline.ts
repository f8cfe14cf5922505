/** What minimap, tools and waterfall share: which rows, which part of time, where the reader is. */
import { useEffect, useMemo, useState } from 'react';
import type { SpanColors } from './span_colors';
import { clampWindow, isWholeTrace, windowAround, type TimeWindow } from './time_window';
import { endOf, STATUS_ERROR, type TraceTable } from './trace_table';
import {
  collapseBelow,
  expandTo,
  findRows,
  firstStartingIn,
  nextFound,
  visibleRows,
} from './visible_rows';

export interface TimelineProps {
  table: TraceTable;
  colors: SpanColors;
  /** The present as an offset in nanoseconds. */
  now: number;
  selectedId: string | null;
  onSelect: (spanId: string | null) => void;
  find: string;
  onFind: (text: string) => void;
}

export type TimelineState = ReturnType<typeof useTimeline>;

export function useTimeline(props: TimelineProps) {
  const { table, now, selectedId, onSelect } = props;
  const [collapsed, setCollapsed] = useState<ReadonlySet<string>>(new Set());
  const [errorsOnly, setErrorsOnly] = useState(false);
  // The span, not its row: rows move as a running trace grows.
  const [cursorId, setCursorId] = useState(selectedId);
  const cursor = table.rowOf.get(cursorId ?? '') ?? 0;
  const time = useTimeWindow(Math.max(table.totalNano, now));
  const finding = useFinding(table, props.find);
  const rows = useMemo(
    () => visibleRows(table, collapsed, { errorsOnly }),
    [table, collapsed, errorsOnly],
  );

  // A span that is chosen elsewhere (URL, link) becomes visible and the cursor.
  useEffect(() => {
    const row = selectedId === null ? undefined : table.rowOf.get(selectedId);
    if (row === undefined) return;
    setCursorId(selectedId);
    setCollapsed((old) => expandTo(table, old, row));
    // Once per choice: what the reader folds afterwards stays folded as the trace grows.
    // oxlint-disable-next-line react/exhaustive-deps
  }, [selectedId]);

  /** Moves the cursor; open details go with it. */
  const goTo = (row: number) => {
    setCursorId(table.ids[row] ?? null);
    if (selectedId !== null) onSelect(table.ids[row] ?? null);
  };
  return {
    ...props,
    ...time,
    ...finding,
    rows,
    collapsed,
    cursor,
    errorsOnly,
    toggleErrorsOnly: () => setErrorsOnly(!errorsOnly),
    collapseAll: () => setCollapsed(collapseBelow(table, 1)),
    expandAll: () => setCollapsed(new Set()),
    toggle: (row: number) => {
      const id = table.ids[row] ?? '';
      const next = new Set(collapsed);
      if (!next.delete(id)) next.add(id);
      setCollapsed(next);
    },
    /** Moves the cursor to a place among the visible rows, the nearest that there is. */
    moveTo: (position: number) => {
      const row = rows[Math.min(Math.max(position, 0), rows.length - 1)];
      if (row !== undefined) goTo(row);
    },
    /** Shows the details of a row's span. */
    choose: (row: number) => {
      setCursorId(table.ids[row] ?? null);
      onSelect(table.ids[row] ?? null);
    },
    /** Goes to the next found span, uncovering it where it is hidden. */
    goToFound: (step: 1 | -1) => {
      const row = nextFound(finding.found, cursor, step);
      if (row < 0) return;
      setErrorsOnly((only) => only && table.status[row] === STATUS_ERROR);
      setCollapsed((old) => expandTo(table, old, row));
      goTo(row);
    },
    /** Shows a part of time, and the first of the spans that begin in it. */
    showPart: (part: TimeWindow) => {
      time.onWindow(part);
      const row = firstStartingIn(table, rows, part);
      if (row >= 0) setCursorId(table.ids[row] ?? null);
    },
    /** Zooms to a row's span. */
    fit: (row: number) =>
      time.onWindow(windowAround(table.start[row] ?? 0, endOf(table, row, now), time.total)),
  };
}

function useTimeWindow(total: number) {
  // `null` is the whole trace, also while it grows.
  const [chosen, setChosen] = useState<TimeWindow | null>(null);
  return {
    total,
    window: chosen === null ? { start: 0, end: total } : clampWindow(chosen, total),
    isZoomed: chosen !== null,
    onWindow: (next: TimeWindow) => setChosen(isWholeTrace(next, total) ? null : next),
    resetWindow: () => setChosen(null),
  };
}

function useFinding(table: TraceTable, find: string) {
  const found = useMemo(() => findRows(table, find), [table, find]);
  const foundSet = useMemo(() => new Set(found), [found]);
  const errorCount = useMemo(
    () => table.status.reduce((sum, status) => sum + (status === STATUS_ERROR ? 1 : 0), 0),
    [table],
  );
  return { found, foundSet, isFinding: find !== '', errorCount };
}
