/** A curve without axes; the numbers beside it say what it means. */

interface SparklineProps {
  values: readonly (number | null)[];
  label: string;
  width?: number;
  height?: number;
}

export function Sparkline({ values, label, width = 96, height = 22 }: SparklineProps) {
  const path = sparklinePath(values, width, height);
  if (path === '') return <span className="faint">–</span>;
  return (
    <svg className="sparkline" width={width} height={height} role="img" aria-label={label}>
      <path d={path} fill="none" stroke="var(--accent)" strokeWidth="1.5" strokeLinejoin="round" />
    </svg>
  );
}

/** The path through the finite values; the line breaks where a value is missing or not finite. */
export function sparklinePath(
  values: readonly (number | null)[],
  width: number,
  height: number,
): string {
  const finite = values.filter((value): value is number => Number.isFinite(value));
  if (finite.length < 2) return '';
  const low = Math.min(...finite);
  const range = Math.max(...finite) - low || 1;
  const inset = 2;
  let path = '';
  let pen = 'M';
  values.forEach((value, index) => {
    if (value === null || !Number.isFinite(value)) {
      pen = 'M';
      return;
    }
    const x = inset + (index / (values.length - 1)) * (width - 2 * inset);
    const y = inset + (1 - (value - low) / range) * (height - 2 * inset);
    path += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = 'L';
  });
  return path;
}
