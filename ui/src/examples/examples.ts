/**
 * The programs that empty pages show, as they are sent to this server.
 *
 * Each is a file of its own beside this one, so that tests can run it as it stands.
 */
import trainingLoop from './training_loop.py?raw';

/** Where the program files send their spans: the default address of OTLP over HTTP. */
const WRITTEN_ENDPOINT = 'http://localhost:4318';

/** A traced training loop in Python that sends to `endpoint`. */
export function trainingProgram(endpoint: string): string {
  return trainingLoop.trimEnd().replaceAll(WRITTEN_ENDPOINT, endpoint);
}

/**
 * The URL for programs of a server that listens at `address`. A server that listens everywhere is
 * reached under the name by which the reader reached it.
 */
export function endpointUrl(address: string, pageHost: string): string {
  const bare = address.replace(/^http:\/\//, '');
  return `http://${bare.replace(/^(0\.0\.0\.0|\[::\])(?=:)/, pageHost)}`;
}
