/** Keeps a run's page up to date: each word of the stream makes its queries ask again. */
import { useQueryClient } from '@tanstack/react-query';
import type { Live } from '../api/live';
import { useFollowing } from '../api/use_following';

/** Listens once the run is there: the server refuses the stream of a run it does not know. */
export function useRunLive(runId: string, isThere: boolean): Live {
  const client = useQueryClient();
  const path = isThere ? `/live/runs/${encodeURIComponent(runId)}` : null;
  return useFollowing(path, 'run', () => {
    const questions = ['run', 'series', 'batches'].map((kind) =>
      client.invalidateQueries({ queryKey: [kind, runId] }),
    );
    return Promise.allSettled(questions);
  });
}
