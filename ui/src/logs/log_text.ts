/** What a log record says, as text. */
import type { LogRecord } from '../api/contract';
import { valueText } from '../attributes/attribute_text';

/** All that was said; empty where there is no body. */
export function bodyText(log: LogRecord): string {
  return log.body.type === 'null' ? '' : valueText(log.body);
}

/** Longest line that is worth laying out: no screen is wider. */
const LINE_CHARS = 500;

/** One line that tells a log record from others: what was said, or else the event's name. */
export function lineText(log: LogRecord): string {
  const body = bodyText(log).trim();
  const text = body === '' ? log.event_name : body;
  const line = text.slice(0, LINE_CHARS).replace(/\s+/g, ' ');
  return text.length > LINE_CHARS ? `${line}…` : line;
}
