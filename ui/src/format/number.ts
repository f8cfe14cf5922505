/** How numbers are read from the wire and written on the screen. */
import type { WireNumber } from '../api/contract';

/** The number that a wire value stands for; `null` and unreadable text become `null`. */
export function toNumber(value: WireNumber | string | null | undefined): number | null {
  if (value === null || value === undefined) return null;
  if (typeof value === 'number') return value;
  switch (value) {
    case 'NaN':
      return Number.NaN;
    case 'Infinity':
      return Number.POSITIVE_INFINITY;
    case '-Infinity':
      return Number.NEGATIVE_INFINITY;
    default: {
      const parsed = value.trim() === '' ? Number.NaN : Number(value);
      return Number.isNaN(parsed) ? null : parsed;
    }
  }
}

/** `NaN`, `∞` and `−∞` for what is not finite, `null` for ordinary numbers. */
export function nonFiniteText(value: number): string | null {
  if (Number.isNaN(value)) return 'NaN';
  if (value === Number.POSITIVE_INFINITY) return '∞';
  if (value === Number.NEGATIVE_INFINITY) return '−∞';
  return null;
}

/**
 * A measured value with `digits` significant digits: `0.4213`, `12.85`, `3.1e-7`, `1.2e+9`.
 * Missing values are an en dash, so that columns stay aligned.
 */
export function formatValue(value: WireNumber | null | undefined, digits = 4): string {
  const number = toNumber(value);
  if (number === null) return '–';
  const special = nonFiniteText(number);
  if (special !== null) return special;
  if (number === 0) return '0';
  const size = Math.abs(number);
  if (size < 1e-4 || size >= 1e7) return trimExponent(number.toExponential(digits - 2));
  if (Number.isInteger(number)) return groupDigits(number);
  if (size >= 10 ** (digits - 1)) return groupDigits(Math.round(number));
  return number.toPrecision(digits);
}

function trimExponent(text: string): string {
  return text
    .replace(/\.?0*e/, 'e')
    .replace('-', '−')
    .replace('e−', 'e-');
}

function groupDigits(value: number): string {
  return value.toLocaleString('en-US');
}

/** A count with thousands separators: `12,408`. */
export function formatCount(value: number | bigint): string {
  return value.toLocaleString('en-US');
}

/** A count in little room: `940`, `12.4k`, `3.1M`. */
export function formatCompact(value: number): string {
  const units: [number, string][] = [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ];
  for (const [size, unit] of units) {
    // From where the rounded text reaches the next unit: 999,999 is 1M, never 1000k.
    if (Math.abs(value) >= size * 0.9995) {
      const scaled = value / size;
      return `${scaled >= 100 ? Math.round(scaled) : trimZero(scaled.toFixed(1))}${unit}`;
    }
  }
  return Number.isInteger(value) ? String(value) : trimZero(value.toFixed(1));
}

function trimZero(text: string): string {
  return text.endsWith('.0') ? text.slice(0, -2) : text;
}

/** Bytes with binary units: `812 B`, `3.4 MiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** `1 span`, `2 spans`: a count with its noun. */
export function formatPlural(count: number, noun: string, plural = `${noun}s`): string {
  return `${formatCount(count)} ${count === 1 ? noun : plural}`;
}
