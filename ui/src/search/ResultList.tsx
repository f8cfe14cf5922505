/** The list of traces: virtual rows, one line each, with the counter of what waits on top. */
import { Link, useElementScrollRestoration, useNavigate } from '@tanstack/react-router';
import { useVirtualizer } from '@tanstack/react-virtual';
import { memo, useEffect, useRef, useState, type RefObject } from 'react';
import type { TraceSummary } from '../api/contract';
import { PAGE_LIMIT } from '../api/queries';
import { formatDuration } from '../format/duration';
import { formatCount, formatPlural } from '../format/number';
import { formatAgo, formatExact, formatTimestamp } from '../format/time';
import { useKeys, useNow } from '../widgets/hooks';
import { LiveMark } from '../widgets/LiveMark';
import { ColorDot, StateBadge } from '../widgets/marks';
import { Skeleton } from '../widgets/messages';
import type { TraceResults } from './use_trace_results';

const ROW_PX = 46;
/** Names the list in the router's memory of scroll positions. */
const SCROLL_ID = 'results';
const TRUNCATED_TEXT =
  'The search reached its limit before it had looked at everything. Choose a service or a shorter time.';

interface ResultListProps {
  results: TraceResults;
  serviceColors: (service: string) => string;
  onAtTop: (atTop: boolean) => void;
}

export function ResultList({ results, serviceColors, onAtTop }: ResultListProps) {
  const { shown, hasMore, isLoadingMore, loadMore } = results;
  const scroller = useRef<HTMLDivElement>(null);
  const now = useNow(1_000);
  const { rows, items, slowest } = useResultRows(shown, scroller);
  const focusedId = useListKeys(results, (index) => {
    rows.scrollToIndex(index);
    // The reader is at work in the list: nothing may move below the keyboard.
    onAtTop(false);
  });
  const lastIndex = items.at(-1)?.index ?? 0;
  useEffect(() => {
    // The first page waits for the button; who has asked once reads on without asking.
    const isNearEnd = shown.length > PAGE_LIMIT && lastIndex >= shown.length - 5;
    if (hasMore && !isLoadingMore && isNearEnd) loadMore();
  }, [hasMore, isLoadingMore, lastIndex, loadMore, shown.length]);

  return (
    <section className="results" aria-label="Traces" aria-busy={results.isStale}>
      <ResultHead results={results} onShow={() => scroller.current?.scrollTo({ top: 0 })} />
      <div
        ref={scroller}
        data-scroll-restoration-id={SCROLL_ID}
        className="results-scroll"
        role="region"
        aria-label="Result list"
        // The list scrolls by keyboard too.
        // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
        tabIndex={0}
        onScroll={(event) => onAtTop(event.currentTarget.scrollTop < ROW_PX / 2)}
      >
        <ol style={{ height: rows.getTotalSize(), position: 'relative' }}>
          {items.map((item) => {
            const trace = shown[item.index];
            return trace === undefined ? null : (
              <li
                key={item.key}
                className="result-place"
                style={{ transform: `translateY(${item.start}px)`, height: ROW_PX }}
              >
                <ResultRow
                  trace={trace}
                  slowest={slowest}
                  serviceColors={serviceColors}
                  isFocused={trace.trace_id === focusedId}
                  ago={formatAgo(trace.start_unix_nano, now)}
                />
              </li>
            );
          })}
        </ol>
        {hasMore && (
          <div className="results-more">
            <button type="button" className="button" disabled={isLoadingMore} onClick={loadMore}>
              {isLoadingMore ? 'Loading…' : 'Load more'}
            </button>
          </div>
        )}
      </div>
    </section>
  );
}

/** The virtual rows, and the longest duration among those that can be seen. */
function useResultRows(shown: TraceSummary[], scroller: RefObject<HTMLDivElement | null>) {
  const scrolled = useElementScrollRestoration({ id: SCROLL_ID });
  const rows = useVirtualizer({
    count: shown.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    getItemKey: (index) => shown[index]?.trace_id ?? index,
    overscan: 8,
    // Back from a trace, the reader finds the list where it was left.
    initialOffset: scrolled?.scrollY ?? 0,
  });
  const items = rows.getVirtualItems();
  const top = rows.scrollOffset ?? 0;
  const bottom = top + (rows.scrollRect?.height ?? 0);
  // Bars compare what can be seen together; one long trace elsewhere does not flatten them.
  const slowest = items
    .filter((item) => item.end > top && item.start < bottom)
    .reduce((most, item) => Math.max(most, Number(shown[item.index]?.duration_nano ?? 0)), 1);
  return { rows, items, slowest };
}

