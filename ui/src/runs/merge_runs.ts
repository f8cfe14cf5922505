/** How live news about runs joins the list. */
import type { RunSummary } from '../api/contract';
import { toNano } from '../format/time';

/** The list with changed runs in their place and new ones on top, newest first. */
export function mergeRuns(runs: RunSummary[], changed: readonly RunSummary[]): RunSummary[] {
  const byId = new Map(runs.map((run) => [run.run_id, run]));
  for (const run of changed) byId.set(run.run_id, run);
  return [...byId.values()].toSorted((a, b) => {
    const [first, second] = [toNano(a.start_unix_nano), toNano(b.start_unix_nano)];
    return first < second ? 1 : first > second ? -1 : 0;
  });
}
