import { Attention, Block, Kernel, TaskPart } from '../../assembly/params.ts';
import type { Tensor } from '../tensor.ts';
import { combinedBias } from './bias.ts';
import { modified } from './modify.ts';
import { stridesOf } from './options.ts';
import { type Placement, placement, writeParameters } from './parameters.ts';
import { type Plan, planMask } from './plan.ts';
import { isModified, outputShape, type Problem } from './problem.ts';
import { type Driver, pairsOf, type TaskShape, taskShape } from './tasks.ts';

/**
 * Plans the mask, fills the parameters and runs a kernel over all blocks of queries.
 * @param output flash: [batch, heads, queries, valueDim] in the problem's layout; scores: [batch, heads, queries, keys]
 * @param lse [batch, heads, queries]
 */
export function launch(driver: Driver, problem: Problem, output: Tensor, lse?: Tensor): void {
  const call = new Call(driver, problem, output, lse);
  try {
    call.runAll();
    call.finish();
  } finally {
    call.free();
  }
}

/** A call that is planned and lies in linear memory. Its tasks may be run some at a time, or in parts; in the end it must be freed. */
export class Call {
  readonly #plan: Plan | undefined;
  readonly #shape: TaskShape;
  readonly #place: Placement;
  readonly #params: number;
  /** Of parts, or of tiles that the caller's functions change. */
  #state = 0;

  constructor(
    readonly driver: Driver,
    readonly problem: Problem,
    readonly output: Tensor,
    readonly lse?: Tensor,
  ) {
    this.#plan = problem.mask ? planMask(problem.mask, problem) : undefined;
    const bias = problem.biases.length > 0 ? combinedBias(problem) : undefined;
    this.#shape = taskShape(driver, problem, this.#plan);
    this.#place = placement(problem, this.#plan, bias, this.#shape.splits);
    this.#params = problem.runtime.allocator.allocate(this.#place.bytes);
    try {
      writeParameters(driver, problem, this.#params, this.#place, this.#plan, bias, this.#shape, output, lse);
    } catch (error) {
      this.free();
      throw error;
    }
  }

  get tasks(): number {
    return this.output.size > 0 || (this.lse?.size ?? 0) > 0 ? this.#shape.tasks : 0;
  }

  /** The most rows that a task has. */
  get rows(): number {
    return Math.min(this.problem.queries, Block.queries) * this.#shape.headsPerTask;
  }

  get tileKeys(): number {
    return this.#shape.tileKeys;
  }

  /** How many pairs of a query and a key each task looks at. */
  pairs(): Float64Array {
    return pairsOf(this.problem, this.#plan, this.#shape, this.tasks);
  }

  runAll(): void {
    if (!this.modified) this.run(0, this.tasks);
    else for (const _pairs of this.tiles());
  }

  run(first: number, count: number): void {
    if (count === 0) return;
    this.#set(Attention.firstTask, first);
    this.#run(count, count / this.#shape.tasks);
  }

  /**
   * Goes on with `count` tasks for at most `keys` keys each and the rest of a tile; `turn` 0 begins.
   * @returns of each how many keys are done, −1: all
   */
  runParts(first: number, count: number, turn: number, keys: number): number[] {
    const { runtime } = this.problem;
    const bytes = TaskPart.bytes + Math.ceil(runtime.kernels.scratchBytes(Kernel.flash, this.#params) / 64) * 64;
    if (this.#state === 0) this.#state = runtime.allocator.allocate(2 * runtime.threads * bytes);
    this.#set(Attention.firstTask, first);
    this.#set(Attention.parts, this.#state, bytes, keys, turn);
    this.#run(count, (count / this.#shape.tasks) * Math.min(keys / this.problem.keys, 1));
    this.#set(Attention.parts, 0);
    return Array.from({ length: count }, (_, task) => {
      const part = (this.#state + (2 * task + (turn % 2)) * bytes) / 4;
      const { int32 } = runtime.allocator;
      return int32[part + TaskPart.finished] ? -1 : int32[part + TaskPart.keys];
    });
  }

  /** Whether the caller's functions change scores or weights. */
  get modified(): boolean {
    return isModified(this.problem);
  }

  /** All tasks of a modified call, tile by tile; yields the pairs of each. */
  tiles(): Generator<number, void, void> {
    const { problem } = this;
    const { allocator, kernels } = problem.runtime;
    this.#state = allocator.allocate(kernels.scratchBytes(Kernel.flash, this.#params));
    return modified(problem, this.#params, this.#state, this.tasks);
  }

  /** After the last task. */
  finish(): void {
    const { splits } = this.#shape;
    if (this.tasks > 0 && splits > 1)
      combineSplits(this.problem, this.#params + this.#place.partial, splits, this.output, this.lse);
  }

  free(): void {
    const { allocator } = this.problem.runtime;
    if (this.#state !== 0) allocator.free(this.#state);
    allocator.free(this.#params);
  }

  #set(field: Attention, ...values: number[]): void {
    this.problem.runtime.allocator.int32.set(values, this.#params / 4 + field);
  }

  #run(tasks: number, share: number): void {
    const { runtime, batch, heads, queries, keys, headDim, valueDim } = this.problem;
    const work = batch * heads * queries * keys * (headDim + valueDim) * share;
    runtime.run(this.driver === 'flash' ? Kernel.flash : Kernel.scores, this.#params, tasks, work);
  }
}

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
