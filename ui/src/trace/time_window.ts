/** The part of a trace that the waterfall shows, as offsets in nanoseconds. */

export interface TimeWindow {
  start: number;
  end: number;
}

/** Nothing narrower is shown: below it bars say nothing more. */
export const NARROWEST_NANO = 100;

/** A window inside `0 .. total`, in order and not narrower than the narrowest. */
export function clampWindow(window: TimeWindow, total: number): TimeWindow {
  const low = Math.min(window.start, window.end);
  const high = Math.max(window.start, window.end);
  const width = Math.min(total, Math.max(high - low, NARROWEST_NANO));
  const start = Math.min(Math.max(0, low), total - width);
  return { start, end: start + width };
}

/** Zooms by `factor` (below 1 is closer) and keeps the point at `anchor` (0 to 1) where it is. */
export function zoomWindow(
  window: TimeWindow,
  total: number,
  factor: number,
  anchor: number,
): TimeWindow {
  const width = window.end - window.start;
  const next = Math.min(total, Math.max(NARROWEST_NANO, width * factor));
  const start = window.start + (width - next) * anchor;
  return clampWindow({ start, end: start + next }, total);
}

/** Moves by a share of its own width; stops at the ends without changing the zoom. */
export function panWindow(window: TimeWindow, total: number, share: number): TimeWindow {
  const move = (window.end - window.start) * share;
  return clampWindow({ start: window.start + move, end: window.end + move }, total);
}

/** A window around a span with a tenth of air on both sides. */
export function windowAround(start: number, end: number, total: number): TimeWindow {
  const air = Math.max((end - start) * 0.1, NARROWEST_NANO);
  return clampWindow({ start: start - air, end: end + air }, total);
}

export function isWholeTrace(window: TimeWindow, total: number): boolean {
  return window.start <= 0 && window.end >= total;
}

/** Percent of the window's width where an offset lies. */
export function percentOf(window: TimeWindow, offset: number): number {
  return ((offset - window.start) / (window.end - window.start)) * 100;
}
