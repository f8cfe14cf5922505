/**
 * Colours for services and span names: the same name gets the same colour wherever it is shown.
 *
 * A name's hash chooses its place in the palette; names that meet there move on in alphabetical
 * order, so that the result depends on the set of names only, never on who was seen first.
 */

/** Number of `--span-color-N` tokens in the style sheet. */
export const PALETTE_SIZE = 12;

function hashOf(text: string): number {
  // FNV-1a: short, and it spreads names that differ in one character.
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) {
    hash ^= text.charCodeAt(at);
    hash = Math.imul(hash, 0x01000193);
  }
  return hash >>> 0;
}

/** Palette places by name. Two names share a colour only when there are more names than colours. */
export function assignColors(names: readonly string[]): Map<string, number> {
  const assigned = new Map<string, number>();
  const taken = new Set<number>();
  for (const name of [...new Set(names)].toSorted()) {
    if (taken.size === PALETTE_SIZE) taken.clear();
    let place = hashOf(name) % PALETTE_SIZE;
    while (taken.has(place)) place = (place + 1) % PALETTE_SIZE;
    taken.add(place);
    assigned.set(name, place);
  }
  return assigned;
}

/** The token of a palette place, for `style` attributes. */
export function colorToken(place: number | undefined): string {
  return place === undefined ? 'var(--text-faint)' : `var(--span-color-${place})`;
}
