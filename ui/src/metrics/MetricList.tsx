/** The metrics to choose from. */
import type { Metric } from '../api/contract';
import { formatCount, formatPlural } from '../format/number';
import { formatAgo } from '../format/time';
import { useNow } from '../widgets/hooks';
import { KINDS } from './metric_filters';
import { unitText } from './metric_lines';

interface MetricListProps {
  metrics: readonly Metric[];
  total: number;
  chosen: { metric: string; kind: string };
  onChoose: (metric: Metric) => void;
}

export function MetricList({ metrics, total, chosen, onChoose }: MetricListProps) {
  const now = useNow(10_000);
  return (
    <section className="metric-list" aria-label="Metrics">
      <h2 className="metric-list-head">{formatPlural(total, 'metric')}</h2>
      <ul className="metric-list-scroll">
        {metrics.map((metric) => (
          <li key={`${metric.kind} ${metric.name}`}>
            <Item
              metric={metric}
              isCurrent={isChosen(metric, chosen)}
              now={now}
              onChoose={onChoose}
            />
          </li>
        ))}
      </ul>
      {total > metrics.length && (
        <p className="panel-note faint">
          The first {formatCount(metrics.length)} are listed. Search for the others.
        </p>
      )}
    </section>
  );
}

interface ItemProps extends Pick<MetricListProps, 'onChoose'> {
  metric: Metric;
  isCurrent: boolean;
  now: bigint;
}

function Item({ metric, isCurrent, now, onChoose }: ItemProps) {
  const unit = unitText(metric.unit, 'value');
  return (
    <button
      type="button"
      className="metric-item"
      aria-current={isCurrent ? 'true' : undefined}
      title={metric.description ?? ''}
      onClick={() => onChoose(metric)}
    >
      <strong className="ellipsis">{metric.name}</strong>
      <span className="metric-note">
        <span>{KINDS.find(({ kind }) => kind === metric.kind)?.label}</span>
        {unit !== '' && <span>{unit}</span>}
        <span className="ellipsis">{metric.services.join(', ')}</span>
        <time className="number">{formatAgo(metric.last_seen_unix_nano, now)}</time>
      </span>
    </button>
  );
}

/** A link without a kind means the metric of that name, of whatever kind. */
function isChosen({ name, kind }: Metric, chosen: MetricListProps['chosen']): boolean {
  return name === chosen.metric && (chosen.kind === '' || chosen.kind === kind);
}
