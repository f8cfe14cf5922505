/** The batches of an epoch, loaded page by page as the reader scrolls. */
import { useInfiniteQuery } from '@tanstack/react-query';
import { useVirtualizer } from '@tanstack/react-virtual';
import { useEffect, useMemo, useRef } from 'react';
import type { Batch, Epoch } from '../api/contract';
import { batches as batchesQuery } from '../api/queries';
import { formatDuration } from '../format/duration';
import { formatCount, formatPlural, formatValue, toNumber } from '../format/number';
import { toNano } from '../format/time';
import { ErrorState } from '../widgets/messages';
import { SpanLink } from './SpanLink';

const ROW_PX = 26;
const MOST_ROWS = 12;

export function BatchList({ runId, epoch }: { runId: string; epoch: Epoch }) {
  const query = useInfiniteQuery(batchesQuery(runId, epoch.span_id));
  const scroller = useRef<HTMLDivElement>(null);
  const batches = useMemo(
    () => query.data?.pages.flatMap((page) => page.batches) ?? [],
    [query.data],
  );
  const total = query.data?.pages.at(-1)?.total ?? 0;
  const longest = useMemo(
    () => batches.reduce((most, batch) => Math.max(most, Number(batch.duration_nano)), 1),
    [batches],
  );
  const rows = useVirtualizer({
    count: total,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    overscan: 6,
  });
  const items = rows.getVirtualItems();
  const lastIndex = items.at(-1)?.index ?? 0;
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = query;
  useEffect(() => {
    if (hasNextPage && !isFetchingNextPage && lastIndex >= batches.length - 1) void fetchNextPage();
  }, [batches.length, fetchNextPage, hasNextPage, isFetchingNextPage, lastIndex]);

  if (query.error !== null && batches.length === 0) return <ErrorState error={query.error} />;
  if (query.isPending) return <p className="panel-note faint">Loading batches…</p>;
  if (total === 0) return <p className="panel-note faint">No batch of this epoch was received.</p>;
  return (
    <div
      ref={scroller}
      className="batches"
      role="region"
      aria-label={`${formatPlural(total, 'batch', 'batches')} of epoch ${epoch.label}`}
      // The list scrolls by keyboard too.
      // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
      tabIndex={0}
      style={{ height: Math.min(total, MOST_ROWS) * ROW_PX }}
    >
      <ol style={{ height: rows.getTotalSize(), position: 'relative' }}>
        {items.map((item) => (
          <li
            key={item.index}
            className="batch number"
            style={{ transform: `translateY(${item.start}px)`, height: ROW_PX }}
          >
            <BatchRow
              batch={batches[item.index]}
              index={item.index}
              epochStart={epoch.start_unix_nano}
              longest={longest}
            />
          </li>
        ))}
      </ol>
    </div>
  );
}

interface RowProps {
  batch: Batch | undefined;
  index: number;
  epochStart: string;
  longest: number;
}

function BatchRow({ batch, index, epochStart, longest }: RowProps) {
  if (batch === undefined) return <span className="faint">{formatCount(index + 1)} …</span>;
  const loss = toNumber(batch.loss);
  const isBad = batch.status === 'error' || (loss !== null && !Number.isFinite(loss));
  return (
    <>
      <SpanLink traceId={batch.trace_id} spanId={batch.span_id}>
        batch {batch.label ?? (batch.step === null ? '' : `(${batch.step})`)}
      </SpanLink>
      <span className="faint">
        +{formatDuration(toNano(batch.start_unix_nano) - toNano(epochStart))}
      </span>
      <span className="share-bar">
        <span
          style={{
            width: `${(Number(batch.duration_nano) / longest) * 100}%`,
            background: batch.status === 'error' ? 'var(--error)' : 'var(--span-color-2)',
          }}
        />
      </span>
      <span>{formatDuration(batch.duration_nano)}</span>
      <span className={isBad ? 'error-text' : undefined}>
        {batch.loss === null ? '' : `loss ${formatValue(batch.loss)}`}
      </span>
      <span className="faint">
        {batch.batch_size === null ? '' : `${batch.batch_size} samples`}
      </span>
    </>
  );
}
