/** The page that finds log records, newest first. */
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useCallback, useMemo, useState } from 'react';
import type { LogRecord } from '../api/contract';
import { logs as logsQuery, logServices, serverStatus } from '../api/queries';
import { useFollowing } from '../api/use_following';
import { assignColors, colorToken } from '../app/colors';
import { useTitle } from '../widgets/hooks';
import { LiveSwitch } from '../widgets/LiveSwitch';
import { ColorDot } from '../widgets/marks';
import { CodeBlock, DamageNote, EmptyState, ErrorState, Skeleton } from '../widgets/messages';
import { Combo, Pick } from '../widgets/Picker';
import { TextFilter } from '../widgets/TextFilter';
import { isOpenEnded, type UrlParameters } from '../widgets/time_range';
import { CustomRange, RangePick } from '../widgets/TimeRangeFields';
import {
  isFiltered,
  liveLogsPath,
  logFiltersFromUrl,
  logFiltersToUrl,
  logQuery,
  NO_LOG_FILTERS,
  type LogFilters,
} from './log_filters';
import { LogList } from './LogList';
import { LEVELS, type Level } from './severity';
import './logs.css';

interface FilterProps {
  filters: LogFilters;
  onChange: (next: Partial<LogFilters>) => void;
}

export function LogsPage() {
  useTitle('Logs');
  const url = useSearch({ strict: false }) as UrlParameters;
  const filters = useMemo(() => logFiltersFromUrl(url), [url]);
  const navigate = useNavigate();
  const change = useCallback(
    (next: Partial<LogFilters>) => {
      void navigate({
        to: '/logs',
        search: logFiltersToUrl({ ...filters, ...next }),
        replace: true,
      });
    },
    [filters, navigate],
  );
  return (
    <div className="logs-page">
      <h1 className="visually-hidden">Logs</h1>
      <LogFilterForm filters={filters} onChange={change} />
      <FoundLogs filters={filters} onChange={change} />
    </div>
  );
}

function LogFilterForm({ filters, onChange }: FilterProps) {
  const { data: known } = useQuery(logServices);
  const choices = useMemo(() => {
    const places = assignColors(known ?? []);
    return (known ?? []).map((name) => ({
      id: name,
      label: name,
      mark: <ColorDot color={colorToken(places.get(name))} />,
    }));
  }, [known]);
  return (
    <search className="filters">
      <div className="filter-row logs-filters">
        <TextFilter
          placeholder="Text in what was said, or a trace id"
          value={filters.text}
          onChange={(text) => onChange({ text })}
        />
        <Combo
          label="Service"
          placeholder="All services"
          choices={choices}
          value={filters.service}
          onChange={(service) => onChange({ service })}
        />
        <Pick
          label="Severity"
          choices={[
            { id: 'all', label: 'All' },
            ...LEVELS.map(({ level }) => ({
              id: level,
              label: level,
              note: level === 'fatal' ? '' : 'and above',
            })),
          ]}
          value={filters.level === '' ? 'all' : filters.level}
          onChange={(level) => onChange({ level: level === 'all' ? '' : (level as Level) })}
        />
        <RangePick range={filters} onChange={onChange} />
        <LiveSwitch live={filters.live} onChange={(live) => onChange({ live })} />
      </div>
      {filters.range === 'custom' && <CustomRange range={filters} onChange={onChange} />}
    </search>
  );
}

function FoundLogs({ filters, onChange }: FilterProps) {
  // Who is at work in the list must not have it moved.
  const [isAtRest, setAtRest] = useState(true);
  const key = JSON.stringify(logFiltersToUrl({ ...filters, live: true }));
  const follow = filters.live && isAtRest && isOpenEnded(filters);
  const query = useInfiniteQuery(logsQuery(key, () => logQuery(filters, Date.now())));
  // More than one page is not moved under the reader.
  const canFollow = follow && (query.data?.pages.length ?? 1) <= 1;
  useFollowing(canFollow ? liveLogsPath(filters) : null, 'logs', () =>
    query.refetch({ cancelRefetch: false }),
  );
  const found = useMemo(() => query.data?.pages.flatMap((page) => page.logs) ?? [], [query.data]);
  const isTruncated = query.data?.pages.some((page) => page.truncated) ?? false;
  const colors = useServiceColors(found);

  if (query.error !== null && found.length === 0) {
    return <ErrorState error={query.error} onRetry={() => void query.refetch()} />;
  }
  if (query.isPending) return <LogsSkeleton />;
  if (found.length === 0) {
    return (
      <>
        <DamageNote answers={query.data?.pages} />
        <NothingFound filters={filters} onChange={onChange} isTruncated={isTruncated} />
      </>
    );
  }
  return (
    <>
      <DamageNote answers={query.data?.pages} />
      <LogList
        key={key}
        logs={found}
        colors={colors}
        isTruncated={isTruncated}
        isStale={query.isPlaceholderData}
        hasMore={query.hasNextPage}
        isLoadingMore={query.isFetchingNextPage}
        onMore={() => void query.fetchNextPage()}
        onRest={setAtRest}
      />
    </>
  );
}

/** Colours of all services that said something, as CSS values. */
function useServiceColors(found: readonly LogRecord[]): (service: string) => string {
  const { data } = useQuery(logServices);
  const names = new Set([...(data ?? []), ...found.map(({ service }) => service)]);
  const key = [...names].toSorted().join('\n');
  return useMemo(() => {
    const places = assignColors(key.split('\n'));
    return (service: string) => colorToken(places.get(service));
  }, [key]);
}

function NothingFound({ filters, onChange, isTruncated }: FilterProps & { isTruncated: boolean }) {
  const { data: status } = useQuery(serverStatus);
  if (status?.log_records === 0) return <FirstLog otlpHttp={status.endpoints.otlp_http} />;
  return (
    <EmptyState title="No log record matches">
      {isTruncated && (
        <p className="error-text">
          The search reached its limit before it had looked at everything. Choose a service or a
          shorter time.
        </p>
      )}
      <p>Loosen a filter or widen the time range. Text is looked for in what was said.</p>
      <div style={{ display: 'flex', gap: 8 }}>
        {filters.range !== 'all' && (
          <button
            type="button"
            className="button"
            onClick={() => onChange({ range: 'all', from: null, to: null })}
          >
            Search all time
          </button>
        )}
        {isFiltered(filters) && (
          <button
            type="button"
            className="button"
            onClick={() =>
              onChange({ ...NO_LOG_FILTERS, range: filters.range, live: filters.live })
            }
          >
            Clear filters
          </button>
        )}
      </div>
    </EmptyState>
  );
}

function FirstLog({ otlpHttp }: { otlpHttp: string }) {
  return (
    <EmptyState title="No log records yet">
      <p>
        Point the OTLP exporter of any OpenTelemetry SDK or collector at this server. Log records
        that were said within a span also appear beside it, on the page of its trace.
      </p>
      <CodeBlock
        label="Environment of the program"
        text={`OTEL_EXPORTER_OTLP_ENDPOINT=http://${otlpHttp}`}
      />
    </EmptyState>
  );
}

function LogsSkeleton() {
  return (
    <div className="logs" aria-label="Loading logs" aria-busy="true">
      {Array.from({ length: 14 }, (_, index) => (
        <div className="log-skeleton" key={`row ${index}`}>
          <Skeleton width={`${30 + ((index * 37) % 50)}%`} />
        </div>
      ))}
    </div>
  );
}
