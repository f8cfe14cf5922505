import { describe, expect, it } from 'vitest';
import type { LogRecord } from '../api/contract';
import {
  isFiltered,
  logFiltersFromUrl,
  logFiltersToUrl,
  logQuery,
  NO_LOG_FILTERS,
  type LogFilters,
} from './log_filters';
import { bodyText, lineText } from './log_text';
import { levelOf } from './severity';

const FULL: LogFilters = {
  service: 'model server',
  level: 'warn',
  text: 'out of memory',
  range: 'custom',
  from: 1_000,
  to: 2_000,
  live: false,
};

describe('filters of logs', () => {
  it('survive the URL and are left out at their default', () => {
    expect(logFiltersFromUrl(logFiltersToUrl(FULL))).toEqual(FULL);
    expect(logFiltersToUrl(NO_LOG_FILTERS)).toEqual({});
    expect(logFiltersFromUrl({ level: 'loud' })).toEqual(NO_LOG_FILTERS);
  });
  it('ask the server in the form of the contract', () => {
    expect([...logQuery(FULL, 0)]).toEqual([
      ['service', 'model server'],
      ['min_severity', '13'],
      ['text', 'out of memory'],
      ['start_unix_nano', '1000000000'],
      ['end_unix_nano', '2000000000'],
    ]);
    expect(logQuery(NO_LOG_FILTERS, 0).toString()).toBe('');
  });
  it('count only if they narrow the search', () => {
    expect(isFiltered({ ...NO_LOG_FILTERS, range: '1h', live: false })).toBe(false);
    expect(isFiltered({ ...NO_LOG_FILTERS, level: 'error' })).toBe(true);
  });
});

describe('a severity', () => {
  it('belongs to the level whose range it lies in', () => {
    const numbers = [-1, 0, 1, 4, 5, 9, 12, 13, 17, 21, 24, 25];
    expect(numbers.map(levelOf)).toEqual([
      null,
      null,
      'trace',
      'trace',
      'debug',
      'info',
      'info',
      'warn',
      'error',
      'fatal',
      'fatal',
      null,
    ]);
  });
});

describe('the line of a log record', () => {
  const log = (body: LogRecord['body'], event = '') => ({ body, event_name: event }) as LogRecord;
  it('is its text without breaks', () => {
    const traceback = log({ type: 'string', value: 'Traceback\n  File "x"\n' });
    expect(lineText(traceback)).toBe('Traceback File "x"');
    expect(bodyText(traceback)).toBe('Traceback\n  File "x"\n');
  });
  it('is its event where nothing was said', () => {
    expect(lineText(log({ type: 'null' }, 'device.lost'))).toBe('device.lost');
    expect(bodyText(log({ type: 'null' }))).toBe('');
  });
  it('shows values that are no text, and no more than fits a screen', () => {
    expect(lineText(log({ type: 'map', value: [{ key: 'a', type: 'int', value: '1' }] }))).toBe(
      '{ "a": 1 }',
    );
    expect(lineText(log({ type: 'string', value: 'x'.repeat(9_000) })).length).toBe(501);
  });
});
