/** The tree of spans beside their bars, as a tree grid of which only the visible rows exist. */
import { useEffect, useId, useRef, useState, type KeyboardEvent, type PointerEvent } from 'react';
import { durationTicks, formatTick } from '../format/duration';
import { useStable } from '../widgets/hooks';
import { Splitter } from '../widgets/Splitter';
import type { SpanColors } from './span_colors';
import { percentOf, zoomWindow, type TimeWindow } from './time_window';
import { hasChildren, type TraceTable } from './trace_table';
import { useRowScroll } from './use_row_scroll';
import { positionOf } from './visible_rows';
import { WaterfallRow } from './WaterfallRow';

const ROW_PX = 28;
const NAME_PX = { initial: 340, min: 140, max: 900 };
const TICKS = 6;

interface WaterfallProps {
  table: TraceTable;
  rows: Int32Array;
  colors: SpanColors;
  now: number;
  window: TimeWindow;
  total: number;
  onWindow: (window: TimeWindow) => void;
  collapsed: ReadonlySet<string>;
  onCollapsed: (collapsed: ReadonlySet<string>) => void;
  cursor: number;
  onCursor: (row: number) => void;
  selectedId: string | null;
  onSelect: (spanId: string | null) => void;
  /** Zooms to a row's span. */
  onFit: (row: number) => void;
  found: ReadonlySet<number>;
  isFinding: boolean;
}

