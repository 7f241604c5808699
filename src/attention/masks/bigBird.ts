import { checkInteger, checkOneOf, checkOptions, wrongValue } from '../../check.ts';
import { interval, none, unionOf } from '../intervals.ts';
import { AttentionMask } from './attentionMask.ts';
import { blockwise } from './positions.ts';

/** Blocks of `masks.bigBird`; defaults are those of the original. */
export type BigBirdOptions = {
  /** Positions of a block; default 64. */
  blockSize?: number;
  /**
   * Blocks that see all and that all see. `'itc'`: half of them at the start, half at the end of the sequence, as in the original;
   * `'etc'`: all at the start, where the extra tokens stand. Default 2.
   */
  globalBlocks?: number;
  /** Blocks around its own that a block sees, its own among them: odd. Default 3. */
  windowBlocks?: number;
  /** Further blocks that a block sees, drawn for each head; default 3. */
  randomBlocks?: number;
  /** Of the draw: the same seed gives the same blocks everywhere. Default 0. */
  seed?: number;
  /** Internal (default) or extended transformer construction: where the global blocks are. */
  mode?: 'itc' | 'etc';
};

type Settings = Required<BigBirdOptions>;

const known = new Set(['blockSize', 'globalBlocks', 'windowBlocks', 'randomBlocks', 'seed', 'mode']);

/**
 * BigBird's pattern of blocks: a block of positions sees its window, the global blocks and random blocks; a global block sees all.
 * The window ends at the ends of the sequence, and, as in the original, the second block never draws the last but one that is not
 * global, nor that one the second. Source: Zaheer et al. 2020, section 2 and appendix D; google-research/bigbird, core/attention.py.
 */
export function bigBird(options: BigBirdOptions = {}): AttentionMask {
  const settings = settingsOf('bigBird', options);
  const { blockSize } = settings;
  return new AttentionMask({
    varies: { position: true, head: settings.randomBlocks > 0 },
    content: 'costly',
    rows({ queryOffset, keys }, batch, head) {
      const blocks = Math.ceil(keys / blockSize);
      const drawn = drawBlocks(blocks, head, settings);
      const offset = queryOffset(batch);
      const [start, end] = ends(settings);
      const keysOf = (row: number) => {
        if (row < 0 || row >= blocks) return none;
        if (isGlobal(row, blocks, settings)) return interval(0, keys, keys);
        const reach = (settings.windowBlocks - 1) / 2;
        const seen: (readonly [number, number])[] = [
          [(row - reach) * blockSize, (row + reach + 1) * blockSize],
          [0, start * blockSize],
          [(blocks - end) * blockSize, keys],
        ];
        for (const block of drawn[row]) seen.push([block * blockSize, (block + 1) * blockSize]);
        return unionOf(seen, keys);
      };
      return blockwise((i) => Math.floor((offset + i) / blockSize), keysOf);
    },
  });
}

/** The random blocks that each block of a head sees, in the order they were drawn: [blocks][at most randomBlocks], none for a global one. */
export function bigBirdRandomBlocks(blocks: number, head: number, options: BigBirdOptions = {}): number[][] {
  const where = 'bigBirdRandomBlocks';
  checkInteger(where, 'blocks', blocks);
  checkInteger(where, 'head', head);
  return drawBlocks(blocks, head, settingsOf(where, options));
}

function settingsOf(where: string, options: BigBirdOptions): Settings {
  checkOptions(where, options, known);
  const { blockSize = 64, globalBlocks = 2, windowBlocks = 3, randomBlocks = 3, seed = 0, mode = 'itc' } = options;
  checkInteger(where, 'blockSize', blockSize, 1);
  for (const [name, value] of Object.entries({ globalBlocks, windowBlocks, randomBlocks, seed }))
    checkInteger(where, name, value);
  if (windowBlocks % 2 === 0) throw wrongValue(where, 'windowBlocks', `is ${windowBlocks}, not odd`);
  checkOneOf(where, 'mode', mode, ['itc', 'etc']);
  return { blockSize, globalBlocks, windowBlocks, randomBlocks, seed, mode };
}

/** Global blocks at the start and at the end. */
function ends({ globalBlocks, mode }: Settings): [start: number, end: number] {
  const end = mode === 'itc' ? Math.floor(globalBlocks / 2) : 0;
  return [globalBlocks - end, end];
}

function isGlobal(block: number, blocks: number, settings: Settings): boolean {
  const [start, end] = ends(settings);
  return block < start || block >= blocks - end;
}

function lastFree(blocks: number, settings: Settings): number {
  return blocks - ends(settings)[1] - 1;
}

function drawBlocks(blocks: number, head: number, settings: Settings): number[][] {
  const { randomBlocks, windowBlocks, seed } = settings;
  const [first, last] = [ends(settings)[0], lastFree(blocks, settings)];
  const reach = (windowBlocks - 1) / 2;
  const random = generator(seed, head);
  return Array.from({ length: blocks }, (_, row) => {
    if (isGlobal(row, blocks, settings)) return [];
    const allowed = (block: number) =>
      Math.abs(block - row) > reach && !(row === first && block === last) && !(row === last && block === first);
    return draw(first, last, randomBlocks, allowed, random);
  });
}

/** Up to `count` different blocks from `first` to `last`: drawn until all are found, or, where few are allowed, from a list of those. */
function draw(
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
function generator(seed: number, head: number): () => number {
  let state = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(head + 1, 0x85ebca6b)) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
