import { describe, expect, it } from 'vitest';
import {
  isCompressed,
  MAX_SCROLL_HEIGHT_PX,
  offsetOfScroll,
  offsetToReveal,
  rowWindow,
  scrollHeight,
  scrollOfOffset,
} from './scroll_compression';

const few = { contentHeight: 2_800, viewportHeight: 700 };
const million = { contentHeight: 28_000_000, viewportHeight: 700 };

describe('scrolling many rows', () => {
  it('is the browser’s own for what fits below its limit', () => {
    expect(isCompressed(few)).toBe(false);
    expect(scrollHeight(few)).toBe(2_800);
    expect(offsetOfScroll(few, 123)).toBe(123);
    expect(scrollOfOffset(few, 123)).toBe(123);
  });
  it('never makes an element higher than browsers lay out', () => {
    expect(isCompressed(million)).toBe(true);
    expect(scrollHeight(million)).toBe(MAX_SCROLL_HEIGHT_PX);
    expect(MAX_SCROLL_HEIGHT_PX).toBeLessThan(16_777_200);
  });
  it('reaches the first and the last row at the ends of the scroll bar', () => {
    expect(offsetOfScroll(million, 0)).toBe(0);
    expect(offsetOfScroll(million, MAX_SCROLL_HEIGHT_PX - 700)).toBe(28_000_000 - 700);
    expect(offsetOfScroll(million, Infinity)).toBe(28_000_000 - 700);
  });
  it('goes there and back to the same place', () => {
    for (const offset of [0, 12_345, 14_000_000, 27_999_300]) {
      expect(offsetOfScroll(million, scrollOfOffset(million, offset))).toBeCloseTo(offset, 3);
    }
  });
});

describe('the window of rows', () => {
  it('covers the viewport and a little more', () => {
    expect(rowWindow(280, 280, 28, 1_000, 2)).toEqual({ first: 8, end: 22, top: -56 });
  });
  it('ends with the rows', () => {
    expect(rowWindow(0, 280, 28, 3, 2)).toEqual({ first: 0, end: 3, top: 0 });
    expect(rowWindow(0, 0, 28, 0, 2)).toEqual({ first: 0, end: 0, top: 0 });
  });
  it('moves as little as needed to show a row, with air around it', () => {
    expect(offsetToReveal(280, 280, 28, 12)).toBe(280);
    expect(offsetToReveal(280, 280, 28, 5)).toBe(112);
    expect(offsetToReveal(280, 280, 28, 20)).toBe(22 * 28 - 280);
    expect(offsetToReveal(280, 280, 28, 0)).toBe(0);
  });
  it('puts a row from far away into the middle', () => {
    expect(offsetToReveal(0, 280, 28, 100)).toBe(2_800 - 126);
    expect(offsetToReveal(28_000, 280, 28, 2)).toBe(0);
  });
});
