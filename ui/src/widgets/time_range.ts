/** A range of time as a page asks for it: its form in the URL, and the window it means. */

export type RangeName = '15m' | '1h' | '24h' | '7d' | 'all' | 'custom';

export interface TimeRange {
  range: RangeName;
  /** Unix milliseconds; only for the range `custom`. */
  from: number | null;
  to: number | null;
}

export const ALL_TIME: TimeRange = { range: 'all', from: null, to: null };

export const RANGES: { name: RangeName; label: string; millis: number | null }[] = [
  { name: '15m', label: 'Last 15 minutes', millis: 15 * 60_000 },
  { name: '1h', label: 'Last hour', millis: 3_600_000 },
  { name: '24h', label: 'Last 24 hours', millis: 86_400_000 },
  { name: '7d', label: 'Last 7 days', millis: 7 * 86_400_000 },
  { name: 'all', label: 'All time', millis: null },
  { name: 'custom', label: 'Custom range', millis: null },
];

/** The parameters of a URL as the router hands them over. */
export type UrlParameters = Record<string, string | string[] | undefined>;

/** The text of a parameter, the first of several; empty when it is absent. */
export function urlText(url: UrlParameters, key: string): string {
  const value = url[key];
  return (Array.isArray(value) ? value[0] : value) ?? '';
}

/** All texts of a parameter. */
export function urlTexts(url: UrlParameters, key: string): string[] {
  const value = url[key];
  return value === undefined ? [] : Array.isArray(value) ? value : [value];
}

/** The range that a URL names, or a page's own. */
export function rangeFromUrl(url: UrlParameters, fallback = ALL_TIME): TimeRange {
  const text = (key: string) => urlText(url, key);
  const range = RANGES.find(({ name }) => name === text('range'))?.name ?? fallback.range;
  return {
    range,
    from: range === 'custom' ? millisOf(text('from')) : null,
    to: range === 'custom' ? millisOf(text('to')) : null,
  };
}

/** What is at its default is left out, so that links stay short. */
export function rangeToUrl({ range, from, to }: TimeRange, fallback = ALL_TIME): UrlParameters {
  const url: UrlParameters = {};
  if (range !== fallback.range) url['range'] = range;
  if (range === 'custom' && from !== null) url['from'] = String(from);
  if (range === 'custom' && to !== null) url['to'] = String(to);
  return url;
}

function millisOf(text: string): number | null {
  const value = Number(text);
  return text !== '' && Number.isFinite(value) ? value : null;
}

/** The range after another one was chosen by its name. */
export function rangeNamed(range: RangeName, old: TimeRange, now: number): TimeRange {
  if (range !== 'custom') return { range, from: null, to: null };
  return { range, from: old.from ?? now - 3_600_000, to: old.to };
}

/** Whether it goes on to the present, where new data arrives. */
export function isOpenEnded({ range, to }: TimeRange): boolean {
  return range !== 'custom' || to === null;
}

/** The time window in unix milliseconds at the moment `now`; `null` means open. */
export function timeWindow(
  range: TimeRange,
  now: number,
): { from: number | null; to: number | null } {
  if (range.range === 'custom') return { from: range.from, to: range.to };
  const millis = RANGES.find(({ name }) => name === range.range)?.millis ?? null;
  return { from: millis === null ? null : now - millis, to: null };
}

/** Adds the window to a query for the server. */
export function addWindow(query: URLSearchParams, range: TimeRange, now: number): void {
  const { from, to } = timeWindow(range, now);
  if (from !== null) query.append('start_unix_nano', millisToNanoText(from));
  if (to !== null) query.append('end_unix_nano', millisToNanoText(to));
}

function millisToNanoText(millis: number): string {
  return (BigInt(Math.max(0, Math.floor(millis))) * 1_000_000n).toString();
}
