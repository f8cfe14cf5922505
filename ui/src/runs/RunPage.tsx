/** One training run: how far it is, its curves, its epochs, and what went wrong. */
import { useQuery } from '@tanstack/react-query';
import { Link, useParams } from '@tanstack/react-router';
import { ApiError } from '../api/client';
import type { Live } from '../api/live';
import type { RunError, RunSummary, RunView } from '../api/contract';
import { archiveRun, run as runQuery } from '../api/queries';
import { formatDuration } from '../format/duration';
import { formatCount, formatPlural, formatValue } from '../format/number';
import { formatClock, formatExact, formatTimestamp } from '../format/time';
import { AttributeTable } from '../attributes/AttributeTable';
import { CopyButton } from '../widgets/CopyButton';
import { useNow, useTitle } from '../widgets/hooks';
import { KeepButton } from '../widgets/KeepButton';
import { LiveMark } from '../widgets/LiveMark';
import { StateBadge } from '../widgets/marks';
import { DamageNote, EmptyState, ErrorState, Skeleton } from '../widgets/messages';
import { EpochTable } from './EpochTable';
import { PhaseList } from './PhaseList';
import { epochShare, epochText, runDuration } from './progress';
import { RunCharts } from './RunCharts';
import { ProgressBar } from './ProgressBar';
import { useRunLive } from './use_run_live';
import './runs.css';

export function RunPage() {
  const { runId } = useParams({ from: '/runs/$runId' });
  const { data, error, refetch } = useQuery(runQuery(runId));
  const live = useRunLive(runId, data !== undefined);
  useTitle(data ? `${data.summary.service_name} run` : 'Run');
  if (data === undefined) {
    if (error instanceof ApiError && error.code === 'run_not_found') {
      return (
        <EmptyState title="This run is not here">
          <p>
            No span of run <span className="code">{runId}</span> has been received.
          </p>
          <Link to="/runs" className="button">
            All runs
          </Link>
        </EmptyState>
      );
    }
    return error === null ? (
      <RunSkeleton />
    ) : (
      <ErrorState error={error} onRetry={() => void refetch()} />
    );
  }
  return (
    <div className="run-page">
      <RunHeader view={data} live={live} />
      <DamageNote answers={[data]} />
      <ErrorStrip errors={data.errors} />
      <RunCharts view={data} />
      <div className="run-columns">
        <EpochTable runId={runId} epochs={data.epochs} />
        <div className="run-side">
          <PhaseList phases={data.phases} runStart={data.summary.start_unix_nano} />
          <section className="card" aria-label="Parameters">
            <div className="card-head">
              <h2>Parameters</h2>
            </div>
            <AttributeTable attributes={data.parameters} />
          </section>
          <section className="card" aria-label="Resource">
            <div className="card-head">
              <h2>Resource</h2>
            </div>
            <AttributeTable attributes={data.attributes} />
          </section>
        </div>
      </div>
    </div>
  );
}

function RunHeader({ view, live }: { view: RunView; live: Live }) {
  return (
    <header className="card run-header">
      <RunTitle summary={view.summary} live={live} />
      <RunFacts view={view} />
    </header>
  );
}

function RunTitle({ summary, live }: { summary: RunSummary; live: Live }) {
  const isRunning = summary.state === 'running';
  const origin = [summary.environment, summary.host, summary.pid && `pid ${summary.pid}`];
  const latestTrace = summary.trace_ids[0];
  return (
    <div className="run-title">
      <Link to="/runs" className="muted">
        Runs
      </Link>
      <span className="faint">/</span>
      <h1>{summary.service_name}</h1>
      <StateBadge state={summary.state} />
      {isRunning && <LiveMark live={live} />}
      <span className="muted">{origin.filter(Boolean).join(' · ')}</span>
      <span className="shell-space" />
      <span className="code faint run-id ellipsis" title={summary.run_id}>
        {summary.run_id}
      </span>
      <CopyButton text={summary.run_id} label="Copy the run id" />
      {latestTrace !== undefined && (
        <>
          <KeepButton
            traceId={latestTrace}
            what="run"
            goesOn={isRunning}
            keep={() => archiveRun(summary.run_id)}
          />
          <Link to="/trace/$traceId" params={{ traceId: latestTrace }} className="button small">
            Open trace
          </Link>
        </>
      )}
    </div>
  );
}

