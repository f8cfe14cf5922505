/** Server-Sent Events as a hook, with reconnection and a state that the page can show. */
import { useEffect, useRef, useState } from 'react';
import { API_PREFIX } from './client';

export type LiveState = 'off' | 'connecting' | 'open' | 'lost';

const RETRY_MILLIS = 3_000;

/**
 * Listens to `path` below the API prefix while it is not `null`.
 *
 * `onEvent` gets the name and the parsed data. `onReopen` is called when the stream is back after a
 * break, and after the server says that it skipped events: what was missed must be fetched.
 */
export function useLive(
  path: string | null,
  events: readonly string[],
  onEvent: (name: string, data: unknown) => void,
  onReopen: () => void,
): LiveState {
  const [state, setState] = useState<LiveState>('off');
  const handlers = useRef({ onEvent, onReopen });
  useEffect(() => {
    handlers.current = { onEvent, onReopen };
  });
  const names = events.join(' ');

  useEffect(() => {
    if (path === null) {
      setState('off');
      return;
    }
    let source: EventSource | null = null;
    let retry = 0;
    let opened = false;

    const open = () => {
      setState((old) => (old === 'lost' ? old : 'connecting'));
      source = new EventSource(API_PREFIX + path);
      source.addEventListener('open', () => {
        setState('open');
        if (opened) handlers.current.onReopen();
        opened = true;
      });
      source.addEventListener('error', () => {
        setState('lost');
        // The browser retries by itself unless the answer was no stream at all.
        if (source?.readyState === EventSource.CLOSED)
          retry = window.setTimeout(open, RETRY_MILLIS);
      });
      for (const name of names.split(' ')) {
        source.addEventListener(name, (event: MessageEvent<string>) => {
          handlers.current.onEvent(name, parsed(event.data));
        });
      }
      source.addEventListener('lagged', () => handlers.current.onReopen());
    };
    open();
    return () => {
      window.clearTimeout(retry);
      source?.close();
    };
  }, [path, names]);

  return state;
}

function parsed(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return null;
  }
}
