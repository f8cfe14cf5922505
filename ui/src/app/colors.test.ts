import { describe, expect, it } from 'vitest';
import { assignColors, PALETTE_SIZE } from './colors';

describe('colours of names', () => {
  it('do not depend on the order in which names were seen', () => {
    const names = ['gateway', 'model-server', 'postgres', 'fx-trainer'];
    expect(assignColors(names)).toEqual(assignColors(names.toReversed()));
  });
  it('differ as long as there are colours', () => {
    const names = Array.from({ length: PALETTE_SIZE }, (_, index) => `service-${index}`);
    expect(new Set(assignColors(names).values()).size).toBe(PALETTE_SIZE);
  });
  it('are given to any number of names', () => {
    const names = Array.from({ length: 100 }, (_, index) => `service-${index}`);
    expect(assignColors(names).size).toBe(100);
  });
});
