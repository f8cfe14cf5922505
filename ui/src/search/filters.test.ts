import { describe, expect, it } from 'vitest';
import {
  filtersFromUrl,
  filtersToUrl,
  isFiltered,
  NO_FILTERS,
  serverQuery,
  type SearchFilters,
} from './filters';

const FULL: SearchFilters = {
  service: 'model server',
  operation: 'POST /v1/predict',
  text: '123',
  tags: [
    { key: 'a', value: '1' },
    { key: 'b', value: 'x=y' },
  ],
  minDuration: '10ms',
  maxDuration: '1.5s',
  status: 'error',
  range: 'custom',
  from: 1_000,
  to: 2_000,
  live: false,
};

describe('filters in the URL', () => {
  it('survive being written and read', () => {
    expect(filtersFromUrl(filtersToUrl(FULL))).toEqual(FULL);
    expect(filtersFromUrl(filtersToUrl(NO_FILTERS))).toEqual(NO_FILTERS);
  });
  it('are left out at their default', () => {
    expect(filtersToUrl(NO_FILTERS)).toEqual({});
  });
  it('that are broken count as absent', () => {
    expect(
      filtersFromUrl({ range: 'tomorrow', status: 'maybe', from: 'x', service: ['a', 'b'] }),
    ).toEqual({ ...NO_FILTERS, service: 'a' });
  });
  it('read a single tag and several alike', () => {
    expect(filtersFromUrl({ tag: 'a=1' }).tags).toEqual([{ key: 'a', value: '1' }]);
  });
});

describe('the query for the server', () => {
  it('carries every filter in the form of the contract', () => {
    expect([...serverQuery(FULL, 0)]).toEqual([
      ['service', 'model server'],
      ['operation', 'POST /v1/predict'],
      ['text', '123'],
      ['tag', 'a=1'],
      ['tag', 'b=x=y'],
      ['min_duration', '10ms'],
      ['max_duration', '1500ms'],
      ['status', 'error'],
      ['start_unix_nano', '1000000000'],
      ['end_unix_nano', '2000000000'],
    ]);
  });
  it('leaves out durations that cannot be read', () => {
    expect(serverQuery({ ...NO_FILTERS, minDuration: 'soon' }, 0).toString()).toBe('');
  });
});

it('only what narrows the search counts as a filter', () => {
  expect(isFiltered({ ...NO_FILTERS, range: '1h', live: false })).toBe(false);
  expect(isFiltered({ ...NO_FILTERS, tags: [{ key: 'a', value: '1' }] })).toBe(true);
});
