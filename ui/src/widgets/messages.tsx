/** What a page shows instead of data: nothing yet, not found, broken, or still loading. */
import type { ReactNode } from 'react';
import { ApiError } from '../api/client';
import type { Answer } from '../api/contract';
import { formatPlural } from '../format/number';
import { CopyButton } from './CopyButton';

/** A picture of spans that are not there yet. */
function SpansArt() {
  return (
    <svg className="art" viewBox="0 0 120 64" aria-hidden="true">
      <rect x="4" y="6" width="64" height="9" rx="4.5" fill="var(--glow)" opacity="0.9" />
      <rect x="22" y="21" width="78" height="9" rx="4.5" fill="var(--accent)" opacity="0.75" />
      <rect x="34" y="36" width="40" height="9" rx="4.5" fill="var(--accent)" opacity="0.45" />
      <rect x="58" y="51" width="58" height="9" rx="4.5" fill="var(--accent)" opacity="0.22" />
    </svg>
  );
}

export function EmptyState({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="message">
      <SpansArt />
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** An error in words, with a way to go on. */
export function ErrorState({ error, onRetry }: { error: Error; onRetry?: () => void }) {
  const unreachable = error instanceof ApiError && error.code === 'unreachable';
  return (
    <div className="message" role="alert">
      <h2>{unreachable ? 'No connection to the server' : 'This could not be loaded'}</h2>
      <p>{error.message}</p>
      {unreachable && <CodeBlock label="Start the server" text="lumitrace serve" />}
      {onRetry && (
        <button type="button" className="button" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}

/** What these answers lack because it is damaged, if they do. */
export function DamageNote({ answers }: { answers: readonly (Answer | undefined)[] | undefined }) {
  const damaged = [...new Set(answers?.flatMap((answer) => answer?.damaged ?? []))];
  if (damaged.length === 0) return null;
  return (
    <details className="damage-note" role="alert">
      <summary>
        Something may be missing here: {formatPlural(damaged.length, 'place')} of the store cannot
        be read.
      </summary>
      <ul>
        {damaged.map((place) => (
          <li key={place} className="code">
            {place}
          </li>
        ))}
      </ul>
    </details>
  );
}

/** Text to copy as a whole: a command or a small program. */
export function CodeBlock({ label, text }: { label: string; text: string }) {
  return (
    <figure className="code-block" aria-label={label}>
      {/* The block scrolls sideways, so the keyboard must reach it. */}
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <pre tabIndex={0}>{text}</pre>
      <CopyButton text={text} label={`Copy: ${label}`} />
    </figure>
  );
}

/** Grey lines in the place of text that is on its way. */
export function Skeleton({ width, height = 12 }: { width: string; height?: number }) {
  return <span className="skeleton" style={{ width, height }} aria-hidden="true" />;
}
