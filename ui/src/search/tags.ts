/**
 * Tags as people type them: `key=value key2="a value"`, the logfmt form.
 *
 * A bare word is a tag whose value is `true`, as in `error`.
 */

export interface Tag {
  key: string;
  value: string;
}

/** Reads a line of tags; what cannot be read comes back in `rest`, so that nothing typed is lost. */
export function parseTags(text: string): { tags: Tag[]; rest: string } {
  const tags: Tag[] = [];
  let at = 0;
  while (at < text.length) {
    if (/\s/.test(text.charAt(at))) {
      at += 1;
      continue;
    }
    const parsed = parseTag(text, at);
    if (parsed === null) return { tags, rest: text.slice(at) };
    tags.push(parsed.tag);
    at = parsed.end;
  }
  return { tags, rest: '' };
}

function parseTag(text: string, start: number): { tag: Tag; end: number } | null {
  let at = start;
  while (at < text.length && !/[\s="]/.test(text.charAt(at))) at += 1;
  const key = text.slice(start, at);
  if (key === '') return null;
  if (text.charAt(at) !== '=') {
    return text.charAt(at) === '"' ? null : { tag: { key, value: 'true' }, end: at };
  }
  at += 1;
  if (text.charAt(at) !== '"') {
    const valueStart = at;
    while (at < text.length && !/\s/.test(text.charAt(at))) at += 1;
    return { tag: { key, value: text.slice(valueStart, at) }, end: at };
  }
  const quoted = parseQuoted(text, at);
  return quoted && { tag: { key, value: quoted.value }, end: quoted.end };
}

function parseQuoted(text: string, start: number): { value: string; end: number } | null {
  let value = '';
  for (let at = start + 1; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (char === '"') return { value, end: at + 1 };
    if (char === '\\' && at + 1 < text.length) {
      at += 1;
      value += text.charAt(at);
    } else {
      value += char;
    }
  }
  return null;
}

/** The form that {@link parseTags} reads back. */
export function formatTag({ key, value }: Tag): string {
  return /[\s"=\\]/.test(value) || value === ''
    ? `${key}="${value.replace(/["\\]/g, '\\$&')}"`
    : `${key}=${value}`;
}

/** `key=value` without quoting, the form of the URL and of the server's `tag` parameter. */
export function tagParameter({ key, value }: Tag): string {
  return `${key}=${value}`;
}

/** Splits at the first `=`: keys hold none, values may. */
export function parseTagParameter(text: string): Tag {
  const equals = text.indexOf('=');
  return equals < 0
    ? { key: text, value: 'true' }
    : { key: text.slice(0, equals), value: text.slice(equals + 1) };
}
