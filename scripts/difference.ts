import { encode } from '../src/runtime/text.ts';

const SHORTEST = 6;

/** How `target` is made of `base` (`edits.ts`): the longest stretches of it that there are, and what is new between them. */
export function difference(base: Buffer, target: Buffer): string {
  const places = new Map<string, number[]>();
  const word = (bytes: Buffer, at: number) => bytes.toString('latin1', at, at + SHORTEST);
  for (let at = 0; at + SHORTEST <= base.length; at++) {
    const key = word(base, at);
    places.set(key, [...(places.get(key) ?? []), at]);
  }
  const edits: number[] = [];
  const edit = (added: Buffer, skipped: number, copied: number) =>
    edits.push(
      ...number(added.length),
      ...added,
      ...number(skipped < 0 ? -2 * skipped - 1 : 2 * skipped),
      ...number(copied),
    );
  let end = 0;
  let copied = 0;
  for (let at = 0; at < target.length; ) {
    const { from, length } = longest(base, target, at, places.get(word(target, at)) ?? [], copied);
    if (length > 0) {
      edit(target.subarray(end, at), from - copied, length);
      copied = from + length;
      end = at + length;
    }
    at += Math.max(length, 1);
  }
  edit(target.subarray(end), 0, 0);
  return encode(Uint8Array.from(edits));
}

function number(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...number(Math.floor(value / 128))];
}

/** The longest stretch of `base` that `target` has at `at`; of equal ones the nearest to where the last one ended. */
function longest(base: Buffer, target: Buffer, at: number, places: number[], near: number) {
  let best = { from: near, length: 0 };
  for (const from of places) {
    let length = 0;
    while (at + length < target.length && base[from + length] === target[at + length]) length++;
    const nearer = length === best.length && Math.abs(from - near) < Math.abs(best.from - near);
    if (length > best.length || nearer) best = { from, length };
  }
  return best;
}
