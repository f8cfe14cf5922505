import { describe, expect, it } from 'vitest';
import type { Branch } from './chart_data';
import {
  columnsOfLine,
  logTexts,
  plotData,
  thinMarks,
  wallText,
  yRange,
  type ChartLine,
} from './plot_options';

const branch = (x: number[], values: number[]): Branch => ({
  x,
  last: values,
  min: values,
  max: values,
  smoothed: values,
  steps: x,
  nonFinite: [],
});
const curve: ChartLine = {
  name: 'loss',
  color: '--accent',
  kind: 'curve',
  branches: [branch([1, 2], [0.5, 0]), branch([1], [0.7])],
};
const points: ChartLine = {
  name: 'val_loss',
  color: '--accent',
  kind: 'points',
  branches: [branch([2], [0.4])],
};

describe('the axis of time', () => {
  it('is as exact as its places are apart, and names a day where it begins', () => {
    const at = (text: string) => new Date(text).getTime() / 1000;
    expect(wallText(at('2026-11-30T14:05:10'), 10)).toBe('14:05:10');
    expect(wallText(at('2026-11-30T14:05:00'), 300)).toBe('14:05');
    expect(wallText(at('2026-11-30T00:00:00'), 300)).toBe('30 Nov');
    expect(wallText(at('2026-11-30T00:00:00'), 86_400)).toBe('30 Nov');
  });
});

describe('the columns of a plot', () => {
  it('are four per branch of a curve and one per branch of points', () => {
    expect(plotData([curve, points], false)).toHaveLength(1 + 4 + 4 + 1);
    expect(columnsOfLine([curve, points], 0)).toEqual([3, 7]);
    expect(columnsOfLine([curve, points], 1)).toEqual([9]);
  });
  it('leave zero and below out of a logarithmic axis', () => {
    expect(plotData([curve], true)[1]).toEqual([0.5, null]);
  });
});

it('the y range has air, and stays positive on a logarithmic axis', () => {
  expect(yRange(0, 1, false)).toEqual([-0.06, 1.06]);
  expect(yRange(2, 2, false)[0]).toBeLessThan(2);
  expect(yRange(32, 32 + 1e-13, false)[1]).toBeCloseTo(33.92);
  expect(yRange(0.001, 1, true)[0]).toBeGreaterThan(0);
  expect(yRange(null, null, true)).toEqual([0.1, 1]);
});

it('a logarithmic axis names one, two and five, or what there is on a short one', () => {
  expect(logTexts([0.1, 0.2, 0.3, 0.4, 0.5])).toEqual(['0.1', '0.2', '', '', '0.5']);
  expect(logTexts([0.3, 0.4, 0.5])).toEqual(['0.3', '', '0.5']);
  expect(logTexts([0.1, null, 1])).toEqual(['0.1', '', '1']);
});

it('marks are thinned evenly when there are too many', () => {
  const marks = Array.from({ length: 100 }, (_, x) => ({ x, label: String(x) }));
  const kept = thinMarks(marks);
  expect(kept.length).toBeLessThanOrEqual(24);
  expect((kept[1]?.x ?? 0) - (kept[0]?.x ?? 0)).toBe(5);
});
