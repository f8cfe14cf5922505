/** A bar between two parts of a page, moved by pointer or arrow keys. */

interface SplitterProps {
  label: string;
  /** Size of the governed part in pixels. */
  value: number;
  min: number;
  max: number;
  /** The governed part lies before (left) or after (right) the bar. */
  side: 'before' | 'after';
  onChange: (value: number) => void;
}

const KEY_STEP_PX = 24;

export function Splitter({ label, value, min, max, side, onChange }: SplitterProps) {
  const clamp = (next: number) => Math.round(Math.min(Math.max(next, min), max));
  const direction = side === 'before' ? 1 : -1;
  return (
    <div
      className="splitter"
      role="separator"
      aria-orientation="vertical"
      aria-label={label}
      aria-valuenow={value}
      aria-valuemin={min}
      aria-valuemax={max}
      tabIndex={0}
      onKeyDown={(event) => {
        if (event.key !== 'ArrowLeft' && event.key !== 'ArrowRight') return;
        event.preventDefault();
        event.stopPropagation();
        const step = event.key === 'ArrowRight' ? KEY_STEP_PX : -KEY_STEP_PX;
        onChange(clamp(value + step * direction));
      }}
      onPointerDown={(event) => {
        event.preventDefault();
        event.currentTarget.setPointerCapture(event.pointerId);
        const from = event.clientX;
        const bar = event.currentTarget;
        const move = (moved: PointerEvent) =>
          onChange(clamp(value + (moved.clientX - from) * direction));
        bar.addEventListener('pointermove', move);
        const end = () => bar.removeEventListener('pointermove', move);
        bar.addEventListener('pointerup', end, { once: true });
        bar.addEventListener('pointercancel', end, { once: true });
      }}
    />
  );
}
