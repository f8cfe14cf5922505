/**
 * How live traces join the list: what is shown changes in place; what is new waits until the
 * reader asks for it, unless the reader is at the top of the list.
 */
import type { TraceSummary } from '../api/contract';
import { toNano } from '../format/time';

export interface Arrivals {
  /** The newest word on every trace that the live stream spoke of. */
  latest: ReadonlyMap<string, TraceSummary>;
  /** Traces that were let into the list. */
  admitted: ReadonlySet<string>;
}

export const NO_ARRIVALS: Arrivals = { latest: new Map(), admitted: new Set() };

/** Waiting traces kept at most; older ones are found by searching again. */
const MOST_WAITING = 2_000;

/** Takes in changed summaries; `follow` lets new ones into the list at once. */
export function addArrivals(
  arrivals: Arrivals,
  changed: readonly TraceSummary[],
  follow: boolean,
): Arrivals {
  const latest = new Map(arrivals.latest);
  for (const trace of changed) latest.set(trace.trace_id, trace);
  if (follow) return { latest, admitted: new Set(latest.keys()) };
  for (const id of latest.keys()) {
    if (latest.size - arrivals.admitted.size <= MOST_WAITING) break;
    if (!arrivals.admitted.has(id)) latest.delete(id);
  }
  return { latest, admitted: arrivals.admitted };
}

/** Lets all that waits into the list. */
export function admitAll(arrivals: Arrivals): Arrivals {
  return { latest: arrivals.latest, admitted: new Set(arrivals.latest.keys()) };
}

/** The list, newest first, and how many traces wait. */
export function combine(
  found: readonly TraceSummary[],
  arrivals: Arrivals,
): { shown: TraceSummary[]; waiting: number } {
  const byId = new Map<string, TraceSummary>();
  for (const trace of found) byId.set(trace.trace_id, trace);
  let waiting = 0;
  for (const [id, trace] of arrivals.latest) {
    if (byId.has(id) || arrivals.admitted.has(id)) byId.set(id, trace);
    else waiting += 1;
  }
  return { shown: newestFirst([...byId.values()]), waiting };
}

function newestFirst(traces: TraceSummary[]): TraceSummary[] {
  return traces
    .map((trace) => ({ trace, start: toNano(trace.start_unix_nano) }))
    .toSorted((a, b) => (a.start < b.start ? 1 : a.start > b.start ? -1 : 0))
    .map(({ trace }) => trace);
}
