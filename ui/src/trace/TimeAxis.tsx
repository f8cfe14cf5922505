/** The time axis above the bars; dragging on it zooms into what was drawn over. */
import { useState, type PointerEvent } from 'react';
import { formatTick } from '../format/duration';
import { percentOf, type TimeWindow } from './time_window';

interface AxisProps {
  window: TimeWindow;
  ticks: number[];
  step: number;
  onPart: (part: TimeWindow) => void;
}

export function TimeAxis({ window, ticks, step, onPart }: AxisProps) {
  const [drag, setDrag] = useState<{ from: number; to: number } | null>(null);
  const shareOf = (event: PointerEvent) => {
    const bounds = event.currentTarget.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - bounds.left) / bounds.width));
  };
  const finish = () => {
    if (drag !== null && Math.abs(drag.to - drag.from) > 0.005) {
      const width = window.end - window.start;
      onPart({
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
