import { checkInteger, checkOneOf, checkOptions, wrongValue } from '../../check.ts';
import { interval, none, unionOf } from '../intervals.ts';
import { AttentionMask } from './attentionMask.ts';
import { blockwise } from './positions.ts';
import { type BlockTable, draw, generator, tablesOf } from './randomBlocks.ts';

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
  /**
   * Further blocks that a block sees: how many are drawn for each head, default 3; or which, drawn elsewhere, as a table
   * `[blocks][any number]` for all heads or `[heads][blocks][any number]`. Rows of global blocks may be left out, as in the originals'
   * `rand_attn`. What is already in the window or global, or is there twice, is seen once.
   */
  randomBlocks?: number | BlockTable | readonly BlockTable[];
  /** Of the draw: the same seed gives the same blocks everywhere. Default 0; not with a table. */
  seed?: number;
  /** Internal (default) or extended transformer construction: where the global blocks are. */
  mode?: 'itc' | 'etc';
};

type Settings = Required<Omit<BigBirdOptions, 'randomBlocks'>> & { randomBlocks: number | number[][][] };

const known = new Set(['blockSize', 'globalBlocks', 'windowBlocks', 'randomBlocks', 'seed', 'mode']);

/**
 * BigBird's pattern of blocks: a block of positions sees its window, the global blocks and random blocks; a global block sees all.
 * The window ends at the ends of the sequence, and, as in the original, the second block never draws the last but one that is not
 * global, nor that one the second. Source: Zaheer et al. 2020, section 2 and appendix D; google-research/bigbird, core/attention.py.
 *
 * Their seeds, and those of Hugging Face, are NumPy's: give their `rand_attn`, [heads][blocks − 2][randomBlocks], as `randomBlocks`. Outside of
 * training Hugging Face draws none: its table is all 0, and it counts block 0 once more for each entry, which a mask cannot say; `mergeStates`
 * of this mask's `attentionState` without random blocks and, as often, of that of block 0 alone is the same.
 *
 * @throws TypeError and RangeError for wrong options; where it is used, RangeError for a table that does not fit the heads and keys
 * @example
 * const mask = masks.bigBird({ blockSize: 4, randomBlocks: [[3, 4], [4], [1], [1, 2]] });   // of blocks 1 to 4 of 6
 * mask.plan({ heads: 4, queries: 24, keys: 24 }).share;
 */
export function bigBird(options: BigBirdOptions = {}): AttentionMask {
  const settings = settingsOf('bigBird', options);
  const { blockSize } = settings;
  return new AttentionMask({
    varies: {
      position: true,
      head: typeof settings.randomBlocks === 'number' ? settings.randomBlocks > 0 : settings.randomBlocks.length > 1,
    },
    content: 'costly',
    rows({ queryOffset, keys }, batch, head) {
      const blocks = Math.ceil(keys / blockSize);
      const random = randomBlocksOf(blocks, head, settings);
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
        for (const block of random[row]) seen.push([block * blockSize, (block + 1) * blockSize]);
        return unionOf(seen, keys);
      };
      return blockwise((i) => Math.floor((offset + i) / blockSize), keysOf);
    },
    check: (where, { heads, keys }) => checkTables(where, Math.ceil(keys / blockSize), heads, settings),
  });
}

/**
 * The random blocks that each block of a head sees, in the order they were drawn, or as the table has them: [blocks][at most
 * randomBlocks], none for a global one.
 */
export function bigBirdRandomBlocks(blocks: number, head: number, options: BigBirdOptions = {}): number[][] {
  const where = 'bigBirdRandomBlocks';
  checkInteger(where, 'blocks', blocks);
  checkInteger(where, 'head', head);
  const settings = settingsOf(where, options);
  const { randomBlocks: given } = settings;
  checkTables(where, blocks, undefined, settings);
  if (typeof given !== 'number' && given.length > 1 && head >= given.length)
    throw wrongValue(where, 'head', `is ${head}, but "randomBlocks" has tables of ${given.length} heads`);
  return randomBlocksOf(blocks, head, settings);
}

function settingsOf(where: string, options: BigBirdOptions): Settings {
  checkOptions(where, options, known);
  const { blockSize = 64, globalBlocks = 2, windowBlocks = 3, seed = 0, mode = 'itc' } = options;
  checkInteger(where, 'blockSize', blockSize, 1);
  const randomBlocks = tablesOf(where, options.randomBlocks ?? 3);
  for (const [name, value] of Object.entries({ globalBlocks, windowBlocks, seed })) checkInteger(where, name, value);
  if (typeof randomBlocks === 'number') checkInteger(where, 'randomBlocks', randomBlocks);
  else if (options.seed !== undefined) throw wrongValue(where, 'seed', 'is of no use where "randomBlocks" is a table');
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

/** @param heads of the call; undefined where any number will do */
function checkTables(where: string, blocks: number, heads: number | undefined, settings: Settings): void {
  const { randomBlocks, globalBlocks } = settings;
  if (typeof randomBlocks === 'number') return;
  const name = 'randomBlocks';
  if (heads !== undefined && randomBlocks.length !== 1 && randomBlocks.length !== heads)
    throw wrongValue(where, name, `must be one table for all heads or one per head (${heads})`);
  for (const table of randomBlocks) {
    if (table.length !== blocks && table.length !== Math.max(blocks - globalBlocks, 0))
      throw wrongValue(
        where,
        name,
        `has ${table.length} rows, but there are ${blocks} blocks, ${globalBlocks} of them global`,
      );
    for (const block of table.flat())
      if (block >= blocks) throw wrongValue(where, name, `has block ${block}, but there are ${blocks}`);
  }
}

function randomBlocksOf(blocks: number, head: number, settings: Settings): number[][] {
  const { randomBlocks, windowBlocks, seed } = settings;
  const [first, last] = [ends(settings)[0], lastFree(blocks, settings)];
  if (typeof randomBlocks !== 'number') {
    const table = randomBlocks[randomBlocks.length > 1 ? head : 0];
    const skipped = table.length === blocks ? 0 : first;
    return Array.from({ length: blocks }, (_, row) => (isGlobal(row, blocks, settings) ? [] : table[row - skipped]));
  }
  const reach = (windowBlocks - 1) / 2;
  const random = generator(seed, head);
  return Array.from({ length: blocks }, (_, row) => {
    if (isGlobal(row, blocks, settings)) return [];
    const allowed = (block: number) =>
      Math.abs(block - row) > reach && !(row === first && block === last) && !(row === last && block === first);
    return draw(first, last, randomBlocks, allowed, random);
  });
}
