/** Every question that the pages ask the server, with its cache key and its pace. */
import { infiniteQueryOptions, keepPreviousData, queryOptions } from '@tanstack/react-query';
import { ApiError, getJson, postJson } from './client';
import type {
  Batch,
  Kept,
  LogPage,
  LogRecord,
  MetricAnswer,
  MetricList,
  Operation,
  RunList,
  RunView,
  Series,
  ServerStatus,
  Service,
  SpanDetails,
  TraceColumns,
  TracePage,
} from './contract';

const part = encodeURIComponent;

/** Worth asking again only when the server may answer otherwise next time. */
export function shouldRetry(failures: number, error: Error): boolean {
  return !(error instanceof ApiError && error.isRefusal) && failures < 2;
}

export const serverStatus = queryOptions({
  queryKey: ['status'],
  queryFn: ({ signal }) => getJson<ServerStatus>('/status', signal),
  refetchInterval: 5_000,
});

export const services = queryOptions({
  queryKey: ['services'],
  queryFn: async ({ signal }) =>
    (await getJson<{ services: Service[] }>('/services', signal)).services,
  refetchInterval: 10_000,
});

export function operations(service: string) {
  return queryOptions({
    queryKey: ['operations', service],
    queryFn: async ({ signal }) =>
      (await getJson<{ operations: Operation[] }>(`/services/${part(service)}/operations`, signal))
        .operations,
    enabled: service !== '',
    staleTime: 10_000,
  });
}

export const PAGE_LIMIT = 50;

/** One page of traces: the newest, or those before a cursor. */
export function tracePage(
  query: URLSearchParams,
  before: string | null = null,
  signal?: AbortSignal,
): Promise<TracePage> {
  const parameters = new URLSearchParams(query);
  parameters.set('limit', String(PAGE_LIMIT));
  if (before !== null) parameters.set('before', before);
  return getJson<TracePage>(`/traces?${parameters}`, signal);
}

