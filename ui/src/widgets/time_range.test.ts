import { describe, expect, it } from 'vitest';
import {
  addWindow,
  ALL_TIME,
  isOpenEnded,
  rangeFromUrl,
  rangeNamed,
  rangeToUrl,
  timeWindow,
  type TimeRange,
} from './time_range';

const CUSTOM: TimeRange = { range: 'custom', from: 1_000, to: 2_000 };

describe('a range of time', () => {
  it('survives the URL', () => {
    for (const range of [ALL_TIME, CUSTOM, { range: '1h', from: null, to: null } as const]) {
      expect(rangeFromUrl(rangeToUrl(range))).toEqual(range);
    }
    expect(rangeToUrl(ALL_TIME)).toEqual({});
    expect(rangeFromUrl({ range: 'tomorrow', from: '5' })).toEqual(ALL_TIME);
  });
  it('counts from now unless its ends are given', () => {
    expect(timeWindow({ ...ALL_TIME, range: '15m' }, 1_000_000)).toEqual({
      from: 100_000,
      to: null,
    });
    const query = new URLSearchParams();
    addWindow(query, CUSTOM, 0);
    expect(query.toString()).toBe('start_unix_nano=1000000000&end_unix_nano=2000000000');
  });
  it('of one’s own begins an hour ago', () => {
    expect(rangeNamed('custom', ALL_TIME, 4_000_000)).toEqual({
      range: 'custom',
      from: 400_000,
      to: null,
    });
    expect(rangeNamed('1h', CUSTOM, 0)).toEqual({ range: '1h', from: null, to: null });
  });
  it('is closed only by an end', () => {
    expect([ALL_TIME, { ...CUSTOM, to: null }, CUSTOM].map(isOpenEnded)).toEqual([
      true,
      true,
      false,
    ]);
  });
});
