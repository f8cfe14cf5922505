/** Which curves share the large chart, and the order of the small ones. */
import type { SeriesGroup, SeriesInfo } from '../api/contract';

/** Losses that people read together, in the order of their colours. */
const MAIN_NAMES = ['loss', 'train_loss', 'val_loss'];
const GROUP_ORDER: SeriesGroup[] = ['loss', 'validation', 'task', 'epoch', 'other'];

export interface SeriesGroups {
  main: SeriesInfo[];
  small: SeriesInfo[];
}

export function groupSeries(series: readonly SeriesInfo[]): SeriesGroups {
  const named = MAIN_NAMES.flatMap((name) => series.find((one) => one.name === name) ?? []);
  // A program with its own names still gets its loss drawn large.
  const main =
    named.length > 0 ? named : series.filter(({ group }) => group === 'loss').slice(0, 3);
  const small = series
    .filter((one) => !main.includes(one))
    .toSorted(
      (a, b) =>
        GROUP_ORDER.indexOf(a.group) - GROUP_ORDER.indexOf(b.group) || a.name.localeCompare(b.name),
    );
  return { main, small };
}
