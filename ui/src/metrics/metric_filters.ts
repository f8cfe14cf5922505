/** What the metrics page asks for: its form in the URL, and the queries it makes for the server. */
import type { MetricKind } from '../api/contract';
import { parseTagParameter, tagParameter, type Tag } from '../search/tags';
import {
  addWindow,
  rangeFromUrl,
  rangeToUrl,
  urlText,
  urlTexts,
  type TimeRange,
  type UrlParameters,
} from '../widgets/time_range';

export interface MetricFilters extends TimeRange {
  /** Of the list and of the series. */
  service: string;
  /** Text in the names that are listed. */
  text: string;
  /** The metric that is drawn: its name and, since names may be shared, its kind. */
  metric: string;
  kind: MetricKind | '';
  /** Attributes that the series have. */
  tags: Tag[];
  /** What is drawn of the metric; empty for what suits its kind. */
  show: string;
}

export const KINDS: { kind: MetricKind; label: string }[] = [
  { kind: 'gauge', label: 'gauge' },
  { kind: 'sum', label: 'sum' },
  { kind: 'histogram', label: 'histogram' },
  { kind: 'exponential_histogram', label: 'exp. histogram' },
  { kind: 'summary', label: 'summary' },
];

/** Metrics of all time are too many points for most stores. */
const LAST_HOUR: TimeRange = { range: '1h', from: null, to: null };

export const NO_METRIC_FILTERS: MetricFilters = {
  service: '',
  text: '',
  metric: '',
  kind: '',
  tags: [],
  show: '',
  ...LAST_HOUR,
};

/** Reads the URL; unknown or broken values fall back to their default. */
export function metricFiltersFromUrl(url: UrlParameters): MetricFilters {
  return {
    service: urlText(url, 'service'),
    text: urlText(url, 'text'),
    metric: urlText(url, 'metric'),
    kind: KINDS.find(({ kind }) => kind === urlText(url, 'kind'))?.kind ?? '',
    tags: urlTexts(url, 'tag').map(parseTagParameter),
    show: urlText(url, 'show'),
    ...rangeFromUrl(url, LAST_HOUR),
  };
}

/** Writes the URL; what is at its default is left out, so that links stay short. */
export function metricFiltersToUrl(filters: MetricFilters): UrlParameters {
  const url: UrlParameters = {};
  for (const key of ['service', 'text', 'metric', 'kind', 'show'] as const) {
    if (filters[key] !== '') url[key] = filters[key];
  }
  if (filters.tags.length > 0) url['tag'] = filters.tags.map(tagParameter);
  return Object.assign(url, rangeToUrl(filters, LAST_HOUR));
}

/** The query string for `/metrics`. */
export function listQuery({ service, text }: MetricFilters): URLSearchParams {
  const query = new URLSearchParams();
  if (service !== '') query.append('service', service);
  if (text !== '') query.append('text', text);
  return query;
}

/** The stream that says when points of the metric with these attributes are stored. */
export function liveMetricPath(filters: MetricFilters): string {
  const query = new URLSearchParams({ name: filters.metric });
  addSeries(query, filters);
  return `/live/metrics?${query}`;
}

function addSeries(query: URLSearchParams, filters: MetricFilters): void {
  if (filters.service !== '') query.append('service', filters.service);
  for (const tag of filters.tags) query.append('tag', tagParameter(tag));
}

/** The query string for `/metrics/series`. */
export function seriesQuery(filters: MetricFilters, isRate: boolean, now: number): URLSearchParams {
  const query = new URLSearchParams({ name: filters.metric });
  if (filters.kind !== '') query.append('kind', filters.kind);
  addSeries(query, filters);
  if (isRate) query.append('rate', 'true');
  addWindow(query, filters, now);
  return query;
}
