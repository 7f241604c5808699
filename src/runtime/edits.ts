import { decode } from './text.ts';

/**
 * A binary made of another.
 * @param text as bytes, for each edit: how many new bytes, and these; how far on from the last copied byte to copy (2n, back
 * −2n − 1), and how many. Numbers are in base 128, the lowest digit first, 128 added to all but the last.
 */
export function apply(base: Uint8Array, text: string): Uint8Array<ArrayBuffer> {
  const edits = decode(text);
  const parts: Uint8Array[] = [];
  let at = 0;
  let from = 0;
  const number = () => {
    let value = 0;
    for (let digit = 1; ; digit *= 128) {
      const byte = edits[at++];
      value += (byte % 128) * digit;
      if (byte < 128) return value;
    }
  };
  const take = (bytes: Uint8Array, start: number, length: number) => {
    parts.push(bytes.subarray(start, start + length));
    return start + length;
  };
  while (at < edits.length) {
    const added = number();
    at = take(edits, at, added);
    const skipped = number();
    from += skipped % 2 === 0 ? skipped / 2 : -(skipped + 1) / 2;
    from = take(base, from, number());
  }
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let to = 0;
  for (const part of parts) {
    bytes.set(part, to);
    to += part.length;
  }
  return bytes;
}
