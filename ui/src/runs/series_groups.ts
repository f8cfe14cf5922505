/** Which curves share the large chart, the order of the small ones, and what is no curve at all. */
import type { SeriesInfo } from '../api/contract';

/** Losses that people read together, in the order of their colours. */
const MAIN_NAMES = ['loss', 'train_loss', 'val_loss'];
/** Sizes of what was worked on, which seldom say anything as a curve. */
const SIZE_NAME = /(^|[._])(num_\w+|\w*_?(size|count))$/;

export interface SeriesGroups {
  main: SeriesInfo[];
  small: SeriesInfo[];
  /** Series of one point, which are values. */
  single: SeriesInfo[];
}

/** Two series may share a name, one by step and one by epoch; this tells them apart. */
export function seriesKey({ name, x }: Pick<SeriesInfo, 'name' | 'x'>): string {
  return `${name} by ${x}`;
}

/** The name that people read, with the axis where another series has the same name. */
export function seriesTitle(info: SeriesInfo, all: readonly SeriesInfo[]): string {
  const isShared = all.some(({ name, x }) => name === info.name && x !== info.x);
  return isShared ? seriesKey(info) : info.name;
}

export function groupSeries(series: readonly SeriesInfo[]): SeriesGroups {
  const named = MAIN_NAMES.flatMap((name) => series.filter((one) => one.name === name));
  // A program with its own names still gets its loss drawn large.
  const main =
    named.length > 0 ? named : series.filter(({ group }) => group === 'loss').slice(0, 3);
  const others = series
    .filter((one) => !main.includes(one))
    .toSorted((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name));
  return {
    main,
    small: others.filter(({ point_count }) => point_count > 1),
    single: others.filter(({ point_count }) => point_count <= 1),
  };
}

/** Tasks, then validation, then the rest, sizes last. */
function rank({ name, group }: SeriesInfo): number {
  if (SIZE_NAME.test(name)) return 3;
  if (group === 'task') return 0;
  return name.startsWith('val.') || name.startsWith('val_') ? 1 : 2;
}
