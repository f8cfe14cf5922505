import { describe, expect, it } from 'vitest';
import {
  durationParameter,
  durationTicks,
  formatDuration,
  formatTick,
  parseDuration,
} from './duration';

const SECOND = 1e9;

describe('writing durations', () => {
  it.each([
    [0, '0 ns'],
    [812, '812 ns'],
    [1_240, '1.24 µs'],
    [999_499, '999 µs'],
    [999_700, '1.00 ms'],
    [12_345_678, '12.3 ms'],
    [999_600_000, '1.00 s'],
    [38.04 * SECOND, '38.0 s'],
    [59.97 * SECOND, '1 m'],
    [252 * SECOND, '4 m 12 s'],
    [3_599.7 * SECOND, '1 h'],
    [7_500 * SECOND, '2 h 5 m'],
    [86_400 * SECOND, '1 d'],
    [273_600 * SECOND, '3 d 4 h'],
    [-1_500_000, '−1.50 ms'],
  ])('%d ns is written %s', (nano, text) => {
    expect(formatDuration(nano)).toBe(text);
  });
  it('takes decimal strings and bigints', () => {
    expect(formatDuration('1500000')).toBe('1.50 ms');
    expect(formatDuration(1500000n)).toBe('1.50 ms');
    expect(formatDuration('soon')).toBe('–');
  });
});

describe('reading durations', () => {
  it.each([
    ['10ms', 1e7],
    ['1.5 s', 1.5e9],
    ['250us', 250_000],
    ['250µs', 250_000],
    ['1m 30s', 90e9],
    ['2h', 7.2e12],
    ['20', 2e7],
  ])('%s is %d ns', (text, nano) => {
    expect(parseDuration(text)).toBe(nano);
  });
  it.each(['', 'fast', '10 parsecs', '-5ms', '5ms!', '1.2.3s'])('%j is no duration', (text) => {
    expect(parseDuration(text)).toBeNull();
  });
  it('is sent to the server with the largest unit that stays exact', () => {
    expect([1.5e9, 250_000, 1_234].map(durationParameter)).toEqual(['1500ms', '250us', '1234ns']);
  });
});

describe('ticks of a time axis', () => {
  it('stand at round distances inside the window', () => {
    expect(durationTicks(0, 100e6, 5)).toEqual([0, 20e6, 40e6, 60e6, 80e6, 100e6]);
    expect(durationTicks(0, 300e9, 5)).toEqual([0, 60e9, 120e9, 180e9, 240e9, 300e9]);
  });
  it('start at a round place in a window that was zoomed', () => {
    expect(durationTicks(13e6, 27e6, 3)).toEqual([15e6, 20e6, 25e6]);
  });
  it('are none for an empty window', () => {
    expect(durationTicks(5, 5, 4)).toEqual([]);
  });
  it('all have the unit of their distance', () => {
    expect([0, 20e6, 1500e6].map((tick) => formatTick(tick, 20e6))).toEqual([
      '0',
      '20 ms',
      '1500 ms',
    ]);
    expect(formatTick(2.5e9, 0.5e9)).toBe('2.5 s');
    expect(formatTick(120e9, 60e9)).toBe('2 m');
    expect(formatTick(1500, 500)).toBe('1.5 µs');
  });
});
