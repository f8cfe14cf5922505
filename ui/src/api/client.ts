/** One way to ask the server for JSON, and one shape for everything that can go wrong. */

export const API_PREFIX = '/api/lumitrace/v1';

/** What the server refused or why it could not be asked, in words for the reader. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** HTTP status, 0 when no answer came. */
  readonly status: number;
  /** The server's own code, such as `trace_not_found`; `unreachable` when no answer came. */
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }

  /** Whether the question itself was refused: asked again, it gets the same answer. */
  get isRefusal(): boolean {
    return this.status >= 400 && this.status < 500;
  }
}

/** Fetches `path` below the API prefix. Throws {@link ApiError}; an abort passes through. */
export function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  return askJson<T>('GET', path, signal);
}

/** Asks the server to do what `path` below the API prefix says. Throws {@link ApiError}. */
export function postJson<T>(path: string): Promise<T> {
  return askJson<T>('POST', path);
}

async function askJson<T>(method: string, path: string, signal?: AbortSignal): Promise<T> {
  let response: Response;
  try {
    response = await fetch(API_PREFIX + path, {
      method,
      headers: { accept: 'application/json' },
      ...(signal ? { signal } : {}),
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new ApiError(
      0,
      'unreachable',
      'The Lumitrace server does not answer. Check that it is still running.',
    );
  }
  if (!response.ok) throw await errorOf(response);
  try {
    return (await response.json()) as T;
  } catch {
    throw new ApiError(response.status, 'bad_answer', 'The server sent an answer that is no JSON.');
  }
}

/**
 * Why the server refuses `path`, or `null` when it does not, or not for good. An `EventSource` says
 * only that its request failed; this asks once more, for the reason.
 */
export async function refusalOf(path: string, signal: AbortSignal): Promise<ApiError | null> {
  const body = new AbortController();
  try {
    const response = await fetch(API_PREFIX + path, {
      headers: { accept: 'text/event-stream' },
      signal: AbortSignal.any([signal, body.signal]),
    });
    if (response.ok) return null;
    const error = await errorOf(response);
    return error.isRefusal ? error : null;
  } catch {
    return null;
  } finally {
    // A stream has no end of its own.
    body.abort();
  }
}

async function errorOf(response: Response): Promise<ApiError> {
  const fallback = `The server answered ${response.status} ${response.statusText}`.trim() + '.';
  try {
    const body = (await response.json()) as { error?: { code?: string; message?: string } };
    return new ApiError(
      response.status,
      body.error?.code ?? 'http_error',
      body.error?.message ?? fallback,
    );
  } catch {
    return new ApiError(response.status, 'http_error', fallback);
  }
}