function RunFacts({ view }: { view: RunView }) {
  const { summary } = view;
  const isRunning = summary.state === 'running';
  const now = useNow(1_000, isRunning);
  const share = epochShare(summary);
  return (
    <dl className="run-facts number">
      <div className="run-fact wide">
        <dt>Epoch</dt>
        <dd>
          {epochText(summary)}
          {share !== null && <ProgressBar share={share} />}
        </dd>
      </div>
      <RunFact name="Last loss">
        {formatValue(summary.last_loss ?? summary.last_train_loss)}
      </RunFact>
      <RunFact name="Validation loss">{formatValue(summary.last_val_loss)}</RunFact>
      <RunFact name="Best validation">{formatValue(summary.best_val_loss)}</RunFact>
      {summary.last_val_metric !== null && (
        <RunFact name="Validation metric">{formatValue(summary.last_val_metric)}</RunFact>
      )}
      <RunFact name="Samples / s">{formatValue(view.samples_per_second)}</RunFact>
      <RunFact
        name="Batch p50 / p95"
        note={
          view.step_time?.between_p50_nano
            ? `${formatDuration(view.step_time.between_p50_nano)} between`
            : undefined
        }
      >
        {view.step_time
          ? `${formatDuration(view.step_time.p50_nano)} / ${formatDuration(view.step_time.p95_nano)}`
          : '–'}
      </RunFact>
      <RunFact name="Batches">{formatCount(summary.batch_count)}</RunFact>
      <RunFact
        name={isRunning ? 'Running for' : 'Duration'}
        note={`from ${formatTimestamp(summary.start_unix_nano, now)}`}
      >
        {formatDuration(runDuration(summary, now))}
      </RunFact>
      {isRunning && (
        <RunFact name="Time left">
          {view.eta_nano === null ? '–' : `≈ ${formatDuration(view.eta_nano)}`}
        </RunFact>
      )}
    </dl>
  );
}

interface FactProps {
  name: string;
  note?: string | undefined;
  children: React.ReactNode;
}

function RunFact({ name, note, children }: FactProps) {
  return (
    <div className="run-fact">
      <dt>{name}</dt>
      <dd>{children}</dd>
      {note !== undefined && <dd className="note">{note}</dd>}
    </div>
  );
}

const ERRORS_SHOWN = 4;

/** The errors themselves; spans that only pass an error up do not count. */
function ErrorStrip({ errors }: { errors: RunError[] }) {
  if (errors.length === 0) return null;
  return (
    <section className="error-strip" role="alert" aria-label="Errors">
      {errors.slice(0, ERRORS_SHOWN).map((error) => (
        <Link
          key={`${error.trace_id} ${error.span_id}`}
          to="/trace/$traceId"
          params={{ traceId: error.trace_id }}
          search={{ span: error.span_id }}
          className="error-line"
        >
          <span className="number faint" title={formatExact(error.time_unix_nano)}>
            {formatClock(error.time_unix_nano)}
          </span>
          <strong>{error.type ?? 'Error'}</strong>
          <span className="ellipsis">{error.message}</span>
          <span className="faint">
            in {error.name} {error.label}
          </span>
        </Link>
      ))}
      {errors.length > ERRORS_SHOWN && (
        <span className="error-line muted">
          {formatPlural(errors.length - ERRORS_SHOWN, 'more error')}; open the trace and press e to
          see them all.
        </span>
      )}
    </section>
  );
}

function RunSkeleton() {
  return (
    <div className="run-page" aria-busy="true" aria-label="Loading run">
      <div className="card" style={{ padding: 20, display: 'grid', gap: 14 }}>
        <Skeleton width="30%" height={18} />
        <Skeleton width="80%" height={30} />
      </div>
      <div className="card" style={{ padding: 20 }}>
        <Skeleton width="100%" height={260} />
      </div>
    </div>
  );
}
