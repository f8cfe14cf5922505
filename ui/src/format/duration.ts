/** How durations are written, and how typed durations are read. All in nanoseconds. */

const MICRO = 1_000;
const MILLI = 1_000_000;
const SECOND = 1_000_000_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/**
 * A duration with three significant digits below a minute (`812 ns`, `1.24 ms`, `38.0 s`), and its
 * two largest units above (`4 m 12 s`, `2 h 5 m`, `3 d 4 h`).
 *
 * A number is enough here: the text never shows more than three digits.
 */
export function formatDuration(nano: bigint | number | string): string {
  const value = Number(nano);
  if (!Number.isFinite(value)) return '–';
  if (value < 0) return `−${formatDuration(-value)}`;
  if (value < MICRO) return `${Math.round(value)} ns`;
  // The limits are those of the rounded text: 999.7 µs is written as 1.00 ms, never as 1000 µs.
  if (value < 999.5 * MICRO) return `${threeDigits(value / MICRO)} µs`;
  if (value < 999.5 * MILLI) return `${threeDigits(value / MILLI)} ms`;
  if (value < 59.95 * SECOND) return `${threeDigits(value / SECOND)} s`;
  if (value < HOUR - SECOND / 2) return twoUnits(value, MINUTE, 'm', SECOND, 's');
  if (value < DAY - MINUTE / 2) return twoUnits(value, HOUR, 'h', MINUTE, 'm');
  return twoUnits(value, DAY, 'd', HOUR, 'h');
}

function threeDigits(value: number): string {
  if (value >= 99.95) return String(Math.round(value));
  if (value >= 9.995) return value.toFixed(1);
  return value.toFixed(2);
}

function twoUnits(nano: number, big: number, bigUnit: string, small: number, smallUnit: string) {
  const smalls = Math.round(nano / small);
  const perBig = big / small;
  const rest = smalls % perBig;
  const bigs = `${Math.floor(smalls / perBig)} ${bigUnit}`;
  return rest === 0 ? bigs : `${bigs} ${rest} ${smallUnit}`;
}

const UNITS: Record<string, number> = {
  ns: 1,
  us: MICRO,
  µs: MICRO,
  μs: MICRO,
  ms: MILLI,
  s: SECOND,
  m: MINUTE,
  min: MINUTE,
  h: HOUR,
  d: DAY,
};

/**
 * Reads `10ms`, `1.5 s`, `2h`, `1m 30s`; a bare number is milliseconds.
 * Returns nanoseconds, or `null` when the text is no duration.
 */
export function parseDuration(text: string): number | null {
  const trimmed = text.trim().toLowerCase();
  if (trimmed === '') return null;
  if (/^\d+(\.\d+)?$/.test(trimmed)) return Number(trimmed) * MILLI;
  if (!/^(\d+(\.\d+)?\s*[a-zµμ]+\s*)+$/.test(trimmed)) return null;
  let total = 0;
  for (const [, amount, unit] of trimmed.matchAll(/(\d+(?:\.\d+)?)\s*([a-zµμ]+)/g)) {
    const size = UNITS[unit ?? ''];
    if (size === undefined) return null;
    total += Number(amount) * size;
  }
  return total;
}

/** The form that the server reads, with a unit and no blanks: `1500ms` stays exact. */
export function durationParameter(nano: number): string {
  if (nano % MILLI === 0) return `${nano / MILLI}ms`;
  if (nano % MICRO === 0) return `${nano / MICRO}us`;
  return `${Math.round(nano)}ns`;
}

/**
 * Offsets for an axis from `start` to `end` with about `count` ticks at round distances.
 * Offsets are relative to the same origin as `start`.
 */
export function durationTicks(start: number, end: number, count: number): number[] {
  const span = end - start;
  if (!(span > 0) || count < 1) return [];
  const step = roundStep(span / count);
  const ticks: number[] = [];
  for (let tick = Math.ceil(start / step) * step; tick <= end; tick += step) ticks.push(tick);
  return ticks;
}

function roundStep(rough: number): number {
  const clock = [1, 2, 5, 10, 15, 30];
  if (rough > 30 * SECOND) {
    for (const unit of [MINUTE, HOUR]) {
      for (const multiple of clock) {
        if (rough <= multiple * unit) return multiple * unit;
      }
    }
    for (const hours of [2, 3, 6, 12, 24, 48, 120, 240]) {
      if (rough <= hours * HOUR) return hours * HOUR;
    }
  }
  const power = 10 ** Math.floor(Math.log10(rough));
  for (const multiple of [1, 2, 5, 10]) {
    if (rough <= multiple * power * (1 + 1e-9)) return multiple * power;
  }
  return 10 * power;
}

/** A tick's text: the unit follows the distance of the ticks, so that all look alike. */
export function formatTick(offset: number, step: number): string {
  if (offset === 0) return '0';
  if (step >= MINUTE || Math.abs(offset) >= 10 * MINUTE) return formatDuration(offset);
  const [unit, name] =
    step >= 0.1 * SECOND ? [SECOND, 's'] : step >= 0.1 * MILLI ? [MILLI, 'ms'] : [MICRO, 'µs'];
  const decimals = Math.max(0, Math.ceil(-Math.log10(step / unit) - 1e-9));
  return `${(offset / unit).toFixed(Math.min(decimals, 3))} ${name}`;
}
