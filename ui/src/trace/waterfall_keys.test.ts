import { describe, expect, it } from 'vitest';
import { TREE, traceOf } from './test_traces';
import { visibleRows } from './visible_rows';
import { treeAction } from './waterfall_keys';

const table = traceOf(TREE);

/** What a key does at a cursor, in words. */
function press(key: string, cursor: number, folded: string[] = []): string {
  const collapsed = new Set(folded);
  let done = 'nothing';
  const action = treeAction(key, {
    table,
    rows: visibleRows(table, collapsed, { errorsOnly: false }),
    collapsed,
    cursor,
    pageRows: 3,
    moveTo: (position) => (done = `move to ${position}`),
    toggle: (row) => (done = `toggle ${row}`),
    choose: (row) => (done = `choose ${row}`),
  });
  if (action === null) return 'not a key of the tree';
  action();
  return done;
}

describe('the keys of the tree', () => {
  it('move by rows, pages and to the ends', () => {
    expect(press('ArrowDown', 1)).toBe('move to 2');
    expect(press('k', 1)).toBe('move to 0');
    expect(press('PageDown', 1)).toBe('move to 4');
    expect(press('End', 0)).toBe('move to 5');
  });
  it('count only rows that are shown', () => {
    expect(press('ArrowUp', 4, ['id1'])).toBe('move to 1');
  });
  it('unfold, then go in; fold, then go out', () => {
    expect(press('ArrowRight', 1, ['id1'])).toBe('toggle 1');
    expect(press('ArrowRight', 1)).toBe('move to 2');
    expect(press('ArrowRight', 2)).toBe('nothing');
    expect(press('ArrowLeft', 1)).toBe('toggle 1');
    expect(press('ArrowLeft', 3)).toBe('move to 1');
    expect(press('ArrowLeft', 0, ['id0'])).toBe('nothing');
  });
  it('choose a span, and leave other keys alone', () => {
    expect(press('Enter', 3)).toBe('choose 3');
    expect(press('x', 3)).toBe('not a key of the tree');
  });
});
