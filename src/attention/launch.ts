import { Attention, Block, Kernel, Run, RunKind, Stored } from '../../assembly/params.ts';
import { tallMicroKernels } from '../runtime/features.ts';
import type { Tensor } from '../tensor.ts';
import { type Bias, combinedBias } from './bias.ts';
import { runModified } from './modify.ts';
import { stridesOf } from './options.ts';
import { type Plan, planMask } from './plan.ts';
import { outputShape, type Problem } from './problem.ts';

/** A kernel over score tiles: flash attention in log2 units (2^x is cheaper than e^x), or the scores themselves. */
export type Driver = 'flash' | 'scores';

/** A call that is planned and lies in linear memory. Its tasks may be run in parts; in the end it must be freed. */
export type Prepared = {
  readonly tasks: number;
  run(first: number, count: number): void;
  /** After the last task. */
  finish(): void;
  free(): void;
};

/**
 * Plans the mask, fills the parameters and runs a kernel over all blocks of queries.
 * @param output flash: [batch, heads, queries, valueDim] in the problem's layout; scores: [batch, heads, queries, keys]
 * @param lse [batch, heads, queries]
 */
export function launch(driver: Driver, problem: Problem, output: Tensor, lse?: Tensor): void {
  const call = prepare(driver, problem, output, lse);
  try {
    call.run(0, call.tasks);
    call.finish();
  } finally {
    call.free();
  }
}

export function prepare(driver: Driver, problem: Problem, output: Tensor, lse?: Tensor): Prepared {
  const { runtime, batch, heads, queries, keys, scoreMod, probMod } = problem;
  if (output.size === 0 && (lse?.size ?? 0) === 0) return nothing;
  const plan = problem.mask ? planMask(problem.mask, problem) : undefined;
  const bias = problem.biases.length > 0 ? combinedBias(problem) : undefined;
  const modified = scoreMod !== undefined || probMod !== undefined;
  const shape = modified ? oneHead(problem) : taskShape(driver, problem, plan);
  const place = placement(problem, plan, bias, shape.splits);
  const { allocator } = runtime;
  const params = allocator.allocate(place.bytes);
  try {
    writeParameters(driver, problem, params, place, plan, bias, shape, output, lse);
  } catch (error) {
    allocator.free(params);
    throw error;
  }
  const work = batch * heads * queries * keys * (problem.headDim + problem.valueDim);
  return {
    tasks: shape.tasks,
    run(first, count) {
      if (modified) {
        const call = { runtime, params, heads, queries, scoreMod, probMod };
        const bytes = runtime.kernels.scratchBytes(Kernel.flash, params);
        runtime.withMemory(bytes, (scratch) => runModified(call, scratch, first, count));
        return;
      }
      allocator.int32[params / 4 + Attention.firstTask] = first;
      runtime.run(driver === 'flash' ? Kernel.flash : Kernel.scores, params, count, (work * count) / shape.tasks);
    },
    finish() {
      if (shape.splits > 1) combineSplits(problem, params + place.partial, shape.splits, output, lse);
    },
    free: () => allocator.free(params),
  };
}

const nothing: Prepared = { tasks: 0, run() {}, finish() {}, free() {} };

/** What a task is: how many heads it has together, how many parts its keys are split in, keys in a tile. */
type TaskShape = { tasks: number; headsPerTask: number; splits: number; splitKeys: number; tileKeys: number };

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
  // How keys are split depends on the shape alone, so that the result is the same for any number of threads.
  const wanted = Math.min(Math.ceil(LEAST_TASKS / tasks), Math.floor(keys / LEAST_SPLIT));
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

/** Few queries of few heads are split over the keys into so many tasks, of so many keys at least. */
const LEAST_TASKS = 16;
const LEAST_SPLIT = 512;

/** Where a call's parameters and tables lie, in bytes from the parameters' address. */
type Placement = Record<
  | 'offsets'
  | 'slopes'
  | 'sinks'
  | 'starts'
  | 'runs'
  | 'segmentStarts'
  | 'segments'
  | 'data'
  | 'bias'
  | 'partial'
  | 'bytes',
  number
>;

function placement(problem: Problem, plan: Plan | undefined, bias: Bias | undefined, splits: number): Placement {
  const { batch, heads, queries, valueDim, source } = problem;
  let bytes = Attention.words * 4;
  const take = (words: number) => {
    const at = bytes;
    bytes += words * 4;
    return at;
  };
  return {
    offsets: take(batch),
    slopes: take(problem.alibiSlopes ? heads : 0),
    sinks: take(problem.sink ? heads : 0),
    starts: take(plan ? plan.starts.length : 2),
    runs: take(plan ? plan.runs.length : Run.words),
    segmentStarts: take(source.segments?.starts.length ?? 0),
    segments: take(source.segments?.records.length ?? 0),
    data: take(plan ? plan.data.length / 4 : 0),
    bias: take(bias?.data?.length ?? 0),
    partial: take(splits > 1 ? batch * heads * queries * splits * (valueDim + 1) : 0),
    bytes,
  };
}

