/** A part of the details of a span, which opens and closes. */
import type { ReactNode } from 'react';

interface SectionProps {
  title: string;
  /** How many things are in it, as text. */
  count: string;
  open?: boolean;
  children: ReactNode;
}

export function PanelSection({ title, count, open = false, children }: SectionProps) {
  return (
    <details className="panel-section" open={open}>
      <summary>
        <h3>{title}</h3>
        <span className="faint number">{count}</span>
      </summary>
      {children}
    </details>
  );
}
