import { describe, expect, it } from 'vitest';
import {
  formatBytes,
  formatCompact,
  formatCount,
  formatPlural,
  formatValue,
  nonFiniteText,
  toNumber,
} from './number';

describe('reading numbers from the wire', () => {
  it('understands the three strings that JSON cannot say as numbers', () => {
    expect(toNumber('NaN')).toBeNaN();
    expect(toNumber('Infinity')).toBe(Infinity);
    expect(toNumber('-Infinity')).toBe(-Infinity);
  });
  it('reads numeric text, and says null to anything else', () => {
    expect(toNumber('0.25')).toBe(0.25);
    expect(toNumber(3)).toBe(3);
    for (const bad of ['', ' ', 'abc', null, undefined]) expect(toNumber(bad)).toBeNull();
  });
});

describe('writing values', () => {
  it.each([
    [0.4213456, '0.4213'],
    [0, '0'],
    [-0.5, '-0.5000'],
    [12, '12'],
    [12.3456, '12.35'],
    [12345.6, '12,346'],
    [1234567, '1,234,567'],
    [0.00001234, '1.23e-5'],
    [0.0001, '0.0001000'],
    [123456789, '1.23e+8'],
  ])('%d is written %s', (value, text) => {
    expect(formatValue(value)).toBe(text);
  });
  it('never hides what is not finite, and marks what is missing', () => {
    expect(formatValue('NaN')).toBe('NaN');
    expect(formatValue('Infinity')).toBe('∞');
    expect(formatValue('-Infinity')).toBe('−∞');
    expect(formatValue(null)).toBe('–');
    expect(nonFiniteText(1)).toBeNull();
  });
});

describe('counts and sizes', () => {
  it('groups digits, also beyond 53 bits', () => {
    expect(formatCount(1234567)).toBe('1,234,567');
    expect(formatCount(9007199254740993n)).toBe('9,007,199,254,740,993');
  });
  it('shortens large counts', () => {
    expect([940, 1000, 12_400, 999_999, 3_100_000, 0.5].map(formatCompact)).toEqual([
      '940',
      '1k',
      '12.4k',
      '1M',
      '3.1M',
      '0.5',
    ]);
  });
  it('uses binary units for bytes', () => {
    expect([812, 3_565_158, 0].map(formatBytes)).toEqual(['812 B', '3.4 MiB', '0 B']);
  });
  it('adds the plural except for one', () => {
    expect(formatPlural(2, 'batch', 'batches')).toBe('2 batches');
    expect([0, 1, 2].map((count) => formatPlural(count, 'span'))).toEqual([
      '0 spans',
      '1 span',
      '2 spans',
    ]);
  });
});
