/** A chart of curves: drag to zoom, double click to see all, values under the pointer. */
import type uPlot from 'uplot';
import { formatPlural, formatValue, nonFiniteText } from '../format/number';
import { useSize } from '../widgets/hooks';
import { ColorDot } from '../widgets/marks';
import type { XAxis } from './chart_data';
import { columnsOfLine, xText, type ChartLine, type EpochMark } from './plot_options';
import { usePlot } from './use_plot';

export type { ChartLine } from './plot_options';

interface ChartProps {
  title: string;
  height: number;
  lines: ChartLine[];
  marks: EpochMark[];
  axis: XAxis;
  logY: boolean;
  isSmall?: boolean;
}

export function CurveChart(props: ChartProps) {
  const { title, height, lines, axis, isSmall = false } = props;
  const [box, { width }] = useSize<HTMLDivElement>();
  const { target, plot, data, hover, isZoomed, reset } = usePlot({ ...props, isSmall, width });
  return (
    <div
      ref={box}
      className={isSmall ? 'chart small' : 'chart'}
      role="img"
      aria-label={chartText(title, lines)}
      style={{ height }}
      onDoubleClick={reset}
      data-points={data[0].length}
    >
      <div ref={target} />
      {isZoomed && (
        <button type="button" className="button small chart-reset" onClick={reset}>
          Reset zoom
        </button>
      )}
      {hover !== null && (
        <Readout lines={lines} data={data} at={hover} axis={axis} plot={plot.current} />
      )}
    </div>
  );
}

/** The chart in words, for those who do not see it. */
function chartText(title: string, lines: readonly ChartLine[]): string {
  const parts = lines.map((line) => {
    const values = line.branches.flatMap((branch) => branch.last);
    const count = line.branches.reduce((sum, branch) => sum + branch.x.length, 0);
    const bad = line.branches.reduce((sum, branch) => sum + branch.nonFinite.length, 0);
    const last = values.findLast((value) => value !== null) ?? null;
    const note = bad > 0 ? `, ${formatPlural(bad, 'value')} not finite` : '';
    return `${line.name}: ${formatPlural(count, 'point')}, last ${formatValue(last)}${note}`;
  });
  return `${title}. ${parts.join('. ')}`;
}

interface ReadoutProps {
  lines: ChartLine[];
  data: [number[], ...(number | null | undefined)[][]];
  at: number;
  axis: XAxis;
  plot: uPlot | null;
}

/** The values under the pointer. */
function Readout({ lines, data, at, axis, plot }: ReadoutProps) {
  const x = data[0][at];
  if (x === undefined || plot === null) return null;
  const left = plot.valToPos(x, 'x') + plot.over.offsetLeft;
  const isRight = left > plot.width * 0.6;
  return (
    <div
      className="readout number"
      style={isRight ? { right: plot.width - left + 14 } : { left: left + 14 }}
    >
      <span className="faint">{xText(axis, x)}</span>
      {lines.map((line, index) => {
        const value = columnsOfLine(lines, index)
          .map((column) => data[column]?.[at])
          .find((one) => one !== undefined && one !== null);
        const bad = line.branches
          .flatMap((branch) => branch.nonFinite)
          .find((point) => point.x === x);
        if (value === undefined && bad === undefined) return null;
        return (
          <span key={line.name}>
            <ColorDot color={`var(${line.color})`} /> {line.name}{' '}
            <strong className={bad ? 'error-text' : undefined}>
              {bad ? nonFiniteText(bad.value) : formatValue(value)}
            </strong>
          </span>
        );
      })}
    </div>
  );
}
