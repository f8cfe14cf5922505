/** Every listed trace as a dot: when it began, how long it took. Dragging narrows the time. */
import { useNavigate } from '@tanstack/react-router';
import { useEffect, useMemo, useRef, useState, type PointerEvent } from 'react';
import type { TraceSummary } from '../api/contract';
import { resolveColors, useIsDark } from '../app/theme';
import { formatDuration } from '../format/duration';
import { formatPlural } from '../format/number';
import { formatClock, formatTimestamp, nowNano } from '../format/time';
import { useSize } from '../widgets/hooks';
import { nearestDot, placeDots, type Dot, type DotField } from './dots';

const HEIGHT = 92;

interface StripProps {
  traces: TraceSummary[];
  serviceColors: (service: string) => string;
  /** Unix milliseconds of the part that was chosen. */
  onRange: (from: number, to: number) => void;
}

export function DurationStrip({ traces, serviceColors, onRange }: StripProps) {
  const [box, { width }] = useSize<HTMLDivElement>();
  const canvas = useRef<HTMLCanvasElement>(null);
  const isDark = useIsDark();
  const navigate = useNavigate();
  const [hovered, setHovered] = useState<Dot | null>(null);
  const [drag, setDrag] = useState<{ from: number; to: number } | null>(null);
  const field = useMemo(() => placeDots(traces, width, HEIGHT), [traces, width]);

  useEffect(() => {
    if (canvas.current !== null && width > 0)
      drawDots(canvas.current, field.dots, serviceColors, width);
  }, [field, serviceColors, width, isDark]);

  const xOf = (event: PointerEvent) =>
    event.clientX - event.currentTarget.getBoundingClientRect().left;
  const yOf = (event: PointerEvent) =>
    event.clientY - event.currentTarget.getBoundingClientRect().top;
  const finish = () => {
    if (drag !== null && Math.abs(drag.to - drag.from) > 6) {
      onRange(
        field.timeAt(Math.min(drag.from, drag.to)),
        field.timeAt(Math.max(drag.from, drag.to)),
      );
    } else if (hovered !== null) {
      void navigate({ to: '/trace/$traceId', params: { traceId: hovered.trace.trace_id } });
    }
    setDrag(null);
  };

  return (
    <div
      ref={box}
      className="strip"
      role="img"
      aria-label={`Durations over time of ${formatPlural(traces.length, 'trace')}, ${field.summary}. The list below holds the same.`}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        setDrag({ from: xOf(event), to: xOf(event) });
      }}
      onPointerMove={(event) => {
        if (drag !== null) setDrag({ from: drag.from, to: xOf(event) });
        setHovered(nearestDot(field.dots, xOf(event), yOf(event)));
      }}
      onPointerUp={finish}
      onPointerLeave={() => setHovered(null)}
    >
      <canvas ref={canvas} style={{ width, height: HEIGHT }} />
      <AxisTexts field={field} />
      {drag !== null && Math.abs(drag.to - drag.from) > 6 && (
        <span
          className="strip-drag"
          style={{ left: Math.min(drag.from, drag.to), width: Math.abs(drag.to - drag.from) }}
        />
      )}
      {hovered !== null && drag === null && (
        <span
          className="strip-tip"
          style={{ left: Math.min(hovered.x, width - 220), top: hovered.y > 46 ? 4 : 52 }}
        >
          <strong>{hovered.trace.root_name}</strong> {formatDuration(hovered.trace.duration_nano)}
          <span className="muted"> {hovered.trace.root_service}</span>
        </span>
      )}
    </div>
  );
}

function AxisTexts({ field }: { field: DotField }) {
  const nano = (millis: number) => BigInt(Math.floor(millis)) * 1_000_000n;
  return (
    <>
      {field.lines.map((line) => (
        <span className="strip-line number" key={line.text} style={{ top: line.y }}>
          {line.text}
        </span>
      ))}
      <span className="strip-time number" style={{ left: 58 }}>
        {field.first > 0 && formatTimestamp(nano(field.first), nowNano())}
      </span>
      <span className="strip-time number" style={{ right: 10 }}>
        {field.last > field.first && formatClock(nano(field.last))}
      </span>
    </>
  );
}

function drawDots(
  canvas: HTMLCanvasElement,
  dots: Dot[],
  serviceColors: (service: string) => string,
  width: number,
): void {
  const scale = window.devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = HEIGHT * scale;
  const context = canvas.getContext('2d');
  if (context === null) return;
  context.scale(scale, scale);
  const base = resolveColors(['--error', '--border']);
  const resolved = new Map<string, string>();
  for (const dot of dots) {
    const token = serviceColors(dot.trace.root_service);
    let color = resolved.get(token);
    if (color === undefined) {
      const name = /var\((--[\w-]+)\)/.exec(token)?.[1] ?? '--text-faint';
      color = resolveColors([name])[name] ?? base['--border'];
      resolved.set(token, color);
    }
    context.beginPath();
    context.arc(dot.x, dot.y, dot.radius, 0, 2 * Math.PI);
    context.globalAlpha = 0.75;
    context.fillStyle = color;
    context.fill();
    if (dot.trace.error_count > 0) {
      context.globalAlpha = 1;
      context.lineWidth = 1.75;
      context.strokeStyle = base['--error'];
      context.stroke();
    }
  }
}
