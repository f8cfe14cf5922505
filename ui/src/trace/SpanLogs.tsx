/** The log records that were said in a span, or in its whole trace, in the order of time. */
import { useInfiniteQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import type { LogRecord } from '../api/contract';
import { traceLogs } from '../api/queries';
import { formatCount } from '../format/number';
import { formatClock, formatExact } from '../format/time';
import { lineText } from '../logs/log_text';
import { LogDetails, SeverityBadge } from '../logs/LogDetails';
import { ChevronIcon } from '../widgets/icons';
import { Segments } from '../widgets/Picker';
import { DamageNote } from '../widgets/messages';
import { PanelSection } from './PanelSection';

interface SpanLogsProps {
  traceId: string;
  spanId: string;
  /** Whether more may come. */
  isRunning: boolean;
}

export function SpanLogs({ traceId, spanId, isRunning }: SpanLogsProps) {
  const [extent, setExtent] = useState<'span' | 'trace'>('span');
  const ofSpan = extent === 'span' ? spanId : null;
  const query = useInfiniteQuery(traceLogs(traceId, ofSpan, isRunning));
  const { data, error, hasNextPage, isFetchingNextPage, fetchNextPage } = query;
  const logs = useMemo(() => data?.pages.flatMap((page) => page.logs).toReversed() ?? [], [data]);
  const isTruncated = data?.pages.some((page) => page.truncated) ?? false;
  const count = data === undefined ? '' : formatCount(logs.length) + (hasNextPage ? '+' : '');
  return (
    <PanelSection title="Logs" count={count} open={logs.length > 0 || extent === 'trace'}>
      <div className="span-logs-tools">
        <Segments
          label="Logs of"
          choices={[
            { id: 'span', label: 'This span' },
            { id: 'trace', label: 'Whole trace' },
          ]}
          value={extent}
          onChange={(chosen) => setExtent(chosen === 'trace' ? 'trace' : 'span')}
        />
        {hasNextPage && (
          <button
            type="button"
            className="button"
            disabled={isFetchingNextPage}
            onClick={() => void fetchNextPage()}
          >
            {isFetchingNextPage ? 'Loading…' : 'Load earlier'}
          </button>
        )}
      </div>
      {error !== null && <p className="panel-note error-text">{error.message}</p>}
      <DamageNote answers={data?.pages} />
      {isTruncated && (
        <p className="panel-note warning">
          The search reached its limit before it had looked at everything.
        </p>
      )}
      {data !== undefined && logs.length === 0 && (
        <p className="panel-note faint">
          {extent === 'span' ? 'Nothing was said in this span.' : 'Nothing was said in this trace.'}
        </p>
      )}
      <ol>
        {logs.map((log) => (
          <LogItem key={log.id} log={log} />
        ))}
      </ol>
    </PanelSection>
  );
}

function LogItem({ log }: { log: LogRecord }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <li className="log">
      <div className="log-line">
        <button
          type="button"
          className="log-head"
          aria-expanded={isOpen}
          onClick={() => setOpen(!isOpen)}
        >
          <span className={isOpen ? 'twisty' : 'twisty closed'}>
            <ChevronIcon />
          </span>
          <time className="number muted" title={formatExact(log.time_unix_nano)}>
            {formatClock(log.time_unix_nano, true)}
          </time>
          <SeverityBadge log={log} />
          <span className="log-service ellipsis">{log.service}</span>
          <span className="log-text code ellipsis">{lineText(log)}</span>
        </button>
      </div>
      {isOpen && <LogDetails log={log} />}
    </li>
  );
}
