import { describe, expect, it } from 'vitest';
import { TREE, traceOf } from './test_traces';
import { endOf, hasChildren, nameOf } from './trace_table';
import {
  collapseBelow,
  expandTo,
  findRows,
  firstStartingIn,
  nextFound,
  positionOf,
  visibleRows,
} from './visible_rows';

const all = { errorsOnly: false };
const table = traceOf(TREE);
const shown = (collapsed: string[], errorsOnly = false) =>
  Array.from(visibleRows(table, new Set(collapsed), { errorsOnly }), (row) => nameOf(table, row));

describe('rows of the waterfall', () => {
  it('are the whole tree in order at first', () => {
    expect(shown([])).toEqual(['root', 'a', 'a1', 'a2', 'b', 'b1']);
  });
  it('leave out what lies below a collapsed one', () => {
    expect(shown(['id1'])).toEqual(['root', 'a', 'b', 'b1']);
    expect(shown(['id0'])).toEqual(['root']);
  });
  it('are errors and their ancestors when only errors are asked for', () => {
    expect(shown([], true)).toEqual(['root', 'a', 'a2']);
  });
  it('know their subtrees and the errors in them', () => {
    expect(hasChildren(table, 1)).toBe(true);
    expect(hasChildren(table, 2)).toBe(false);
    expect(Array.from(table.subtreeEnd)).toEqual([6, 4, 3, 4, 6, 6]);
    expect(Array.from(table.errorsBelow)).toEqual([1, 1, 0, 0, 0, 0]);
  });
  it('are found by their table row in logarithmic time, hidden ones not', () => {
    const rows = visibleRows(table, new Set(['id1']), all);
    expect(positionOf(rows, 4)).toBe(2);
    expect(positionOf(rows, 2)).toBe(-1);
  });
  it('are uncovered by expanding their ancestors', () => {
    const collapsed = new Set(['id0', 'id1', 'id4']);
    expect([...expandTo(table, collapsed, 2)]).toEqual(['id4']);
    expect(expandTo(table, collapsed, 0)).toBe(collapsed);
  });
  it('can all be collapsed below a depth', () => {
    expect([...collapseBelow(table, 1)]).toEqual(['id1', 'id4']);
  });
});

it('the first row inside a part of time is where a zoom leads', () => {
  const rows = visibleRows(table, new Set(), all);
  expect(firstStartingIn(table, rows, { start: 2.5e6, end: 9e6 })).toBe(3);
  expect(firstStartingIn(table, rows, { start: 50e6, end: 60e6 })).toBe(-1);
});

describe('finding in a trace', () => {
  it('looks into names, whatever their case, and ids', () => {
    expect([...findRows(table, 'A')]).toEqual([1, 2, 3]);
    expect([...findRows(table, 'id5')]).toEqual([5]);
    expect([...findRows(table, '  ')]).toEqual([]);
  });
  it('goes on from the cursor and round the end', () => {
    const found = Int32Array.from([1, 3]);
    expect(nextFound(found, 1, 1)).toBe(3);
    expect(nextFound(found, 3, 1)).toBe(1);
    expect(nextFound(found, 1, -1)).toBe(3);
    expect(nextFound(new Int32Array(0), 1, 1)).toBe(-1);
  });
});

it('a running span reaches to now, an ended one does not', () => {
  const running = traceOf('root~\n  done');
  expect(endOf(running, 0, 500e6)).toBe(500e6);
  expect(endOf(running, 1, 500e6)).toBe(11e6);
});

it('100,000 rows are no other than six', () => {
  const count = 100_000;
  const big = {
    ...traceOf('root'),
    count,
    ids: Array.from({ length: count }, (_, row) => `id${row}`),
    subtreeEnd: Int32Array.from({ length: count }, (_, row) => (row === 0 ? count : row + 1)),
  };
  expect(visibleRows(big, new Set(['id7']), all).length).toBe(count);
  expect(visibleRows(big, new Set(['id0']), all).length).toBe(1);
});
