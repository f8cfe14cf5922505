/** A log record: its line, and everything about it once it is opened. */
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import type { LogRecord } from '../api/contract';
import { wholeLog } from '../api/queries';
import { AttributeTable } from '../attributes/AttributeTable';
import { formatCount } from '../format/number';
import { formatExact } from '../format/time';
import { CopyButton } from '../widgets/CopyButton';
import { bodyText } from './log_text';
import { levelOf } from './severity';
import './logs.css';

export function SeverityBadge({ log }: { log: LogRecord }) {
  const level = levelOf(log.severity_number);
  const said = log.severity_text === '' ? 'not said' : log.severity_text;
  return (
    <span
      className={`badge severity ${level ?? 'unknown'}`}
      title={`Severity ${log.severity_number} (${said})`}
    >
      {level ?? (log.severity_text || 'none')}
    </span>
  );
}

/** What lies behind a log record's line, which may have only the beginning of long texts. */
export function LogDetails({ log: listed }: { log: LogRecord }) {
  const { data: log = listed } = useQuery(wholeLog(listed));
  const body = bodyText(log);
  return (
    <div className="log-details">
      {body !== '' && (
        <div className="log-body">
          {/* Long texts scroll, so the keyboard must reach them. */}
          {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
          <pre tabIndex={0} aria-label="Body">
            {body}
          </pre>
          <CopyButton text={body} label="Copy the body" />
        </div>
      )}
      <dl className="fact-list number log-facts">
        <Fact name="Time">{formatExact(log.time_unix_nano)}</Fact>
        <Fact name="Service">{log.service}</Fact>
        {log.event_name !== '' && <Fact name="Event">{log.event_name}</Fact>}
        {log.trace_id !== null && (
          <Fact name="Span">
            <SpanOfLog traceId={log.trace_id} spanId={log.span_id} />
          </Fact>
        )}
        {log.scope.name !== '' && <Fact name="Scope">{log.scope.name}</Fact>}
      </dl>
      <h4>Attributes</h4>
      <AttributeTable attributes={log.attributes} />
      {log.dropped_attributes_count > 0 && (
        <p className="panel-note warning">
          {formatCount(log.dropped_attributes_count)} more attributes were dropped by the program’s
          limits.
        </p>
      )}
      <h4>Resource</h4>
      <AttributeTable attributes={log.resource.attributes} />
    </div>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

function SpanOfLog({ traceId, spanId }: { traceId: string; spanId: string | null }) {
  return (
    <Link
      to="/trace/$traceId"
      params={{ traceId }}
      search={spanId === null ? {} : { span: spanId }}
      className="code"
    >
      {spanId ?? `${traceId.slice(0, 12)}…`}
    </Link>
  );
}
