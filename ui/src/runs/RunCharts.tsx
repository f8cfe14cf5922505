/** The curves of a run: the loss large, every other number small, all on one kind of x axis. */
import { useQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import {
  Label,
  Slider,
  SliderOutput,
  SliderThumb,
  SliderTrack,
  ToggleButton,
} from 'react-aria-components';
import type { RunView, Series, SeriesInfo } from '../api/contract';
import { runSeries } from '../api/queries';
import { formatCompact, formatPlural, formatValue } from '../format/number';
import { toNano } from '../format/time';
import { useVisible } from '../widgets/hooks';
import { ColorDot } from '../widgets/marks';
import { Segments } from '../widgets/Picker';
import { Skeleton } from '../widgets/messages';
import { CurveChart, type ChartLine } from './CurveChart';
import { branchesOf, epochMarks, stepAtTime, type Placement, type XAxis } from './chart_data';
import { groupSeries, seriesKey, seriesTitle } from './series_groups';
import { SingleValues } from './SingleValues';
import { weightOfSlider } from './smoothing';

/** Enough buckets for one per pixel on common screens. */
const LARGE_POINTS = 1_200;
const SMALL_POINTS = 400;

interface ChartSettings {
  axis: XAxis;
  logY: boolean;
  /** Slider position from 0 to 1. */
  smoothing: number;
}

export function RunCharts({ view }: { view: RunView }) {
  const [settings, setSettings] = useState<ChartSettings>({
    axis: 'step',
    logY: false,
    smoothing: 0.6,
  });
  const groups = useMemo(() => groupSeries(view.series), [view.series]);
  const main = useMemo(() => [...new Set(groups.main.map(({ name }) => name))], [groups]);
  const { data } = useQuery(runSeries(view.summary.run_id, main, LARGE_POINTS));
  const placement = usePlacement(view, data, settings);
  const marks = useMemo(() => epochMarks(view.epochs, placement), [view.epochs, placement]);
  const lines = useMemo(
    () => chartLines(groups.main, data ?? [], placement),
    [groups, data, placement],
  );

  return (
    <>
      <section className="card chart-card" aria-label="Loss">
        <div className="card-head">
          <h2>Loss</h2>
          <Legend lines={lines} infos={groups.main} />
          <span className="shell-space" />
          <SettingsBar settings={settings} onChange={setSettings} />
        </div>
        {groups.main.length === 0 ? (
          <p className="panel-note faint chart-empty">
            No loss yet. Set the attribute <code>loss</code> on batch spans, or{' '}
            <code>train_loss</code> and <code>val_loss</code> on epoch spans.
          </p>
        ) : data === undefined ? (
          <Skeleton width="100%" height={300} />
        ) : (
          <CurveChart
            title="Loss"
            height={300}
            lines={lines}
            marks={marks}
            axis={settings.axis}
            logY={settings.logY}
          />
        )}
      </section>
      {groups.small.length > 0 && (
        <section className="small-charts" aria-label="Metrics">
          {groups.small.map((info) => (
            <SmallChart
              key={seriesKey(info)}
              runId={view.summary.run_id}
              info={info}
              title={seriesTitle(info, view.series)}
              placement={placement}
              marks={marks}
              settings={settings}
            />
          ))}
        </section>
      )}
      <SingleValues infos={groups.single} all={view.series} />
    </>
  );
}

function usePlacement(
  view: RunView,
  series: Series[] | undefined,
  { axis, smoothing }: ChartSettings,
): Placement {
  const startUnixNano = toNano(view.summary.start_unix_nano);
  return useMemo(() => {
    const steps = series?.find((one) => one.x === 'step' && one.points.length > 0);
    return {
      axis,
      startUnixNano,
      weight: weightOfSlider(smoothing),
      stepAt: stepAtTime(steps?.points ?? []),
      hasSteps: steps !== undefined,
    };
  }, [series, axis, smoothing, startUnixNano]);
}

function chartLines(infos: SeriesInfo[], series: Series[], placement: Placement): ChartLine[] {
  return infos.flatMap((info, index) => {
    const found = series.find(({ name, x }) => name === info.name && x === info.x);
    if (found === undefined) return [];
    const isCurve = found.x === 'step';
    return {
      name: seriesTitle(info, infos),
      color: isCurve ? '--accent' : `--span-color-${[1, 2, 4, 7][index % 4] ?? 1}`,
      kind: isCurve ? ('curve' as const) : ('points' as const),
      branches: branchesOf(found, isCurve ? placement : { ...placement, weight: 0 }),
    };
  });
}

function Legend({ lines, infos }: { lines: ChartLine[]; infos: SeriesInfo[] }) {
  const lastOf = (title: string) => infos.find((info) => seriesTitle(info, infos) === title)?.last;
  return (
    <ul className="legend number">
      {lines.map((line) => (
        <li key={line.name}>
          <ColorDot color={`var(${line.color})`} />
          {line.name} <strong>{formatValue(lastOf(line.name))}</strong>
        </li>
      ))}
    </ul>
  );
}

interface SettingsProps {
  settings: ChartSettings;
  onChange: (settings: ChartSettings) => void;
}

function SettingsBar({ settings, onChange }: SettingsProps) {
  return (
    <div className="chart-settings">
      <Slider
        className="smoothing"
        minValue={0}
        maxValue={0.99}
        step={0.01}
        value={settings.smoothing}
        onChange={(smoothing) => onChange({ ...settings, smoothing })}
      >
        <Label>Smoothing</Label>
        <SliderTrack className="slider-track">
          <SliderThumb className="slider-thumb" />
        </SliderTrack>
        <SliderOutput className="number" />
      </Slider>
      <ToggleButton
        className="button small"
        isSelected={settings.logY}
        onChange={(logY) => onChange({ ...settings, logY })}
      >
        Log y
      </ToggleButton>
      <Segments
        label="X axis"
        choices={[
          { id: 'step', label: 'Step' },
          { id: 'relative', label: 'Relative' },
          { id: 'wall', label: 'Wall time' },
        ]}
        value={settings.axis}
        onChange={(axis) => onChange({ ...settings, axis: axis as XAxis })}
      />
    </div>
  );
}

interface SmallProps {
  runId: string;
  info: SeriesInfo;
  title: string;
  placement: Placement;
  marks: { x: number; label: string }[];
  settings: ChartSettings;
}

/** A chart that exists only while it can be seen; a run may have hundreds of metrics. */
function SmallChart(props: SmallProps) {
  const { info, title } = props;
  const [box, isVisible] = useVisible<HTMLDivElement>();
  return (
    <figure ref={box} className="card small-chart">
      <figcaption>
        <span className="ellipsis" title={title}>
          {title}
        </span>
        <strong className="number">{formatValue(info.last)}</strong>
      </figcaption>
      {isVisible && <SmallCurve {...props} />}
      <span className="small-chart-note faint number">
        {formatCompact(info.point_count)} points · min {formatValue(info.min)} · max{' '}
        {formatValue(info.max)}
      </span>
    </figure>
  );
}

function SmallCurve({ runId, info, title, placement, marks, settings }: SmallProps) {
  const names = useMemo(() => [info.name], [info.name]);
  const { data } = useQuery(runSeries(runId, names, SMALL_POINTS));
  const lines = useMemo(
    () => chartLines([info], data ?? [], placement),
    // The curve depends on name and axis alone; the other facts change with every point.
    // oxlint-disable-next-line react/exhaustive-deps
    [info.name, info.x, data, placement],
  );
  if (data === undefined) return <Skeleton width="100%" height={120} />;
  return (
    <CurveChart
      title={`${title}, ${formatPlural(info.point_count, 'point')}`}
      height={120}
      lines={lines}
      marks={info.x === 'step' ? marks : []}
      axis={settings.axis}
      logY={settings.logY}
      isSmall
    />
  );
}
