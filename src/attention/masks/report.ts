import { Block, Run, RunKind } from '../../../assembly/params.ts';
import { checkInteger, checkOptions, text, wrongValue } from '../../check.ts';
import type { Plan } from '../plan.ts';
import { GROUP_COST, MASK_COST, RUN_COST } from './runs.ts';
import type { MaskContext, Visibility } from './visibility.ts';

/** The sizes that a mask is planned for. */
export type MaskSizes = {
  /** Default 1. */
  batch?: number;
  /** Query heads; default 1. */
  heads?: number;
  /** Queries of a head. */
  queries: number;
  keys: number;
  /** Of query and key, and of value if `valueDim` is not given; default 64. */
  headDim?: number;
  /** Of value; default headDim. */
  valueDim?: number;
  /** The position of query 0; default `keys − queries`. */
  queryOffset?: number;
};

/** What a mask costs, over all batches and heads. */
export type MaskReport = {
  batch: number;
  heads: number;
  queries: number;
  keys: number;
  /** How many of the tiles of `queries` × `keys` pairs are wholly visible, partly, and not at all. */
  tiles: { queries: number; keys: number; full: number; partial: number; skipped: number };
  /** `visible` ones count in the result; `computed` ones cost time: whole groups of 8 queries are computed at once. */
  pairs: { visible: number; computed: number; all: number };
  /** `computed / all` */
  share: number;
  /** Of QKᵀ and PV over the computed pairs, 2 a multiply-add. */
  flops: number;
  /** Read and written by the kernel: each block of queries reads the keys and values that it looks at. */
  bytes: number;
  /** Of the plan itself, in linear memory during the call. */
  planBytes: number;
  /** Predicted time, as a share of that of the same attention without a mask. */
  time: number;
};

const known = new Set([
  ...['batch', 'heads', 'queries', 'keys', 'headDim', 'valueDim', 'queryOffset'],
  ...['batchIndex', 'headIndex', 'width'],
]);
const TILE_KEYS = 64;

/** Checked sizes, as a mask is asked about them. */
export function sizesFor(where: string, mask: Visibility, sizes: MaskSizes): MaskContext {
  checkOptions(where, sizes, known);
  const { batch = 1, heads = 1, queries, keys, headDim = 64, valueDim = headDim, queryOffset } = sizes;
  for (const [name, size] of Object.entries({ batch, heads, queries, keys, headDim, valueDim }))
    checkInteger(where, name, size, 1);
  const offset = queryOffset ?? keys - queries;
  if (!Number.isSafeInteger(offset)) throw wrongValue(where, 'queryOffset', `is ${text(offset)}, not an integer`);
  const context = { batch, heads, queries, keys, queryOffset: () => offset };
  mask.check(where, context);
  return context;
}

export function reportOf(
  plan: Plan,
  context: MaskContext,
  { headDim = 64, valueDim = headDim }: MaskSizes,
): MaskReport {
  const { batch, heads, queries, keys } = context;
  const columns = Math.ceil(keys / TILE_KEYS);
  const dims = headDim + valueDim;
  const costs = costsOf(dims / 2);
  const counts = new Counts(columns, costs);
  const tiles = { full: 0, partial: 0 };
  for (let index = 0; index < plan.starts.length - 1; index++) {
    const rows = Math.min(queries - (index % plan.blocks) * Block.queries, Block.queries);
    for (let run = plan.starts[index]; run < plan.starts[index + 1]; run++) counts.add(plan, run, rows);
    counts.close(rows, keys, tiles);
  }
  // What is planned once stands for all batches or heads.
  const times = (batch / plan.batches) * (heads / plan.heads);
  const all = batch * heads * queries * keys;
  const full = tiles.full * times;
  const partial = tiles.partial * times;
  const computed = counts.computed * times;
  return {
    ...{ batch, heads, queries, keys },
    tiles: {
      ...{ queries: Block.queries, keys: TILE_KEYS, full, partial },
      skipped: batch * heads * plan.blocks * columns - full - partial,
    },
    pairs: { visible: counts.visible * times, computed, all },
    share: computed / all,
    flops: 2 * computed * dims,
    bytes: 4 * dims * (counts.read * times + batch * heads * queries),
    planBytes: 4 * (plan.starts.length + plan.runs.length) + plan.data.length,
    time: (counts.cost * times) / (batch * heads * queries * (keys + costs.run + costs.group)),
  };
}

