/** What the logs page asks for: its form in the URL, and the query it makes for the server. */
import {
  addWindow,
  ALL_TIME,
  rangeFromUrl,
  rangeToUrl,
  urlText,
  type TimeRange,
  type UrlParameters,
} from '../widgets/time_range';
import { LEVELS, type Level } from './severity';

export interface LogFilters extends TimeRange {
  service: string;
  /** The least level that is shown; empty for all, also those that have none. */
  level: Level | '';
  text: string;
  live: boolean;
}

export const NO_LOG_FILTERS: LogFilters = {
  service: '',
  level: '',
  text: '',
  ...ALL_TIME,
  live: true,
};

/** Reads the URL; unknown or broken values fall back to no filter. */
export function logFiltersFromUrl(url: UrlParameters): LogFilters {
  return {
    service: urlText(url, 'service'),
    level: LEVELS.find(({ level }) => level === urlText(url, 'level'))?.level ?? '',
    text: urlText(url, 'text'),
    ...rangeFromUrl(url),
    live: urlText(url, 'live') !== '0',
  };
}

/** Writes the URL; what is at its default is left out, so that links stay short. */
export function logFiltersToUrl(filters: LogFilters): UrlParameters {
  const url: UrlParameters = {};
  if (filters.service !== '') url['service'] = filters.service;
  if (filters.level !== '') url['level'] = filters.level;
  if (filters.text !== '') url['text'] = filters.text;
  Object.assign(url, rangeToUrl(filters));
  if (!filters.live) url['live'] = '0';
  return url;
}

/** Whether anything narrows the search; the range and the live switch do not count. */
export function isFiltered({ service, level, text }: LogFilters): boolean {
  return service !== '' || level !== '' || text !== '';
}

/** The query string for `/logs`, without limit and cursor. */
export function logQuery(filters: LogFilters, now: number): URLSearchParams {
  const query = new URLSearchParams();
  if (filters.service !== '') query.append('service', filters.service);
  const least = LEVELS.find(({ level }) => level === filters.level);
  if (least !== undefined) query.append('min_severity', String(least.number));
  if (filters.text !== '') query.append('text', filters.text);
  addWindow(query, filters, now);
  return query;
}

/** The stream of what is stored from now on and matches, of whatever time it is. */
export function liveLogsPath(filters: LogFilters): string {
  return `/live/logs?${logQuery({ ...filters, ...ALL_TIME }, 0)}`;
}
