/**
 * Scrolling through more rows than a browser can lay out.
 *
 * Chromium ends at 16,777,200 px for one element, others a little later. Beyond a safe height the
 * scroll bar stands for the content in proportion: the browser's scroll position is mapped to a
 * content offset and back, while the wheel moves the content by its own pixels.
 */

/** Below the lowest limit of the browsers, with room for borders. */
export const MAX_SCROLL_HEIGHT_PX = 15_000_000;

export interface ScrollGeometry {
  /** Height of all rows, as if there were no limit. */
  contentHeight: number;
  viewportHeight: number;
}

/** The height that the scrolled element really gets. */
export function scrollHeight({ contentHeight }: ScrollGeometry): number {
  return Math.min(contentHeight, MAX_SCROLL_HEIGHT_PX);
}

export function isCompressed({ contentHeight }: ScrollGeometry): boolean {
  return contentHeight > MAX_SCROLL_HEIGHT_PX;
}

function travel(height: number, viewportHeight: number): number {
  return Math.max(0, height - viewportHeight);
}

/** Content offset for a scroll position of the browser. */
export function offsetOfScroll(geometry: ScrollGeometry, scrollTop: number): number {
  const contentTravel = travel(geometry.contentHeight, geometry.viewportHeight);
  if (!isCompressed(geometry)) return Math.min(Math.max(0, scrollTop), contentTravel);
  const scrollTravel = travel(scrollHeight(geometry), geometry.viewportHeight);
  const share = Math.min(1, Math.max(0, scrollTop / scrollTravel));
  return share * contentTravel;
}

/** Scroll position of the browser for a content offset: the inverse of {@link offsetOfScroll}. */
export function scrollOfOffset(geometry: ScrollGeometry, offset: number): number {
  const contentTravel = travel(geometry.contentHeight, geometry.viewportHeight);
  const clamped = Math.min(Math.max(0, offset), contentTravel);
  if (!isCompressed(geometry)) return clamped;
  return (clamped / contentTravel) * travel(scrollHeight(geometry), geometry.viewportHeight);
}

export interface RowWindow {
  first: number;
  /** Row after the last one. */
  end: number;
  /** Where the first row is drawn, relative to the top of the viewport. */
  top: number;
}

/** Rows that a viewport at `offset` shows, with `overscan` more on both sides. */
export function rowWindow(
  offset: number,
  viewportHeight: number,
  rowHeight: number,
  count: number,
  overscan: number,
): RowWindow {
  const first = Math.max(0, Math.floor(offset / rowHeight) - overscan);
  const end = Math.min(count, Math.ceil((offset + viewportHeight) / rowHeight) + overscan);
  return { first: Math.min(first, end), end, top: Math.min(first, end) * rowHeight - offset };
}

/**
 * The smallest move of `offset` that brings a row into view, with one row of air around it.
 * A row that is further than a viewport away comes to the middle, so that its surroundings show.
 */
export function offsetToReveal(
  offset: number,
  viewportHeight: number,
  rowHeight: number,
  position: number,
): number {
  const top = position * rowHeight;
  const middle = top - (viewportHeight - rowHeight) / 2;
  if (Math.abs(middle - offset) > 1.5 * viewportHeight) return Math.max(0, middle);
  const air = Math.min(rowHeight, Math.max(0, (viewportHeight - rowHeight) / 2));
  if (top - air < offset) return Math.max(0, top - air);
  const bottom = top + rowHeight + air;
  return bottom > offset + viewportHeight ? bottom - viewportHeight : offset;
}
