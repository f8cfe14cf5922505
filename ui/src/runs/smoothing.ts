/** Exponential smoothing of curves, without the bias towards zero at the start. */

/**
 * The debiased exponential moving average of `values` with weight `weight` in [0, 1).
 *
 * Missing (`null`) and non-finite values stay as they are and do not enter the mean, so one NaN
 * neither spoils the rest nor is hidden. A weight of 0 changes nothing.
 */
export function smooth(values: readonly (number | null)[], weight: number): (number | null)[] {
  if (weight <= 0) return [...values];
  const factor = Math.min(weight, 0.9999);
  let mean = 0;
  let bias = 1;
  return values.map((value) => {
    if (value === null || !Number.isFinite(value)) return value;
    mean = mean * factor + (1 - factor) * value;
    bias *= factor;
    return mean / (1 - bias);
  });
}

/** The weight for a slider position from 0 to 1: fine steps where smoothing is strong. */
export function weightOfSlider(position: number): number {
  return position <= 0 ? 0 : 1 - (1 - Math.min(position, 0.999)) ** 2;
}
