/** Server-Sent Events as a hook, with reconnection and a state that the page can show. */
import { useEffect, useRef, useState } from 'react';
import { API_PREFIX, refusalOf, type ApiError } from './client';

export interface Live {
  /** `refused` is for good: the server does not give this stream. */
  state: 'off' | 'connecting' | 'open' | 'lost' | 'refused';
  /** Why it was refused. */
  error: ApiError | null;
}

const RETRY_MILLIS = 3_000;

/**
 * Listens to `path` below the API prefix while it is not `null` and the page is visible: a browser
 * has only six connections to a server, for all its tabs together.
 *
 * `onEvent` gets the name and the parsed data. `onReopen` is called when the stream is back after a
 * break, and after the server says that it skipped events: what was missed must be fetched.
 */
export function useLive(
  path: string | null,
  events: readonly string[],
  onEvent: (name: string, data: unknown) => void,
  onReopen: () => void,
): Live {
  const [live, setLive] = useState<Live>({ state: 'off', error: null });
  const handlers = useRef({ onEvent, onReopen });
  useEffect(() => {
    handlers.current = { onEvent, onReopen };
  });
  const names = events.join(' ');

  useEffect(() => {
    if (path === null) {
      setLive({ state: 'off', error: null });
      return;
    }
    const stream = new Stream(path, {
      onLive: setLive,
      onEvent: (name, data) => handlers.current.onEvent(name, data),
      onReopen: () => handlers.current.onReopen(),
      events: names.split(' '),
    });
    const follow = () => (document.hidden ? stream.close() : stream.open());
    follow();
    document.addEventListener('visibilitychange', follow);
    return () => {
      document.removeEventListener('visibilitychange', follow);
      stream.close();
    };
  }, [path, names]);

  return live;
}

interface StreamOptions {
  events: string[];
  onLive: (live: Live) => void;
  onEvent: (name: string, data: unknown) => void;
  onReopen: () => void;
}

/** One stream of events that can be closed and opened again. */
class Stream {
  private readonly path: string;
  private readonly options: StreamOptions;
  private source: EventSource | null = null;
  private retry = 0;
  /** Ends the question why the stream failed. */
  private asking = new AbortController();
  /** Whether there was a time without a stream, since the page asked for its data. */
  private mayHaveMissed = false;
  private state: Live['state'] = 'off';

  constructor(path: string, options: StreamOptions) {
    this.path = path;
    this.options = options;
  }

  open(): void {
    if (this.source !== null || this.state === 'refused') return;
    if (this.state !== 'lost') this.show('connecting');
    const source = new EventSource(API_PREFIX + this.path);
    this.source = source;
    source.addEventListener('open', () => {
      this.show('open');
      if (this.mayHaveMissed) this.options.onReopen();
      this.mayHaveMissed = false;
    });
    source.addEventListener('error', () => {
      this.show('lost');
      this.mayHaveMissed = true;
      // The browser retries by itself unless the answer was no stream at all.
      if (source.readyState === EventSource.CLOSED) void this.recover();
    });
    for (const name of this.options.events) {
      source.addEventListener(name, (event: MessageEvent<string>) => {
        this.options.onEvent(name, parsed(event.data));
      });
    }
    source.addEventListener('lagged', () => this.options.onReopen());
  }

  close(): void {
    this.mayHaveMissed = true;
    window.clearTimeout(this.retry);
    this.asking.abort();
    this.source?.close();
    this.source = null;
  }

  /** After an answer that was no stream: stops if it was a refusal, else tries again. */
  private async recover(): Promise<void> {
    this.close();
    const asking = new AbortController();
    this.asking = asking;
    const refusal = await refusalOf(this.path, asking.signal);
    if (asking.signal.aborted) return;
    if (refusal !== null) this.show('refused', refusal);
    else this.retry = window.setTimeout(() => this.open(), RETRY_MILLIS);
  }

  private show(state: Live['state'], error: ApiError | null = null): void {
    this.state = state;
    this.options.onLive({ state, error });
  }
}

function parsed(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return null;
  }
}
