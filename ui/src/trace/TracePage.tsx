/** One trace: header, minimap, waterfall, and the details of the chosen span. */
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { useMemo, useState } from 'react';
import { ApiError } from '../api/client';
import type { TraceColumns } from '../api/contract';
import { archiveTrace, trace as traceQuery } from '../api/queries';
import { formatDuration } from '../format/duration';
import { formatCount, formatPlural } from '../format/number';
import { formatExact, formatTimestamp, nowNano, toNano } from '../format/time';
import { useNow, useSize, useTitle } from '../widgets/hooks';
import { ColorDot, StateBadge } from '../widgets/marks';
import { DamageNote, EmptyState, ErrorState, Skeleton } from '../widgets/messages';
import { Splitter } from '../widgets/Splitter';
import { CopyButton } from '../widgets/CopyButton';
import { KeepButton } from '../widgets/KeepButton';
import { SpanPanel } from './SpanPanel';
import { serviceOf, spanTitle, tableFromColumns, type TraceTable } from './trace_table';
import { useSpanColors, type SpanColors } from './span_colors';
import { Timeline } from './Timeline';
import './trace.css';

const PANEL_PX = { initial: 420, min: 280, roomForWaterfall: 420 };

export function TracePage() {
  const { traceId } = useParams({ from: '/trace/$traceId' });
  const { data, error, refetch } = useQuery(traceQuery(traceId));
  const table = useMemo(() => (data === undefined ? null : tableFromColumns(data)), [data]);
  useTitle(table === null || table.count === 0 ? 'Trace' : spanTitle(table, 0));

  if (error !== null && data === undefined) {
    if (error instanceof ApiError && error.status === 404) return <NoSuchTrace traceId={traceId} />;
    return <ErrorState error={error} onRetry={() => void refetch()} />;
  }
  if (data === undefined || table === null) return <TraceSkeleton />;
  return <TraceView key={traceId} trace={data} table={table} />;
}

function TraceView({ trace, table }: { trace: TraceColumns; table: TraceTable }) {
  const url = useSearch({ from: '/trace/$traceId' });
  const navigate = useNavigate({ from: '/trace/$traceId' });
  const [panelWidth, setPanelWidth] = useState(PANEL_PX.initial);
  const [body, { width }] = useSize<HTMLDivElement>();
  const colors = useSpanColors(table);
  const now = useTraceNow(trace);

  const select = (spanId: string | null) => {
    void navigate({
      // A first look at a span is a new place; moving on from there is not.
      replace: url.span !== undefined,
      search: ({ span: _, ...rest }) => (spanId === null ? rest : { ...rest, span: spanId }),
    });
  };
  const setFind = (find: string) => {
    void navigate({
      replace: true,
      search: ({ find: _, ...rest }) => (find === '' ? rest : { ...rest, find }),
    });
  };
  const selectedRow = table.rowOf.get(url.span ?? '');
  const widest = Math.max(PANEL_PX.min, width - PANEL_PX.roomForWaterfall);
  return (
    <div className="trace-page">
      <TraceHeader trace={trace} table={table} colors={colors} now={now} />
      <DamageNote answers={[trace]} />
      <div className="trace-body" ref={body}>
        <Timeline
          table={table}
          colors={colors}
          now={now}
          selectedId={url.span ?? null}
          onSelect={select}
          find={url.find ?? ''}
          onFind={setFind}
        />
        {url.span !== undefined && (
          <>
            <Splitter
              label="Width of the details"
              side="after"
              value={Math.min(panelWidth, widest)}
              min={PANEL_PX.min}
              max={widest}
              onChange={setPanelWidth}
            />
            <SpanPanel
              key={url.span}
              traceId={trace.trace_id}
              spanId={url.span}
              traceStart={toNano(trace.start_unix_nano)}
              color={selectedRow === undefined ? 'var(--text-faint)' : colors.ofRow(selectedRow)}
              width={Math.min(panelWidth, widest)}
              onClose={() => select(null)}
            />
          </>
        )}
      </div>
    </div>
  );
}

