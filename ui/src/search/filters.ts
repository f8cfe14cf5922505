/** What the search page asks for: its form in the URL, and the query it makes for the server. */
import { durationParameter, parseDuration } from '../format/duration';
import { parseTagParameter, tagParameter, type Tag } from './tags';

export type RangeName = '15m' | '1h' | '24h' | '7d' | 'all' | 'custom';
export type StatusFilter = '' | 'error' | 'ok' | 'unset';

export interface SearchFilters {
  service: string;
  operation: string;
  text: string;
  tags: Tag[];
  /** As typed, such as `10ms`. */
  minDuration: string;
  maxDuration: string;
  status: StatusFilter;
  range: RangeName;
  /** Unix milliseconds; only for the range `custom`. */
  from: number | null;
  to: number | null;
  live: boolean;
}

export const NO_FILTERS: SearchFilters = {
  service: '',
  operation: '',
  text: '',
  tags: [],
  minDuration: '',
  maxDuration: '',
  status: '',
  range: 'all',
  from: null,
  to: null,
  live: true,
};

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

const STATUSES: ReadonlySet<string> = new Set(['error', 'ok', 'unset']);

/** Reads the URL; unknown or broken values fall back to no filter. */
export function filtersFromUrl(url: UrlParameters): SearchFilters {
  const text = (key: string) => firstOf(url[key]) ?? '';
  const range = RANGES.find(({ name }) => name === text('range'))?.name ?? NO_FILTERS.range;
  const status = text('status');
  return {
    service: text('service'),
    operation: text('operation'),
    text: text('text'),
    tags: allOf(url['tag']).map(parseTagParameter),
    minDuration: text('min'),
    maxDuration: text('max'),
    status: STATUSES.has(status) ? (status as StatusFilter) : '',
    range,
    from: range === 'custom' ? millisOf(text('from')) : null,
    to: range === 'custom' ? millisOf(text('to')) : null,
    live: text('live') !== '0',
  };
}

/** Writes the URL; what is at its default is left out, so that links stay short. */
export function filtersToUrl(filters: SearchFilters): UrlParameters {
  const url: UrlParameters = {};
  const put = (key: string, value: string) => {
    if (value !== '') url[key] = value;
  };
  put('service', filters.service);
  put('operation', filters.operation);
  put('text', filters.text);
  if (filters.tags.length > 0) url['tag'] = filters.tags.map(tagParameter);
  put('min', filters.minDuration);
  put('max', filters.maxDuration);
  put('status', filters.status);
  if (filters.range !== NO_FILTERS.range) put('range', filters.range);
  if (filters.range === 'custom') {
    put('from', filters.from === null ? '' : String(filters.from));
    put('to', filters.to === null ? '' : String(filters.to));
  }
  if (!filters.live) put('live', '0');
  return url;
}

function firstOf(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

function allOf(value: string | string[] | undefined): string[] {
  return value === undefined ? [] : Array.isArray(value) ? value : [value];
}

function millisOf(text: string): number | null {
  const value = Number(text);
  return text !== '' && Number.isFinite(value) ? value : null;
}

/** Whether anything narrows the search; the range and the live switch do not count. */
export function isFiltered(filters: SearchFilters): boolean {
  return (
    filters.service !== '' ||
    filters.operation !== '' ||
    filters.text !== '' ||
    filters.tags.length > 0 ||
    filters.minDuration !== '' ||
    filters.maxDuration !== '' ||
    filters.status !== ''
  );
}

/** The time window in unix milliseconds at the moment `now`; `null` means open. */
export function timeWindow(
  filters: SearchFilters,
  now: number,
): { from: number | null; to: number | null } {
  if (filters.range === 'custom') return { from: filters.from, to: filters.to };
  const millis = RANGES.find(({ name }) => name === filters.range)?.millis ?? null;
  return { from: millis === null ? null : now - millis, to: null };
}

/** The query string for `/traces` and `/live/traces`, without limit and cursor. */
export function serverQuery(filters: SearchFilters, now: number): URLSearchParams {
  const query = new URLSearchParams();
  const put = (key: string, value: string) => {
    if (value !== '') query.append(key, value);
  };
  put('service', filters.service);
  put('operation', filters.operation);
  put('text', filters.text);
  for (const tag of filters.tags) query.append('tag', tagParameter(tag));
  put('min_duration', durationText(filters.minDuration));
  put('max_duration', durationText(filters.maxDuration));
  put('status', filters.status);
  const { from, to } = timeWindow(filters, now);
  if (from !== null) put('start_unix_nano', millisToNanoText(from));
  if (to !== null) put('end_unix_nano', millisToNanoText(to));
  return query;
}

function durationText(typed: string): string {
  const nano = parseDuration(typed);
  return nano === null ? '' : durationParameter(nano);
}

function millisToNanoText(millis: number): string {
  return (BigInt(Math.max(0, Math.floor(millis))) * 1_000_000n).toString();
}
