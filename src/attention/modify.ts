import { Attention, Block, Run, RunKind } from '../../assembly/params.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Problem } from './problem.ts';

/** Which pairs a tile has: the score of query `query + i` with key `key + j` is `scores[8·j + i]`, `i < queries`, `j < keys`. */
export type ScoreTile = {
  batch: number;
  /** Query head. */
  head: number;
  /** Index of the tile's first query. */
  query: number;
  /** Index of the tile's first key. */
  key: number;
  /** At most 8. */
  queries: number;
  keys: number;
};

/**
 * Changes a tile of scores, or of weights, in place. `values` is a view on linear memory and `tile` one object for all calls: neither may be
 * kept, nor tensors be made. What stands at `i ≥ queries` counts for nothing.
 */
export type TileMod = (values: Float32Array, tile: Readonly<ScoreTile>) => void;

/** The new value of one score or weight, as FlexAttention's `score_mod`. */
export type PairMod = (value: number, batch: number, head: number, query: number, key: number) => number;

/**
 * A function of single scores as one of tiles. An engine inlines the first functions that are given here; further ones it calls, which
 * is 2 to 3 times as slow: a program of many scores does better with tiles of its own.
 *
 * @example
 * const scoreMod = everyScore((score, batch, head, i, j) => score - Math.abs(i - j) / 2 ** head);
 * const output = scaledDotProductAttention(query, key, value, { scoreMod, maskMod: (batch, head, i, j) => j <= i });
 */
export function everyScore(change: PairMod): TileMod {
  return (values, { batch, head, query, key, queries, keys }) => {
    for (let j = 0; j < keys; j++) {
      for (let i = 0; i < queries; i++) {
        const at = Block.lanes * j + i;
        values[at] = change(values[at], batch, head, query + i, key + j);
      }
    }
  };
}

/**
 * Computes task after task on this thread, which alone can call the caller's functions.
 * @yields after each tile, how many pairs of a query and a key it has
 */
export function* modified(
  problem: Problem,
  params: number,
  scratch: number,
  tasks: number,
): Generator<number, void, void> {
  // The last one first, as the kernels do.
  for (let task = tasks - 1; task >= 0; task--) {
    // A masked NaN may have reached the result: then every weight is minded.
    if (!(yield* attendModified(problem, params, scratch, task, false)))
      yield* attendModified(problem, params, scratch, task, true);
  }
}

function* attendModified(
  problem: Problem,
  params: number,
  scratch: number,
  task: number,
  minding: boolean,
): Generator<number, boolean, void> {
  const { runtime, heads, queries, scoreMod, probMod } = problem;
  const { kernels } = runtime;
  const blocks = Math.ceil(queries / Block.queries);
  const rows = kernels.modOpen(params, task, scratch);
  const groups = Math.ceil(rows / Block.lanes);
  const head = Math.floor(task / blocks);
  const place = { batch: Math.floor(head / heads), head: head % heads, first: (task % blocks) * Block.queries, rows };
  const modify = modifier(problem, kernels.tileScores(scratch) >>> 0, place);
  const masked = yield* eachTile(runtime, params, scratch, task, rows, (group, run, key, keys) => {
    modify(scoreMod, group, key, keys);
    kernels.modSoftmax(params, scratch, group, run, key, keys, lanesOf(rows, group), false);
    if (!probMod) kernels.modAccumulate(params, scratch, group, key, keys, minding);
  });
  if (probMod) {
    for (let group = 0; group < groups; group++) kernels.modNormalize(params, scratch, group);
    yield* eachTile(runtime, params, scratch, task, rows, (group, run, key, keys) => {
      modify(scoreMod, group, key, keys);
      kernels.modSoftmax(params, scratch, group, run, key, keys, lanesOf(rows, group), true);
      modify(probMod, group, key, keys);
      kernels.modMask(params, scratch, group, run, key, keys, lanesOf(rows, group));
      kernels.modAccumulate(params, scratch, group, key, keys, minding);
    });
  }
  let finite = true;
  for (let group = 0; group < groups; group++) if (!kernels.modClose(params, scratch, group)) finite = false;
  return finite || !masked || minding;
}

function lanesOf(rows: number, group: number): number {
  return Math.min(Block.lanes, rows - Block.lanes * group);
}

/** Calls `attend` for every tile of a task's plan and group of rows that sees some of its keys; returns whether a key may be masked. */
function* eachTile(
  runtime: Runtime,
  params: number,
  scratch: number,
  task: number,
  rows: number,
  attend: (group: number, run: number, key: number, keys: number) => void,
): Generator<number, boolean, void> {
  const { kernels } = runtime;
  const groups = Math.ceil(rows / Block.lanes);
  const word = (address: number) => runtime.allocator.int32[address / 4];
  const [runsAt, end] = planOf(word, params, task);
  let masked = word(params + 4 * Attention.bias) !== 0;
  for (let run = runsAt; run < end; run += 4 * Run.words) {
    masked ||= word(run + 4 * Run.kind) !== RunKind.full;
    const last = word(run + 4 * Run.end);
    for (let start = word(run + 4 * Run.start); start < last; ) {
      const tile = kernels.modTile(params, scratch, start, last);
      for (let group = 0; group < groups; group++) {
        const found = kernels.modScores(params, scratch, group, run, start, tile);
        if (found > 0) attend(group, run, start + (found >> 8), found & 255);
      }
      start += tile;
      yield rows * tile;
    }
  }
  return masked;
}

/** Addresses of a task's first run and of the end of its last one. */
function planOf(word: (address: number) => number, params: number, task: number): [number, number] {
  const field = (index: Attention) => word(params + 4 * index);
  const blocks = Math.ceil(field(Attention.queries) / Block.queries);
  const head = Math.floor(task / blocks);
  const heads = field(Attention.heads);
  const plan =
    Math.floor(head / heads) * field(Attention.planBatch) +
    (head % heads) * field(Attention.planHead) +
    (task % blocks) * field(Attention.planBlock);
  // Addresses are unsigned.
  const starts = (field(Attention.planStarts) >>> 0) + 4 * plan;
  const at = (run: number) => (field(Attention.planRuns) >>> 0) + run * Run.words * 4;
  return [at(word(starts)), at(word(starts + 4))];
}

/** Calls the caller's function on a view of the tile of a group. */
function modifier(
  { where, runtime }: Problem,
  address: number,
  { batch, head, first, rows }: { batch: number; head: number; first: number; rows: number },
) {
  const tile: ScoreTile = { batch, head, query: 0, key: 0, queries: 0, keys: 0 };
  return (mod: TileMod | undefined, group: number, key: number, keys: number): void => {
    if (!mod) return;
    tile.query = first + group * Block.lanes;
    tile.key = key;
    tile.queries = lanesOf(rows, group);
    tile.keys = keys;
    const values = new Float32Array(runtime.buffer, address, Block.lanes * keys);
    mod(values, tile);
    if (values.length === 0)
      throw new Error(
        `${where}: the memory grew within a function of the caller, and what it wrote is lost: make no tensors in it`,
      );
  };
}
