/** Virtual rows of one height, however many: scroll position in, window of rows out. */
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';
import { useSize } from '../widgets/hooks';
import {
  isCompressed,
  offsetOfScroll,
  offsetToReveal,
  rowWindow,
  scrollHeight,
  scrollOfOffset,
  type RowWindow,
} from './scroll_compression';

const OVERSCAN = 6;

export interface RowScroll {
  scroller: React.RefObject<HTMLDivElement | null>;
  /** Height of the element that makes the scroll bar. */
  height: number;
  viewportHeight: number;
  window: RowWindow;
  /** How far the rows are scrolled, in pixels of content. */
  offset: number;
  moveTo: (offset: number) => void;
  onScroll: () => void;
  /** Brings a row into view with the smallest move. */
  reveal: (position: number) => void;
}

export function useRowScroll(count: number, rowHeight: number): RowScroll {
  const [scroller, { height: viewportHeight }] = useSize<HTMLDivElement>();
  const [offset, setOffset] = useState(0);
  // Set before the browser's position is: the event that follows must not overwrite the offset.
  const expectedScroll = useRef<number | null>(null);
  const geometry = useMemo(
    () => ({ contentHeight: count * rowHeight, viewportHeight }),
    [count, rowHeight, viewportHeight],
  );

  const moveTo = useCallback(
    (next: number) => {
      const travel = Math.max(0, geometry.contentHeight - geometry.viewportHeight);
      const clamped = Math.min(Math.max(0, next), travel);
      setOffset(clamped);
      const element = scroller.current;
      if (element === null) return;
      element.scrollTop = scrollOfOffset(geometry, clamped);
      expectedScroll.current = element.scrollTop;
    },
    [geometry, scroller],
  );

  const onScroll = useCallback(() => {
    const scrollTop = scroller.current?.scrollTop ?? 0;
    if (expectedScroll.current === scrollTop) return;
    expectedScroll.current = null;
    setOffset(offsetOfScroll(geometry, scrollTop));
  }, [geometry, scroller]);

  // A list that became shorter may have lost the place that was shown.
  useLayoutEffect(() => {
    const travel = Math.max(0, geometry.contentHeight - geometry.viewportHeight);
    setOffset((old) => Math.min(old, travel));
  }, [geometry]);

  // Compressed, a pixel of the scroll bar is many rows: the wheel moves the content itself.
  useEffect(() => {
    const element = scroller.current;
    if (element === null || !isCompressed(geometry)) return;
    const onWheel = (event: WheelEvent) => {
      if (event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? rowHeight : 1;
      moveTo(offset + event.deltaY * unit);
    };
    element.addEventListener('wheel', onWheel, { passive: false });
    return () => element.removeEventListener('wheel', onWheel);
  }, [geometry, moveTo, offset, rowHeight, scroller]);

  const latestOffset = useRef(offset);
  useEffect(() => {
    latestOffset.current = offset;
  });
  const reveal = useCallback(
    (position: number) => {
      const old = latestOffset.current;
      const next = offsetToReveal(old, geometry.viewportHeight, rowHeight, position);
      if (next !== old) moveTo(next);
    },
    [geometry, moveTo, rowHeight],
  );

  return {
    scroller,
    height: scrollHeight(geometry),
    viewportHeight,
    window: rowWindow(offset, viewportHeight, rowHeight, count, OVERSCAN),
    offset,
    moveTo,
    onScroll,
    reveal,
  };
}
