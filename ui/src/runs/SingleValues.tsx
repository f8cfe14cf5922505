/** Numbers that a run said once, such as the result of its test: values, not curves. */
import type { SeriesInfo } from '../api/contract';
import { formatValue } from '../format/number';
import { seriesKey, seriesTitle } from './series_groups';

interface ValuesProps {
  infos: SeriesInfo[];
  /** Every series of the run, to tell apart those of one name. */
  all: SeriesInfo[];
}

export function SingleValues({ infos, all }: ValuesProps) {
  if (infos.length === 0) return null;
  return (
    <section className="card" aria-label="Single values">
      <div className="card-head">
        <h2>Single values</h2>
      </div>
      <dl className="single-values number">
        {infos.map((info) => (
          <div key={seriesKey(info)}>
            <dt className="ellipsis" title={info.name}>
              {seriesTitle(info, all)}
            </dt>
            <dd>{formatValue(info.last)}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
