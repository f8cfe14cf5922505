/** The list behind the search page: pages from the server joined with what arrives live. */
import { useInfiniteQuery } from '@tanstack/react-query';
import { useEffect, useMemo, useRef, useState } from 'react';
import type { TracePage, TraceSummary } from '../api/contract';
import { useLive, type Live } from '../api/live';
import { tracePage, traces } from '../api/queries';
import { addArrivals, admitAll, combine, NO_ARRIVALS } from './arrivals';
import { isOpenEnded } from '../widgets/time_range';
import { filtersToUrl, serverQuery, type SearchFilters } from './filters';

export interface TraceResults {
  shown: TraceSummary[];
  /** Traces that arrived and wait to be shown. */
  waiting: number;
  showWaiting: () => void;
  isLoading: boolean;
  /** The server gave up before it had looked at everything. */
  isTruncated: boolean;
  /** What was asked for, page by page: each says what it lacks. */
  pages: readonly TracePage[];
  /** The list still shows the answer to the previous question. */
  isStale: boolean;
  error: Error | null;
  refetch: () => void;
  hasMore: boolean;
  isLoadingMore: boolean;
  loadMore: () => void;
  live: Live;
}

const NO_PAGES: readonly TracePage[] = [];

/** `follow` lets new traces into the list at once. */
export function useTraceResults(filters: SearchFilters, follow: boolean): TraceResults {
  const key = JSON.stringify(filtersToUrl({ ...filters, live: true }));
  const query = useInfiniteQuery(traces(key, () => serverQuery(filters, Date.now())));
  const [arrivals, setArrivals] = useState(NO_ARRIVALS);
  useEffect(() => setArrivals(NO_ARRIVALS), [key]);

  // A window that ended in the past gets no new traces.
  const mayGrow = isOpenEnded(filters);
  const livePath = useMemo(() => {
    if (!filters.live || !mayGrow) return null;
    return `/live/traces?${serverQuery(filters, Date.now())}`;
    // The same filters keep the same stream, though relative ranges move on.
    // oxlint-disable-next-line react/exhaustive-deps
  }, [key, filters.live, mayGrow]);

  const { refetch, fetchNextPage, hasNextPage, isFetchingNextPage } = query;
  // After a break more may have been missed than one page holds.
  const mayHaveGap = useRef(false);
  const catchUp = () => {
    if (follow) {
      void refetch();
      return;
    }
    mayHaveGap.current = true;
    void tracePage(serverQuery(filters, Date.now())).then(
      (page) => setArrivals((old) => addArrivals(old, page.traces, false)),
      // The stream or the reader asks again.
      () => undefined,
    );
  };
  const live = useLive(
    livePath,
    ['traces'],
    (_, data) => {
      const changed = (data as { traces?: TraceSummary[] } | null)?.traces ?? [];
      if (changed.length > 0) setArrivals((old) => addArrivals(old, changed, follow));
    },
    catchUp,
  );

  const found = useMemo(() => query.data?.pages.flatMap((page) => page.traces) ?? [], [query.data]);
  const { shown, waiting } = useMemo(() => combine(found, arrivals), [found, arrivals]);
  return {
    shown,
    waiting,
    showWaiting: () => {
      setArrivals(admitAll);
      if (mayHaveGap.current) void refetch();
      mayHaveGap.current = false;
    },
    isLoading: query.isPending,
    pages: query.data?.pages ?? NO_PAGES,
    isTruncated: query.data?.pages.some((page) => page.truncated) ?? false,
    isStale: query.isPlaceholderData,
    error: query.error,
    refetch: () => void refetch(),
    hasMore: hasNextPage,
    isLoadingMore: isFetchingNextPage,
    loadMore: () => void fetchNextPage(),
    live,
  };
}
