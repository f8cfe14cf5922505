import { describe, expect, it } from 'vitest';
import { tableFromColumns } from './trace_table';
import { chainOf } from './test_traces';

describe('the table of a trace', () => {
  it('holds a chain of calls of any depth', () => {
    const table = tableFromColumns(chainOf(99_999));
    expect(table.depth[99_998]).toBe(99_998);
    expect(table.subtreeEnd[0]).toBe(99_999);
    expect(table.errorsBelow[0]).toBe(1);
  });
});
