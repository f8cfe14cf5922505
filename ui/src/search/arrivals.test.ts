import { describe, expect, it } from 'vitest';
import type { TraceSummary } from '../api/contract';
import { addArrivals, admitAll, combine, NO_ARRIVALS } from './arrivals';

function trace(id: string, start: number, spans = 1): TraceSummary {
  return {
    trace_id: id,
    root_service: 's',
    root_name: 'n',
    start_unix_nano: String(start),
    duration_nano: '1',
    span_count: spans,
    error_count: 0,
    matched_span_count: spans,
    services: [],
    state: 'complete',
    root_missing: false,
    run_id: null,
  };
}
const ids = (traces: TraceSummary[]) => traces.map((one) => one.trace_id);

describe('traces that arrive live', () => {
  it('wait while the reader is down in the list', () => {
    const arrivals = addArrivals(NO_ARRIVALS, [trace('new', 9)], false);
    const { shown, waiting } = combine([trace('old', 1)], arrivals);
    expect(ids(shown)).toEqual(['old']);
    expect(waiting).toBe(1);
  });
  it('join at once, in their place, while the reader is at the top', () => {
    const arrivals = addArrivals(NO_ARRIVALS, [trace('b', 5), trace('late', 2)], true);
    const { shown, waiting } = combine([trace('a', 7), trace('c', 3)], arrivals);
    expect(ids(shown)).toEqual(['a', 'b', 'c', 'late']);
    expect(waiting).toBe(0);
  });
  it('change in place when they are already shown', () => {
    const arrivals = addArrivals(NO_ARRIVALS, [trace('a', 7, 40)], false);
    const { shown, waiting } = combine([trace('a', 7, 1)], arrivals);
    expect(shown[0]?.span_count).toBe(40);
    expect(waiting).toBe(0);
  });
  it('are all shown when the reader asks', () => {
    const arrivals = admitAll(addArrivals(NO_ARRIVALS, [trace('x', 9), trace('y', 8)], false));
    expect(ids(combine([], arrivals).shown)).toEqual(['x', 'y']);
  });
  it('are bounded while they wait', () => {
    const many = Array.from({ length: 3_000 }, (_, index) => trace(`t${index}`, index));
    expect(combine([], addArrivals(NO_ARRIVALS, many, false)).waiting).toBe(2_000);
  });
});
