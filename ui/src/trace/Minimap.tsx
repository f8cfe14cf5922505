/** The whole trace in little: every span drawn once, with a brush for the part that is shown. */
import { useEffect, useRef } from 'react';
import { PALETTE_SIZE } from '../app/colors';
import { resolveColors, useIsDark } from '../app/theme';
import { durationTicks, formatDuration, formatTick } from '../format/duration';
import { formatPlural } from '../format/number';
import { useSize } from '../widgets/hooks';
import type { SpanColors } from './span_colors';
import { isWholeTrace, type TimeWindow } from './time_window';
import { endOf, STATUS_ERROR, type TraceTable } from './trace_table';
import { useBrush } from './use_brush';

const HEIGHT = 62;
const TOP = 15;
/** Few spans get thick rows, but not thicker than this. */
const THICKEST_ROW = 5;
/** A growing trace is drawn again this often. */
const REDRAW_NANO = 1e9;

interface MinimapProps {
  table: TraceTable;
  colors: SpanColors;
  now: number;
  total: number;
  window: TimeWindow;
  onWindow: (window: TimeWindow) => void;
  /** A part was drawn anew, as opposed to moved or resized. */
  onPart: (part: TimeWindow) => void;
}

export function Minimap({ table, colors, now, total, window, onWindow, onPart }: MinimapProps) {
  const [box, { width }] = useSize<HTMLDivElement>();
  const canvas = useRef<HTMLCanvasElement>(null);
  const isDark = useIsDark();
  const brush = useBrush({ window, total, width, onWindow, onPart });
  const drawnNow = Math.ceil(now / REDRAW_NANO) * REDRAW_NANO;
  const drawnTotal = Math.max(table.totalNano, total > table.totalNano ? drawnNow : 0);

  useEffect(() => {
    if (canvas.current === null || width === 0) return;
    drawSpans(canvas.current, table, colors, drawnNow, drawnTotal, width);
  }, [table, colors, drawnNow, drawnTotal, width, isDark]);

  const { shown } = brush;
  const percent = (offset: number) => `${(offset / total) * 100}%`;
  const ticks = durationTicks(0, total, 6);
  const step = (ticks[1] ?? 1) - (ticks[0] ?? 0);

  return (
    <div
      ref={box}
      className="minimap"
      role="img"
      aria-label={`Overview of ${formatPlural(table.count, 'span')} over ${formatDuration(total)}. Zoom with w and s, move with a and d.`}
      onPointerDown={brush.onPointerDown}
      onPointerMove={brush.onPointerMove}
      onPointerUp={brush.onPointerUp}
      onDoubleClick={() => onWindow({ start: 0, end: total })}
    >
      <canvas ref={canvas} style={{ width, height: HEIGHT }} />
      {ticks.map((tick) => (
        <span className="minimap-tick number" key={tick} style={{ left: percent(tick) }}>
          {formatTick(tick, step)}
        </span>
      ))}
      {!isWholeTrace(shown, total) && (
        <>
          <span className="minimap-shade" style={{ left: 0, width: percent(shown.start) }} />
          <span className="minimap-shade" style={{ left: percent(shown.end), right: 0 }} />
          <span
            className="minimap-brush"
            style={{ left: percent(shown.start), width: percent(shown.end - shown.start) }}
          />
        </>
      )}
    </div>
  );
}

/** Colours go in turn, so that a hundred thousand rectangles need a dozen changes of style. */
function drawSpans(
  canvas: HTMLCanvasElement,
  table: TraceTable,
  colors: SpanColors,
  now: number,
  total: number,
  width: number,
): void {
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = HEIGHT * scale;
  const context = canvas.getContext('2d');
  if (context === null) return;
  context.scale(scale, scale);
  const room = HEIGHT - TOP - 4;
  const rowHeight = Math.min(THICKEST_ROW, room / Math.max(1, table.count));
  const thickness = Math.max(1, rowHeight * 0.75);
  const tokens = Array.from({ length: PALETTE_SIZE }, (_, place) => `--span-color-${place}`);
  const resolved = resolveColors([...tokens, '--error']);
  const draw = (row: number) => {
    const start = table.start[row] ?? 0;
    const x = (start / total) * width;
    const length = ((endOf(table, row, now) - start) / total) * width;
    context.fillRect(x, TOP + row * rowHeight, Math.max(1, length), thickness);
  };
  const byPlace: number[][] = Array.from({ length: PALETTE_SIZE }, () => []);
  const errors: number[] = [];
  for (let row = 0; row < table.count; row += 1) {
    byPlace[colors.placeOfRow(row)]?.push(row);
    if (table.status[row] === STATUS_ERROR) errors.push(row);
  }
  byPlace.forEach((rows, place) => {
    context.fillStyle = resolved[`--span-color-${place}`] ?? '';
    rows.forEach(draw);
  });
  context.fillStyle = resolved['--error'] ?? '';
  for (const row of errors) {
    const x = ((table.start[row] ?? 0) / total) * width;
    context.fillRect(x, TOP + row * rowHeight, 3, Math.max(2, thickness));
  }
}
