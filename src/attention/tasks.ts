import { Block, Stored } from '../../assembly/params.ts';
import { keysOf, type Plan } from './plan.ts';
import { isModified, type Problem } from './problem.ts';

/** A kernel over score tiles: flash attention in log2 units (2^x is cheaper than e^x), or the scores themselves. */
export type Driver = 'flash' | 'scores';

/** What a task is: how many heads it has together, how many parts its keys are split in, keys in a tile. */
export type TaskShape = { tasks: number; headsPerTask: number; splits: number; splitKeys: number; tileKeys: number };

export function taskShape(driver: Driver, problem: Problem, plan: Plan | undefined): TaskShape {
  if (isModified(problem)) return oneHead(problem);
  const { batch, heads, queries, keys, source, headDim, valueDim } = problem;
  const groupSize = heads / source.kvHeads;
  let headsPerTask = plan && plan.heads > 1 ? 1 : Math.min(groupSize, Math.floor(Block.queries / queries));
  while (headsPerTask > 1 && groupSize % headsPerTask !== 0) headsPerTask--;
  headsPerTask = Math.max(headsPerTask, 1);
  const tasks = ((batch * heads) / headsPerTask) * Math.ceil(queries / Block.queries);
  if (driver === 'scores' || headsPerTask * queries > Block.lanes)
    return { tasks, headsPerTask, splits: 1, splitKeys: keys, tileKeys: Block.keys };
  // Few rows read each key once, as it comes from memory: K and V in turn, 6 KB of each, come fastest (95 % of the read
  // bandwidth with one row, 70 % in tiles of 60 KB, measured).
  const tileFloats = source.stored === Stored.float32 ? 1536 : 3072;
  const tile = Math.round(tileFloats / Math.max(headDim, valueDim) / 4) * 4;
  const tileKeys = Math.min(Math.max(tile, 4), Block.keys);
  // How keys are split depends on their number alone, so that the result is the same for any number of threads, and whatever other
  // batches and heads are in the call.
  const wanted = Math.min(MOST_SPLITS, Math.floor(keys / LEAST_SPLIT));
  if (wanted < 2) return { tasks, headsPerTask, splits: 1, splitKeys: keys, tileKeys };
  const splitKeys = Math.ceil(keys / wanted / tileKeys) * tileKeys;
  const splits = Math.ceil(keys / splitKeys);
  return { tasks: tasks * splits, headsPerTask, splits, splitKeys, tileKeys };
}

/** Tasks of whole heads, unsplit: the caller's functions are told one head. */
function oneHead({ batch, heads, queries, keys }: Problem): TaskShape {
  const tasks = batch * heads * Math.ceil(queries / Block.queries);
  return { tasks, headsPerTask: 1, splits: 1, splitKeys: keys, tileKeys: Block.keys };
}

/** How many pairs of a query and a key each task looks at, in the kernels' order: batches, heads, blocks of queries, splits. */
export function pairsOf(
  { heads, queries, keys }: Problem,
  plan: Plan | undefined,
  { headsPerTask, splits, splitKeys }: TaskShape,
  tasks: number,
): Float64Array {
  const blocks = headsPerTask > 1 ? 1 : Math.ceil(queries / Block.queries);
  return Float64Array.from({ length: tasks }, (_, task) => {
    const index = Math.floor(task / splits);
    const block = index % blocks;
    const head = Math.floor(index / blocks) * headsPerTask;
    const rows = Math.min(queries - block * Block.queries, Block.queries) * headsPerTask;
    const seen = plan ? keysOf(plan, Math.floor(head / heads), head % heads, block) : keys;
    return rows * Math.min(seen, splitKeys);
  });
}

/** Few queries are split over the keys into so many tasks at most, of so many keys at least. */
const MOST_SPLITS = 8;
const LEAST_SPLIT = 2048;
