/** How points in time are written. Times are unix nanoseconds as bigint or decimal string. */

/** Unix nanoseconds; text that is no integer becomes 0. */
export function toNano(value: string | bigint | number | null | undefined): bigint {
  if (typeof value === 'bigint') return value;
  if (value === null || value === undefined) return 0n;
  try {
    return BigInt(value);
  } catch {
    return 0n;
  }
}

/** Unix milliseconds with the fraction kept, good to well below a microsecond. */
export function nanoToMillis(nano: bigint): number {
  return Number(nano / 1_000_000n) + Number(nano % 1_000_000n) / 1e6;
}

export function nowNano(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

function dateOf(nano: string | bigint): Date {
  return new Date(Number(toNano(nano) / 1_000_000n));
}

const pad = (value: number, width = 2) => String(value).padStart(width, '0');

/** Local clock time `14:03:09`, with milliseconds when asked. */
export function formatClock(nano: string | bigint, millis = false): string {
  const date = dateOf(nano);
  if (Number.isNaN(date.getTime())) return '–';
  const clock = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  return millis ? `${clock}.${pad(date.getMilliseconds(), 3)}` : clock;
}

/** Local day `2026-11-21`. */
export function formatDay(nano: string | bigint): string {
  const date = dateOf(nano);
  if (Number.isNaN(date.getTime())) return '–';
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
}

/** Clock time alone for today, day and clock time for other days. */
export function formatTimestamp(nano: string | bigint, now: bigint, millis = false): string {
  const clock = formatClock(nano, millis);
  return formatDay(nano) === formatDay(now) ? clock : `${formatDay(nano)} ${clock}`;
}

/** Day and time with all nine digits after the point, for details and copying. */
export function formatExact(nano: string | bigint): string {
  const fraction = pad(Number(toNano(nano) % 1_000_000_000n), 9);
  return `${formatDay(nano)} ${formatClock(nano)}.${fraction}`;
}

/** `just now`, `12 s ago`, `5 m ago`, `3 h ago`, `2 d ago`. */
export function formatAgo(nano: string | bigint, now: bigint): string {
  const seconds = Number((now - toNano(nano)) / 1_000_000_000n);
  if (seconds < 5) return 'just now';
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}
