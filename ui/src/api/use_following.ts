/** Keeps an answer up to date: each word of a live stream makes its question be asked again. */
import { useEffect } from 'react';
import { useLive, type Live } from './live';
import { useRounds } from './use_rounds';

/**
 * Asks anew on each `event` of the stream at `path`, while that is not `null`; between two questions there
 * is a pause.
 */
export function useFollowing(
  path: string | null,
  event: string,
  ask: () => Promise<unknown>,
  pauseMillis?: number,
): Live {
  const askInRounds = useRounds(ask, pauseMillis);
  const live = useLive(path, [event], askInRounds, askInRounds);
  // Something may have been stored between the first answer and the beginning of the stream.
  useEffect(() => {
    if (live.state === 'open') askInRounds();
  }, [live.state, askInRounds]);
  return live;
}
