import { describe, expect, it } from 'vitest';
import { formatAgo, formatExact, formatTimestamp, nanoToMillis, toNano } from './time';

const local = (text: string) => BigInt(new Date(text).getTime()) * 1_000_000n;

describe('times', () => {
  it('keep all 64 bits', () => {
    expect(toNano('1795227443748123457')).toBe(1795227443748123457n);
    expect(formatExact(local('2026-11-21T14:03:09') + 748_123_457n)).toBe(
      '2026-11-21 14:03:09.748123457',
    );
  });
  it('that cannot be read are zero, never an exception', () => {
    for (const bad of ['', 'x', '1.5', null, undefined]) expect(toNano(bad)).toBe(0n);
  });
  it('become milliseconds with their fraction', () => {
    expect(nanoToMillis(1_500_000n)).toBe(1.5);
  });
  it('of today are written without the day', () => {
    const now = local('2026-11-21T18:00:00');
    expect(formatTimestamp(local('2026-11-21T14:03:09'), now)).toBe('14:03:09');
    expect(formatTimestamp(local('2026-11-20T14:03:09'), now)).toBe('2026-11-20 14:03:09');
  });
  it.each([
    [2, 'just now'],
    [42, '42 s ago'],
    [400, '6 m ago'],
    [8_000, '2 h ago'],
    [200_000, '2 d ago'],
  ])('%d seconds back is written %s', (seconds, text) => {
    const now = 10n ** 18n;
    expect(formatAgo(now - BigInt(seconds) * 1_000_000_000n, now)).toBe(text);
  });
});
