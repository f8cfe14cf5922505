/** What the keys of the tree grid do, as in every tree: up, down, fold, unfold, choose. */
import { hasChildren, type TraceTable } from './trace_table';
import { positionOf } from './visible_rows';

export interface TreeKeys {
  table: TraceTable;
  rows: Int32Array;
  collapsed: ReadonlySet<string>;
  cursor: number;
  /** Rows that the viewport holds. */
  pageRows: number;
  moveTo: (position: number) => void;
  toggle: (row: number) => void;
  choose: (row: number) => void;
}

/** The action of a key, or `null` for keys that the tree does not know. */
export function treeAction(key: string, tree: TreeKeys): (() => void) | null {
  const { rows, cursor, pageRows, moveTo } = tree;
  const position = positionOf(rows, cursor);
  switch (key) {
    case 'ArrowDown':
    case 'j':
      return () => moveTo(position + 1);
    case 'ArrowUp':
    case 'k':
      return () => moveTo(position - 1);
    case 'PageDown':
      return () => moveTo(position + pageRows);
    case 'PageUp':
      return () => moveTo(position - pageRows);
    case 'Home':
      return () => moveTo(0);
    case 'End':
      return () => moveTo(rows.length - 1);
    case 'ArrowRight':
      return () => unfold(tree, position);
    case 'ArrowLeft':
      return () => foldOrLeave(tree);
    case 'Enter':
    case ' ':
      return () => tree.choose(cursor);
    default:
      return null;
  }
}

const isFolded = ({ table, collapsed, cursor }: TreeKeys) => collapsed.has(table.ids[cursor] ?? '');

function unfold(tree: TreeKeys, position: number): void {
  if (!hasChildren(tree.table, tree.cursor)) return;
  if (isFolded(tree)) tree.toggle(tree.cursor);
  else tree.moveTo(position + 1);
}

function foldOrLeave(tree: TreeKeys): void {
  const { table, rows, cursor } = tree;
  const parent = table.parent[cursor] ?? -1;
  if (hasChildren(table, cursor) && !isFolded(tree)) tree.toggle(cursor);
  else if (parent >= 0) tree.moveTo(positionOf(rows, parent));
}