/** Pages of traces. `query` is built when asked, since relative ranges end now. */
export function traces(key: string, query: () => URLSearchParams) {
  return infiniteQueryOptions({
    queryKey: ['traces', key],
    queryFn: ({ pageParam, signal }) => tracePage(query(), pageParam, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
    placeholderData: keepPreviousData,
    refetchOnWindowFocus: false,
  });
}

const MISSING_PAUSE_MILLIS = 3_000;

/** A trace that still runs is fetched again, the more seldom the larger it is. */
export function trace(traceId: string) {
  return queryOptions({
    queryKey: ['trace', traceId],
    queryFn: ({ signal }) => getJson<TraceColumns>(`/traces/${part(traceId)}`, signal),
    refetchInterval: (query) => {
      const data = query.state.data;
      // A trace that is not here may be on its way.
      if (data === undefined) return query.state.error === null ? false : MISSING_PAUSE_MILLIS;
      return data.state === 'running' ? Math.max(1_000, data.span_count / 5) : false;
    },
    refetchOnWindowFocus: false,
  });
}

/** Whether a trace is kept whatever the retention. */
export function archived(traceId: string) {
  return queryOptions({
    queryKey: ['archived', traceId],
    queryFn: async ({ signal }) =>
      (await getJson<{ archived: boolean }>(`/traces/${part(traceId)}/archive`, signal)).archived,
    staleTime: Infinity,
  });
}

/** Keeps a trace whatever the retention. */
export function archiveTrace(traceId: string): Promise<Kept> {
  return postJson(`/traces/${part(traceId)}/archive`);
}

/** Keeps all traces of a run whatever the retention. */
export function archiveRun(runId: string): Promise<Kept> {
  return postJson(`/runs/${part(runId)}/archive`);
}

export function spanDetails(traceId: string, spanId: string) {
  return queryOptions({
    queryKey: ['span', traceId, spanId],
    queryFn: ({ signal }) =>
      getJson<SpanDetails>(`/traces/${part(traceId)}/spans/${part(spanId)}`, signal),
    refetchInterval: (query) => (query.state.data?.state === 'running' ? 2_000 : false),
    refetchOnWindowFocus: false,
  });
}

export const logServices = queryOptions({
  queryKey: ['log services'],
  queryFn: async ({ signal }) =>
    (await getJson<{ services: string[] }>('/logs/services', signal)).services,
  refetchInterval: 10_000,
});

export const LOG_PAGE_LIMIT = 200;
const LOGS_PAUSE_MILLIS = 3_000;

function logPage(
  path: string,
  query: URLSearchParams,
  before: string | null,
  signal: AbortSignal,
): Promise<LogPage> {
  const parameters = new URLSearchParams(query);
  parameters.set('limit', String(LOG_PAGE_LIMIT));
  if (before !== null) parameters.set('before', before);
  return getJson<LogPage>(`${path}?${parameters}`, signal);
}

/** Pages of log records, newest first. `query` is built when asked, since relative ranges end now. */
export function logs(key: string, query: () => URLSearchParams) {
  return infiniteQueryOptions({
    queryKey: ['logs', key],
    queryFn: ({ pageParam, signal }) => logPage('/logs', query(), pageParam, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
    placeholderData: keepPreviousData,
    refetchOnWindowFocus: false,
  });
}

/** One log record with all of its body and attributes: lists have the beginning of long ones. */
export function wholeLog(log: LogRecord) {
  return queryOptions({
    queryKey: ['log', log.id],
    queryFn: ({ signal }) => getJson<LogRecord>(`/logs/${part(log.id)}`, signal),
    placeholderData: log,
    staleTime: Infinity,
  });
}

/** Pages of the log records of a span, or of the whole trace, newest first. */
export function traceLogs(traceId: string, spanId: string | null, isRunning: boolean) {
  const query = new URLSearchParams(spanId === null ? {} : { span_id: spanId });
  return infiniteQueryOptions({
    queryKey: ['trace logs', traceId, spanId],
    queryFn: ({ pageParam, signal }) =>
      logPage(`/traces/${part(traceId)}/logs`, query, pageParam, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
    refetchOnWindowFocus: false,
    refetchInterval: isRunning ? LOGS_PAUSE_MILLIS : false,
  });
}

/** The metrics that a query string asks for. */
export function metrics(query: URLSearchParams) {
  return queryOptions({
    queryKey: ['metrics', query.toString()],
    queryFn: ({ signal }) => getJson<MetricList>(`/metrics?${query}`, signal),
    placeholderData: keepPreviousData,
    refetchInterval: 10_000,
  });
}

/**
 * The series of a metric. `query` is built when asked, since relative ranges end now: `isMoving` asks
 * again in a while, so that a chart moves on also where nothing comes.
 */
export function metricSeries(key: string, query: () => URLSearchParams, isMoving: boolean) {
  return queryOptions({
    queryKey: ['metric series', key],
    queryFn: ({ signal }) => getJson<MetricAnswer>(`/metrics/series?${query()}`, signal),
    refetchOnWindowFocus: false,
    refetchInterval: isMoving ? 15_000 : false,
  });
}

export const runs = queryOptions({
  queryKey: ['runs'],
  queryFn: ({ signal }) => getJson<RunList>('/runs', signal),
  // The stream tells what happens; that nothing happens any more only shows when asked.
  refetchInterval: 15_000,
});

export function run(runId: string) {
  return queryOptions({
    queryKey: ['run', runId],
    queryFn: ({ signal }) => getJson<RunView>(`/runs/${part(runId)}`, signal),
    refetchInterval: ({ state }) => {
      // A run that is not here may be about to begin.
      if (state.data === undefined) return state.error === null ? false : MISSING_PAUSE_MILLIS;
      // Only a net below the live stream.
      return state.data.summary.state === 'running' ? 10_000 : false;
    },
  });
}

/** Curves by name, each reduced by the server to at most `maxPoints` buckets. */
export function runSeries(runId: string, names: readonly string[], maxPoints: number) {
  return queryOptions({
    queryKey: ['series', runId, maxPoints, ...names],
    queryFn: async ({ signal }) => {
      const query = new URLSearchParams(names.map((name) => ['name', name]));
      query.set('max_points', String(maxPoints));
      const answer = await getJson<{ series: Series[] }>(
        `/runs/${part(runId)}/series?${query}`,
        signal,
      );
      return answer.series;
    },
    enabled: names.length > 0,
    placeholderData: keepPreviousData,
  });
}

export const BATCH_PAGE = 200;

export function batches(runId: string, epochSpanId: string) {
  return infiniteQueryOptions({
    queryKey: ['batches', runId, epochSpanId],
    queryFn: ({ pageParam, signal }) =>
      getJson<{ total: number; batches: Batch[] }>(
        `/runs/${part(runId)}/epochs/${part(epochSpanId)}/batches?offset=${pageParam}&limit=${BATCH_PAGE}`,
        signal,
      ),
    initialPageParam: 0,
    getNextPageParam: (page, pages) => {
      const loaded = pages.reduce((sum, { batches: some }) => sum + some.length, 0);
      return page.batches.length > 0 && loaded < page.total ? loaded : null;
    },
  });
}
