/**
 * The life of a uPlot chart inside React: made anew when its shape changes, given new data
 * otherwise, so that the reader's zoom stays while a run goes on.
 */
import { useEffect, useMemo, useRef, useState, type RefObject } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { resolveColors, useIsDark } from '../app/theme';
import type { XAxis } from './chart_data';
import { drawEpochMarks, drawNonFinite } from './plot_marks';
import {
  plotAxes,
  plotData,
  plotSeries,
  plotShape,
  yRange,
  type ChartLine,
  type EpochMark,
  type PlotColors,
} from './plot_options';

interface PlotProps {
  lines: ChartLine[];
  marks: EpochMark[];
  axis: XAxis;
  logY: boolean;
  isSmall: boolean;
  width: number;
  height: number;
}

/** What the drawing code reads at the moment it draws. */
interface Drawn {
  lines: ChartLine[];
  marks: EpochMark[];
  data: ReturnType<typeof plotData>;
}

/** The part of the x axis that the reader chose; it holds for one kind of axis only. */
interface Zoom {
  axis: XAxis;
  min: number;
  max: number;
}

export function usePlot(props: PlotProps) {
  const { lines, marks, axis, logY, isSmall, width, height } = props;
  const target = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const zoom = useRef<Zoom | null>(null);
  const isDark = useIsDark();
  const [hover, setHover] = useState<number | null>(null);
  const [isZoomed, setIsZoomed] = useState(false);
  const data = useMemo(() => plotData(lines, logY), [lines, logY]);
  const shape = plotShape(lines);
  const latest = useRef<Drawn>({ lines, marks, data });
  useEffect(() => {
    latest.current = { lines, marks, data };
  });
  const ready = width > 0;

  useEffect(() => {
    if (target.current === null || !ready) return;
    const setZoom = (next: Zoom | null) => {
      zoom.current = next;
      setIsZoomed(next !== null);
    };
    const options = {
      ...plotOptions(latest, { axis, logY, isSmall, setHover, setZoom }),
      width: target.current.clientWidth,
      height,
    };
    const made = new uPlot(options, latest.current.data as uPlot.AlignedData, target.current);
    plot.current = made;
    if (zoom.current?.axis === axis) made.setScale('x', zoom.current);
    else setZoom(null);
    return () => {
      made.destroy();
      plot.current = null;
    };
  }, [shape, axis, logY, isDark, isSmall, height, ready]);

  useEffect(() => {
    if (plot.current !== null) updateData(plot.current, data, zoom.current);
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
    if (plot.current !== null) updateData(plot.current, data, null);
  };
  return { target, plot, data, hover, isZoomed, reset };
}

function updateData(plot: uPlot, data: Drawn['data'], zoom: Zoom | null): void {
  plot.batch(() => {
    plot.setData(data as uPlot.AlignedData, zoom === null);
    if (zoom !== null) plot.setScale('x', zoom);
  });
}

interface Behaviour {
  axis: XAxis;
  logY: boolean;
  isSmall: boolean;
  setHover: (index: number | null) => void;
  setZoom: (zoom: Zoom) => void;
}

function plotOptions(
  latest: RefObject<Drawn>,
  { axis, logY, isSmall, setHover, setZoom }: Behaviour,
): Omit<uPlot.Options, 'width' | 'height'> {
  const colors = plotColors(latest.current.lines);
  return {
    padding: [8, 10, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: true, y: false } },
    scales: {
      x: { time: axis === 'wall' },
      y: { distr: logY ? 3 : 1, range: (_, low, high) => yRange(low, high, logY) },
    },
    axes: plotAxes(axis, colors, isSmall, logY),
    ...plotSeries(latest.current.lines, colors),
    hooks: {
      drawAxes: [(plot) => drawEpochMarks(plot, latest.current.marks, colors, isSmall)],
      draw: [(plot) => drawNonFinite(plot, latest.current.lines, colors, isSmall)],
      setCursor: [(plot) => setHover(plot.cursor.idx ?? null)],
      setSelect: [
        (plot) => {
          const { left, width } = plot.select;
          if (width < 2) return;
          setZoom({ axis, min: plot.posToVal(left, 'x'), max: plot.posToVal(left + width, 'x') });
        },
      ],
    },
  };
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