function writeParameters(
  driver: Driver,
  problem: Problem,
  params: number,
  place: Placement,
  plan: Plan | undefined,
  bias: Bias | undefined,
  shape: TaskShape,
  output: Tensor,
  lse: Tensor | undefined,
): void {
  const { query, source, layout, batch, heads, queries, valueDim } = problem;
  const { int32, float32 } = problem.runtime.allocator;
  const base = params / 4;
  const put = (field: number, value: number) => {
    int32[base + field] = value;
  };
  const putStrides = (field: number, strides: readonly number[]) => {
    for (let axis = 0; axis < strides.length; axis++) int32[base + field + axis] = strides[axis];
  };
  const split = shape.splits > 1;
  const rows = batch * heads * queries;
  const partialRow = shape.splits * valueDim;
  put(Attention.output, split ? params + place.partial : output.address);
  put(Attention.lse, split ? params + place.partial + rows * partialRow * 4 : (lse?.address ?? 0));
  put(Attention.query, query.address);
  put(Attention.key, source.key);
  put(Attention.value, source.value);
  put(Attention.bias, bias ? (bias.data ? params + place.bias : bias.address) : 0);
  put(Attention.slopes, problem.alibiSlopes ? params + place.slopes : 0);
  put(Attention.sinks, problem.sink ? params + place.sinks : 0);
  put(Attention.offsets, params + place.offsets);
  put(Attention.batch, batch);
  put(Attention.heads, heads);
  put(Attention.groupSize, heads / source.kvHeads);
  put(Attention.headsPerTask, shape.headsPerTask);
  put(Attention.queries, queries);
  put(Attention.keys, source.keys);
  put(Attention.headDim, problem.headDim);
  put(Attention.valueDim, valueDim);
  if (split) putStrides(Attention.outputBatch, [heads * queries * partialRow, queries * partialRow, partialRow]);
  else putStrides(Attention.outputBatch, stridesOf(output.shape, driver === 'flash' ? layout : 'bhsd'));
  putStrides(Attention.queryBatch, stridesOf(query.shape, layout));
  putStrides(Attention.keyBatch, source.keyStrides);
  putStrides(Attention.valueBatch, source.valueStrides);
  if (bias) putStrides(Attention.biasBatch, bias.strides);
  const unit = driver === 'flash' && !problem.scoreMod && !problem.probMod ? Math.LOG2E : 1;
  const scale = problem.scale * unit;
  float32[base + Attention.scale] = scale;
  float32[base + Attention.scaleLow] = scale - Math.fround(scale);
  float32[base + Attention.softcap] = problem.softcap;
  float32[base + Attention.unit] = unit;
  put(Attention.adjusted, problem.softcap > 0 || bias || problem.alibiSlopes ? 1 : 0);
  put(Attention.planStarts, params + place.starts);
  put(Attention.planRuns, params + place.runs);
  put(Attention.planBatch, plan && plan.batches > 1 ? plan.heads * plan.blocks : 0);
  put(Attention.planHead, plan && plan.heads > 1 ? plan.blocks : 0);
  put(Attention.planBlock, plan ? 1 : 0);
  put(Attention.segments, source.segments ? params + place.segments : 0);
  put(Attention.segmentStarts, source.segments ? params + place.segmentStarts : 0);
  put(Attention.stored, source.stored);
  put(Attention.keyScales, source.keyScales);
  put(Attention.valueScales, source.valueScales);
  put(Attention.scaleHead, source.scaleHead);
  put(Attention.splits, shape.splits);
  put(Attention.splitKeys, shape.splitKeys);
  put(Attention.tileKeys, shape.tileKeys);
  put(Attention.tall, tallMicroKernels ? 1 : 0);
  put(Attention.firstTask, 0);

  for (let b = 0; b < batch; b++) int32[(params + place.offsets) / 4 + b] = problem.queryOffset(b);
  if (problem.alibiSlopes) float32.set(problem.alibiSlopes, (params + place.slopes) / 4);
  if (problem.sink) float32.set(problem.sink, (params + place.sinks) / 4);
  if (bias?.data) float32.set(bias.data, (params + place.bias) / 4);
  if (source.segments) {
    int32.set(source.segments.starts, (params + place.segmentStarts) / 4);
    int32.set(source.segments.records, (params + place.segments) / 4);
  }
  const [starts, runs] = [(params + place.starts) / 4, (params + place.runs) / 4];
  if (plan) {
    int32.set(plan.starts, starts);
    int32.set(plan.runs, runs);
    for (let r = Run.data; r < plan.runs.length; r += Run.words) int32[runs + r] += params + place.data;
    problem.runtime.allocator.bytes.set(plan.data, params + place.data);
  } else {
    int32[starts] = 0;
    int32[starts + 1] = source.keys > 0 ? 1 : 0;
    int32[runs + Run.start] = 0;
    int32[runs + Run.end] = source.keys;
    int32[runs + Run.kind] = RunKind.full;
    int32[runs + Run.data] = 0;
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
