/** Keeps a run's page up to date: each word of the stream makes its queries ask again. */
import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useRef } from 'react';
import { useLive, type Live } from '../api/live';

/** Shortest time between two rounds of questions. */
const PAUSE_MILLIS = 700;

/** Listens once the run is there: the server refuses the stream of a run it does not know. */
export function useRunLive(runId: string, isThere: boolean): Live {
  const client = useQueryClient();
  const round = useRef({ isBusy: false, isDue: false, timer: 0 });

  useEffect(() => {
    const current = round.current;
    return () => window.clearTimeout(current.timer);
  }, []);

  const ask = () => {
    const state = round.current;
    if (state.isBusy) {
      state.isDue = true;
      return;
    }
    state.isBusy = true;
    state.isDue = false;
    const questions = ['run', 'series', 'batches'].map((kind) =>
      client.invalidateQueries({ queryKey: [kind, runId] }),
    );
    void Promise.allSettled(questions).then(() => {
      state.timer = window.setTimeout(() => {
        state.isBusy = false;
        if (state.isDue) ask();
      }, PAUSE_MILLIS);
    });
  };
  const path = isThere ? `/live/runs/${encodeURIComponent(runId)}` : null;
  return useLive(path, ['run'], ask, ask);
}
