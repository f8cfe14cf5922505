/** Minimap, tools and waterfall of a trace, with the state that they share. */
import { useEffect, useMemo, useRef, useState } from 'react';
import { formatCount } from '../format/number';
import { useKeys, useStable } from '../widgets/hooks';
import {
  CloseIcon,
  CollapseAllIcon,
  ExpandAllIcon,
  FitIcon,
  SearchIcon,
  WarningIcon,
} from '../widgets/icons';
import { ColorDot } from '../widgets/marks';
import { Minimap } from './Minimap';
import type { SpanColors } from './span_colors';
import {
  clampWindow,
  isWholeTrace,
  panWindow,
  windowAround,
  zoomWindow,
  type TimeWindow,
} from './time_window';
import { endOf, STATUS_ERROR, type TraceTable } from './trace_table';
import { collapseBelow, expandTo, findRows, nextFound, visibleRows } from './visible_rows';
import { Waterfall } from './Waterfall';

interface TimelineProps {
  table: TraceTable;
  colors: SpanColors;
  /** The present as an offset in nanoseconds. */
  now: number;
  selectedId: string | null;
  onSelect: (spanId: string | null) => void;
  find: string;
  onFind: (text: string) => void;
}

const ZOOM_IN = 0.6;
const PAN_SHARE = 0.2;
const LEGEND_SHOWN = 8;

