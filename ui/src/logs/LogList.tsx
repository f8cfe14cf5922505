/** The list of log records: virtual rows, one line each, that open to show everything. */
import { Link } from '@tanstack/react-router';
import { useVirtualizer } from '@tanstack/react-virtual';
import { memo, useEffect, useRef, useState } from 'react';
import type { LogRecord } from '../api/contract';
import { LOG_PAGE_LIMIT } from '../api/queries';
import { formatPlural } from '../format/number';
import { formatExact, formatTimestamp, nowNano } from '../format/time';
import { useKeys, useStable } from '../widgets/hooks';
import { ChevronIcon } from '../widgets/icons';
import { ColorDot } from '../widgets/marks';
import { lineText } from './log_text';
import { LogDetails, SeverityBadge } from './LogDetails';

const ROW_PX = 29;
const TRUNCATED_TEXT =
  'The search reached its limit before it had looked at everything. Choose a service or a shorter time.';

interface ListProps {
  logs: LogRecord[];
  colors: (service: string) => string;
  isTruncated: boolean;
  /** The list still shows the answer to the previous question. */
  isStale: boolean;
  hasMore: boolean;
  isLoadingMore: boolean;
  onMore: () => void;
  /** Told whether the reader is at the top with nothing opened, where new rows disturb nobody. */
  onRest: (isAtRest: boolean) => void;
}

export function LogList(props: ListProps) {
  const { logs, colors, isTruncated, isStale, hasMore, isLoadingMore, onMore, onRest } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const [isAtTop, setAtTop] = useState(true);
  const [opened, setOpened] = useState<ReadonlySet<string>>(new Set());
  const toggle = useStable((id: string) =>
    setOpened((old) => {
      const next = new Set(old);
      if (!next.delete(id)) next.add(id);
      return next;
    }),
  );
  const rows = useVirtualizer({
    count: logs.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    getItemKey: (index) => logs[index]?.id ?? index,
    overscan: 12,
  });
  const focusedId = useListKeys(logs, (index) => rows.scrollToIndex(index), toggle);
  useEffect(
    () => onRest(isAtTop && opened.size === 0 && focusedId === null),
    [focusedId, isAtTop, onRest, opened],
  );
  const items = rows.getVirtualItems();
  const lastIndex = items.at(-1)?.index ?? 0;
  useEffect(() => {
    // The first page waits for the button; who has asked once reads on without asking.
    const isNearEnd = logs.length > LOG_PAGE_LIMIT && lastIndex >= logs.length - 20;
    if (hasMore && !isLoadingMore && isNearEnd) onMore();
  }, [hasMore, isLoadingMore, lastIndex, logs.length, onMore]);

  return (
    <section className="logs" aria-label="Logs" aria-busy={isStale}>
      <LogsHead count={logs.length} hasMore={hasMore} isTruncated={isTruncated} />
      <div
        ref={scroller}
        className="logs-scroll"
        role="region"
        aria-label="Log records"
        // The list scrolls by keyboard too.
        // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
        tabIndex={0}
        onScroll={(event) => setAtTop(event.currentTarget.scrollTop < ROW_PX / 2)}
      >
        <ol style={{ height: rows.getTotalSize(), position: 'relative' }}>
          {items.map((item) => {
            const log = logs[item.index];
            return log === undefined ? null : (
              <li
                key={item.key}
                ref={rows.measureElement}
                data-index={item.index}
                className={log.id === focusedId ? 'log focused' : 'log'}
                style={{ transform: `translateY(${item.start}px)` }}
              >
                <LogRow
                  log={log}
                  color={colors(log.service)}
                  isOpen={opened.has(log.id)}
                  onToggle={toggle}
                />
              </li>
            );
          })}
        </ol>
        {hasMore && <MoreButton isLoading={isLoadingMore} onMore={onMore} />}
      </div>
    </section>
  );
}

interface HeadProps {
  count: number;
  hasMore: boolean;
  isTruncated: boolean;
}

function LogsHead({ count, hasMore, isTruncated }: HeadProps) {
  return (
    <div className="logs-head">
      <h2>
        {formatPlural(count, 'log record')}
        {hasMore ? ' so far' : ''}
      </h2>
      {isTruncated && (
        <span className="badge interrupted" title={TRUNCATED_TEXT}>
          search incomplete
        </span>
      )}
    </div>
  );
}

function MoreButton({ isLoading, onMore }: { isLoading: boolean; onMore: () => void }) {
  return (
    <div className="logs-more">
      <button type="button" className="button" disabled={isLoading} onClick={onMore}>
        {isLoading ? 'Loading…' : 'Load more'}
      </button>
    </div>
  );
}

/** The log record that j and k have reached; Enter opens it. */
function useListKeys(
  logs: LogRecord[],
  onMove: (index: number) => void,
  onToggle: (id: string) => void,
): string | null {
  const [focusedId, setFocusedId] = useState<string | null>(null);
  const move = (step: number) => {
    const index = logs.findIndex((log) => log.id === focusedId) + step;
    const inside = Math.min(Math.max(index, 0), logs.length - 1);
    setFocusedId(logs[inside]?.id ?? null);
    onMove(inside);
  };
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    Escape: () => setFocusedId(null),
    Enter: ({ target }) => {
      const isOnControl = target instanceof Element && target.closest('a, button') !== null;
      if (focusedId !== null && !isOnControl) onToggle(focusedId);
    },
  });
  return focusedId;
}

interface RowProps {
  log: LogRecord;
  color: string;
  isOpen: boolean;
  onToggle: (id: string) => void;
}

const LogRow = memo(function LogRow({ log, color, isOpen, onToggle }: RowProps) {
  return (
    <>
      <div className="log-line">
        <button
          type="button"
          className="log-head"
          aria-expanded={isOpen}
          onClick={() => onToggle(log.id)}
        >
          <span className={isOpen ? 'twisty' : 'twisty closed'}>
            <ChevronIcon />
          </span>
          <time className="number muted" title={formatExact(log.time_unix_nano)}>
            {formatTimestamp(log.time_unix_nano, nowNano(), true)}
          </time>
          <SeverityBadge log={log} />
          <span className="log-service">
            <ColorDot color={color} />
            <span className="ellipsis">{log.service}</span>
          </span>
          <span className="log-text code ellipsis">{lineText(log)}</span>
        </button>
        {log.trace_id !== null && (
          <Link
            to="/trace/$traceId"
            params={{ traceId: log.trace_id }}
            search={log.span_id === null ? {} : { span: log.span_id }}
            className="log-trace code"
            title={`Trace ${log.trace_id}`}
          >
            {log.trace_id.slice(0, 8)}
          </Link>
        )}
      </div>
      {isOpen && <LogDetails log={log} />}
    </>
  );
});
