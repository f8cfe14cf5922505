/** What the run did besides epochs: loading data, computing features, saving checkpoints. */
import { Link } from '@tanstack/react-router';
import type { Phase } from '../api/contract';
import { formatDuration } from '../format/duration';
import { formatExact, toNano } from '../format/time';
import { StateBadge } from '../widgets/marks';

export function PhaseList({ phases, runStart }: { phases: Phase[]; runStart: string }) {
  const longest = Math.max(1, ...phases.map((phase) => Number(phase.duration_nano)));
  return (
    <section className="card" aria-label="Phases">
      <div className="card-head">
        <h2>Phases</h2>
      </div>
      {phases.length === 0 && (
        <p className="panel-note faint">No span of loading, features or checkpoints.</p>
      )}
      <ul className="phases">
        {phases.map((phase) => (
          <li key={phase.span_id}>
            <Link
              to="/trace/$traceId"
              params={{ traceId: phase.trace_id }}
              search={{ span: phase.span_id }}
              className="phase number"
            >
              <span className="ellipsis">{phase.name}</span>
              {phase.state !== 'complete' && <StateBadge state={phase.state} />}
              <span className="faint" title={formatExact(phase.start_unix_nano)}>
                +{formatDuration(toNano(phase.start_unix_nano) - toNano(runStart))}
              </span>
              <strong>{formatDuration(phase.duration_nano)}</strong>
              <span className="share-bar">
                <span
                  style={{
                    width: `${(Number(phase.duration_nano) / longest) * 100}%`,
                    background: 'var(--accent)',
                  }}
                />
              </span>
            </Link>
          </li>
        ))}
      </ul>
    </section>
  );
}