export function Timeline(props: TimelineProps) {
  const { table, colors, now, selectedId, onSelect, find, onFind } = props;
  const [collapsed, setCollapsed] = useState<ReadonlySet<string>>(new Set());
  const [errorsOnly, setErrorsOnly] = useState(false);
  // `null` is the whole trace, also while it grows.
  const [chosenWindow, setChosenWindow] = useState<TimeWindow | null>(null);
  const [cursor, setCursor] = useState<number>(() => table.rowOf.get(selectedId ?? '') ?? 0);
  const findField = useRef<HTMLInputElement>(null);

  const total = Math.max(table.duration_total, now);
  const window =
    chosenWindow === null ? { start: 0, end: total } : clampWindow(chosenWindow, total);
  const setWindow = (next: TimeWindow) => setChosenWindow(isWholeTrace(next, total) ? null : next);
  const rows = useMemo(
    () => visibleRows(table, collapsed, { errorsOnly }),
    [table, collapsed, errorsOnly],
  );
  const found = useMemo(() => findRows(table, find), [table, find]);
  const foundSet = useMemo(() => new Set(found), [found]);
  const errorCount = useMemo(
    () => table.status.reduce((sum, status) => sum + (status === STATUS_ERROR ? 1 : 0), 0),
    [table],
  );

  // A span that is chosen elsewhere (URL, link, find) becomes visible and the cursor.
  useEffect(() => {
    const row = selectedId === null ? undefined : table.rowOf.get(selectedId);
    if (row === undefined) return;
    setCursor(row);
    setCollapsed((old) => expandTo(table, old, row));
  }, [selectedId, table]);

  const goTo = (row: number) => {
    if (row < 0) return;
    setErrorsOnly((only) => only && table.status[row] === STATUS_ERROR);
    setCollapsed((old) => expandTo(table, old, row));
    setCursor(row);
    if (selectedId !== null) onSelect(table.ids[row] ?? null);
  };
  const fitTo = useStable((row: number) =>
    setWindow(windowAround(table.start[row] ?? 0, endOf(table, row, now), total)),
  );
  const fit = () => fitTo(cursor);
  const collapseAll = () => setCollapsed(collapseBelow(table, 1));
  const expandAll = () => setCollapsed(new Set());

  useKeys({
    '/': (event) => {
      event.preventDefault();
      findField.current?.focus();
    },
    w: () => setWindow(zoomWindow(window, total, ZOOM_IN, anchorOf(window, table, cursor, now))),
    s: () => setWindow(zoomWindow(window, total, 1 / ZOOM_IN, 0.5)),
    a: () => setWindow(panWindow(window, total, -PAN_SHARE)),
    d: () => setWindow(panWindow(window, total, PAN_SHARE)),
    f: fit,
    '0': () => setChosenWindow(null),
    e: () => setErrorsOnly((only) => !only),
    '[': collapseAll,
    ']': expandAll,
    n: () => goTo(nextFound(found, cursor, 1)),
    N: () => goTo(nextFound(found, cursor, -1)),
    Escape: () => onSelect(null),
  });

  return (
    <section className="timeline" aria-label="Timeline">
      <Minimap
        table={table}
        colors={colors}
        now={now}
        total={total}
        window={window}
        onWindow={setWindow}
      />
      <div className="timeline-tools">
        <label className="find-box">
          <SearchIcon />
          <span className="visually-hidden">Find in this trace</span>
          <input
            ref={findField}
            className="input"
            type="search"
            placeholder="Find in trace"
            value={find}
            onChange={(event) => onFind(event.target.value)}
            onKeyDown={(event) => {
              if (event.key === 'Enter') goTo(nextFound(found, cursor, event.shiftKey ? -1 : 1));
              if (event.key === 'Escape') findField.current?.blur();
            }}
          />
          {find !== '' && (
            <span className="find-count number" role="status">
              {found.length === 0
                ? 'none'
                : `${foundPlace(found, cursor)}${formatCount(found.length)}`}
            </span>
          )}
        </label>
        <button
          type="button"
          className="button small"
          aria-pressed={errorsOnly}
          disabled={errorCount === 0 && !errorsOnly}
          onClick={() => setErrorsOnly(!errorsOnly)}
        >
          <WarningIcon />
          {errorCount === 0 ? 'No errors' : `Errors only (${formatCount(errorCount)})`}
        </button>
        <ul className="span-legend" aria-label={`Colours by ${colors.by}`}>
          {colors.legend.slice(0, LEGEND_SHOWN).map(({ name, color }) => (
            <li key={name}>
              <ColorDot color={color} />
              {name}
            </li>
          ))}
        </ul>
        <span className="shell-space" />
        {chosenWindow !== null && (
          <button type="button" className="button small" onClick={() => setChosenWindow(null)}>
            <CloseIcon />
            Reset zoom
          </button>
        )}
        <ToolButton label="Fit to the span (f)" onPress={fit} icon={<FitIcon />} />
        <ToolButton label="Collapse all ([)" onPress={collapseAll} icon={<CollapseAllIcon />} />
        <ToolButton label="Expand all (])" onPress={expandAll} icon={<ExpandAllIcon />} />
      </div>
      <Waterfall
        table={table}
        rows={rows}
        colors={colors}
        now={now}
        window={window}
        total={total}
        onWindow={setWindow}
        collapsed={collapsed}
        onCollapsed={setCollapsed}
        cursor={cursor}
        onCursor={setCursor}
        selectedId={selectedId}
        onSelect={onSelect}
        onFit={fitTo}
        found={foundSet}
        isFinding={find !== ''}
      />
    </section>
  );
}

/** `3 of ` when the cursor stands on a found span. */
function foundPlace(found: Int32Array, cursor: number): string {
  const place = found.indexOf(cursor);
  return place < 0 ? '' : `${formatCount(place + 1)} of `;
}

/** Zooming in goes towards the cursor's span where it can be seen. */
function anchorOf(window: TimeWindow, table: TraceTable, cursor: number, now: number): number {
  const middle = ((table.start[cursor] ?? 0) + endOf(table, cursor, now)) / 2;
  const share = (middle - window.start) / (window.end - window.start);
  return share >= 0 && share <= 1 ? share : 0.5;
}

interface ToolProps {
  label: string;
  icon: React.ReactNode;
  onPress: () => void;
}

function ToolButton({ label, icon, onPress }: ToolProps) {
  return (
    <button
      type="button"
      className="button icon small quiet"
      aria-label={label}
      title={label}
      onClick={onPress}
    >
      {icon}
    </button>
  );
}
