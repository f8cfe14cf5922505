/** From the server's curve points to the aligned columns that the chart draws. */
import type { Epoch, Series, SeriesPoint } from '../api/contract';
import { toNumber } from '../format/number';
import { nanoToMillis, toNano } from '../format/time';
import { smooth } from './smoothing';

/** What the x axis counts: steps, seconds since the run began, or unix seconds. */
export type XAxis = 'step' | 'relative' | 'wall';

/** A value that the axis cannot show; it is marked with a triangle at the edge. */
export interface NonFinite {
  x: number;
  value: number;
  step: number;
}

/**
 * One monotone stretch of a curve. A run that resumes from a checkpoint goes back in its steps;
 * each such return begins a new branch, so that neither overwrites the other.
 */
export interface Branch {
  x: number[];
  last: (number | null)[];
  min: (number | null)[];
  max: (number | null)[];
  smoothed: (number | null)[];
  steps: number[];
  nonFinite: NonFinite[];
}

export interface Placement {
  axis: XAxis;
  /** Start of the run, for relative times. */
  startUnixNano: bigint;
  /** Smoothing weight in [0, 1). */
  weight: number;
  /** Places a point that counts epochs on the axis of steps. */
  stepAt: (timeUnixNano: bigint) => number;
  /** Without steps, curves by epoch are placed by their epoch's number. */
  hasSteps: boolean;
}

/** Splits a series into branches and computes their columns. */
export function branchesOf(series: Series, placement: Placement): Branch[] {
  const branches: Branch[] = [];
  let current: Branch | null = null;
  let previous = Number.NEGATIVE_INFINITY;
  for (const point of series.points) {
    const x = placeOf(point, series.x, placement);
    if (current === null || x < previous) {
      current = { x: [], last: [], min: [], max: [], smoothed: [], steps: [], nonFinite: [] };
      branches.push(current);
    }
    previous = x;
    addPoint(current, point, x);
  }
  for (const branch of branches) branch.smoothed = smooth(branch.last, placement.weight);
  return branches;
}

function placeOf(point: SeriesPoint, unit: Series['x'], placement: Placement): number {
  const time = toNano(point.time_unix_nano);
  switch (placement.axis) {
    case 'step':
      return unit === 'step' || !placement.hasSteps ? point.step : placement.stepAt(time);
    case 'relative':
      return nanoToMillis(time - placement.startUnixNano) / 1000;
    case 'wall':
      return nanoToMillis(time) / 1000;
  }
}

function addPoint(branch: Branch, point: SeriesPoint, x: number): void {
  // Two points at one place: the chart needs one x each, the later value stands.
  const at = branch.x.at(-1) === x ? branch.x.length - 1 : branch.x.length;
  const last = toNumber(point.last);
  for (const value of new Set([last, toNumber(point.min), toNumber(point.max)])) {
    if (value !== null && !Number.isFinite(value)) {
      branch.nonFinite.push({ x, value, step: point.step });
    }
  }
  branch.x[at] = x;
  branch.last[at] = finiteOrNull(last);
  branch.min[at] = finiteOrNull(toNumber(point.min)) ?? finiteOrNull(last);
  branch.max[at] = finiteOrNull(toNumber(point.max)) ?? finiteOrNull(last);
  branch.steps[at] = point.step;
}

function finiteOrNull(value: number | null): number | null {
  return value !== null && Number.isFinite(value) ? value : null;
}

/**
 * The step that a run had reached at a time, between the points of its step curve.
 * Before the first point it is the first step, after the last one the last.
 */
export function stepAtTime(points: readonly SeriesPoint[]): (timeUnixNano: bigint) => number {
  const times = points.map((point) => toNano(point.time_unix_nano));
  return (time) => {
    const first = points[0];
    if (first === undefined) return 0;
    let low = 0;
    let high = times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((times[middle] ?? 0n) <= time) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? first.step : (points[low - 1]?.step ?? first.step);
  };
}

/** Where epochs begin on the x axis, for faint lines behind the curves. */
export function epochMarks(
  epochs: readonly Pick<Epoch, 'start_unix_nano' | 'epoch' | 'label'>[],
  placement: Placement,
): { x: number; label: string }[] {
  if (placement.axis === 'step' && !placement.hasSteps) return [];
  return epochs.map((epoch, index) => {
    const time = toNano(epoch.start_unix_nano);
    const seconds = nanoToMillis(time) / 1000;
    return {
      x:
        placement.axis === 'step'
          ? placement.stepAt(time)
          : placement.axis === 'wall'
            ? seconds
            : nanoToMillis(time - placement.startUnixNano) / 1000,
      label: String(epoch.epoch ?? index + 1),
    };
  });
}

/** A column of a chart: numbers, `null` where the line breaks, `undefined` where it has no point. */
export type Column = (number | null | undefined)[];

/** Brings columns with their own x to one ascending x; places without a point are `undefined`. */
export function alignColumns(parts: { x: number[]; columns: (number | null)[][] }[]): {
  x: number[];
  columns: Column[];
} {
  const x = [...new Set(parts.flatMap((part) => part.x))].toSorted((a, b) => a - b);
  const place = new Map(x.map((value, index) => [value, index]));
  const columns = parts.flatMap((part) =>
    part.columns.map((column) => {
      const aligned: Column = Array.from({ length: x.length });
      part.x.forEach((value, index) => {
        aligned[place.get(value) ?? 0] = column[index] ?? null;
      });
      return aligned;
    }),
  );
  return { x, columns };
}
