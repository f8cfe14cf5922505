/** Epochs with their numbers; opened, each shows its validations and its batches. */
import { Fragment, useState } from 'react';
import type { Epoch, Validation } from '../api/contract';
import { formatDuration } from '../format/duration';
import { formatCount, formatValue } from '../format/number';
import { StateBadge } from '../widgets/marks';
import { BatchList } from './BatchList';
import { SpanLink } from './SpanLink';

const COLUMNS = ['Train loss', 'Val loss', 'Val metric', 'Batches', 'p50 / p95', 'Samples / s'];

export function EpochTable({ runId, epochs }: { runId: string; epochs: Epoch[] }) {
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const longest = Math.max(1, ...epochs.map((epoch) => Number(epoch.duration_nano)));
  const toggle = (id: string) => {
    const next = new Set(open);
    if (!next.delete(id)) next.add(id);
    setOpen(next);
  };
  return (
    <section className="card epochs" aria-label="Epochs">
      <div className="card-head">
        <h2>Epochs</h2>
        <span className="faint">Open one for its batches; a name leads to its spans.</span>
      </div>
      {epochs.length === 0 ? (
        <p className="panel-note faint">No epoch has begun.</p>
      ) : (
        <div className="table-scroll">
          <table className="data-table number">
            <thead>
              <tr>
                <th scope="col">Epoch</th>
                <th scope="col">Duration</th>
                {COLUMNS.map((name) => (
                  <th scope="col" className="numeric" key={name}>
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {epochs.map((epoch) => (
                <Fragment key={epoch.span_id}>
                  <EpochRow
                    epoch={epoch}
                    longest={longest}
                    isOpen={open.has(epoch.span_id)}
                    onToggle={() => toggle(epoch.span_id)}
                  />
                  {epoch.validations.map((validation) => (
                    <ValidationRow
                      key={validation.span_id}
                      validation={validation}
                      longest={longest}
                    />
                  ))}
                  {open.has(epoch.span_id) && (
                    <tr className="batches-row">
                      <td colSpan={COLUMNS.length + 2}>
                        <BatchList runId={runId} epoch={epoch} />
                      </td>
                    </tr>
                  )}
                </Fragment>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

interface EpochProps {
  epoch: Epoch;
  longest: number;
  isOpen: boolean;
  onToggle: () => void;
}

function EpochRow({ epoch, longest, isOpen, onToggle }: EpochProps) {
  return (
    <tr>
      <th scope="row">
        <span className="epoch-name">
          <button
            type="button"
            className={isOpen ? 'twisty' : 'twisty closed'}
            aria-expanded={isOpen}
            aria-label={`Batches of epoch ${epoch.label}`}
            onClick={onToggle}
          >
            <svg width="10" height="10" viewBox="0 0 10 10" aria-hidden="true">
              <path d="M1.5 3 5 7l3.5-4z" fill="currentColor" />
            </svg>
          </button>
          <SpanLink traceId={epoch.trace_id} spanId={epoch.span_id}>
            Epoch {epoch.label}
          </SpanLink>
          {epoch.state !== 'complete' && <StateBadge state={epoch.state} />}
          {epoch.error_count > 0 && (
            <span className="badge error">{formatCount(epoch.error_count)} err</span>
          )}
        </span>
      </th>
      <DurationCell nano={epoch.duration_nano} longest={longest} color="var(--accent)" />
      <td className="numeric">{formatValue(epoch.train_loss)}</td>
      <td className="numeric">{formatValue(epoch.val_loss)}</td>
      <td className="numeric">{formatValue(epoch.val_metric)}</td>
      <td className="numeric">{formatCount(epoch.batch_count)}</td>
      <td className="numeric muted">
        {epoch.batch_p50_nano === null
          ? '–'
          : `${formatDuration(epoch.batch_p50_nano)} / ${formatDuration(epoch.batch_p95_nano ?? '0')}`}
      </td>
      <td className="numeric">{formatValue(epoch.samples_per_second)}</td>
    </tr>
  );
}

function ValidationRow({ validation, longest }: { validation: Validation; longest: number }) {
  const metrics = validation.metrics
    .filter(({ name }) => name !== 'val_loss' && name !== 'val_metric')
    .map(({ name, value }) => `${name} ${formatValue(value)}`)
    .join('  ');
  return (
    <tr className="validation-row">
      <th scope="row">
        <span className="epoch-name nested">
          <SpanLink traceId={validation.trace_id} spanId={validation.span_id}>
            validation
          </SpanLink>
          {validation.state !== 'complete' && <StateBadge state={validation.state} />}
        </span>
      </th>
      <DurationCell nano={validation.duration_nano} longest={longest} color="var(--span-color-1)" />
      <td />
      <td className="numeric">{formatValue(validation.val_loss)}</td>
      <td className="numeric">{formatValue(validation.val_metric)}</td>
      <td colSpan={3} className="metrics faint ellipsis" title={metrics}>
        {metrics}
      </td>
    </tr>
  );
}

function DurationCell({ nano, longest, color }: { nano: string; longest: number; color: string }) {
  return (
    <td>
      <span className="duration-cell">
        <span>{formatDuration(nano)}</span>
        <span className="share-bar">
          <span style={{ width: `${(Number(nano) / longest) * 100}%`, background: color }} />
        </span>
      </span>
    </td>
  );
}
