/** From the series of a metric to the lines of its chart. */
import type { Attribute, Metric, MetricSeries } from '../api/contract';
import { assignColors } from '../app/colors';
import { valueText } from '../attributes/attribute_text';
import { branchesOf, type Placement } from '../runs/chart_data';
import type { ChartLine } from '../runs/plot_options';

/** Where the three quantiles of one series are drawn together. */
export const QUANTILES = 'quantiles';

export interface Choice {
  id: string;
  label: string;
}

/** What can be drawn of a metric, the one that suits it best first. */
export function choicesOf(
  metric: Pick<Metric, 'kind' | 'is_monotonic'>,
  curves: string[],
): Choice[] {
  switch (metric.kind) {
    case 'gauge':
      return [{ id: 'value', label: 'Value' }];
    case 'sum': {
      const value = { id: 'value', label: 'Value' };
      const rate = { id: 'rate', label: 'Per second' };
      return metric.is_monotonic === true ? [rate, value] : [value, rate];
    }
    default: {
      const quantiles = curves.filter(isQuantile);
      return [
        ...(quantiles.length > 1 ? [{ id: QUANTILES, label: 'Quantiles' }] : []),
        ...quantiles.map((name) => ({ id: name, label: name })),
        { id: 'count', label: 'Count' },
        { id: 'sum', label: 'Sum' },
      ];
    }
  }
}

export function isQuantile(curve: string): boolean {
  return /^p\d/.test(curve);
}

/** The unit as people read it: without the braces of UCUM's annotations. */
export function unitText(unit: string | null, shown: string): string {
  const plain = (unit ?? '').replaceAll(/[{}]/g, '');
  const isPure = plain === '' || plain === '1';
  if (shown === 'rate') return isPure ? 'per second' : `${plain}/s`;
  if (shown === 'count') return '';
  return isPure ? '' : plain;
}

const WALL: Placement = {
  axis: 'wall',
  startUnixNano: 0n,
  weight: 0,
  stepAt: () => 0,
  hasSteps: false,
};

/** The lines of a chart: one for each series, or for each of its quantiles. */
export function linesOf(series: readonly MetricSeries[], shown: string): ChartLine[] {
  const labels = seriesLabels(series);
  const parts = series.flatMap((one, index) =>
    one.curves
      .filter(({ name }) => (shown === QUANTILES ? isQuantile(name) : name === shown))
      .map((curve) => ({ curve, name: lineName(labels[index] ?? '', curve.name, shown) })),
  );
  const colors = assignColors(parts.map(({ name }) => name));
  return parts.map(({ curve, name }) => ({
    name,
    color: `--span-color-${colors.get(name) ?? 0}`,
    // One point makes no line.
    kind: curve.points.length > 1 ? ('curve' as const) : ('points' as const),
    branches: branchesOf(
      {
        name,
        x: 'step',
        points: curve.points.map((point) => ({ ...point, step: 0 })),
      },
      WALL,
    ),
  }));
}

function lineName(label: string, curve: string, shown: string): string {
  if (shown !== QUANTILES) return label === '' ? curve : label;
  return label === '' ? curve : `${label} ${curve}`;
}

/**
 * What tells each series from the others: its service, attributes, resource and scope, of these only
 * what is not the same for all. Where that says nothing, they are numbered.
 */
export function seriesLabels(series: readonly MetricSeries[]): string[] {
  const facts = series.map(factsOf);
  const differs = (key: string) => new Set(facts.map((of) => of.get(key))).size > 1;
  const label = (of: Map<string, string>, prefix: string) =>
    [...of]
      .filter(([key]) => key.startsWith(prefix) && differs(key))
      .map(([key, text]) => (key === 'service' ? text : `${key.slice(prefix.length)}=${text}`))
      .join(' ');
  // The resource says much that only repeats what the service does.
  const short = facts.map((of) => [label(of, 'service'), label(of, 'attribute ')].join(' ').trim());
  if (new Set(short).size === series.length) return short;
  const long = facts.map((of, index) =>
    [short[index], label(of, 'resource '), label(of, 'scope ')].join(' ').trim(),
  );
  if (new Set(long).size === series.length) return long;
  return long.map((text, index) => `${text} #${index + 1}`.trim());
}

function factsOf({ service, attributes, resource, scope }: MetricSeries): Map<string, string> {
  const entries = (prefix: string, list: readonly Attribute[]) =>
    list
      .filter(({ key }) => key !== 'service.name')
      .map((one): [string, string] => [`${prefix} ${one.key}`, valueText(one)]);
  return new Map([
    ['service', service],
    ...entries('attribute', attributes),
    ...entries('resource', resource.attributes),
    ['scope name', scope.name],
    ['scope version', scope.version],
    ...entries('scope', scope.attributes),
  ]);
}