export function Waterfall(props: WaterfallProps) {
  const { table, rows, window, cursor, onCursor, collapsed, onCollapsed, onSelect } = props;
  const [nameWidth, setNameWidth] = useState(NAME_PX.initial);
  const scroll = useRowScroll(rows.length, ROW_PX);
  const gridId = useId();
  const { reveal } = scroll;
  const position = positionOf(rows, cursor);
  useEffect(() => {
    if (position >= 0) reveal(position);
  }, [position, reveal]);
  useWheelZoom(scroll.scroller, nameWidth, props);

  const ticks = durationTicks(window.start, window.end, TICKS);
  const step = (ticks[1] ?? 1) - (ticks[0] ?? 0);
  const toggle = (row: number) => {
    const id = table.ids[row] ?? '';
    const next = new Set(collapsed);
    if (!next.delete(id)) next.add(id);
    onCollapsed(next);
  };
  // Stable, so that scrolling renders only the rows that come into view.
  const toggleRow = useStable((row: number) => toggle(row));
  const pick = useStable((row: number) => {
    onCursor(row);
    onSelect(table.ids[row] ?? null);
  });
  const moveTo = (next: number) => {
    const row = rows[Math.min(Math.max(next, 0), rows.length - 1)];
    if (row === undefined) return;
    onCursor(row);
    if (props.selectedId !== null) onSelect(table.ids[row] ?? null);
  };
  const keys: Record<string, () => void> = {
    ArrowDown: () => moveTo(position + 1),
    ArrowUp: () => moveTo(position - 1),
    j: () => moveTo(position + 1),
    k: () => moveTo(position - 1),
    PageDown: () => moveTo(position + Math.floor(scroll.viewportHeight / ROW_PX)),
    PageUp: () => moveTo(position - Math.floor(scroll.viewportHeight / ROW_PX)),
    Home: () => moveTo(0),
    End: () => moveTo(rows.length - 1),
    ArrowRight: () => {
      if (hasChildren(table, cursor) && collapsed.has(table.ids[cursor] ?? '')) toggle(cursor);
      else if (hasChildren(table, cursor)) moveTo(position + 1);
    },
    ArrowLeft: () => {
      const isOpen = hasChildren(table, cursor) && !collapsed.has(table.ids[cursor] ?? '');
      if (isOpen) toggle(cursor);
      else moveTo(positionOf(rows, table.parent[cursor] ?? -1));
    },
    Enter: () => onSelect(table.ids[cursor] ?? null),
    ' ': () => onSelect(table.ids[cursor] ?? null),
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const action = keys[event.key];
    if (action === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  };

  const visible = rows.subarray(scroll.window.first, scroll.window.end);
  return (
    <div className="waterfall" style={{ '--name-width': `${nameWidth}px` } as React.CSSProperties}>
      <div className="waterfall-axis">
        <span className="axis-title">Span</span>
        <Splitter
          label="Width of the names"
          side="before"
          value={nameWidth}
          {...{ min: NAME_PX.min, max: NAME_PX.max }}
          onChange={setNameWidth}
        />
        <Axis window={window} ticks={ticks} step={step} onWindow={props.onWindow} />
      </div>
      <div
        ref={scroll.scroller}
        className="waterfall-scroll"
        role="treegrid"
        aria-label="Spans"
        aria-rowcount={rows.length}
        aria-activedescendant={position >= 0 ? `${gridId}-${cursor}` : undefined}
        tabIndex={0}
        onScroll={scroll.onScroll}
        onKeyDown={onKeyDown}
      >
        <div style={{ height: scroll.height }} role="presentation">
          <div
            className="waterfall-window"
            role="presentation"
            style={{ height: Math.min(scroll.viewportHeight, scroll.height) }}
          >
            <div className="waterfall-grid" aria-hidden="true">
              {ticks.map((tick) => (
                <span key={tick} style={{ left: `${percentOf(window, tick)}%` }} />
              ))}
            </div>
            <div role="rowgroup" style={{ transform: `translateY(${scroll.window.top}px)` }}>
              {Array.from(visible, (row, index) => (
                <WaterfallRow
                  key={table.ids[row]}
                  id={`${gridId}-${row}`}
                  table={table}
                  row={row}
                  rowIndex={scroll.window.first + index + 1}
                  color={props.colors.ofRow(row)}
                  showService={props.colors.by === 'service'}
                  windowStart={window.start}
                  windowEnd={window.end}
                  now={props.now}
                  isCollapsed={collapsed.has(table.ids[row] ?? '')}
                  isCursor={row === cursor}
                  isSelected={table.ids[row] === props.selectedId}
                  isDimmed={props.isFinding && !props.found.has(row)}
                  onToggle={toggleRow}
                  onPick={pick}
                  onFit={props.onFit}
                />
              ))}
            </div>
          </div>
        </div>
        {rows.length === 0 && <p className="waterfall-empty muted">No span to show.</p>}
      </div>
    </div>
  );
}

interface AxisProps {
  window: TimeWindow;
  ticks: number[];
  step: number;
  onWindow: (window: TimeWindow) => void;
}

/** The time axis; dragging on it zooms into what was drawn over. */
function Axis({ window, ticks, step, onWindow }: AxisProps) {
  const [drag, setDrag] = useState<{ from: number; to: number } | null>(null);
  const shareOf = (event: PointerEvent) => {
    const bounds = event.currentTarget.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - bounds.left) / bounds.width));
  };
  const finish = () => {
    if (drag !== null && Math.abs(drag.to - drag.from) > 0.005) {
      const width = window.end - window.start;
      onWindow({
        start: window.start + Math.min(drag.from, drag.to) * width,
        end: window.start + Math.max(drag.from, drag.to) * width,
      });
    }
    setDrag(null);
  };
  return (
    <div
      className="axis"
      title="Drag to zoom"
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        setDrag({ from: shareOf(event), to: shareOf(event) });
      }}
      onPointerMove={(event) => {
        if (drag !== null) setDrag({ from: drag.from, to: shareOf(event) });
      }}
      onPointerUp={finish}
    >
      {ticks.map((tick) => (
        <span
          className="axis-tick number"
          key={tick}
          style={{ left: `${percentOf(window, tick)}%` }}
        >
          {formatTick(tick, step)}
        </span>
      ))}
      {drag !== null && (
        <span
          className="axis-drag"
          style={{
            left: `${Math.min(drag.from, drag.to) * 100}%`,
            width: `${Math.abs(drag.to - drag.from) * 100}%`,
          }}
        />
      )}
    </div>
  );
}

/** Ctrl and the wheel zoom at the pointer, as on maps; shift and the wheel move sideways. */
function useWheelZoom(
  scroller: React.RefObject<HTMLDivElement | null>,
  nameWidth: number,
  { window, total, onWindow }: WaterfallProps,
): void {
  const latest = useRef({ window, total, onWindow, nameWidth });
  useEffect(() => {
    latest.current = { window, total, onWindow, nameWidth };
  });
  useEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    const onWheel = (event: WheelEvent) => {
      if (!event.ctrlKey && !event.shiftKey) return;
      event.preventDefault();
      const state = latest.current;
      const bounds = element.getBoundingClientRect();
      const left = bounds.left + state.nameWidth;
      const share = Math.min(1, Math.max(0, (event.clientX - left) / (bounds.right - left)));
      const delta = event.deltaY + event.deltaX;
      if (event.ctrlKey) {
        state.onWindow(zoomWindow(state.window, state.total, 2 ** (delta / 300), share));
      } else {
        const move = ((state.window.end - state.window.start) * delta) / 1_000;
        state.onWindow(
          zoomWindow(
            { start: state.window.start + move, end: state.window.end + move },
            state.total,
            1,
            0,
          ),
        );
      }
    };
    element.addEventListener('wheel', onWheel, { passive: false });
    return () => element.removeEventListener('wheel', onWheel);
  }, [scroller]);
}
