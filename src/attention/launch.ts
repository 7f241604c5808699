import { Attention, Block, Kernel, Stored } from '../../assembly/params.ts';
import type { Tensor } from '../tensor.ts';
import { combinedBias } from './bias.ts';
import { runModified } from './modify.ts';
import { stridesOf } from './options.ts';
import { type Driver, type Placement, placement, type TaskShape, writeParameters } from './parameters.ts';
import { type Plan, planMask } from './plan.ts';
import { outputShape, type Problem } from './problem.ts';

/**
 * Plans the mask, fills the parameters and runs a kernel over all blocks of queries.
 * @param output flash: [batch, heads, queries, valueDim] in the problem's layout; scores: [batch, heads, queries, keys]
 * @param lse [batch, heads, queries]
 */
export function launch(driver: Driver, problem: Problem, output: Tensor, lse?: Tensor): void {
  const call = new Call(driver, problem, output, lse);
  try {
    call.run(0, call.tasks);
    call.finish();
  } finally {
    call.free();
  }
}

/** A call that is planned and lies in linear memory. Its tasks may be run in parts; in the end it must be freed. */
export class Call {
  readonly #shape: TaskShape;
  readonly #place: Placement;
  readonly #params: number;

  constructor(
    readonly driver: Driver,
    readonly problem: Problem,
    readonly output: Tensor,
    readonly lse?: Tensor,
  ) {
    const plan = problem.mask ? planMask(problem.mask, problem) : undefined;
    const bias = problem.biases.length > 0 ? combinedBias(problem) : undefined;
    this.#shape = isModified(problem) ? oneHead(problem) : taskShape(driver, problem, plan);
    this.#place = placement(problem, plan, bias, this.#shape.splits);
    this.#params = problem.runtime.allocator.allocate(this.#place.bytes);
    try {
      writeParameters(driver, problem, this.#params, this.#place, plan, bias, this.#shape, output, lse);
    } catch (error) {
      this.free();
      throw error;
    }
  }

  get tasks(): number {
    return this.output.size > 0 || (this.lse?.size ?? 0) > 0 ? this.#shape.tasks : 0;
  }

  run(first: number, count: number): void {
    if (count === 0) return;
    const { driver, problem } = this;
    const { runtime, batch, heads, queries, keys, headDim, valueDim } = problem;
    if (isModified(problem)) {
      const bytes = runtime.kernels.scratchBytes(Kernel.flash, this.#params);
      runtime.withMemory(bytes, (scratch) => runModified(problem, this.#params, scratch, first, count));
      return;
    }
    runtime.allocator.int32[this.#params / 4 + Attention.firstTask] = first;
    const work = batch * heads * queries * keys * (headDim + valueDim) * (count / this.#shape.tasks);
    runtime.run(driver === 'flash' ? Kernel.flash : Kernel.scores, this.#params, count, work);
  }

  /** After the last task. */
  finish(): void {
    const { splits } = this.#shape;
    if (this.tasks > 0 && splits > 1)
      combineSplits(this.problem, this.#params + this.#place.partial, splits, this.output, this.lse);
  }

  free(): void {
    this.problem.runtime.allocator.free(this.#params);
  }
}

function isModified({ scoreMod, probMod }: Problem): boolean {
  return scoreMod !== undefined || probMod !== undefined;
}

function taskShape(driver: Driver, problem: Problem, plan: Plan | undefined): TaskShape {
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

/** Few queries are split over the keys into so many tasks at most, of so many keys at least. */
const MOST_SPLITS = 8;
const LEAST_SPLIT = 1024;

/** Merges the parts of the keys, [rows][splits] of output and lse. */
function combineSplits(
  problem: Problem,
  partial: number,
  splits: number,
  output: Tensor,
  lse: Tensor | undefined,
): void {
  const { runtime, batch, heads, queries, valueDim, layout } = problem;
  const [batchStride, headStride, rowStride] = stridesOf(outputShape(problem), layout);
  const rows = batch * heads * queries;
  for (let head = 0; head < batch * heads; head++) {
    const to = output.address + (Math.floor(head / heads) * batchStride + (head % heads) * headStride) * 4;
    const first = head * queries;
    runtime.kernels.combine(
      to,
      lse ? lse.address + first * 4 : 0,
      partial + first * splits * valueDim * 4,
      partial + (rows * valueDim + first) * splits * 4,
      queries,
      splits,
      valueDim,
      rowStride,
    );
  }
}
