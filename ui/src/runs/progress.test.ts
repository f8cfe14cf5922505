import { describe, expect, it } from 'vitest';
import type { RunSummary } from '../api/contract';
import { mergeRuns } from './merge_runs';
import { epochShare, epochText, runDuration } from './progress';

describe('how far a run is', () => {
  it('is told by its epoch', () => {
    expect(epochText({ epoch: 2, total_epochs: 10 })).toBe('2 / 10');
    expect(epochText({ epoch: 2, total_epochs: null })).toBe('2');
    expect(epochText({ epoch: null, total_epochs: 5 })).toBe('–');
  });
  it('counts the epoch in progress as half', () => {
    expect(epochShare({ epoch: 1, total_epochs: 2, state: 'running' })).toBe(0.25);
    expect(epochShare({ epoch: 2, total_epochs: 2, state: 'finished' })).toBe(1);
    expect(epochShare({ epoch: 2, total_epochs: null, state: 'running' })).toBeNull();
  });
  it('lasts until now, its end, or the last that was heard of it', () => {
    const run = { start_unix_nano: '10', end_unix_nano: null, last_seen_unix_nano: '30' };
    expect(runDuration({ ...run, state: 'running' }, 50n)).toBe(40n);
    expect(runDuration({ ...run, state: 'interrupted' }, 50n)).toBe(20n);
    expect(runDuration({ ...run, end_unix_nano: '40', state: 'finished' }, 50n)).toBe(30n);
  });
});

it('live runs change in place and new ones come first', () => {
  const run = (run_id: string, start: number, epoch = 1) =>
    ({ run_id, start_unix_nano: String(start), epoch }) as RunSummary;
  const merged = mergeRuns([run('b', 2), run('a', 1)], [run('a', 1, 5), run('c', 3)]);
  expect(merged.map(({ run_id, epoch }) => [run_id, epoch])).toEqual([
    ['c', 1],
    ['b', 1],
    ['a', 5],
  ]);
});
