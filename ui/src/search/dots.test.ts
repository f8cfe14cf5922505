import { describe, expect, it } from 'vitest';
import type { TraceSummary } from '../api/contract';
import { nearestDot, placeDots } from './dots';

const trace = (startMillis: number, durationNano: number) =>
  ({
    start_unix_nano: String(startMillis * 1e6),
    duration_nano: String(durationNano),
    span_count: 1,
    error_count: 0,
  }) as TraceSummary;

describe('the duration strip', () => {
  it('puts later traces to the right and longer ones higher', () => {
    const field = placeDots([trace(1_000, 1e6), trace(2_000, 1e9)], 800, 92);
    const [early, late] = field.dots;
    expect(early?.x).toBeLessThan(late?.x ?? 0);
    expect(early?.y).toBeGreaterThan(late?.y ?? 0);
    expect(field.lines.map(({ text }) => text)).toEqual(['1 ms', '1 s']);
  });
  it('finds the time below a place and the dot near the pointer', () => {
    const field = placeDots([trace(1_000, 1e6), trace(2_000, 1e9)], 800, 92);
    const late = field.dots[1];
    expect(field.timeAt(late?.x ?? 0)).toBeCloseTo(2_000);
    expect(nearestDot(field.dots, (late?.x ?? 0) + 3, late?.y ?? 0)).toBe(late);
    expect(nearestDot(field.dots, 400, 0)).toBeNull();
  });
  it('holds one trace and none', () => {
    expect(placeDots([], 800, 92).dots).toEqual([]);
    expect(placeDots([trace(5, 0)], 800, 92).dots[0]?.x).toBeGreaterThan(0);
  });
});
