import { decode } from './text.ts';

/** Of a binary made of another: new bytes as text, then how far on from the last copied byte to copy, and how many. */
export type Edit = [added: string, skipped: number, copied: number];

export function apply(base: Uint8Array, edits: readonly Edit[]): Uint8Array<ArrayBuffer> {
  let from = 0;
  const parts = edits.flatMap(([added, skipped, copied]) => {
    from += skipped + copied;
    return [decode(added), base.subarray(from - copied, from)];
  });
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let to = 0;
  for (const part of parts) {
    bytes.set(part, to);
    to += part.length;
  }
  return bytes;
}
