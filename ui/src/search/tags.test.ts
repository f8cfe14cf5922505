import { describe, expect, it } from 'vitest';
import { formatTag, parseTagParameter, parseTags, tagParameter } from './tags';

describe('typed tags', () => {
  it('are pairs of key and value, quoted where they hold blanks', () => {
    expect(parseTags('http.status_code=500  model="resnet 50" error')).toEqual({
      tags: [
        { key: 'http.status_code', value: '500' },
        { key: 'model', value: 'resnet 50' },
        { key: 'error', value: 'true' },
      ],
      rest: '',
    });
  });
  it('may hold = and escaped quotes in their value', () => {
    expect(parseTags('url=/a?b=c say="he said \\"no\\""').tags).toEqual([
      { key: 'url', value: '/a?b=c' },
      { key: 'say', value: 'he said "no"' },
    ]);
  });
  it('that are not finished come back, so that nothing typed is lost', () => {
    expect(parseTags('a=1 b="open')).toEqual({ tags: [{ key: 'a', value: '1' }], rest: 'b="open' });
    expect(parseTags('=1').rest).toBe('=1');
  });
  it.each(['plain', 'two words', '', 'a"b', 'back\\slash', 'x=y'])(
    'with the value %j survive being written and read',
    (value) => {
      const tag = { key: 'k', value };
      expect(parseTags(formatTag(tag))).toEqual({ tags: [tag], rest: '' });
      expect(parseTagParameter(tagParameter(tag))).toEqual(tag);
    },
  );
});