/** The trace that j and k have reached; Enter opens it. */
function useListKeys(results: TraceResults, onMove: (index: number) => void): string | null {
  const { shown } = results;
  const navigate = useNavigate();
  const [focusedId, setFocusedId] = useState<string | null>(null);
  const move = (step: number) => {
    const index = shown.findIndex((trace) => trace.trace_id === focusedId) + step;
    const inside = Math.min(Math.max(index, 0), shown.length - 1);
    setFocusedId(shown[inside]?.trace_id ?? null);
    onMove(inside);
  };
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    n: results.showWaiting,
    Enter: (event) => {
      if (focusedId === null || event.target instanceof HTMLAnchorElement) return;
      void navigate({ to: '/trace/$traceId', params: { traceId: focusedId } });
    },
  });
  return focusedId;
}

function ResultHead({ results, onShow }: { results: TraceResults; onShow: () => void }) {
  return (
    <div className="results-head">
      <h2>
        {formatPlural(results.shown.length, 'trace')}
        {results.hasMore ? ' so far' : ''}
      </h2>
      <LiveMark live={results.live} />
      {results.isTruncated && (
        <span className="badge interrupted" title={TRUNCATED_TEXT}>
          search incomplete
        </span>
      )}
      <span className="shell-space" />
      {results.waiting > 0 && (
        <button
          type="button"
          className="button primary small"
          onClick={() => {
            results.showWaiting();
            onShow();
          }}
        >
          Show {formatPlural(results.waiting, 'new trace')}
        </button>
      )}
    </div>
  );
}

interface RowProps {
  trace: TraceSummary;
  slowest: number;
  serviceColors: (service: string) => string;
  isFocused: boolean;
  ago: string;
}

const ResultRow = memo(function ResultRow(props: RowProps) {
  const { trace, slowest, serviceColors, isFocused, ago } = props;
  const share = Math.max(0.3, (Number(trace.duration_nano) / slowest) * 100);
  const name = trace.root_missing && trace.root_name === '' ? 'root not received' : trace.root_name;
  return (
    <Link
      to="/trace/$traceId"
      params={{ traceId: trace.trace_id }}
      className={isFocused ? 'result focused' : 'result'}
    >
      <span className="result-name">
        <span className="result-title ellipsis">
          <ColorDot color={serviceColors(trace.root_service)} />
          <span className="muted ellipsis">{trace.root_service || 'unknown service'}</span>
          <strong className="ellipsis">{name}</strong>
          <span className="result-badges">
            {trace.state !== 'complete' && <StateBadge state={trace.state} />}
            {trace.run_id !== null && <span className="badge">training run</span>}
            {trace.root_missing && (
              <span className="badge interrupted" title="The root span has not been received">
                no root
              </span>
            )}
          </span>
        </span>
        <span className="result-services ellipsis">
          {trace.services
            .filter((service) => service.name !== trace.root_service)
            .slice(0, 4)
            .map((service) => (
              <span className="result-service" key={service.name}>
                <ColorDot color={serviceColors(service.name)} />
                {service.name}
              </span>
            ))}
          {trace.services.length > 5 && <span>+{trace.services.length - 5}</span>}
          <span className="code">{trace.trace_id.slice(0, 8)}</span>
        </span>
      </span>
      <span className="result-errors number">
        {trace.error_count > 0 && (
          <span className="badge error">{formatPlural(trace.error_count, 'error')}</span>
        )}
      </span>
      <span className="result-count number muted">
        {formatCount(trace.span_count)}{' '}
        <span className="faint">{trace.span_count === 1 ? 'span' : 'spans'}</span>
      </span>
      <span className="result-duration number">
        <span className="share-bar">
          <span
            style={{ width: `${share}%`, background: serviceColors(trace.root_service) }}
            className={trace.state === 'running' ? 'running-bar' : undefined}
          />
        </span>
        <span>{formatDuration(trace.duration_nano)}</span>
      </span>
      <StartTime nano={trace.start_unix_nano} ago={ago} />
    </Link>
  );
});

function StartTime({ nano, ago }: { nano: string; ago: string }) {
  const now = BigInt(Date.now()) * 1_000_000n;
  return (
    <time className="result-time number" title={formatExact(nano)}>
      <span>{formatTimestamp(nano, now)}</span>
      <span className="faint">{ago}</span>
    </time>
  );
}

/** The list's shape while the first answer is on its way. */
export function ResultSkeleton() {
  return (
    <div className="results" aria-label="Loading traces" aria-busy="true">
      {Array.from({ length: 10 }, (_, index) => (
        <div className="result" key={`row ${index}`} style={{ height: ROW_PX }}>
          <Skeleton width={`${30 + ((index * 37) % 40)}%`} />
        </div>
      ))}
    </div>
  );
}
