import { Attention, Run, RunKind } from '../../assembly/params.ts';
import { tallMicroKernels } from '../runtime/features.ts';
import type { Tensor } from '../tensor.ts';
import type { Bias } from './bias.ts';
import { stridesOf } from './options.ts';
import type { Plan } from './plan.ts';
import type { Problem } from './problem.ts';
import type { Driver, TaskShape } from './tasks.ts';

/** Where a call's parameters and tables lie, in bytes from the parameters' address. */
export type Placement = Record<
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

export function placement(problem: Problem, plan: Plan | undefined, bias: Bias | undefined, splits: number): Placement {
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

export function writeParameters(
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
  put(Attention.parts, 0);

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
