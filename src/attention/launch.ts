import { Attention, Block, Task } from '../../assembly/params.ts';
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
      const { query, key, value, layout } = problem;
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
        heads / problem.kvHeads,
        queries,
        problem.keys,
        problem.headDim,
        problem.valueDim,
      );
      set(Attention.outputBatch, ...stridesOf(outputShape(problem), layout));
      set(Attention.queryBatch, ...stridesOf(query.shape, layout));
      set(Attention.keyBatch, ...stridesOf(key.shape, layout));
      if (value) set(Attention.valueBatch, ...stridesOf(value.shape, layout));
      set(Attention.biasBatch, ...bias.strides);
      const unit = driver === 'flash' ? Math.LOG2E : 1;
      reals.set([problem.softcap, unit], Attention.softcap);
      new DataView(runtime.buffer).setFloat64(params + Attention.scale * 4, problem.scale * unit, true);
      set(Attention.planStarts, starts, runs, plan.batchStride, plan.headStride);
      const task = driver === 'flash' ? Task.flash : Task.scores;
      const work = batch * heads * queries * problem.keys * (problem.headDim + problem.valueDim);
      runtime.run(task, params, batch * heads * Math.ceil(queries / Block.queries), work);
    },
  );
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
