import { Block, Run, type RunKind } from '../../assembly/params.ts';
import type { Intervals } from './intervals.ts';
import { blockRuns, type PlannedRun } from './masks/runs.ts';
import type { MaskContext, Visibility } from './masks/visibility.ts';

/** Which keys each block of queries looks at, as the kernels read it (assembly/params.ts). `data` fields are offsets into `data`. */
export type Plan = {
  /** Where each block's runs begin; one entry more than blocks. */
  starts: Int32Array;
  /** [runs][Run.words] */
  runs: Int32Array;
  data: Uint8Array;
  blocks: number;
  /** How many batches and heads are planned: 1 where they do not differ. */
  batches: number;
  heads: number;
};

/** How many keys a block of queries looks at. */
export function keysOf(
  { starts, runs, blocks, batches, heads }: Plan,
  batch: number,
  head: number,
  block: number,
): number {
  const at = ((batches > 1 ? batch * heads : 0) + (heads > 1 ? head : 0)) * blocks + block;
  let keys = 0;
  for (let r = starts[at] * Run.words; r < starts[at + 1] * Run.words; r += Run.words)
    keys += runs[r + Run.end] - runs[r + Run.start];
  return keys;
}

/** Plans kept of one mask, for calls of other sizes in turn. */
const MOST_KEPT = 4;
const kept = new WeakMap<Visibility, Map<string, Plan>>();

/** Plans a mask: keys that all rows of a block see make full runs, keys that some see partial ones, the rest is skipped. */
export function planMask(mask: Visibility, context: MaskContext): Plan {
  if (mask.content === 'changing' || (mask.content === 'cheap' && context.queries <= Block.queries))
    return makePlan(mask, context);
  const plans = kept.get(mask) ?? new Map<string, Plan>();
  kept.set(mask, plans);
  const key = keyOf(mask, context);
  const plan = plans.get(key) ?? makePlan(mask, context);
  if (!plans.has(key) && plans.size >= MOST_KEPT) plans.delete(plans.keys().next().value!);
  plans.set(key, plan);
  return plan;
}

function keyOf({ varies }: Visibility, { batch, heads, queries, keys, queryOffset }: MaskContext): string {
  const offsets = varies.position ? Array.from({ length: batch }, (_, b) => queryOffset(b)) : [];
  return `${varies.batch ? batch : 1} ${varies.head ? heads : 1} ${queries} ${keys} ${offsets}`;
}

/** Whether batches must be planned one by one. */
function batchesDiffer({ varies }: Visibility, { batch, queryOffset }: MaskContext): boolean {
  if (varies.batch || !varies.position) return varies.batch;
  for (let b = 1; b < batch; b++) if (queryOffset(b) !== queryOffset(0)) return true;
  return false;
}

function makePlan(mask: Visibility, context: MaskContext): Plan {
  const blocks = Math.ceil(context.queries / Block.queries);
  const batches = batchesDiffer(mask, context) ? context.batch : 1;
  const heads = mask.varies.head ? context.heads : 1;
  const builder = new Builder(batches * heads * blocks);
  for (let b = 0; b < batches; b++) {
    const windowOf = sliding(mask, context, b);
    for (let h = 0; h < heads; h++) {
      const row = mask.rows(context, b, h);
      let before: Window | undefined;
      for (let block = 0; block < blocks; block++) {
        const start = block * Block.queries;
        const end = Math.min(start + Block.queries, context.queries);
        const window = end - start === Block.queries ? windowOf(start, end) : undefined;
        if (window && before) {
          builder.repeat(before, Block.queries);
        } else {
          const rows: Intervals[] = [];
          for (let i = start; i < end; i++) rows.push(row(i));
          builder.add(blockRuns(rows));
        }
        before = window;
      }
    }
  }
  return { ...builder.finish(), blocks, batches, heads };
}

/** The keys around a block of queries in which its runs are those of the block before, further on. */
type Window = { start: number; end: number };

/** Nearer to a window, keys that do not move with it may be of one run with it. */
const APART = 64;

/** The windows of blocks that meet neither an end of the keys nor a global token. */
function sliding(mask: Visibility, { queryOffset, keys }: MaskContext, batch: number) {
  const { reach } = mask;
  if (!reach) return () => undefined;
  const offset = queryOffset(batch);
  const globals = mask.globals(batch);
  return (first: number, last: number): Window | undefined => {
    const [start, end] = [offset + first - reach[0], offset + last + reach[1]];
    const meets = globals.some((token) => token >= start - APART && token < end + APART);
    return start < 0 || end > keys || meets ? undefined : { start, end };
  };
}

class Builder {
  readonly #starts: Int32Array;
  #block = 0;
  #runs = new Int32Array(256);
  #length = 0;
  readonly #parts: Uint8Array[] = [];
  readonly #places = new Map<number, { offset: number; words: Int32Array }>();
  #bytes = 0;

  constructor(blocks: number) {
    this.#starts = new Int32Array(blocks + 1);
  }

  add(runs: readonly PlannedRun[]): void {
    for (const { start, end, kind, data } of runs) this.#push(start, end, kind, data ? this.#place(data) : 0);
    this.#close();
  }

  /** Where data lies: runs of equal bounds, as patterns of blocks have many, share them. */
  #place(data: Uint8Array): number {
    const offset = this.#bytes;
    const words = new Int32Array(data.buffer, data.byteOffset, data.length / 4);
    let hash = data.length;
    for (const word of words) hash = (Math.imul(hash, 31) + word) | 0;
    const same = this.#places.get(hash);
    if (same && same.words.length === words.length && words.every((word, at) => word === same.words[at]))
      return same.offset;
    this.#places.set(hash, { offset, words });
    this.#parts.push(data);
    this.#bytes += data.length;
    return offset;
  }

  /** The runs of the block before: those in its window are `keys` further, the others stay. */
  repeat(window: Window, keys: number): void {
    const first = this.#starts[this.#block - 1] * Run.words;
    const end = this.#starts[this.#block] * Run.words;
    for (let r = first; r < end; r += Run.words) {
      const [start, last, kind, data] = this.#runs.subarray(r, r + Run.words);
      const step = start >= window.start && last <= window.end ? keys : 0;
      this.#push(start + step, last + step, kind, data);
    }
    this.#close();
  }

  finish() {
    const data = new Uint8Array(this.#bytes);
    let offset = 0;
    for (const part of this.#parts) {
      data.set(part, offset);
      offset += part.length;
    }
    return { starts: this.#starts, runs: this.#runs.slice(0, this.#length), data };
  }

  #push(start: number, end: number, kind: RunKind, data: number): void {
    if (this.#length + Run.words > this.#runs.length) {
      const longer = new Int32Array(2 * this.#runs.length);
      longer.set(this.#runs);
      this.#runs = longer;
    }
    const at = this.#length;
    this.#runs[at + Run.start] = start;
    this.#runs[at + Run.end] = end;
    this.#runs[at + Run.kind] = kind;
    this.#runs[at + Run.data] = data;
    this.#length += Run.words;
  }

  #close(): void {
    this.#starts[++this.#block] = this.#length / Run.words;
  }
}
