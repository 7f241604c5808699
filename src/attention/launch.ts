import { Attention, Block, Kernel } from '../../assembly/params.ts';
import { tallMicroKernels } from '../runtime/features.ts';
import type { Tensor } from '../tensor.ts';
import { broadcastStrides, sizesOf } from './mask.ts';
import { outputShape, type Problem, stridesOf } from './options.ts';
import { planMask } from './plan.ts';

/** A kernel over score tiles: flash attention in log2 units (2^x is cheaper than e^x), or the scores themselves. */
export type Driver = 'flash' | 'scores';

/**
 * Plans the mask, fills the parameters and runs a kernel over all blocks of queries.
 * @param output flash: [batch, heads, queries, valueDim] in the problem's layout; scores: [batch, heads, queries, keys]
 * @param lse [batch, heads, queries]
 */
export function launch(driver: Driver, problem: Problem, output: Tensor, lse?: Tensor): void {
  const { runtime, batch, heads, queries } = problem;
  if (output.size === 0 && (lse?.size ?? 0) === 0) return;
  const plan = planMask(problem.mask, problem);
  const bias = combinedBias(problem);
  const perHead = (values: ArrayLike<number> | undefined) => (values ? Float32Array.from(values) : new Float32Array(0));
  const offsets = Int32Array.from({ length: batch }, (_, b) => problem.queryOffset(b));
  const parts = [
    new Int32Array(Attention.words),
    plan.starts,
    plan.runs,
    plan.data,
    offsets,
    perHead(problem.alibiSlopes),
    perHead(problem.sink),
    bias.data,
  ];
  runtime.withScratch(
    parts.map((part) => part.byteLength),
    (...addresses) => {
      const [params, starts, runs, data, offsetsAt, slopes, sinks, biasAt] = addresses;
      for (let r = 0; r < plan.runs.length; r += 4) plan.runs[r + 3] += data;
      parts.forEach((part, i) => {
        new Uint8Array(runtime.buffer).set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), addresses[i]);
      });
      const words = new Int32Array(runtime.buffer, params, Attention.words);
      const reals = new Float32Array(runtime.buffer, params, Attention.words);
      const set = (first: number, ...values: number[]) => words.set(values, first);
      const { query, key, value, layout, kvHeads } = problem;
      const headsPerTask = plan.headStride > 0 ? 1 : sharedHeads(heads / kvHeads, queries);
      set(Attention.output, output.address, lse?.address ?? 0);
      set(
        Attention.query,
        query.address,
        key.address,
        value?.address ?? 0,
        bias.tensor?.address ?? (bias.data.length ? biasAt : 0),
      );
      set(Attention.slopes, problem.alibiSlopes ? slopes : 0, problem.sink ? sinks : 0, offsetsAt);
      set(
        Attention.batch,
        batch,
        heads,
        heads / kvHeads,
        headsPerTask,
        queries,
        problem.keys,
        problem.headDim,
        problem.valueDim,
      );
      const outputStrides =
        driver === 'flash' ? stridesOf(outputShape(problem), layout) : stridesOf(output.shape, 'bhsd');
      set(Attention.outputBatch, ...outputStrides);
      set(Attention.queryBatch, ...stridesOf(query.shape, layout));
      set(Attention.keyBatch, ...stridesOf(key.shape, layout));
      if (value) set(Attention.valueBatch, ...stridesOf(value.shape, layout));
      set(Attention.biasBatch, ...bias.strides);
      const unit = driver === 'flash' ? Math.LOG2E : 1;
      const scale = problem.scale * unit;
      const high = Math.fround(scale);
      reals.set([high, scale - high], Attention.scale);
      reals.set([problem.softcap, unit], Attention.softcap);
      set(Attention.adjusted, Number(problem.softcap > 0 || problem.biases.length > 0 || !!problem.alibiSlopes));
      set(Attention.planStarts, starts, runs, plan.batchStride, plan.headStride, 1);
      set(Attention.tileKeys, tileKeys(problem, headsPerTask), Number(tallMicroKernels));
      const blocks = Math.ceil(queries / Block.queries);
      const work = batch * heads * queries * problem.keys * (problem.headDim + problem.valueDim);
      runtime.run(
        driver === 'flash' ? Kernel.flash : Kernel.scores,
        params,
        ((batch * heads) / headsPerTask) * blocks,
        work,
      );
    },
  );
}

/** How many heads of a group of `groupSize` share a task, so that their few queries fill the lanes and K and V are read once. */
function sharedHeads(groupSize: number, queries: number): number {
  let shared = Math.min(groupSize, Math.floor(Block.queries / queries));
  while (shared > 1 && groupSize % shared !== 0) shared--;
  return Math.max(shared, 1);
}

/**
 * Keys in a tile. Few rows read each key once, as it comes from memory: K and V in turn, 6 KB of each, come fastest (91 % of the
 * read bandwidth with one row, 62 % in tiles of 60 KB, measured).
 */
function tileKeys({ queries, headDim, valueDim }: Problem, headsPerTask: number): number {
  if (headsPerTask * queries > Block.lanes) return Block.keys;
  const keys = Math.round(1536 / Math.max(headDim, valueDim) / 4) * 4;
  return Math.min(Math.max(keys, 4), Block.keys);
}

/** One bias of all: the tensor as it lies, or, of two, their sum. */
function combinedBias(problem: Problem): { tensor?: Tensor; data: Float32Array; strides: readonly number[] } {
  const sizes = sizesOf(problem);
  const [first, second] = problem.biases;
  const strides = (tensor: Tensor) => broadcastStrides(problem.where, 'bias', tensor.shape, sizes);
  if (!first) return { data: new Float32Array(0), strides: [0, 0, 0, 0] };
  if (!second) return { tensor: first, data: new Float32Array(0), strides: strides(first) };
  const [a, b] = [strides(first), strides(second)];
  const shape = sizes.map((size, axis) => (a[axis] || b[axis] ? size : 1));
  const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
  const [left, right] = [first.data, second.data];
  data.forEach((_, at) => {
    let rest = at;
    let x = 0;
    let y = 0;
    for (let axis = 3; axis >= 0; axis--) {
      const i = rest % shape[axis];
      rest = (rest - i) / shape[axis];
      x += i * a[axis];
      y += i * b[axis];
    }
    data[at] = left[x] === -Infinity || right[y] === -Infinity ? -Infinity : left[x] + right[y];
  });
  return { data, strides: broadcastStrides(problem.where, 'bias', shape, sizes) };
}
