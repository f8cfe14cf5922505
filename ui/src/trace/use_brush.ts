/** Choosing a part of time with the pointer: drawing it new, moving it, or pulling an edge. */
import { useState, type PointerEvent } from 'react';
import { isWholeTrace, panWindow, type TimeWindow } from './time_window';

const HANDLE_PX = 6;
/** Shorter drags are clicks. */
const SHORTEST_PX = 3;

type Drag =
  | { kind: 'new'; from: number; to: number }
  | { kind: 'move'; from: number; window: TimeWindow }
  | { kind: 'edge'; fixed: number };

interface BrushProps {
  window: TimeWindow;
  total: number;
  /** Width of the element that is brushed, which shows the whole trace. */
  width: number;
  onWindow: (window: TimeWindow) => void;
  onPart: (part: TimeWindow) => void;
}

export function useBrush({ window, total, width, onWindow, onPart }: BrushProps) {
  const [drag, setDrag] = useState<Drag | null>(null);
  const nanoPerPixel = total / Math.max(1, width);
  const offsetOf = (event: PointerEvent) => {
    const bounds = event.currentTarget.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - bounds.left) / bounds.width)) * total;
  };
  return {
    /** The part that is shown, or about to be. */
    shown: drag?.kind === 'new' ? ordered(drag.from, drag.to) : window,
    onPointerDown: (event: PointerEvent) => {
      event.currentTarget.setPointerCapture(event.pointerId);
      setDrag(dragAt(offsetOf(event), window, total, HANDLE_PX * nanoPerPixel));
    },
    onPointerMove: (event: PointerEvent) => {
      if (drag === null) return;
      const at = offsetOf(event);
      if (drag.kind === 'new') setDrag({ ...drag, to: at });
      else if (drag.kind === 'edge') onWindow(ordered(drag.fixed, at));
      else {
        const share = (at - drag.from) / (drag.window.end - drag.window.start);
        onWindow(panWindow(drag.window, total, share));
      }
    },
    onPointerUp: () => {
      if (drag?.kind === 'new' && Math.abs(drag.to - drag.from) > SHORTEST_PX * nanoPerPixel) {
        onPart(ordered(drag.from, drag.to));
      }
      setDrag(null);
    },
  };
}

/** What a press at an offset begins; `reach` is how near an edge it must be to take hold of it. */
function dragAt(at: number, window: TimeWindow, total: number, reach: number): Drag {
  if (isWholeTrace(window, total)) return { kind: 'new', from: at, to: at };
  if (Math.abs(at - window.start) < reach) return { kind: 'edge', fixed: window.end };
  if (Math.abs(at - window.end) < reach) return { kind: 'edge', fixed: window.start };
  if (at > window.start && at < window.end) return { kind: 'move', from: at, window };
  return { kind: 'new', from: at, to: at };
}

function ordered(a: number, b: number): TimeWindow {
  return { start: Math.min(a, b), end: Math.max(a, b) };
}
