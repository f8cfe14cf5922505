/** Minimap, tools and waterfall of a trace, and the keys that work on all of them. */
import { useRef } from 'react';
import { useKeys } from '../widgets/hooks';
import { Minimap } from './Minimap';
import { panWindow, zoomWindow } from './time_window';
import { TimelineTools } from './TimelineTools';
import { endOf } from './trace_table';
import { useTimeline, type TimelineProps, type TimelineState } from './use_timeline';
import { Waterfall } from './Waterfall';

const ZOOM_IN = 0.6;
const PAN_SHARE = 0.2;

export function Timeline(props: TimelineProps) {
  const timeline = useTimeline(props);
  const { window, total, onWindow, cursor } = timeline;
  const findField = useRef<HTMLInputElement>(null);
  useKeys({
    '/': (event) => {
      event.preventDefault();
      findField.current?.focus();
    },
    w: () => onWindow(zoomWindow(window, total, ZOOM_IN, anchorOf(timeline))),
    s: () => onWindow(zoomWindow(window, total, 1 / ZOOM_IN, 0.5)),
    a: () => onWindow(panWindow(window, total, -PAN_SHARE)),
    d: () => onWindow(panWindow(window, total, PAN_SHARE)),
    f: () => timeline.fit(cursor),
    '0': timeline.resetWindow,
    e: timeline.toggleErrorsOnly,
    '[': timeline.collapseAll,
    ']': timeline.expandAll,
    n: () => timeline.goToFound(1),
    N: () => timeline.goToFound(-1),
    Escape: () => props.onSelect(null),
  });
  return (
    <section className="timeline" aria-label="Timeline">
      <Minimap
        table={props.table}
        colors={props.colors}
        now={props.now}
        total={total}
        window={window}
        onWindow={onWindow}
        onPart={timeline.showPart}
      />
      <TimelineTools timeline={timeline} findField={findField} />
      <Waterfall timeline={timeline} />
    </section>
  );
}

/** Zooming in goes towards the cursor's span where it can be seen. */
function anchorOf({ window, table, cursor, now }: TimelineState): number {
  const middle = ((table.start[cursor] ?? 0) + endOf(table, cursor, now)) / 2;
  const share = (middle - window.start) / (window.end - window.start);
  return share >= 0 && share <= 1 ? share : 0.5;
}
