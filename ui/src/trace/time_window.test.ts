import { describe, expect, it } from 'vitest';
import {
  clampWindow,
  isWholeTrace,
  NARROWEST_NANO,
  panWindow,
  percentOf,
  windowAround,
  zoomWindow,
} from './time_window';

const TOTAL = 1_000_000;
const half = { start: 250_000, end: 750_000 };

describe('the window on a trace', () => {
  it('keeps the point under the pointer in its place while zooming', () => {
    expect(zoomWindow(half, TOTAL, 0.5, 0.5)).toEqual({ start: 375_000, end: 625_000 });
    expect(zoomWindow(half, TOTAL, 0.5, 0)).toEqual({ start: 250_000, end: 500_000 });
  });
  it('never grows beyond the trace nor below the narrowest', () => {
    expect(zoomWindow(half, TOTAL, 100, 0.5)).toEqual({ start: 0, end: TOTAL });
    const closest = zoomWindow(half, TOTAL, 0, 0.5);
    expect(closest.end - closest.start).toBe(NARROWEST_NANO);
  });
  it('stops at the ends when it is moved, without changing its width', () => {
    expect(panWindow(half, TOTAL, 10)).toEqual({ start: 500_000, end: TOTAL });
    expect(panWindow(half, TOTAL, -10)).toEqual({ start: 0, end: 500_000 });
  });
  it('turns a brush that was drawn backwards', () => {
    expect(clampWindow({ start: 700, end: 200 }, TOTAL)).toEqual({ start: 200, end: 700 });
  });
  it('fits a span with air around it', () => {
    expect(windowAround(400_000, 500_000, TOTAL)).toEqual({ start: 390_000, end: 510_000 });
    expect(isWholeTrace(windowAround(0, TOTAL, TOTAL), TOTAL)).toBe(true);
  });
  it('says where an offset lies in percent', () => {
    expect(percentOf(half, 500_000)).toBe(50);
  });
});