/** Clocks that disagree by more than this are not trusted to say what "now" is. */
const CLOCK_TRUST_NANO = 3_600_000_000_000n;
const TICK_MILLIS = 250;

/** The present as an offset in the trace; its end when nothing runs in it. */
function useTraceNow(trace: TraceColumns): number {
  const isRunning = trace.state === 'running';
  const now = useNow(TICK_MILLIS, isRunning);
  const end = toNano(trace.start_unix_nano) + toNano(trace.duration_nano);
  const isTrusted = now > end && now - end < CLOCK_TRUST_NANO;
  return Number((isRunning && isTrusted ? now : end) - toNano(trace.start_unix_nano));
}

interface HeaderProps {
  trace: TraceColumns;
  table: TraceTable;
  colors: SpanColors;
  now: number;
}

function TraceHeader({ trace, table, colors, now }: HeaderProps) {
  const isRunning = trace.state === 'running';
  return (
    <header className="trace-header">
      <div className="trace-title">
        <ColorDot color={table.count > 0 ? colors.ofRow(0) : 'var(--border)'} />
        <span className="muted">{table.count > 0 ? serviceOf(table, 0) : ''}</span>
        <h1 className="ellipsis">{table.count > 0 ? spanTitle(table, 0) : 'Empty trace'}</h1>
        {trace.state !== 'complete' && <StateBadge state={trace.state} />}
        {trace.root_missing && (
          <span className="badge interrupted" title="Spans whose parent has not been received">
            root not received
          </span>
        )}
        {trace.run_id !== null && (
          <Link to="/runs/$runId" params={{ runId: trace.run_id }} className="button small">
            Training run
          </Link>
        )}
        <KeepButton
          traceId={trace.trace_id}
          what="trace"
          goesOn={isRunning}
          keep={() => archiveTrace(trace.trace_id)}
        />
      </div>
      <dl className="trace-facts number">
        <Fact name="Start" title={formatExact(trace.start_unix_nano)}>
          {formatTimestamp(trace.start_unix_nano, nowNano(), true)}
        </Fact>
        <Fact name="Duration">{formatDuration(isRunning ? now : trace.duration_nano)}</Fact>
        <Fact name="Spans">{formatCount(trace.span_count)}</Fact>
        <Fact name="Errors">
          <span className={trace.error_count > 0 ? 'error-text' : undefined}>
            {formatCount(trace.error_count)}
          </span>
        </Fact>
        <Fact name="Services" title={trace.services.join('\n')}>
          {trace.services.length}
        </Fact>
        <Fact name="Trace id">
          <span className="code" title={trace.trace_id}>
            {trace.trace_id.slice(0, 12)}…
          </span>
          <CopyButton text={trace.trace_id} label="Copy the trace id" />
        </Fact>
      </dl>
    </header>
  );
}

interface FactProps {
  name: string;
  title?: string;
  children: React.ReactNode;
}

function Fact({ name, title, children }: FactProps) {
  return (
    <div title={title}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function NoSuchTrace({ traceId }: { traceId: string }) {
  return (
    <EmptyState title="This trace is not here">
      <p>
        No span of <span className="code">{traceId}</span> has been received. If its program is
        still running, its spans may be on their way: they are sent in batches every few seconds.
      </p>
      <Link to="/" className="button">
        Search traces
      </Link>
    </EmptyState>
  );
}

function TraceSkeleton() {
  return (
    <div className="trace-page" aria-label="Loading trace" aria-busy="true">
      <header className="trace-header">
        <Skeleton width="320px" height={18} />
      </header>
      <div style={{ padding: 16, display: 'grid', gap: 16 }}>
        <Skeleton width="100%" height={64} />
        {Array.from({ length: 12 }, (_, index) => (
          <span key={`row ${index}`} style={{ paddingLeft: `${(index % 5) * 6}%` }}>
            <Skeleton width={`${70 - index * 4}%`} height={10} />
          </span>
        ))}
      </div>
      <span className="visually-hidden">{formatPlural(0, 'span')} loaded</span>
    </div>
  );
}
