/** From branches to what uPlot draws: its columns, series, bands, axes and the marks on top. */
import type uPlot from 'uplot';
import { formatDuration } from '../format/duration';
import { formatCompact } from '../format/number';
import { alignColumns, type Branch, type Column, type XAxis } from './chart_data';

export interface ChartLine {
  name: string;
  /** Colour token such as `--accent`. */
  color: string;
  /** Curves have a band and smoothing; points are few and drawn as dots on a line. */
  kind: 'curve' | 'points';
  branches: Branch[];
}

export interface EpochMark {
  x: number;
  label: string;
}

export interface PlotColors {
  line: (token: string) => string;
  grid: string;
  text: string;
  error: string;
  surface: string;
}

/** Columns per curve branch: band low, band high, every value, smoothed value. */
const CURVE_COLUMNS = 4;

/** The aligned columns; on a logarithmic axis values of zero and below leave the line. */
export function plotData(lines: readonly ChartLine[], logY: boolean): [number[], ...Column[]] {
  const parts = lines.flatMap((line) =>
    line.branches.map((branch) => ({
      x: branch.x,
      columns:
        line.kind === 'curve'
          ? [branch.min, branch.max, branch.last, branch.smoothed]
          : [branch.last],
    })),
  );
  const { x, columns } = alignColumns(parts);
  const shown = logY ? columns.map((column) => column.map(positiveOrNull)) : columns;
  return [x, ...shown];
}

function positiveOrNull(value: number | null | undefined): number | null | undefined {
  return typeof value === 'number' && value <= 0 ? null : value;
}

/** What makes a new plot necessary; data alone is put into the old one, which keeps its zoom. */
export function plotShape(lines: readonly ChartLine[]): string {
  return lines.map((line) => `${line.name} ${line.kind} ${line.branches.length}`).join('|');
}

export function plotSeries(
  lines: readonly ChartLine[],
  colors: PlotColors,
): { series: uPlot.Series[]; bands: uPlot.Band[] } {
  const series: uPlot.Series[] = [{}];
  const bands: uPlot.Band[] = [];
  for (const line of lines) {
    const color = colors.line(line.color);
    for (let branch = 0; branch < line.branches.length; branch += 1) {
      if (line.kind === 'points') {
        series.push({
          stroke: color,
          width: 1.5,
          dash: [4, 4],
          points: { show: true, size: 8, fill: color, stroke: colors.surface, width: 1.5 },
        });
        continue;
      }
      const low = series.length;
      const hidden = { stroke: 'transparent', width: 0, points: { show: false } };
      series.push(hidden, { ...hidden });
      series.push({ stroke: faint(color, 38), width: 1, points: { show: false } });
      series.push({ stroke: color, width: 2, points: { show: false } });
      bands.push({ series: [low + 1, low], fill: faint(color, 13) });
    }
  }
  return { series, bands };
}

function faint(color: string, percent: number): string {
  return `color-mix(in oklch, ${color} ${percent}%, transparent)`;
}

/** Place of the last column that belongs to a line's first branch, and its width in columns. */
export function columnsOfLine(lines: readonly ChartLine[], index: number): number[] {
  let at = 1;
  for (const [place, line] of lines.entries()) {
    const each = line.kind === 'curve' ? CURVE_COLUMNS : 1;
    if (place === index) {
      // The column of raw values: the third of a curve, the only one of points.
      const raw = line.kind === 'curve' ? 2 : 0;
      return line.branches.map((_, branch) => at + branch * each + raw);
    }
    at += each * line.branches.length;
  }
  return [];
}

export function xText(axis: XAxis, x: number): string {
  switch (axis) {
    case 'step':
      return `step ${Math.round(x).toLocaleString('en-US')}`;
    case 'relative':
      return `+${formatDuration(x * 1e9)}`;
    case 'wall':
      return new Date(x * 1000).toLocaleTimeString('en-GB');
  }
}

export function plotAxes(
  axis: XAxis,
  colors: PlotColors,
  isSmall: boolean,
  logY: boolean,
): uPlot.Axis[] {
  const base = {
    stroke: colors.text,
    grid: { stroke: colors.grid, width: 1 },
    ticks: { show: false },
    font: `${isSmall ? 10 : 11}px Inter Variable, system-ui, sans-serif`,
  };
  const xValue = (x: number, increment: number) => {
    if (axis === 'wall') return wallText(x, increment);
    if (axis === 'relative') return secondsText(x);
    return Number.isInteger(x) ? formatCompact(x) : '';
  };
  const xValues: Pick<uPlot.Axis, 'values'> = {
    values: (_, splits, _axis, _space, increment) => splits.map((x) => xValue(x, increment)),
  };
  return [
    {
      ...base,
      ...xValues,
      grid: { show: false },
      size: isSmall ? 22 : 26,
      space: isSmall ? 60 : 80,
    },
    {
      ...base,
      size: isSmall ? 52 : 58,
      space: isSmall ? 28 : 40,
      values: (_, splits) => (logY ? logTexts(splits) : splits.map(plainText)),
    },
  ];
}

function secondsText(seconds: number): string {
  return seconds === 0 ? '0' : formatDuration(seconds * 1e9).replace(/\.0+ /, ' ');
}

/** A place on an axis of time, as exact as its places are apart: local time, or the day it begins. */
export function wallText(unixSeconds: number, increment: number): string {
  const date = new Date(unixSeconds * 1000);
  const isMidnight = date.getHours() === 0 && date.getMinutes() === 0 && date.getSeconds() === 0;
  if (increment >= 86_400 || isMidnight) {
    return date.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' });
  }
  return date.toLocaleTimeString('en-GB').slice(0, increment < 60 ? 8 : 5);
}

function plainText(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6))
    return Number(value.toPrecision(4)).toExponential().replace('e+', 'e');
  return String(Number(value.toPrecision(5)));
}

/**
 * The texts of a logarithmic axis: one, two and five of each decade, or every second line where
 * the axis is so short that fewer than two of these stand on it.
 */
export function logTexts(splits: readonly (number | null)[]): string[] {
  const isNamed = (value: number | null) => {
    // The plot strikes out places that lie too close together.
    if (value === null) return false;
    const leading = value / 10 ** Math.floor(Math.log10(value) + 1e-9);
    return [1, 2, 5].some((named) => Math.abs(leading - named) < 1e-6);
  };
  const enough = splits.filter(isNamed).length >= 2;
  return splits.map((value, index) => {
    const isShown = enough ? isNamed(value) : index % 2 === 0;
    return isShown && value !== null ? plainText(value) : '';
  });
}

/** The y range with a little air; logarithmic ranges stay positive. */
export function yRange(low: number | null, high: number | null, logY: boolean): [number, number] {
  if (low === null || high === null) return logY ? [0.1, 1] : [0, 1];
  if (logY) return [low / 1.15, high * 1.15];
  // What differs only by rounding is one value.
  const isFlat = high - low <= Math.abs(high) * 1e-9;
  const air = ((isFlat ? Math.abs(high) : high - low) || 1) * 0.06;
  return [low - air, high + air];
}

const MOST_MARKS = 24;

/** Every mark, or every n-th when they stand too close to be told apart. */
export function thinMarks(marks: readonly EpochMark[]): EpochMark[] {
  const every = Math.max(1, Math.ceil(marks.length / MOST_MARKS));
  return marks.filter((_, index) => index % every === 0);
}
