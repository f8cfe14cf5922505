/** The page of metrics: what is measured on the left, the series of one metric on the right. */
import { useQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useCallback, useMemo } from 'react';
import type { MetricList as Listed } from '../api/contract';
import { metrics, serverStatus } from '../api/queries';
import { assignColors, colorToken } from '../app/colors';
import { TagField } from '../search/TagField';
import { useTitle } from '../widgets/hooks';
import { ColorDot } from '../widgets/marks';
import { CodeBlock, DamageNote, EmptyState, ErrorState, Skeleton } from '../widgets/messages';
import { Combo } from '../widgets/Picker';
import { TextFilter } from '../widgets/TextFilter';
import type { UrlParameters } from '../widgets/time_range';
import { CustomRange, RangePick } from '../widgets/TimeRangeFields';
import {
  listQuery,
  metricFiltersFromUrl,
  metricFiltersToUrl,
  NO_METRIC_FILTERS,
  type MetricFilters,
} from './metric_filters';
import { MetricChart } from './MetricChart';
import { MetricList } from './MetricList';
import './metrics.css';

interface FilterProps {
  filters: MetricFilters;
  onChange: (next: Partial<MetricFilters>) => void;
}

export function MetricsPage() {
  const url = useSearch({ strict: false }) as UrlParameters;
  const filters = useMemo(() => metricFiltersFromUrl(url), [url]);
  useTitle(filters.metric === '' ? 'Metrics' : filters.metric);
  const navigate = useNavigate();
  const change = useCallback(
    (next: Partial<MetricFilters>) => {
      void navigate({
        to: '/series',
        search: metricFiltersToUrl({ ...filters, ...next }),
        replace: true,
      });
    },
    [filters, navigate],
  );
  const query = useQuery(metrics(listQuery(filters)));
  return (
    <div className="metrics-page">
      <h1 className="visually-hidden">Metrics</h1>
      <MetricFilterForm filters={filters} onChange={change} />
      <DamageNote answers={[query.data]} />
      {query.error !== null && query.data === undefined ? (
        <ErrorState error={query.error} onRetry={() => void query.refetch()} />
      ) : query.data === undefined ? (
        <div className="metrics-body" aria-label="Loading metrics" aria-busy="true">
          <Skeleton width="100%" height={320} />
        </div>
      ) : (
        <FoundMetrics filters={filters} onChange={change} found={query.data} />
      )}
    </div>
  );
}

const EVERYTHING = listQuery(NO_METRIC_FILTERS);

function MetricFilterForm({ filters, onChange }: FilterProps) {
  const { data: all } = useQuery(metrics(EVERYTHING));
  const choices = useMemo(() => {
    const names = [...new Set(all?.metrics.flatMap(({ services }) => services) ?? [])].toSorted();
    const places = assignColors(names);
    return names.map((name) => ({
      id: name,
      label: name,
      mark: <ColorDot color={colorToken(places.get(name))} />,
    }));
  }, [all]);
  return (
    <search className="filters">
      <div className="filter-row metric-filters">
        <TextFilter
          placeholder="Part of a metric's name"
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
        <TagField tags={filters.tags} onChange={(tags) => onChange({ tags })} />
        <RangePick range={filters} onChange={onChange} />
      </div>
      {filters.range === 'custom' && <CustomRange range={filters} onChange={onChange} />}
    </search>
  );
}

function FoundMetrics({ filters, onChange, found }: FilterProps & { found: Listed }) {
  if (found.total === 0 && filters.metric === '') {
    return <NothingFound filters={filters} onChange={onChange} />;
  }
  const listed = found.metrics.find(
    ({ name, kind }) => name === filters.metric && (filters.kind === '' || kind === filters.kind),
  );
  return (
    <div className="metrics-body">
      <MetricList
        metrics={found.metrics}
        total={found.total}
        chosen={filters}
        onChoose={({ name, kind }) => onChange({ metric: name, kind, show: '', tags: [] })}
      />
      {filters.metric === '' ? (
        <EmptyState title="Choose a metric">
          <p>Its series are drawn here, one line for each set of attributes.</p>
        </EmptyState>
      ) : (
        <MetricChart
          key={`${filters.kind} ${filters.metric}`}
          filters={filters}
          listed={listed ?? null}
          onChange={onChange}
        />
      )}
    </div>
  );
}

function NothingFound({ filters, onChange }: FilterProps) {
  const { data: status } = useQuery(serverStatus);
  if (status?.metric_points === 0) return <FirstMetric otlpHttp={status.endpoints.otlp_http} />;
  return (
    <EmptyState title="No metric matches">
      <p>No metric of this service has this text in its name.</p>
      <button
        type="button"
        className="button"
        onClick={() => onChange({ ...NO_METRIC_FILTERS, range: filters.range })}
      >
        Clear filters
      </button>
    </EmptyState>
  );
}

function FirstMetric({ otlpHttp }: { otlpHttp: string }) {
  return (
    <EmptyState title="No metrics yet">
      <p>
        Point the OTLP metric exporter of any OpenTelemetry SDK or collector at this server. Gauges,
        sums, histograms and summaries are taken, and every point of them is kept.
      </p>
      <CodeBlock
        label="Environment of the program"
        text={`OTEL_EXPORTER_OTLP_ENDPOINT=http://${otlpHttp}`}
      />
    </EmptyState>
  );
}
