/** Keeps a run's page up to date: each word of the stream makes its queries ask again. */
import { useQueryClient } from '@tanstack/react-query';
import { useLive, type Live } from '../api/live';
import { useRounds } from '../api/use_rounds';

/** Listens once the run is there: the server refuses the stream of a run it does not know. */
export function useRunLive(runId: string, isThere: boolean): Live {
  const client = useQueryClient();
  const ask = useRounds(() => {
    const questions = ['run', 'series', 'batches'].map((kind) =>
      client.invalidateQueries({ queryKey: [kind, runId] }),
    );
    return Promise.allSettled(questions);
  });
  const path = isThere ? `/live/runs/${encodeURIComponent(runId)}` : null;
  return useLive(path, ['run'], ask, ask);
}
