import { elementBytes } from './micro/widen';
import { Attention, Block, Run, RunKind, Segment } from './params';
import { pointer, real, word } from './simd/lanes';

// A task is up to `Block.queries` rows that share one KV head: queries of one head or, where there are few, of several
// heads of its group, head by head. Its rows lie in groups of 8 lanes; each lane knows where its row's data is.

/** What is the same for all rows of a task; then the tile of keys in work: its rows, and their scales where they are int8. */
export const enum Task {
  key = 0, value, keyScales, valueScales, // of the task's KV head
  rows, run, runsEnd, segment, keyStart, keyEnd, // keyStart, keyEnd: the part of the keys that the task is about
  tileStart, tileKey, tileValue, tileKeyRow, tileValueRow, tileKeyScales, tileValueScales, // key tileStart; strides in bytes
  follow, // how many keys lie behind the tile's last one, in the same run and segment
  minding, masked, // whether values may be NaN where a weight is 0; whether a key was masked
  bytes = 96,
}

/** Per group: 8 lanes of each field, in bytes from the group's start. */
export const enum Lane {
  query = 0, output = 32, lse = 64, bias = 96, // pointers to the lane's row
  head = 128, position = 160, // int32
  slope = 192, // float32, in the scores' unit
  bitLow = 224, bitHigh = 256, // the row's bit in a `bits` run
  first = 288, end = 320, // keys visible in the present partial run
  bytes = 352,
}

/**
 * Fills in the task and the lanes of its groups, `stride` bytes apart; lanes past the last row repeat it.
 */
export function locate(params: usize, index: i32, task: usize, lanes: usize, stride: usize): void {
  const queries = word(params, Attention.queries), heads = word(params, Attention.heads);
  const shared = word(params, Attention.headsPerTask);
  const blocks = shared > 1 ? 1 : (queries + Block.queries - 1) / Block.queries;
  index += word(params, Attention.firstTask);
  const split = index % word(params, Attention.splits), splitKeys = word(params, Attention.splitKeys);
  index /= word(params, Attention.splits);
  const block = index % blocks, h0 = index / blocks % (heads / shared) * shared, b = index / blocks / (heads / shared);
  const i0 = block * Block.queries, rows = min(queries - i0, Block.queries) * shared;
  const perHead = rows / shared, kvHead = h0 / word(params, Attention.groupSize);

  const unit = elementBytes(word(params, Attention.stored));
  const scales = <usize>(kvHead * word(params, Attention.scaleHead)) << 2, segments = pointer(params, Attention.segmentStarts);
  store<usize>(task, pointer(params, Attention.key)
    + <usize>(b * word(params, Attention.keyBatch) + kvHead * word(params, Attention.keyHead)) * unit, Task.key << 2);
  store<usize>(task, pointer(params, Attention.value)
    + <usize>(b * word(params, Attention.valueBatch) + kvHead * word(params, Attention.valueHead)) * unit, Task.value << 2);
  store<usize>(task, pointer(params, Attention.keyScales) + scales, Task.keyScales << 2);
  store<usize>(task, pointer(params, Attention.valueScales) + scales, Task.valueScales << 2);
  store<i32>(task, rows, Task.rows << 2);
  store<i32>(task, split * splitKeys, Task.keyStart << 2);
  store<i32>(task, (split + 1) * splitKeys, Task.keyEnd << 2);
  store<usize>(task, segments == 0 ? 0 : pointer(params, Attention.segments)
    + <usize>load<i32>(segments + (<usize>b << 2)) * (Segment.words << 2), Task.segment << 2);
  const plan = b * word(params, Attention.planBatch) + h0 * word(params, Attention.planHead) + block * word(params, Attention.planBlock);
  const starts = pointer(params, Attention.planStarts) + (<usize>plan << 2), runs = pointer(params, Attention.planRuns);
  store<usize>(task, runs + <usize>load<i32>(starts) * (Run.words << 2), Task.run << 2);
  store<usize>(task, runs + <usize>load<i32>(starts, 4) * (Run.words << 2), Task.runsEnd << 2);

  const position = load<i32>(pointer(params, Attention.offsets) + (<usize>b << 2));
  const part = <usize>(split * word(params, Attention.valueDim)) << 2;
  const slopes = pointer(params, Attention.slopes), lses = pointer(params, Attention.lse);
  const queryRow = rowBytes(params, Attention.queryRow), outputRow = rowBytes(params, Attention.outputRow), biasRow = rowBytes(params, Attention.biasRow);
  const lseRow = <usize>word(params, Attention.splits) << 2;
  let r = 0;
  for (let h = h0; h < h0 + shared; h++) {
    let query = rowOf(params, Attention.query, Attention.queryBatch, b, h, i0), bias = rowOf(params, Attention.bias, Attention.biasBatch, b, h, i0);
    let output = rowOf(params, Attention.output, Attention.outputBatch, b, h, i0) + part;
    let lse = lses + <usize>((b * heads + h) * queries + i0) * lseRow + (<usize>split << 2);
    const slope: f32 = slopes != 0 ? load<f32>(slopes + (<usize>h << 2)) * real(params, Attention.unit) : 0;
    for (let row = 0; row < perHead; row++, r++) {
      const at = lanes + <usize>(r >> 3) * stride + (<usize>(r & 7) << 2);
      store<usize>(at, query, Lane.query);
      store<usize>(at, output, Lane.output);
      store<usize>(at, lse, Lane.lse);
      store<usize>(at, bias, Lane.bias);
      store<f32>(at, slope, Lane.slope);
      store<i32>(at, h, Lane.head);
      store<i32>(at, position + i0 + row, Lane.position);
      store<i32>(at, row < 32 ? 1 << row : 0, Lane.bitLow);
      store<i32>(at, row < 32 ? 0 : 1 << (row - 32), Lane.bitHigh);
      query += queryRow;
      output += outputRow;
      lse += lseRow;
      bias += biasRow;
    }
  }
  for (; r & 7; r++) {
    const at = lanes + <usize>(r >> 3) * stride + (<usize>(r & 7) << 2);
    for (let field: usize = 0; field < <usize>Lane.first; field += 32) store<i32>(at + field, load<i32>(at + field - 4));
  }
}

