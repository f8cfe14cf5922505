/** A chart of curves with uPlot: drag to zoom, double click to see all, values under the pointer. */
import { useEffect, useMemo, useRef, useState } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { resolveColors, useIsDark } from '../app/theme';
import { formatPlural, formatValue, nonFiniteText } from '../format/number';
import { useSize } from '../widgets/hooks';
import { ColorDot } from '../widgets/marks';
import type { XAxis } from './chart_data';
import { drawEpochMarks, drawNonFinite } from './plot_marks';
import {
  columnsOfLine,
  plotAxes,
  plotData,
  plotSeries,
  plotShape,
  xText,
  yRange,
  type ChartLine,
  type EpochMark,
  type PlotColors,
} from './plot_options';

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
  const { title, height, lines, marks, axis, logY, isSmall = false } = props;
  const [box, { width }] = useSize<HTMLDivElement>();
  const target = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const isDark = useIsDark();
  const [hover, setHover] = useState<number | null>(null);
  const [isZoomed, setIsZoomed] = useState(false);
  const data = useMemo(() => plotData(lines, logY), [lines, logY]);
  const shape = plotShape(lines);
  const latest = useRef({ lines, marks, data });
  useEffect(() => {
    latest.current = { lines, marks, data };
  });
  // Zoom by the reader; it outlives new data and new plots, but not another axis.
  const zoom = useRef<{ axis: XAxis; min: number; max: number } | null>(null);
  const ready = width > 0;

  useEffect(() => {
    if (target.current === null || !ready) return;
    const colors = plotColors(latest.current.lines);
    const made = new uPlot(
      {
        width: target.current.clientWidth,
        height,
        padding: [8, 10, 0, 0],
        legend: { show: false },
        cursor: { y: false, points: { show: false }, drag: { x: true, y: false } },
        scales: {
          x: { time: axis === 'wall' },
          y: {
            distr: logY ? 3 : 1,
            range: (_, low, high) => yRange(low, high, logY),
          },
        },
        axes: plotAxes(axis, colors, isSmall, logY),
        ...plotSeries(latest.current.lines, colors),
        hooks: {
          drawAxes: [(self) => drawEpochMarks(self, latest.current.marks, colors, isSmall)],
          draw: [(self) => drawNonFinite(self, latest.current.lines, colors, isSmall)],
          setCursor: [(self) => setHover(self.cursor.idx ?? null)],
          setSelect: [
            (self) => {
              if (self.select.width < 2) return;
              const min = self.posToVal(self.select.left, 'x');
              const max = self.posToVal(self.select.left + self.select.width, 'x');
              zoom.current = { axis, min, max };
              setIsZoomed(true);
            },
          ],
        },
      },
      latest.current.data as uPlot.AlignedData,
      target.current,
    );
    plot.current = made;
    if (zoom.current?.axis === axis) made.setScale('x', zoom.current);
    else {
      zoom.current = null;
      setIsZoomed(false);
    }
    return () => {
      made.destroy();
      plot.current = null;
    };
  }, [shape, axis, logY, isDark, isSmall, height, ready]);

  useEffect(() => {
    const drawn = plot.current;
    if (drawn === null) return;
    const zoomed = zoom.current;
    drawn.batch(() => {
      drawn.setData(data as uPlot.AlignedData, zoomed === null);
      if (zoomed !== null) drawn.setScale('x', zoomed);
    });
  }, [data]);
  useEffect(() => {
    plot.current?.redraw(false);
  }, [marks]);
  useEffect(() => {
    if (width > 0) plot.current?.setSize({ width, height });
  }, [width, height]);

  const reset = () => {
    zoom.current = null;
    setIsZoomed(false);
    plot.current?.setData(latest.current.data as uPlot.AlignedData, true);
  };
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

function plotColors(lines: readonly ChartLine[]): PlotColors {
  const names = [...new Set(lines.map((line) => line.color))];
  const colors = resolveColors([...names, '--border', '--text-faint', '--error', '--surface']);
  return {
    line: (token) => colors[token] ?? '',
    grid: colors['--border'] ?? '',
    text: colors['--text-faint'] ?? '',
    error: colors['--error'] ?? '',
    surface: colors['--surface'] ?? '',
  };
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
