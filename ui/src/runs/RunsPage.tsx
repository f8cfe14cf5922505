/** All training runs, newest first, each with where it is and how its loss goes. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useMemo } from 'react';
import type { RunSummary } from '../api/contract';
import { useLive } from '../api/live';
import { runs as runsQuery, runSeries, serverStatus } from '../api/queries';
import { endpointUrl, trainingProgram } from '../examples/examples';
import { formatDuration } from '../format/duration';
import { formatCount, formatPlural, formatValue, toNumber } from '../format/number';
import { formatAgo, formatExact, formatTimestamp } from '../format/time';
import { useNow, useTitle, useVisible } from '../widgets/hooks';
import { LiveMark } from '../widgets/LiveMark';
import { StateBadge } from '../widgets/marks';
import { CodeBlock, DamageNote, EmptyState, ErrorState, Skeleton } from '../widgets/messages';
import { Sparkline } from '../widgets/Sparkline';
import { ProgressBar } from './ProgressBar';
import { mergeRuns } from './merge_runs';
import { epochShare, epochText, runDuration } from './progress';
import './runs.css';

export function RunsPage() {
  useTitle('Runs');
  const client = useQueryClient();
  const { data, error, refetch } = useQuery(runsQuery);
  const live = useLive(
    '/live/runs',
    ['runs'],
    (_, event) => {
      const changed = (event as { runs?: RunSummary[] } | null)?.runs ?? [];
      client.setQueryData(
        runsQuery.queryKey,
        (old) => old && { ...old, runs: mergeRuns(old.runs, changed) },
      );
    },
    () => void refetch(),
  );
  if (error !== null && data === undefined) {
    return <ErrorState error={error} onRetry={() => void refetch()} />;
  }
  return (
    <div className="runs-page">
      <div className="page-head">
        <h1>Training runs</h1>
        {data && data.runs.length > 0 && (
          <span className="muted number">{formatPlural(data.runs.length, 'run')}</span>
        )}
        <LiveMark live={live} />
      </div>
      <DamageNote answers={[data]} />
      {data === undefined ? (
        <RunsSkeleton />
      ) : data.runs.length === 0 ? (
        <FirstRun />
      ) : (
        <RunsTable runs={data.runs} />
      )}
    </div>
  );
}

function RunsTable({ runs }: { runs: RunSummary[] }) {
  const now = useNow(1_000);
  return (
    <div className="card table-card">
      <table className="data-table number">
        <thead>
          <tr>
            <th scope="col">Run</th>
            <th scope="col">State</th>
            <th scope="col">Epoch</th>
            <th scope="col" className="numeric">
              Batches
            </th>
            <th scope="col">Loss</th>
            <th scope="col" className="numeric">
              Last
            </th>
            <th scope="col" className="numeric">
              Validation
            </th>
            <th scope="col" className="numeric">
              Best
            </th>
            <th scope="col" className="numeric">
              Errors
            </th>
            <th scope="col">Started</th>
            <th scope="col" className="numeric">
              Duration
            </th>
          </tr>
        </thead>
        <tbody>
          {runs.map((run) => (
            <RunRow key={run.run_id} run={run} now={now} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function RunRow({ run, now }: { run: RunSummary; now: bigint }) {
  const share = epochShare(run);
  const isBad = [run.last_loss, run.last_train_loss, run.last_val_loss].some(isNonFinite);
  return (
    <tr className="run-row">
      <td>
        <Link to="/runs/$runId" params={{ runId: run.run_id }} className="run-link">
          <strong>{run.service_name}</strong>
          <span className="faint ellipsis">
            {[run.environment, run.host, run.pid && `pid ${run.pid}`].filter(Boolean).join(' · ') ||
              run.run_id}
          </span>
        </Link>
      </td>
      <td>
        <StateBadge state={run.state} />
      </td>
      <td className="epoch-cell">
        {epochText(run)}
        {share !== null && <ProgressBar share={share} />}
      </td>
      <td className="numeric">{formatCount(run.batch_count)}</td>
      <td>
        <LossSparkline run={run} />
      </td>
      <td className={isBad ? 'numeric error-text' : 'numeric'}>
        {formatValue(run.last_loss ?? run.last_train_loss)}
      </td>
      <td className="numeric">{formatValue(run.last_val_loss)}</td>
      <td className="numeric">{formatValue(run.best_val_loss)}</td>
      <td className="numeric">
        {run.error_count > 0 ? (
          <span className="badge error">{formatCount(run.error_count)}</span>
        ) : (
          <span className="faint">0</span>
        )}
      </td>
      <td className="started-cell" title={formatExact(run.start_unix_nano)}>
        {formatTimestamp(run.start_unix_nano, now)}
        <span className="faint">{formatAgo(run.start_unix_nano, now)}</span>
      </td>
      <td className="numeric">{formatDuration(runDuration(run, now))}</td>
    </tr>
  );
}

function isNonFinite(value: RunSummary['last_loss']): boolean {
  const number = toNumber(value);
  return number !== null && !Number.isFinite(number);
}

const SPARKLINE_POINTS = 48;

/** The loss in little, asked for once the row is in view and as the run moves on. */
function LossSparkline({ run }: { run: RunSummary }) {
  const [box, isVisible] = useVisible<HTMLSpanElement>();
  const names = useMemo(() => ['loss', 'train_loss'], []);
  const { data } = useQuery({
    ...runSeries(run.run_id, names, SPARKLINE_POINTS),
    enabled: isVisible,
    refetchInterval: run.state === 'running' ? 3_000 : false,
  });
  const series =
    data?.find(({ name, points }) => name === 'loss' && points.length > 1) ??
    data?.find(({ points }) => points.length > 1);
  return (
    <span ref={box} className="sparkline-box">
      {series && (
        <Sparkline
          values={series.points.map((point) => toNumber(point.last))}
          label={`Loss of ${run.service_name}, last ${formatValue(run.last_loss)}`}
        />
      )}
    </span>
  );
}

function FirstRun() {
  const { data: status } = useQuery(serverStatus);
  return (
    <EmptyState title="No training run yet">
      <p>
        A run appears as soon as a program sends spans named <code>training_epoch</code>,{' '}
        <code>batch_processing</code> or <code>validation</code>. Numbers on them, such as{' '}
        <code>loss</code>, become curves.
      </p>
      {status && (
        <CodeBlock
          label="A traced training loop"
          text={trainingProgram(endpointUrl(status.endpoints.otlp_http, window.location.hostname))}
        />
      )}
    </EmptyState>
  );
}

function RunsSkeleton() {
  return (
    <div className="card table-card" aria-busy="true" aria-label="Loading runs">
      {Array.from({ length: 5 }, (_, index) => (
        <p key={`row ${index}`} style={{ padding: 14 }}>
          <Skeleton width={`${80 - index * 8}%`} />
        </p>
      ))}
    </div>
  );
}
