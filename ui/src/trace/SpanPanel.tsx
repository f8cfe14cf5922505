/** Everything about one span. What went wrong comes first, then what it carried. */
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { SpanDetails, SpanEvent, SpanException, SpanLink } from '../api/contract';
import { spanDetails } from '../api/queries';
import { formatDuration } from '../format/duration';
import { formatCount } from '../format/number';
import { formatExact, toNano } from '../format/time';
import { CopyButton } from '../widgets/CopyButton';
import { CloseIcon } from '../widgets/icons';
import { ColorDot, StateBadge } from '../widgets/marks';
import { ErrorState, Skeleton } from '../widgets/messages';
import { AttributeTable } from '../attributes/AttributeTable';
import { PanelSection } from './PanelSection';
import { SpanLogs } from './SpanLogs';

interface PanelProps {
  traceId: string;
  spanId: string;
  traceStart: bigint;
  /** The colour of the span's bar. */
  color: string;
  width: number;
  onClose: () => void;
}

export function SpanPanel({ traceId, spanId, traceStart, color, width, onClose }: PanelProps) {
  const { data, error, refetch } = useQuery(spanDetails(traceId, spanId));
  return (
    <aside className="span-panel" style={{ width }} aria-label="Span details">
      <button
        type="button"
        className="button icon small quiet panel-close"
        aria-label="Close the details"
        title="Close (Esc)"
        onClick={onClose}
      >
        <CloseIcon />
      </button>
      {data !== undefined ? (
        <Details span={data} traceStart={traceStart} color={color} />
      ) : error !== null ? (
        <ErrorState error={error} onRetry={() => void refetch()} />
      ) : (
        <div className="panel-head" aria-busy="true">
          <Skeleton width="60%" height={16} />
          <Skeleton width="90%" />
          <Skeleton width="75%" />
        </div>
      )}
    </aside>
  );
}

interface DetailsProps {
  span: SpanDetails;
  traceStart: bigint;
  color: string;
}

function Details({ span, traceStart, color }: DetailsProps) {
  return (
    <>
      <PanelHead span={span} traceStart={traceStart} color={color} />
      {span.exception !== null && <Exception exception={span.exception} />}
      <PanelSection title="Attributes" count={formatCount(span.attributes.length)} open>
        <AttributeTable attributes={span.attributes} searchable />
        <Dropped count={span.dropped_attributes_count} noun="attributes" />
      </PanelSection>
      <PanelSection
        title="Events"
        count={formatCount(span.events.length)}
        open={span.events.length > 0}
      >
        {span.events.map((event, index) => (
          // Events have no id; their order is fixed.
          // oxlint-disable-next-line react/no-array-index-key
          <Event key={index} event={event} />
        ))}
        <Dropped count={span.dropped_events_count} noun="events" />
      </PanelSection>
      <SpanLogs
        traceId={span.trace_id}
        spanId={span.span_id}
        isRunning={span.state === 'running'}
      />
      {(span.links.length > 0 || span.dropped_links_count > 0) && (
        <PanelSection title="Links" count={formatCount(span.links.length)} open>
          {span.links.map((link) => (
            <LinkedSpan key={`${link.trace_id} ${link.span_id}`} link={link} />
          ))}
          <Dropped count={span.dropped_links_count} noun="links" />
        </PanelSection>
      )}
      <PanelSection title="Resource" count={formatCount(span.resource.attributes.length)}>
        <AttributeTable attributes={span.resource.attributes} />
      </PanelSection>
      <PanelSection title="Scope" count={formatCount(span.scope.attributes.length)}>
        <dl className="fact-list panel-facts">
          <dt>Name</dt>
          <dd className="code">{span.scope.name || '–'}</dd>
          <dt>Version</dt>
          <dd className="code">{span.scope.version || '–'}</dd>
          {span.trace_state !== '' && (
            <>
              <dt>Trace state</dt>
              <dd className="code">{span.trace_state}</dd>
            </>
          )}
        </dl>
        <AttributeTable attributes={span.scope.attributes} />
      </PanelSection>
    </>
  );
}

function PanelHead({ span, traceStart, color }: DetailsProps) {
  const offset = toNano(span.start_unix_nano) - traceStart;
  return (
    <div className="panel-head">
      <div className="panel-service muted">
        <ColorDot color={color} />
        {span.service}
        <span className="faint">{span.kind}</span>
      </div>
      <h2>
        {span.name} {span.label && <span className="muted number">{span.label}</span>}
      </h2>
      <div className="panel-badges">
        {span.status.code !== 'unset' && (
          <span className={span.status.code === 'error' ? 'badge error' : 'badge complete'}>
            {span.status.code}
          </span>
        )}
        {span.state !== 'complete' && <StateBadge state={span.state} />}
      </div>
      {span.status.message !== '' && (
        <p className={span.status.code === 'error' ? 'panel-status error-text' : 'panel-status'}>
          {span.status.message}
        </p>
      )}
      <dl className="fact-list number">
        <dt>Duration</dt>
        <dd>
          <strong>{formatDuration(span.duration_nano)}</strong>
        </dd>
        <dt>Starts</dt>
        <dd>
          {formatExact(span.start_unix_nano)}{' '}
          <span className="faint">+{formatDuration(offset)}</span>
        </dd>
        <dt>Span id</dt>
        <dd className="code with-copy">
          {span.span_id}
          <CopyButton text={span.span_id} label="Copy the span id" />
        </dd>
      </dl>
    </div>
  );
}

function Dropped({ count, noun }: { count: number; noun: string }) {
  if (count === 0) return null;
  return (
    <p className="panel-note warning">
      {formatCount(count)} more {noun} were dropped by the program’s limits.
    </p>
  );
}

function Exception({ exception }: { exception: SpanException }) {
  return (
    <section className="exception" aria-label="Exception">
      <h3>{exception.type ?? 'Exception'}</h3>
      {exception.message !== null && <p>{exception.message}</p>}
      {exception.stacktrace !== null && exception.stacktrace !== '' && (
        <div className="stacktrace">
          {/* The trace scrolls, so the keyboard must reach it. */}
          {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
          <pre tabIndex={0}>{exception.stacktrace}</pre>
          <CopyButton text={exception.stacktrace} label="Copy the stack trace" />
        </div>
      )}
    </section>
  );
}

function Event({ event }: { event: SpanEvent }) {
  return (
    <div className="event">
      <div className="event-head">
        <span className="number event-offset" title={formatExact(event.time_unix_nano)}>
          +{formatDuration(event.offset_nano)}
        </span>
        <strong>{event.name}</strong>
      </div>
      {event.attributes.length > 0 && <AttributeTable attributes={event.attributes} />}
      <Dropped count={event.dropped_attributes_count} noun="attributes" />
    </div>
  );
}

function LinkedSpan({ link }: { link: SpanLink }) {
  return (
    <div className="event">
      <Link
        to="/trace/$traceId"
        params={{ traceId: link.trace_id }}
        search={{ span: link.span_id }}
        className="code"
      >
        {link.trace_id.slice(0, 12)}… / {link.span_id}
      </Link>
      {link.attributes.length > 0 && <AttributeTable attributes={link.attributes} />}
    </div>
  );
}
