/** Where the dots of the duration strip lie: time across, duration up on a logarithmic scale. */
import type { TraceSummary } from '../api/contract';
import { formatDuration } from '../format/duration';
import { nanoToMillis, toNano } from '../format/time';

export interface Dot {
  x: number;
  y: number;
  radius: number;
  trace: TraceSummary;
}

export interface DotField {
  dots: Dot[];
  /** Unix milliseconds at the left and the right edge. */
  first: number;
  last: number;
  timeAt: (x: number) => number;
  lines: { y: number; text: string }[];
  /** The spread in words. */
  summary: string;
}

const LEFT = 58;
const RIGHT = 14;
const TOP = 12;
const BOTTOM = 20;

export function placeDots(traces: TraceSummary[], width: number, height: number): DotField {
  const starts = traces.map((trace) => nanoToMillis(toNano(trace.start_unix_nano)));
  const lengths = traces.map((trace) => Math.max(1, Number(trace.duration_nano)));
  const first = starts.reduce((a, b) => Math.min(a, b), starts[0] ?? 0);
  const last = starts.reduce((a, b) => Math.max(a, b), starts[0] ?? 0);
  const shortest = lengths.reduce((a, b) => Math.min(a, b), lengths[0] ?? 1);
  const longest = lengths.reduce((a, b) => Math.max(a, b), lengths[0] ?? 1);
  // Whole powers of ten around the data, at least one apart.
  const low = Math.floor(Math.log10(shortest));
  const high = Math.max(low + 1, Math.ceil(Math.log10(longest)));

  const innerWidth = Math.max(1, width - LEFT - RIGHT);
  const innerHeight = height - TOP - BOTTOM;
  const yOf = (nano: number) => TOP + (1 - (Math.log10(nano) - low) / (high - low)) * innerHeight;
  const timeSpan = last - first;
  const xOf = (millis: number) =>
    LEFT + (timeSpan === 0 ? 0.5 : (millis - first) / timeSpan) * innerWidth;

  const dots = traces.map((trace, index) => ({
    x: xOf(starts[index] ?? 0),
    y: yOf(lengths[index] ?? 1),
    radius: Math.min(7, 2.5 + Math.log10(Math.max(1, trace.span_count))),
    trace,
  }));
  return {
    dots,
    first,
    last,
    timeAt: (x) => first + Math.min(1, Math.max(0, (x - LEFT) / innerWidth)) * timeSpan,
    lines: [low, high].map((power) => ({ y: yOf(10 ** power), text: powerText(power) })),
    summary: `from ${formatDuration(shortest)} to ${formatDuration(longest)}`,
  };
}

/** `1 ms`, `10 s`: a power of ten of nanoseconds without decimals. */
function powerText(power: number): string {
  const unit = Math.min(3, Math.floor(power / 3));
  return `${(10 ** (power - 3 * unit)).toLocaleString('en-US')} ${['ns', 'µs', 'ms', 's'][unit]}`;
}

const REACH_PX = 12;

/** The dot under the pointer, the nearest within reach. */
export function nearestDot(dots: Dot[], x: number, y: number): Dot | null {
  let best: Dot | null = null;
  let bestDistance = REACH_PX;
  for (const dot of dots) {
    const distance = Math.hypot(dot.x - x, dot.y - y);
    if (distance < bestDistance) {
      best = dot;
      bestDistance = distance;
    }
  }
  return best;
}
