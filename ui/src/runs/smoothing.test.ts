import { describe, expect, it } from 'vitest';
import { smooth, weightOfSlider } from './smoothing';

describe('smoothing', () => {
  it('changes nothing with weight zero', () => {
    expect(smooth([1, null, NaN, 3], 0)).toEqual([1, null, NaN, 3]);
  });
  it('starts at the first value, without a pull to zero', () => {
    expect(smooth([5, 5, 5], 0.9).map((value) => Math.round((value ?? 0) * 1e9) / 1e9)).toEqual([
      5, 5, 5,
    ]);
  });
  it('follows the debiased mean', () => {
    const [first, second] = smooth([1, 2], 0.5);
    expect(first).toBe(1);
    expect(second).toBeCloseTo((0.5 * 0.5 * 1 + 0.5 * 2) / 0.75);
  });
  it('leaves what is not finite as it is and out of the mean', () => {
    const smoothed = smooth([1, NaN, Infinity, null, 1], 0.9);
    expect(smoothed.slice(1, 4)).toEqual([NaN, Infinity, null]);
    expect(smoothed[4]).toBeCloseTo(1);
  });
  it('gets stronger with the slider and never total', () => {
    expect(weightOfSlider(0)).toBe(0);
    expect(weightOfSlider(0.5)).toBe(0.75);
    expect(weightOfSlider(1)).toBeLessThan(1);
  });
});
