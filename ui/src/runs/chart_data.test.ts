import { describe, expect, it } from 'vitest';
import type { Series, SeriesPoint, WireNumber } from '../api/contract';
import { alignColumns, branchesOf, epochMarks, stepAtTime, type Placement } from './chart_data';

function point(step: number, last: WireNumber, second = step): SeriesPoint {
  return { step, time_unix_nano: String(second * 1e9), last, min: last, max: last, count: 1 };
}
const series = (...points: SeriesPoint[]): Series => ({ name: 'loss', x: 'step', points });
const placement: Placement = {
  axis: 'step',
  startUnixNano: 0n,
  weight: 0,
  stepAt: () => 0,
  hasSteps: true,
};

describe('curves', () => {
  it('lie by step, by time since the start, or by wall time', () => {
    const one = series(point(7, 1, 120));
    const at = (axis: Placement['axis']) =>
      branchesOf(one, { ...placement, axis, startUnixNano: 20_000_000_000n })[0]?.x;
    expect(at('step')).toEqual([7]);
    expect(at('relative')).toEqual([100]);
    expect(at('wall')).toEqual([120]);
  });
  it('break at values that are not finite, and keep them as marks', () => {
    const [branch] = branchesOf(series(point(1, 0.5), point(2, 'NaN'), point(3, 0.4)), placement);
    expect(branch?.last).toEqual([0.5, null, 0.4]);
    expect(branch?.nonFinite).toEqual([{ x: 2, value: NaN, step: 2 }]);
  });
  it('mark an infinity that only the band of a bucket saw', () => {
    const spiked = { ...point(4, 1), max: 'Infinity' as const };
    const [branch] = branchesOf(series(spiked), placement);
    expect(branch?.nonFinite.map(({ value }) => value)).toEqual([Infinity]);
    expect(branch?.max).toEqual([1]);
  });
  it('that go back in their steps begin a new branch', () => {
    const branches = branchesOf(
      series(point(1, 1), point(2, 0.9), point(1, 0.95, 3), point(2, 0.8, 4)),
      placement,
    );
    expect(branches.map(({ x }) => x)).toEqual([
      [1, 2],
      [1, 2],
    ]);
  });
  it('by epoch are placed at the step that was reached then', () => {
    const steps = [point(0, 1, 0), point(100, 1, 10), point(200, 1, 20)];
    const stepAt = stepAtTime(steps);
    expect([0, 5, 10, 19, 99].map((second) => stepAt(BigInt(second) * 1_000_000_000n))).toEqual([
      0, 0, 100, 100, 200,
    ]);
    const byEpoch: Series = { name: 'val_loss', x: 'epoch', points: [point(1, 0.4, 10)] };
    expect(branchesOf(byEpoch, { ...placement, stepAt })[0]?.x).toEqual([100]);
    expect(branchesOf(byEpoch, { ...placement, hasSteps: false })[0]?.x).toEqual([1]);
  });
});

it('columns with different x come to one x; what is missing is no gap', () => {
  expect(
    alignColumns([
      { x: [1, 3], columns: [[10, null]] },
      { x: [2, 3], columns: [[20, 30]] },
    ]),
  ).toEqual({
    x: [1, 2, 3],
    columns: [
      [10, undefined, null],
      [undefined, 20, 30],
    ],
  });
});

it('epochs are marked where they begin', () => {
  const epochs = [
    { start_unix_nano: '0', epoch: 1, label: '1/2' },
    { start_unix_nano: '5000000000', epoch: null, label: '2/2' },
  ];
  const relative = { ...placement, axis: 'relative' as const };
  expect(epochMarks(epochs, relative)).toEqual([
    { x: 0, label: '1' },
    { x: 5, label: '2' },
  ]);
  expect(epochMarks(epochs, { ...placement, hasSteps: false })).toEqual([]);
});
