/** The fields that choose a range of time. */
import { Pick } from './Picker';
import { ALL_TIME, rangeNamed, RANGES, type RangeName, type TimeRange } from './time_range';

interface RangeProps {
  range: TimeRange;
  onChange: (range: TimeRange) => void;
}

export function RangePick({ range, onChange }: RangeProps) {
  return (
    <Pick
      label="Time"
      choices={RANGES.map(({ name, label }) => ({ id: name, label }))}
      value={range.range}
      onChange={(name) => onChange(rangeNamed(name as RangeName, range, Date.now()))}
    />
  );
}

/** A page's filters hold more than the range. */
const partsOf = ({ range, from, to }: TimeRange): TimeRange => ({ range, from, to });

/** Local time in the form of `datetime-local` fields. */
function localText(millis: number | null): string {
  if (millis === null) return '';
  const offset = new Date(millis).getTimezoneOffset() * 60_000;
  return new Date(millis - offset).toISOString().slice(0, 19);
}

/** The ends of a range of one’s own. */
export function CustomRange({ range, onChange }: RangeProps) {
  const read = (text: string) => (text === '' ? null : new Date(text).getTime());
  return (
    <div className="filter-row custom-range">
      <label className="field">
        <span className="field-label">From</span>
        <input
          className="input number"
          type="datetime-local"
          step="1"
          value={localText(range.from)}
          onChange={(event) => onChange({ ...partsOf(range), from: read(event.target.value) })}
        />
      </label>
      <label className="field">
        <span className="field-label">To (empty: now)</span>
        <input
          className="input number"
          type="datetime-local"
          step="1"
          value={localText(range.to)}
          onChange={(event) => onChange({ ...partsOf(range), to: read(event.target.value) })}
        />
      </label>
      <button type="button" className="button quiet" onClick={() => onChange(ALL_TIME)}>
        All time
      </button>
    </div>
  );
}
