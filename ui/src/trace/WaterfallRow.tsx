/** One span of the waterfall: name in the tree, bar on the time axis. */
import { memo } from 'react';
import { formatDuration } from '../format/duration';
import { formatCount, formatPlural } from '../format/number';
import {
  endOf,
  hasChildren,
  INTERRUPTED,
  nameOf,
  RUNNING,
  serviceOf,
  STATUS_ERROR,
  type TraceTable,
} from './trace_table';

const INDENT_PX = 14;
/** Deeper levels share one indent, so that names stay readable. */
const DEEPEST_INDENT = 24;

interface RowProps {
  id: string;
  table: TraceTable;
  row: number;
  /** Place among the visible rows, from 1. */
  rowIndex: number;
  color: string;
  showService: boolean;
  windowStart: number;
  windowEnd: number;
  now: number;
  isCollapsed: boolean;
  isCursor: boolean;
  isSelected: boolean;
  isDimmed: boolean;
  onToggle: (row: number) => void;
  onPick: (row: number) => void;
  onFit: (row: number) => void;
}

export const WaterfallRow = memo(function WaterfallRow(props: RowProps) {
  const { table, row, color, isCollapsed, onToggle, onPick } = props;
  const depth = table.depth[row] ?? 0;
  const isParent = hasChildren(table, row);
  const isError = table.status[row] === STATUS_ERROR;
  const state = table.state[row] ?? 0;
  const errorsBelow = isCollapsed ? (table.errorsBelow[row] ?? 0) : 0;
  const label = table.labels[row];
  return (
    // The grid holds the keyboard; clicks are a shortcut for the pointer.
    // oxlint-disable-next-line jsx-a11y/click-events-have-key-events
    <div
      id={props.id}
      role="row"
      aria-level={depth + 1}
      aria-rowindex={props.rowIndex}
      aria-selected={props.isSelected}
      aria-expanded={isParent ? !isCollapsed : undefined}
      className={rowClass(props)}
      onClick={() => onPick(row)}
      onDoubleClick={() => props.onFit(row)}
    >
      <div
        role="gridcell"
        className="waterfall-name"
        style={{ paddingLeft: 8 + Math.min(depth, DEEPEST_INDENT) * INDENT_PX }}
      >
        {isParent ? (
          <button
            type="button"
            className={isCollapsed ? 'twisty closed' : 'twisty'}
            tabIndex={-1}
            aria-label={isCollapsed ? 'Expand' : 'Collapse'}
            onClick={(event) => {
              event.stopPropagation();
              onToggle(row);
            }}
          >
            <svg width="10" height="10" viewBox="0 0 10 10" aria-hidden="true">
              <path d="M1.5 3 5 7l3.5-4z" fill="currentColor" />
            </svg>
          </button>
        ) : (
          <span className="twisty" />
        )}
        <span className="color-dot" style={{ background: color }} />
        <span className="ellipsis" title={`${serviceOf(table, row)}: ${nameOf(table, row)}`}>
          {props.showService && <span className="faint">{serviceOf(table, row)} </span>}
          {nameOf(table, row)}
          {label && <span className="muted number"> {label}</span>}
        </span>
        {isCollapsed && isParent && (
          <span className="pruned number">
            +{formatCount((table.subtreeEnd[row] ?? 0) - row - 1)}
          </span>
        )}
        {errorsBelow > 0 && (
          <span className="badge error">{formatPlural(errorsBelow, 'error')}</span>
        )}
        {isError && (
          <span className="error-mark" title="Status: error">
            !<span className="visually-hidden"> error</span>
          </span>
        )}
      </div>
      <div role="gridcell" className="waterfall-lane">
        <Bar {...props} isError={isError} state={state} />
      </div>
    </div>
  );
});

function rowClass({ isCursor, isSelected, isDimmed }: RowProps): string {
  return ['waterfall-row', isCursor && 'cursor', isSelected && 'selected', isDimmed && 'dimmed']
    .filter(Boolean)
    .join(' ');
}

function Bar(props: RowProps & { isError: boolean; state: number }) {
  const { table, row, windowStart, windowEnd, now, isError, state } = props;
  const width = windowEnd - windowStart;
  const start = table.start[row] ?? 0;
  const end = endOf(table, row, now);
  const left = ((start - windowStart) / width) * 100;
  const right = ((end - windowStart) / width) * 100;
  const events = table.events[row] ?? 0;
  const text =
    formatDuration(end - start) +
    (state === RUNNING ? ' so far' : state === INTERRUPTED ? ' until it was last heard of' : '');
  if (right < 0 || left > 100) {
    return (
      <span className={right < 0 ? 'bar-away before' : 'bar-away after'}>
        {right < 0 ? '‹' : '›'}
        <span className="visually-hidden">{text}, outside the part that is shown</span>
      </span>
    );
  }
  const from = Math.max(-1, left);
  const to = Math.min(101, right);
  const className = [
    'bar',
    isError && 'error',
    state === RUNNING && 'running',
    state === INTERRUPTED && 'interrupted',
  ]
    .filter(Boolean)
    .join(' ');
  return (
    <>
      <span
        className={className}
        style={{
          left: `min(${from}%, 100% - 2px)`,
          width: `${to - from}%`,
          background: props.color,
        }}
      />
      <span
        className="bar-text number"
        data-side={to < 82 ? 'after' : from > 18 ? 'before' : 'inside'}
        style={
          to < 82
            ? { left: `${to}%` }
            : { right: `${Math.max(0, from > 18 ? 100 - from : 100 - to)}%` }
        }
      >
        {text}
        {events > 0 && <span className="faint"> · {formatPlural(events, 'event')}</span>}
      </span>
    </>
  );
}
