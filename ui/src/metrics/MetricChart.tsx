/** The series of the chosen metric as a chart, with a legend that says what each is. */
import { useQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { ToggleButton } from 'react-aria-components';
import type { MetricAnswer, MetricInfo } from '../api/contract';
import { metricSeries } from '../api/queries';
import { useFollowing } from '../api/use_following';
import { formatDuration } from '../format/duration';
import { formatCount, formatPlural, formatValue } from '../format/number';
import { CurveChart, type ChartLine } from '../runs/CurveChart';
import { ColorDot } from '../widgets/marks';
import { DamageNote, EmptyState, ErrorState, Skeleton } from '../widgets/messages';
import { Segments } from '../widgets/Picker';
import { isOpenEnded } from '../widgets/time_range';
import {
  KINDS,
  liveMetricPath,
  metricFiltersToUrl,
  seriesQuery,
  type MetricFilters,
} from './metric_filters';
import { choicesOf, linesOf, QUANTILES, unitText, type Choice } from './metric_lines';
import '../runs/runs.css';

const HEIGHT = 360;
/** All of the range is asked for each time. */
const PAUSE_MILLIS = 2_000;
const NO_MARKS: never[] = [];

interface ChartProps {
  filters: MetricFilters;
  /** What the list says of the metric; null where it is not in the list. */
  listed: MetricInfo | null;
  onChange: (next: Partial<MetricFilters>) => void;
}

export function MetricChart({ filters, listed, onChange }: ChartProps) {
  const isRate = isShownAsRate(listed, filters.show);
  const isMoving = isOpenEnded(filters);
  const key = JSON.stringify(metricFiltersToUrl({ ...filters, text: '', show: '' }));
  const query = useQuery(
    metricSeries(`${key} ${isRate}`, () => seriesQuery(filters, isRate, Date.now()), isMoving),
  );
  const ask = () => query.refetch({ cancelRefetch: false });
  useFollowing(isMoving ? liveMetricPath(filters) : null, 'metrics', ask, PAUSE_MILLIS);
  const metric = query.data?.metric ?? listed;
  const curves = useMemo(() => curveNames(query.data), [query.data]);
  const shown = metric === null ? '' : shownOf(metric, curves, isRate ? 'rate' : filters.show);
  const lines = useMemo(() => linesOf(query.data?.series ?? [], shown), [query.data, shown]);
  return (
    <section className="card chart-card metric-chart" aria-label={filters.metric}>
      <ChartHead
        metric={metric}
        name={filters.metric}
        shown={shown}
        choices={metric === null ? [] : choicesOf(metric, curves)}
        onShow={(show) => onChange({ show })}
      />
      <DamageNote answers={[query.data]} />
      {query.error !== null && query.data === undefined ? (
        <ErrorState error={query.error} onRetry={() => void query.refetch()} />
      ) : query.data === undefined ? (
        <Skeleton width="100%" height={HEIGHT} />
      ) : lines.length === 0 ? (
        <NoPoints filters={filters} onChange={onChange} />
      ) : (
        <SeriesChart answer={query.data} title={filters.metric} shown={shown} lines={lines} />
      )}
    </section>
  );
}

function curveNames(answer: MetricAnswer | undefined): string[] {
  const names = answer?.series.flatMap(({ curves }) => curves.map(({ name }) => name)) ?? [];
  return [...new Set(names)];
}

/** Whether to ask for rates, which the server must know: what suits a sum, or what was chosen. */
function isShownAsRate(listed: MetricInfo | null, chosen: string): boolean {
  if (listed !== null && listed.kind !== 'sum') return false;
  return chosen === '' ? listed?.is_monotonic === true : chosen === 'rate';
}

/** What is drawn: what the reader chose, where the metric has it, or what suits it best. */
function shownOf(metric: MetricInfo, curves: string[], chosen: string): string {
  const ids = choicesOf(metric, curves).map(({ id }) => id);
  const drawable = metric.kind === 'sum' ? ids.filter((id) => curves.includes(id)) : ids;
  return drawable.find((id) => id === chosen) ?? drawable[0] ?? '';
}

interface HeadProps {
  metric: MetricInfo | null;
  name: string;
  shown: string;
  choices: Choice[];
  onShow: (shown: string) => void;
}

function ChartHead({ metric, name, shown, choices, onShow }: HeadProps) {
  const kind = KINDS.find((one) => one.kind === metric?.kind)?.label;
  const unit = unitText(metric?.unit ?? null, shown);
  return (
    <div className="card-head">
      <div className="metric-title">
        <h2>{name}</h2>
        <span className="faint">
          {[kind, metric?.temporality, unit].filter(Boolean).join(' · ')}
        </span>
        {metric?.description ? <p>{metric.description}</p> : null}
      </div>
      <span className="shell-space" />
      {choices.length > 1 && (
        <div className="chart-settings">
          <Segments label="Shown" choices={choices} value={shown} onChange={onShow} />
        </div>
      )}
    </div>
  );
}

interface SeriesProps {
  answer: MetricAnswer;
  title: string;
  shown: string;
  lines: ChartLine[];
}

function SeriesChart({ answer, title, shown, lines }: SeriesProps) {
  const [logY, setLogY] = useState(false);
  // A summary has its quantiles at each point, not of a step.
  const isOfStep = answer.metric?.kind !== 'summary' || shown === 'count' || shown === 'sum';
  return (
    <>
      <CurveChart
        title={title}
        height={HEIGHT}
        lines={lines}
        marks={NO_MARKS}
        axis="wall"
        logY={logY}
      />
      <div className="metric-legend">
        <p className="faint">
          {answer.total_series > answer.series.length
            ? `The first ${formatCount(answer.series.length)} of ${formatPlural(answer.total_series, 'series', 'series')}. Choose a service or an attribute to see others.`
            : formatPlural(answer.total_series, 'series', 'series')}
          {isOfStep && answer.step_nano !== null && (
            <>
              {' '}
              · {shown === QUANTILES ? 'values' : shown} of {formatDuration(answer.step_nano)} each
            </>
          )}
        </p>
        <span className="shell-space" />
        <ToggleButton className="button small" isSelected={logY} onChange={setLogY}>
          Log y
        </ToggleButton>
      </div>
      <ul className="legend number metric-lines">
        {lines.map((line) => (
          <li key={line.name}>
            <ColorDot color={`var(${line.color})`} />
            <span className="ellipsis" title={line.name}>
              {line.name}
            </span>
            <strong>{formatValue(lastOf(line))}</strong>
          </li>
        ))}
      </ul>
    </>
  );
}

/** The last value, finite or not. */
function lastOf(line: ChartLine) {
  const branch = line.branches.at(-1);
  const bad = branch?.nonFinite.at(-1);
  const at = branch?.x.at(-1);
  if (bad !== undefined && bad.x === at) return bad.value;
  return branch?.last.findLast((value) => value !== null) ?? null;
}

function NoPoints({ filters, onChange }: Omit<ChartProps, 'listed'>) {
  return (
    <EmptyState title="No points">
      <p>Nothing was measured in this time, or no series has this service and these attributes.</p>
      <div className="metric-actions">
        {filters.range !== 'all' && (
          <button
            type="button"
            className="button"
            onClick={() => onChange({ range: 'all', from: null, to: null })}
          >
            Show all time
          </button>
        )}
        {filters.tags.length > 0 && (
          <button type="button" className="button" onClick={() => onChange({ tags: [] })}>
            Clear attributes
          </button>
        )}
      </div>
    </EmptyState>
  );
}