type Costs = { run: number; group: number; key: number };

/** In the time of a key: the constants were measured with 64 elements; what does not grow with the vectors weighs more where they are short. */
function costsOf(dim: number): Costs {
  const weight = Math.max(64 / dim, 1);
  return {
    run: (RUN_COST / 2) * (1 + weight),
    group: GROUP_COST + 2 * (weight - 1),
    key: 1 + (MASK_COST - 1) * weight,
  };
}

/** Sums over runs, and of the present block the visible pairs in each column of tiles. */
class Counts {
  visible = 0;
  computed = 0;
  /** Keys read by blocks. */
  read = 0;
  /** In pairs of a full run. */
  cost = 0;
  readonly #columns: Float64Array;
  readonly #costs: Costs;

  constructor(columns: number, costs: Costs) {
    this.#costs = costs;
    this.#columns = new Float64Array(columns);
  }

  add({ runs, data }: Plan, run: number, rows: number): void {
    const [start, end, kind, at] = runs.subarray(run * Run.words, (run + 1) * Run.words);
    this.read += end - start;
    if (kind === RunKind.full) {
      this.#see(start, end, rows);
      this.computed += rows * (end - start);
      this.cost += rows * (end - start + this.#costs.run);
      return;
    }
    const bounds = new Int32Array(data.buffer, data.byteOffset + at, 2 * Block.queries);
    for (let first = 0; first < rows; first += Block.lanes) {
      const count = Math.min(Block.lanes, rows - first);
      let [least, most] = [Infinity, 0];
      for (let i = first; i < first + count; i++) {
        const [from, to] = [bounds[i], bounds[Block.queries + i]];
        if (from >= to) continue;
        least = Math.min(least, from);
        most = Math.max(most, to);
        if (kind === RunKind.interval) this.#see(start + from, start + to, 1);
      }
      if (most === 0) continue;
      this.computed += count * (most - least);
      this.cost += count * ((most - least) * this.#costs.key + this.#costs.run);
    }
    if (kind === RunKind.bits) this.#seeBits(data, at + Block.boundsBytes, start, end);
  }

  /** Ends a block. */
  close(rows: number, keys: number, tiles: { full: number; partial: number }): void {
    this.cost += rows * this.#costs.group;
    for (let column = 0; column < this.#columns.length; column++) {
      const seen = this.#columns[column];
      if (seen === 0) continue;
      const pairs = rows * Math.min(TILE_KEYS, keys - column * TILE_KEYS);
      if (seen === pairs) tiles.full++;
      else tiles.partial++;
      this.#columns[column] = 0;
    }
  }

  #see(start: number, end: number, rows: number): void {
    this.visible += rows * (end - start);
    for (let from = start; from < end; ) {
      const column = Math.floor(from / TILE_KEYS);
      const to = Math.min(end, (column + 1) * TILE_KEYS);
      this.#columns[column] += rows * (to - from);
      from = to;
    }
  }

  #seeBits(data: Uint8Array, at: number, start: number, end: number): void {
    for (let key = start; key < end; key++) {
      for (let byte = at + (key - start) * 8, last = byte + 8; byte < last; byte++) {
        const seen = ones(data[byte]);
        this.visible += seen;
        this.#columns[Math.floor(key / TILE_KEYS)] += seen;
      }
    }
  }
}

/** How many bits of a byte are set. */
function ones(byte: number): number {
  let count = 0;
  for (let rest = byte; rest > 0; rest &= rest - 1) count++;
  return count;
}
