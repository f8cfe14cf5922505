/** What is painted over a plot: epoch lines and triangles for values that no axis can show. */
import type uPlot from 'uplot';
import { nonFiniteText } from '../format/number';
import type { ChartLine, EpochMark, PlotColors } from './plot_options';
import { thinMarks } from './plot_options';

const TRIANGLE_PX = 6;

export function drawEpochMarks(
  plot: uPlot,
  marks: readonly EpochMark[],
  colors: PlotColors,
  isSmall: boolean,
): void {
  const { ctx, bbox } = plot;
  const scale = window.devicePixelRatio || 1;
  ctx.save();
  ctx.strokeStyle = colors.grid;
  ctx.fillStyle = colors.text;
  ctx.font = `${10 * scale}px Inter Variable, system-ui, sans-serif`;
  ctx.textAlign = 'left';
  ctx.textBaseline = 'alphabetic';
  ctx.setLineDash([2 * scale, 3 * scale]);
  ctx.lineWidth = scale;
  for (const mark of thinMarks(marks)) {
    const x = Math.round(plot.valToPos(mark.x, 'x', true)) + 0.5;
    if (x < bbox.left - 1 || x > bbox.left + bbox.width) continue;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const text = `epoch ${mark.label}`;
    const hasRoom = x + 4 * scale + ctx.measureText(text).width < bbox.left + bbox.width;
    if (!isSmall && hasRoom) ctx.fillText(text, x + 4 * scale, bbox.top + 10 * scale);
  }
  ctx.restore();
}

/** NaN and +∞ stand at the top of the plot, −∞ at the bottom, whatever part is zoomed in on. */
export function drawNonFinite(
  plot: uPlot,
  lines: readonly ChartLine[],
  colors: PlotColors,
  isSmall: boolean,
): void {
  const { ctx, bbox } = plot;
  const scale = window.devicePixelRatio || 1;
  const size = TRIANGLE_PX * scale;
  ctx.save();
  ctx.fillStyle = colors.error;
  ctx.strokeStyle = colors.error;
  ctx.font = `600 ${10 * scale}px Inter Variable, system-ui, sans-serif`;
  ctx.textAlign = 'left';
  ctx.textBaseline = 'alphabetic';
  ctx.globalAlpha = 0.9;
  let labelEnd = Number.NEGATIVE_INFINITY;
  for (const point of lines.flatMap((line) => line.branches).flatMap((one) => one.nonFinite)) {
    const x = plot.valToPos(point.x, 'x', true);
    if (x < bbox.left - size || x > bbox.left + bbox.width + size) continue;
    const isLow = point.value === Number.NEGATIVE_INFINITY;
    const base = isLow ? bbox.top + bbox.height - size * 2 : bbox.top + size * 2 + 8 * scale;
    const tip = isLow ? base + size * 1.5 : base - size * 1.5;
    ctx.beginPath();
    ctx.moveTo(x - size, base);
    ctx.lineTo(x + size, base);
    ctx.lineTo(x, tip);
    ctx.closePath();
    ctx.fill();
    const text = nonFiniteText(point.value) ?? '';
    if (!isSmall && x > labelEnd) {
      ctx.fillText(text, x + size + 3 * scale, base);
      labelEnd = x + size * 2 + ctx.measureText(text).width + 6 * scale;
    }
  }
  ctx.restore();
}
