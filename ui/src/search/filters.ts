/** What the search page asks for: its form in the URL, and the query it makes for the server. */
import { durationParameter, parseDuration } from '../format/duration';
import {
  addWindow,
  ALL_TIME,
  rangeFromUrl,
  rangeToUrl,
  urlText,
  urlTexts,
  type TimeRange,
  type UrlParameters,
} from '../widgets/time_range';
import { parseTagParameter, tagParameter, type Tag } from './tags';

export type StatusFilter = '' | 'error' | 'ok' | 'unset';

export interface SearchFilters extends TimeRange {
  service: string;
  operation: string;
  text: string;
  tags: Tag[];
  /** As typed, such as `10ms`. */
  minDuration: string;
  maxDuration: string;
  status: StatusFilter;
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
  ...ALL_TIME,
  live: true,
};

const STATUSES: ReadonlySet<string> = new Set(['error', 'ok', 'unset']);

/** Reads the URL; unknown or broken values fall back to no filter. */
export function filtersFromUrl(url: UrlParameters): SearchFilters {
  const text = (key: string) => urlText(url, key);
  const status = text('status');
  return {
    service: text('service'),
    operation: text('operation'),
    text: text('text'),
    tags: urlTexts(url, 'tag').map(parseTagParameter),
    minDuration: text('min'),
    maxDuration: text('max'),
    status: STATUSES.has(status) ? (status as StatusFilter) : '',
    ...rangeFromUrl(url),
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
  Object.assign(url, rangeToUrl(filters));
  if (!filters.live) put('live', '0');
  return url;
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
  addWindow(query, filters, now);
  return query;
}

function durationText(typed: string): string {
  const nano = parseDuration(typed);
  return nano === null ? '' : durationParameter(nano);
}
