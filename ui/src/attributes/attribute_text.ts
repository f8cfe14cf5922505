/** Attribute values as text, by their type. */
import type { Attribute, TypedValue } from '../api/contract';
import { toNumber, nonFiniteText } from '../format/number';

/** The value as it is read and copied. Nested values become indented JSON. */
export function valueText(value: TypedValue): string {
  switch (value.type) {
    case 'string':
      return value.value;
    case 'bool':
      return String(value.value);
    case 'int':
      return value.value;
    case 'double': {
      const number = toNumber(value.value);
      return number === null ? String(value.value) : (nonFiniteText(number) ?? String(number));
    }
    case 'bytes':
      return value.value;
    case 'null':
      return 'null';
    case 'array':
    case 'map':
      return JSON.stringify(plainValue(value), null, 2);
  }
}

/** Nested values without their type marks. Integers stay text, since JSON numbers lose digits. */
function plainValue(value: TypedValue): unknown {
  switch (value.type) {
    case 'array':
      return value.value.map(plainValue);
    case 'map':
      return Object.fromEntries(value.value.map((entry) => [entry.key, plainValue(entry)]));
    case 'int': {
      const number = Number(value.value);
      return Number.isSafeInteger(number) ? number : value.value;
    }
    case 'null':
      return null;
    default:
      return value.value;
  }
}

/** Attributes whose key or value contains the text, whatever its case; sorted by key. */
export function findAttributes(attributes: readonly Attribute[], text: string): Attribute[] {
  const needle = text.trim().toLowerCase();
  return attributes
    .filter(
      (attribute) =>
        needle === '' ||
        attribute.key.toLowerCase().includes(needle) ||
        valueText(attribute).toLowerCase().includes(needle),
    )
    .toSorted((a, b) => a.key.localeCompare(b.key));
}

/** JSON inside a string, laid out for reading; `null` when the text is no JSON object or list. */
export function prettyJson(text: string): string | null {
  const trimmed = text.trim();
  if (!/^[[{]/.test(trimmed) || trimmed.length > 150_000) return null;
  try {
    return JSON.stringify(JSON.parse(trimmed), null, 2);
  } catch {
    return null;
  }
}
