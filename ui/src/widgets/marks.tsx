/** Small marks that say one thing: a state, a service's colour, a key. */
import type { RunState, SpanState } from '../api/contract';

const STATE_TEXT: Record<RunState | SpanState, { text: string; title: string }> = {
  complete: { text: 'complete', title: 'All spans have ended' },
  finished: { text: 'finished', title: 'The run has ended' },
  running: { text: 'running', title: 'Still open: its program reports that it goes on' },
  failed: { text: 'failed', title: 'Ended with an error' },
  interrupted: {
    text: 'interrupted',
    title: 'Never ended: its program has said nothing for a while',
  },
};

export function StateBadge({ state }: { state: RunState | SpanState }) {
  const { text, title } = STATE_TEXT[state];
  return (
    <span className={`badge ${state}`} title={title}>
      <span className="dot" />
      {text}
    </span>
  );
}

export function ColorDot({ color }: { color: string }) {
  return <span className="color-dot" style={{ background: color }} aria-hidden="true" />;
}
