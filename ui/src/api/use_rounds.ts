/** Asking again because of a live stream, which may say more often that something changed than is worth it. */
import { useCallback, useEffect, useRef } from 'react';

/** Shortest time between two rounds of questions, unless it is given. */
const PAUSE_MILLIS = 700;

/**
 * What to call when something changed: `round` is called at once or, while an earlier one is under way or
 * just ended, once after it, however often something changed meanwhile.
 */
export function useRounds(
  round: () => Promise<unknown>,
  pauseMillis: number = PAUSE_MILLIS,
): () => void {
  const latest = useRef(round);
  useEffect(() => {
    latest.current = round;
  });
  const state = useRef({ isBusy: false, isDue: false, timer: 0 });
  useEffect(() => {
    const current = state.current;
    return () => window.clearTimeout(current.timer);
  }, []);

  return useCallback(
    function ask() {
      const current = state.current;
      if (current.isBusy) {
        current.isDue = true;
        return;
      }
      current.isBusy = true;
      current.isDue = false;
      void Promise.allSettled([latest.current()]).then(() => {
        current.timer = window.setTimeout(() => {
          current.isBusy = false;
          if (current.isDue) ask();
        }, pauseMillis);
      });
    },
    [pauseMillis],
  );
}
