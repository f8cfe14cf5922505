import { describe, expect, it } from 'vitest';
import type { Attribute, MetricSeries } from '../api/contract';
import {
  liveMetricPath,
  listQuery,
  metricFiltersFromUrl,
  metricFiltersToUrl,
  NO_METRIC_FILTERS,
  seriesQuery,
  type MetricFilters,
} from './metric_filters';
import { choicesOf, linesOf, seriesLabels, unitText } from './metric_lines';

const FULL: MetricFilters = {
  service: 'model server',
  text: 'duration',
  metric: 'step.duration',
  kind: 'histogram',
  tags: [{ key: 'worker', value: 'a=b' }],
  show: 'p95',
  range: 'custom',
  from: 1_000,
  to: 2_000,
};

describe('filters of metrics', () => {
  it('survive the URL and are left out at their default', () => {
    expect(metricFiltersFromUrl(metricFiltersToUrl(FULL))).toEqual(FULL);
    expect(metricFiltersToUrl(NO_METRIC_FILTERS)).toEqual({});
    expect(metricFiltersFromUrl({ kind: 'counter' })).toEqual(NO_METRIC_FILTERS);
    const always = { ...NO_METRIC_FILTERS, range: 'all' as const };
    expect(metricFiltersFromUrl(metricFiltersToUrl(always))).toEqual(always);
  });
  it('ask the server in the form of the contract', () => {
    expect([...listQuery(FULL)]).toEqual([
      ['service', 'model server'],
      ['text', 'duration'],
    ]);
    expect(liveMetricPath(FULL)).toBe(
      '/live/metrics?name=step.duration&service=model+server&tag=worker%3Da%3Db',
    );
    expect([...seriesQuery(FULL, true, 0)]).toEqual([
      ['name', 'step.duration'],
      ['kind', 'histogram'],
      ['service', 'model server'],
      ['tag', 'worker=a=b'],
      ['rate', 'true'],
      ['start_unix_nano', '1000000000'],
      ['end_unix_nano', '2000000000'],
    ]);
  });
});

const text = (key: string, value: string): Attribute => ({ key, type: 'string', value });

function series(service: string, attributes: Attribute[], more: Partial<MetricSeries> = {}) {
  const plain: MetricSeries = {
    service,
    attributes,
    resource: { attributes: [text('service.name', service)] },
    scope: { name: 'meter', version: '', attributes: [] },
    curves: [],
  };
  return { ...plain, ...more };
}

describe('labels of series', () => {
  it('say what differs and nothing else', () => {
    const device = text('device', 'gpu');
    const [one, other] = [text('worker', '1'), text('worker', '2')];
    expect(seriesLabels([series('a', [device, one]), series('a', [device, other])])).toEqual([
      'worker=1',
      'worker=2',
    ]);
    expect(seriesLabels([series('a', [one]), series('b', [one]), series('b', [])])).toEqual([
      'a worker=1',
      'b worker=1',
      'b',
    ]);
    expect(seriesLabels([series('a', [one])])).toEqual(['']);
  });
  it('fall back on resource and scope, then on numbers', () => {
    const of = (host: string) => ({ resource: { attributes: [text('host.name', host)] } });
    expect(seriesLabels([series('a', [], of('x')), series('a', [], of('y'))])).toEqual([
      'host.name=x',
      'host.name=y',
    ]);
    expect(seriesLabels([series('a', []), series('a', [])])).toEqual(['#1', '#2']);
  });
});

describe('what is drawn of a metric', () => {
  it('begins with what suits its kind', () => {
    const first = (...of: Parameters<typeof choicesOf>) => choicesOf(...of)[0]?.id;
    expect(first({ kind: 'gauge', is_monotonic: null }, ['value'])).toBe('value');
    expect(first({ kind: 'sum', is_monotonic: true }, [])).toBe('rate');
    expect(first({ kind: 'sum', is_monotonic: false }, [])).toBe('value');
    const curves = ['count', 'sum', 'p50', 'p99.9'];
    expect(choicesOf({ kind: 'summary', is_monotonic: null }, curves).map(({ id }) => id)).toEqual([
      'quantiles',
      'p50',
      'p99.9',
      'count',
      'sum',
    ]);
    expect(first({ kind: 'histogram', is_monotonic: null }, ['count', 'sum'])).toBe('count');
  });
  it('has its unit as people read it', () => {
    expect(unitText('{request}', 'rate')).toBe('request/s');
    expect(unitText('1', 'rate')).toBe('per second');
    expect(unitText('s', 'p95')).toBe('s');
    expect(unitText('s', 'count')).toBe('');
    expect(unitText(null, 'value')).toBe('');
  });
  it('is a line for each series, with what is not finite marked', () => {
    const point = (seconds: number, last: number | 'NaN') => ({
      time_unix_nano: `${seconds}000000000`,
      last,
      min: last,
      max: last,
      count: 1,
    });
    const worker = (name: string, points: ReturnType<typeof point>[]) =>
      series('a', [text('worker', name)], {
        curves: [
          { name: 'p50', points },
          { name: 'p95', points },
          { name: 'count', points: [] },
        ],
      });
    const found = [
      worker('1', [point(5, 1), point(6, 'NaN'), point(7, 2)]),
      worker('2', [point(5, 3)]),
    ];
    const lines = linesOf(found, 'p95');
    expect(lines.map(({ name, kind }) => [name, kind])).toEqual([
      ['worker=1', 'curve'],
      ['worker=2', 'points'],
    ]);
    expect(lines[0]?.branches[0]?.x).toEqual([5, 6, 7]);
    expect(lines[0]?.branches[0]?.last).toEqual([1, null, 2]);
    expect(lines[0]?.branches[0]?.nonFinite).toHaveLength(1);
    expect(linesOf(found, 'quantiles').map(({ name }) => name)).toEqual([
      'worker=1 p50',
      'worker=1 p95',
      'worker=2 p50',
      'worker=2 p95',
    ]);
  });
});
