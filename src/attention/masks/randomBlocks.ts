import { checkInteger, isList, wrongKind } from '../../check.ts';

/** Of each block of queries, the blocks of keys that it also sees. */
export type BlockTable = readonly ArrayLike<number>[];

/** A count, or a table for all heads, or one per head. Tables are copied, so that a plan that was kept stays true. */
export function tablesOf(where: string, given: unknown): number | number[][][] {
  if (typeof given === 'number') return given;
  const list = (value: unknown): unknown[] => {
    if (!isList(value)) throw wrongKind(where, 'randomBlocks', 'a count or a table of blocks', value);
    return Array.from(value);
  };
  const rows = list(given);
  const nested = rows.some((row) => isList(row) && isList(row[0]));
  const tables = (nested ? rows : [rows]).map((table) => list(table).map((row) => list(row) as number[]));
  for (const block of tables.flat(2)) checkInteger(where, 'randomBlocks', block);
  return tables;
}

/** Up to `count` different blocks from `first` to `last`: drawn until all are found, or, where few are allowed, from a list of those. */
export function draw(
  first: number,
  last: number,
  count: number,
  allowed: (block: number) => boolean,
  random: () => number,
): number[] {
  const choices = last - first + 1;
  if (choices > 8 * (count + 8)) {
    const found = new Set<number>();
    for (let tries = 0; found.size < count && tries < 16 * count; tries++) {
      const block = first + Math.floor(random() * choices);
      if (allowed(block)) found.add(block);
    }
    if (found.size === count) return [...found];
  }
  const list = Array.from({ length: Math.max(choices, 0) }, (_, at) => first + at).filter(allowed);
  const most = Math.min(count, list.length);
  for (let at = 0; at < most; at++) {
    const other = at + Math.floor(random() * (list.length - at));
    [list[at], list[other]] = [list[other], list[at]];
  }
  return list.slice(0, most);
}

/** Numbers in [0, 1), the same on every engine (mulberry32, public domain, T. Ettinger 2017). */
export function generator(seed: number, head: number): () => number {
  let state = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(head + 1, 0x85ebca6b)) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
