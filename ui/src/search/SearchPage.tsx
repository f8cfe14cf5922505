/** The page that finds traces: filters, a strip of durations over time, and the live list. */
import { useQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useCallback, useMemo, useState } from 'react';
import type { TraceSummary } from '../api/contract';
import { serverStatus, services } from '../api/queries';
import { assignColors, colorToken } from '../app/colors';
import { useTitle } from '../widgets/hooks';
import { DamageNote, EmptyState, ErrorState } from '../widgets/messages';
import type { UrlParameters } from '../widgets/time_range';
import { DurationStrip } from './DurationStrip';
import { FilterForm } from './FilterForm';
import {
  filtersFromUrl,
  filtersToUrl,
  isFiltered,
  NO_FILTERS,
  type SearchFilters,
} from './filters';
import { FirstTrace } from './FirstTrace';
import { ResultList, ResultSkeleton } from './ResultList';
import { useTraceResults } from './use_trace_results';
import './search.css';

export function SearchPage() {
  useTitle('Traces');
  const url = useSearch({ strict: false }) as UrlParameters;
  const filters = useMemo(() => filtersFromUrl(url), [url]);
  const navigate = useNavigate();
  const change = useCallback(
    (next: Partial<SearchFilters>) => {
      void navigate({ to: '/', search: filtersToUrl({ ...filters, ...next }), replace: true });
    },
    [filters, navigate],
  );
  return (
    <div className="search-page">
      <h1 className="visually-hidden">Traces</h1>
      <FilterForm filters={filters} onChange={change} />
      <Results filters={filters} onChange={change} />
    </div>
  );
}

interface ResultsProps {
  filters: SearchFilters;
  onChange: (next: Partial<SearchFilters>) => void;
}

function Results({ filters, onChange }: ResultsProps) {
  const [atTop, setAtTop] = useState(true);
  const results = useTraceResults(filters, atTop);
  const { data: status } = useQuery(serverStatus);
  const serviceColors = useServiceColors(results.shown);

  if (results.error !== null && results.shown.length === 0) {
    return <ErrorState error={results.error} onRetry={results.refetch} />;
  }
  if (results.isLoading) return <ResultSkeleton />;
  if (results.shown.length === 0) {
    if (!isFiltered(filters) && status?.spans === 0) return <FirstTrace status={status} />;
    return (
      <>
        <DamageNote answers={results.pages} />
        <NothingFound filters={filters} onChange={onChange} isTruncated={results.isTruncated} />
      </>
    );
  }
  return (
    <>
      <DamageNote answers={results.pages} />
      <DurationStrip
        traces={results.shown}
        serviceColors={serviceColors}
        onRange={(from, to) => onChange({ range: 'custom', from, to })}
      />
      <ResultList results={results} serviceColors={serviceColors} onAtTop={setAtTop} />
    </>
  );
}

/** Colours of all services that the server knows or that just arrived, as CSS values. */
function useServiceColors(shown: readonly TraceSummary[]): (service: string) => string {
  const { data } = useQuery(services);
  const names = new Set((data ?? []).map(({ name }) => name));
  for (const trace of shown) {
    names.add(trace.root_service);
    for (const service of trace.services) names.add(service.name);
  }
  const key = [...names].toSorted().join('\n');
  return useMemo(() => {
    const places = assignColors(key.split('\n'));
    return (service: string) => colorToken(places.get(service));
  }, [key]);
}

function NothingFound({ filters, onChange, isTruncated }: ResultsProps & { isTruncated: boolean }) {
  return (
    <EmptyState title="No trace matches">
      {isTruncated && (
        <p className="error-text">
          The search reached its limit before it had looked at everything. Choose a service or a
          shorter time.
        </p>
      )}
      <p>
        {filters.range === 'all'
          ? 'Loosen a filter. Text is looked for in span names, attribute values and status messages.'
          : 'Loosen a filter or widen the time range. New traces that match appear here by themselves.'}
      </p>
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
            onClick={() => onChange({ ...NO_FILTERS, range: filters.range, live: filters.live })}
          >
            Clear filters
          </button>
        )}
      </div>
    </EmptyState>
  );
}
