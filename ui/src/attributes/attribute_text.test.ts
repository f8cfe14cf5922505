import { describe, expect, it } from 'vitest';
import type { Attribute } from '../api/contract';
import { findAttributes, prettyJson, valueText } from './attribute_text';

describe('attribute values', () => {
  it('keep every digit of 64-bit integers', () => {
    expect(valueText({ type: 'int', value: '9223372036854775807' })).toBe('9223372036854775807');
    expect(
      valueText({ type: 'array', value: [{ type: 'int', value: '9223372036854775807' }] }),
    ).toContain('9223372036854775807');
  });
  it('say what is not finite', () => {
    expect(valueText({ type: 'double', value: 'NaN' })).toBe('NaN');
    expect(valueText({ type: 'double', value: '-Infinity' })).toBe('−∞');
    expect(valueText({ type: 'double', value: 0.1 })).toBe('0.1');
  });
  it('show nested values as JSON', () => {
    const text = valueText({
      type: 'map',
      value: [
        { key: 'ok', type: 'bool', value: true },
        { key: 'none', type: 'null' },
      ],
    });
    expect(JSON.parse(text)).toEqual({ ok: true, none: null });
  });
  it('that hold JSON are laid out, other text is left as it is', () => {
    expect(prettyJson('{"a":1}')).toBe('{\n  "a": 1\n}');
    expect(prettyJson('{broken')).toBeNull();
    expect(prettyJson('42')).toBeNull();
  });
});

it('attributes are found by key and value and sorted by key', () => {
  const attributes: Attribute[] = [
    { key: 'loss', type: 'double', value: 0.5 },
    { key: 'batch_size', type: 'int', value: '32' },
    { key: 'device', type: 'string', value: 'CPU' },
  ];
  expect(findAttributes(attributes, '').map(({ key }) => key)).toEqual([
    'batch_size',
    'device',
    'loss',
  ]);
  expect(findAttributes(attributes, 'cpu').map(({ key }) => key)).toEqual(['device']);
  expect(findAttributes(attributes, '32').map(({ key }) => key)).toEqual(['batch_size']);
});