// @ts-ignore: top-level decorator
@inline
function rowBytes(params: usize, strideRow: i32): usize {
  return <usize>word(params, strideRow) << 2;
}

function rowOf(params: usize, tensor: i32, strides: i32, b: i32, h: i32, i: i32): usize {
  return pointer(params, tensor) + (<usize>(b * word(params, strides) + h * word(params, strides + 1) + i * word(params, strides + 2)) << 2);
}

/**
 * The keys of a run that some lane of a group may see, as start | end << 32; for a partial run the lanes' bounds are
 * copied to `first` and `end`. Rows are in the plan's order, so a lane's row there is that of its bit.
 */
export function visibleKeys(run: usize, group: usize): u64 {
  let start = word(run, Run.start), end = word(run, Run.end);
  if (word(run, Run.kind) == RunKind.full) return <u64>start | <u64>end << 32;
  const bounds = pointer(run, Run.data);
  let least = end, most = start;
  for (let lane: usize = 0; lane < 32; lane += 4) {
    const bits = <u64>load<u32>(group + lane, Lane.bitLow) | <u64>load<u32>(group + lane, Lane.bitHigh) << 32;
    const bound = bounds + (<usize>ctz(bits) << 2);
    const first = start + load<i32>(bound), last = start + load<i32>(bound, Block.queries << 2);
    store<i32>(group + lane, first, Lane.first);
    store<i32>(group + lane, last, Lane.end);
    if (first >= last) continue;
    least = min(least, first);
    most = max(most, last);
  }
  return <u64>least | <u64>max(least, most) << 32;
}
