import { describe, expect, it } from 'vitest';
import type { SeriesGroup, SeriesInfo } from '../api/contract';
import { groupSeries, seriesTitle } from './series_groups';

function series(name: string, group: SeriesGroup, more: Partial<SeriesInfo> = {}): SeriesInfo {
  const numbers = { point_count: 10, last: 1, min: 0, max: 2 };
  return { name, group, better: null, x: 'step', ...numbers, ...more };
}
const names = (list: SeriesInfo[]) => list.map(({ name }) => name);

describe('the curves of a run', () => {
  it('are the losses in the large chart, then tasks, validation, the rest, and sizes', () => {
    const { main, small } = groupSeries([
      series('batch_size', 'other'),
      series('grad_norm', 'other'),
      series('val_metric', 'validation'),
      series('num_samples', 'validation'),
      series('val.accuracy', 'validation'),
      series('test_loss', 'validation'),
      series('task.trend', 'task'),
      series('val_loss', 'validation'),
      series('task.direction', 'task'),
      series('loss', 'loss'),
    ]);
    expect(names(main)).toEqual(['loss', 'val_loss']);
    expect(names(small)).toEqual([
      'task.direction',
      'task.trend',
      'val_metric',
      'val.accuracy',
      'grad_norm',
      'test_loss',
      'batch_size',
      'num_samples',
    ]);
  });
  it('of one point are values, except among the losses', () => {
    const { main, small, single } = groupSeries([
      series('val_loss', 'validation', { point_count: 1 }),
      series('test.accuracy', 'validation', { point_count: 1 }),
      series('task.trend', 'task'),
    ]);
    expect([names(main), names(small), names(single)]).toEqual([
      ['val_loss'],
      ['task.trend'],
      ['test.accuracy'],
    ]);
  });
  it('keep both series of one name, and say which is which', () => {
    const both = [series('lr', 'other'), series('lr', 'other', { x: 'epoch' })];
    const { small } = groupSeries(both);
    expect(small.map((one) => seriesTitle(one, both))).toEqual(['lr by step', 'lr by epoch']);
    expect(seriesTitle(series('loss', 'loss'), both)).toBe('loss');
  });
  it('draw a loss with a name of its own large', () => {
    expect(names(groupSeries([series('policy_loss', 'loss')]).main)).toEqual(['policy_loss']);
  });
});
