import { expect, it } from 'vitest';
import { sparklinePath } from './Sparkline';

it('a sparkline breaks where a value is missing or not finite', () => {
  expect(sparklinePath([1, 2, NaN, 1, 2], 100, 20)).toBe('M2.0 18.0L26.0 2.0M74.0 18.0L98.0 2.0');
});

it('fewer than two finite values make no line', () => {
  expect(sparklinePath([null, NaN, 3], 100, 20)).toBe('');
});
