/** The row of tools above the waterfall: find, errors only, legend, zoom and folding. */
import type { ReactNode, RefObject } from 'react';
import { formatCount } from '../format/number';
import {
  CloseIcon,
  CollapseAllIcon,
  ExpandAllIcon,
  FitIcon,
  SearchIcon,
  WarningIcon,
} from '../widgets/icons';
import { ColorDot } from '../widgets/marks';
import type { TimelineState } from './use_timeline';

const LEGEND_SHOWN = 8;

interface ToolsProps {
  timeline: TimelineState;
  findField: RefObject<HTMLInputElement | null>;
}

export function TimelineTools({ timeline, findField }: ToolsProps) {
  const { colors, errorsOnly, errorCount, cursor } = timeline;
  return (
    <div className="timeline-tools">
      <FindBox timeline={timeline} findField={findField} />
      <button
        type="button"
        className="button small"
        aria-pressed={errorsOnly}
        disabled={errorCount === 0 && !errorsOnly}
        onClick={timeline.toggleErrorsOnly}
      >
        <WarningIcon />
        {errorCount === 0 ? 'No errors' : `Errors only (${formatCount(errorCount)})`}
      </button>
      <ul className="span-legend" aria-label={`Colours by ${colors.by}`}>
        {colors.legend.slice(0, LEGEND_SHOWN).map(({ name, color }) => (
          <li key={name}>
            <ColorDot color={color} />
            {name}
          </li>
        ))}
      </ul>
      <span className="shell-space" />
      {timeline.isZoomed && (
        <button type="button" className="button small" onClick={timeline.resetWindow}>
          <CloseIcon />
          Reset zoom
        </button>
      )}
      <ToolButton
        label="Fit to the span (f)"
        icon={<FitIcon />}
        onPress={() => timeline.fit(cursor)}
      />
      <ToolButton
        label="Collapse all ([)"
        icon={<CollapseAllIcon />}
        onPress={timeline.collapseAll}
      />
      <ToolButton label="Expand all (])" icon={<ExpandAllIcon />} onPress={timeline.expandAll} />
    </div>
  );
}

function FindBox({ timeline, findField }: ToolsProps) {
  const { find, found, cursor } = timeline;
  return (
    <label className="find-box">
      <SearchIcon />
      <span className="visually-hidden">Find in this trace</span>
      <input
        ref={findField}
        className="input"
        type="search"
        placeholder="Find in trace"
        value={find}
        onChange={(event) => timeline.onFind(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === 'Enter') timeline.goToFound(event.shiftKey ? -1 : 1);
          if (event.key === 'Escape') findField.current?.blur();
        }}
      />
      {timeline.isFinding && (
        <span className="find-count number" role="status">
          {found.length === 0 ? 'none' : `${foundPlace(found, cursor)}${formatCount(found.length)}`}
        </span>
      )}
    </label>
  );
}

/** `3 of ` when the cursor stands on a found span. */
function foundPlace(found: Int32Array, cursor: number): string {
  const place = found.indexOf(cursor);
  return place < 0 ? '' : `${formatCount(place + 1)} of `;
}

interface ToolProps {
  label: string;
  icon: ReactNode;
  onPress: () => void;
}

function ToolButton({ label, icon, onPress }: ToolProps) {
  return (
    <button
      type="button"
      className="button icon small quiet"
      aria-label={label}
      title={label}
      onClick={onPress}
    >
      {icon}
    </button>
  );
}
