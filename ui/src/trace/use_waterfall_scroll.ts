/** How the waterfall scrolls: after the cursor, in place while data grows, and into time. */
import { useEffect, useLayoutEffect, useRef, type RefObject } from 'react';
import { useStable } from '../widgets/hooks';
import { zoomWindow, type TimeWindow } from './time_window';
import type { TraceTable } from './trace_table';
import type { RowScroll } from './use_row_scroll';
import { positionOf } from './visible_rows';

export const ROW_PX = 28;

/** Follows the cursor when it moves to another span, not when its row moves with new data. */
export function useCursorInView(scroll: RowScroll, position: number, id: string | undefined): void {
  const show = useStable(() => {
    if (position >= 0) scroll.reveal(position);
  });
  const isReady = scroll.viewportHeight > 0;
  useEffect(() => {
    if (isReady) show();
  }, [id, isReady, show]);
}

/** Keeps the first visible span in its place when new data brings rows above it. */
export function useAnchoredRows(scroll: RowScroll, table: TraceTable, rows: Int32Array): void {
  const anchor = useRef({ id: '', within: 0 });
  const hold = useStable(() => {
    const row = table.rowOf.get(anchor.current.id) ?? -1;
    const position = positionOf(rows, row);
    const place = position * ROW_PX + anchor.current.within;
    if (position >= 0 && scroll.offset > 0 && place !== scroll.offset) scroll.moveTo(place);
  });
  useLayoutEffect(hold, [table, hold]);
  useEffect(() => {
    const first = Math.floor(scroll.offset / ROW_PX);
    const id = table.ids[rows[first] ?? -1] ?? '';
    anchor.current = { id, within: scroll.offset - first * ROW_PX };
  }, [scroll.offset, rows, table]);
}

interface ZoomState {
  window: TimeWindow;
  total: number;
  onWindow: (window: TimeWindow) => void;
}

/** Ctrl and the wheel zoom at the pointer, as on maps; shift and the wheel move sideways. */
export function useWheelZoom(
  scroller: RefObject<HTMLDivElement | null>,
  nameWidth: number,
  { window, total, onWindow }: ZoomState,
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
