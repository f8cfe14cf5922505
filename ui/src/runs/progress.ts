/** What the numbers of a run say about how far it is. */
import type { RunSummary } from '../api/contract';
import { toNano } from '../format/time';

/** `2 / 10`, `2`, or an en dash when no epoch was seen. */
export function epochText(run: Pick<RunSummary, 'epoch' | 'total_epochs'>): string {
  if (run.epoch === null) return '–';
  return run.total_epochs === null ? String(run.epoch) : `${run.epoch} / ${run.total_epochs}`;
}

/** Share of the epochs begun or done, 0 to 1, or `null` when the total is not known. */
export function epochShare(
  run: Pick<RunSummary, 'epoch' | 'total_epochs' | 'state'>,
): number | null {
  if (run.epoch === null || run.total_epochs === null || run.total_epochs <= 0) return null;
  if (run.state === 'finished') return Math.min(1, run.epoch / run.total_epochs);
  // The epoch that runs is not done yet.
  return Math.min(1, Math.max(0, run.epoch - 0.5) / run.total_epochs);
}

/** How long the run has taken so far, or took. */
export function runDuration(
  run: Pick<RunSummary, 'start_unix_nano' | 'end_unix_nano' | 'last_seen_unix_nano' | 'state'>,
  now: bigint,
): bigint {
  const start = toNano(run.start_unix_nano);
  const end =
    run.end_unix_nano !== null
      ? toNano(run.end_unix_nano)
      : run.state === 'running'
        ? now
        : toNano(run.last_seen_unix_nano);
  return end > start ? end - start : 0n;
}
