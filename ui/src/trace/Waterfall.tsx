/** The tree of spans beside their bars, as a tree grid of which only the visible rows exist. */
import { useId, useState, type CSSProperties, type KeyboardEvent } from 'react';
import { durationTicks } from '../format/duration';
import { useStable } from '../widgets/hooks';
import { Splitter } from '../widgets/Splitter';
import { TimeAxis } from './TimeAxis';
import { percentOf } from './time_window';
import type { TimelineState } from './use_timeline';
import { useRowScroll, type RowScroll } from './use_row_scroll';
import { ROW_PX, useAnchoredRows, useCursorInView, useWheelZoom } from './use_waterfall_scroll';
import { positionOf } from './visible_rows';
import { treeAction } from './waterfall_keys';
import { WaterfallRow } from './WaterfallRow';

const NAME_PX = { initial: 340, min: 140, max: 900 };
const TICKS = 6;

export function Waterfall({ timeline }: { timeline: TimelineState }) {
  const { table, rows, window, cursor } = timeline;
  const [nameWidth, setNameWidth] = useState(NAME_PX.initial);
  const scroll = useRowScroll(rows.length, ROW_PX);
  const gridId = useId();
  const position = positionOf(rows, cursor);
  useCursorInView(scroll, position, table.ids[cursor]);
  useAnchoredRows(scroll, table, rows);
  useWheelZoom(scroll.scroller, nameWidth, timeline);

  const ticks = durationTicks(window.start, window.end, TICKS);
  const step = (ticks[1] ?? 1) - (ticks[0] ?? 0);
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const pageRows = Math.floor(scroll.viewportHeight / ROW_PX);
    const action = treeAction(event.key, { ...timeline, pageRows });
    if (action === null) return;
    event.preventDefault();
    action();
  };
  return (
    <div className="waterfall" style={{ '--name-width': `${nameWidth}px` } as CSSProperties}>
      <div className="waterfall-axis">
        <span className="axis-title">Span</span>
        <Splitter
          label="Width of the names"
          side="before"
          value={nameWidth}
          min={NAME_PX.min}
          max={NAME_PX.max}
          onChange={setNameWidth}
        />
        <TimeAxis window={window} ticks={ticks} step={step} onPart={timeline.showPart} />
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
            <VisibleRows timeline={timeline} scroll={scroll} gridId={gridId} />
          </div>
        </div>
        {rows.length === 0 && <p className="waterfall-empty muted">No span to show.</p>}
      </div>
    </div>
  );
}

interface RowsProps {
  timeline: TimelineState;
  scroll: RowScroll;
  gridId: string;
}

function VisibleRows({ timeline, scroll, gridId }: RowsProps) {
  const { table, rows, colors, window, collapsed, cursor } = timeline;
  // Stable, so that scrolling renders only the rows that come into view.
  const toggle = useStable(timeline.toggle);
  const choose = useStable(timeline.choose);
  const fit = useStable(timeline.fit);
  const visible = rows.subarray(scroll.window.first, scroll.window.end);
  return (
    <div role="rowgroup" style={{ transform: `translateY(${scroll.window.top}px)` }}>
      {Array.from(visible, (row, index) => (
        <WaterfallRow
          key={row}
          id={`${gridId}-${row}`}
          table={table}
          row={row}
          rowIndex={scroll.window.first + index + 1}
          color={colors.ofRow(row)}
          showService={colors.by === 'service'}
          windowStart={window.start}
          windowEnd={window.end}
          now={timeline.now}
          isCollapsed={collapsed.has(table.ids[row] ?? '')}
          isCursor={row === cursor}
          isSelected={table.ids[row] === timeline.selectedId}
          isDimmed={timeline.isFinding && !timeline.foundSet.has(row)}
          onToggle={toggle}
          onPick={choose}
          onFit={fit}
        />
      ))}
    </div>
  );
}
