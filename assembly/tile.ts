import { Attention, Run, RunKind, Segment } from './params';
import { FACTORS, inBytes, isPlain, MAX, outputAt, outputRow, PAIRS, QUERY, queryBytesAt, QUERY_SCALES, SCORES, SUM, UNITS, wideAt } from './group';
import { accumulate, accumulateTall, accumulateVisible } from './micro/accumulate';
import { adjust } from './micro/adjust';
import { accumulateBytes, accumulateBytesOne, dotsBytes, dotsBytesOne, quantizeOne, quantizeWeights } from './micro/bytes';
import { dots, dotsTall } from './micro/dots';
import { accumulateFew, accumulateFewVisible, accumulateOne, dotsFew, dotsOne } from './micro/few';
import { scale } from './micro/lanes';
import { exponentiate, exponentiateOne, pad, padOne, raise, raiseOne } from './micro/online';
import { elementBytes, widenRows } from './micro/widen';
import { pointer, word } from './simd/lanes';
import { Task } from './task';

// What is done with one tile of keys: brought to where and how the micro-kernels want it, then attended to by one group of rows.

/** Makes keys from `start` on, at most `count` up to the end of a run, the task's tile; returns how many, which lie in one segment. */
export function openTile(params: usize, task: usize, start: i32, count: i32, end: i32): i32 {
  let row = start, segment = pointer(task, Task.segment);
  if (segment != 0) {
    while (word(segment, Segment.words + Segment.start) <= start) segment += Segment.words << 2;
    store<usize>(task, segment, Task.segment << 2);
    row += word(segment, Segment.row) - word(segment, Segment.start);
    end = min(end, word(segment, Segment.words + Segment.start));
  }
  count = min(count, end - start);
  const stored = word(params, Attention.stored), headDim = word(params, Attention.headDim), valueDim = word(params, Attention.valueDim);
  const unit = isPlain(params) ? <usize>4 : elementBytes(stored), wide = !isPlain(params) && !inBytes(params, word(task, Task.rows));
  let keyRow = <usize>word(params, Attention.keyRow) * unit, valueRow = <usize>word(params, Attention.valueRow) * unit;
  let key = pointer(task, Task.key) + <usize>row * keyRow, value = pointer(task, Task.value) + <usize>row * valueRow;
  const keyScales = pointer(task, Task.keyScales) + (<usize>row << 2), valueScales = pointer(task, Task.valueScales) + (<usize>row << 2);
  if (wide) {
    const wideKey = task + wideAt(params), shared = value == key;
    widenRows(wideKey, stored, key, keyRow, keyScales, count, headDim);
    keyRow = <usize>headDim << 2;
    const wideValue = shared ? wideKey : wideKey + <usize>count * keyRow;
    if (!shared) widenRows(wideValue, stored, value, valueRow, valueScales, count, valueDim);
    valueRow = shared ? keyRow : <usize>valueDim << 2;
    key = wideKey;
    value = wideValue;
  }
  store<i32>(task, start, Task.tileStart << 2);
  store<usize>(task, key, Task.tileKey << 2);
  store<usize>(task, value, Task.tileValue << 2);
  store<usize>(task, keyRow, Task.tileKeyRow << 2);
  store<usize>(task, valueRow, Task.tileValueRow << 2);
  store<usize>(task, keyScales, Task.tileKeyScales << 2);
  store<usize>(task, valueScales, Task.tileValueScales << 2);
  store<i32>(task, wide ? 0 : end - start - count, Task.follow << 2);
  return count;
}

/** A group's rows attend to keys `first` … `first + count` of the tile. `minding`: values may be NaN where a weight is 0. */
export function attendMany(params: usize, scratch: usize, group: usize, run: usize, first: i32, count: i32, minding: bool): void {
  scoreTile(params, scratch, group, first, count);
  softmaxTile(params, scratch, group, run, first, count, 32, false);
  accumulateTile(params, scratch, group, first, count, minding);
}

/** Sᵀ of keys of the tile, the rows in the lanes. */
export function scoreTile(params: usize, scratch: usize, group: usize, first: i32, count: i32): void {
  const headDim = word(params, Attention.headDim), keyRow = pointer(scratch, Task.tileKeyRow), scores = scratch + SCORES;
  const key = pointer(scratch, Task.tileKey) + <usize>(first - word(scratch, Task.tileStart)) * keyRow;
  if (word(params, Attention.tall) != 0) dotsTall(scores, key, group + QUERY, count, headDim, keyRow);
  else dots(scores, key, group + QUERY, count, headDim, keyRow);
}

/** Oᵀ += Vᵀ · P likewise. */
export function accumulateTile(params: usize, scratch: usize, group: usize, first: i32, count: i32, minding: bool): void {
  const valueDim = word(params, Attention.valueDim), valueRow = pointer(scratch, Task.tileValueRow), scores = scratch + SCORES;
  const value = pointer(scratch, Task.tileValue) + <usize>(first - word(scratch, Task.tileStart)) * valueRow, output = group + outputAt(params);
  if (minding) accumulateVisible(output, value, scores, count, valueDim, valueRow);
  else if (word(params, Attention.tall) != 0) accumulateTall(output, value, scores, count, valueDim, valueRow);
  else accumulate(output, value, scores, count, valueDim, valueRow);
}

/** `attendMany` for a task of few rows. */
export function attendFew(params: usize, scratch: usize, group: usize, run: usize, first: i32, count: i32, minding: bool): void {
  const headDim = word(params, Attention.headDim), valueDim = word(params, Attention.valueDim), skip = <usize>(first - word(scratch, Task.tileStart));
  const keyRow = pointer(scratch, Task.tileKeyRow), valueRow = pointer(scratch, Task.tileValueRow);
  const key = pointer(scratch, Task.tileKey) + skip * keyRow, value = pointer(scratch, Task.tileValue) + skip * valueRow;
  const scores = scratch + SCORES, query = group + QUERY, output = group + outputAt(params), rows = word(scratch, Task.rows);
  const bytes: usize = rows > 4 ? 32 : 16, querySize = <usize>((headDim + 3) & ~3), stride = outputRow(params) << 2;
  for (let at: usize = 0; at < bytes; at += 16) {
    streamDots(scores + at, key, query + at * querySize, count, headDim, keyRow, value, <usize>count * valueRow);
  }
  softmaxTile(params, scratch, group, run, first, count, bytes, true);
  for (let at: usize = 0; at < bytes; at += 16) {
    const to = output + (at >> 2) * stride, next = key + <usize>count * keyRow, nextBytes = <usize>word(scratch, Task.follow) * keyRow;
    if (minding) accumulateFewVisible(to, stride, value, scores + at, count, valueDim, valueRow, 4, 32);
    else streamAccumulate(to, stride, value, scores + at, count, valueDim, valueRow, next, nextBytes);
  }
}

/** `attendFew` on int8 keys and values. */
export function attendBytes(params: usize, scratch: usize, group: usize, run: usize, first: i32, count: i32): void {
  const skip = <usize>(first - word(scratch, Task.tileStart)), rows = word(scratch, Task.rows);
  const keyRow = pointer(scratch, Task.tileKeyRow), valueRow = pointer(scratch, Task.tileValueRow);
  const key = pointer(scratch, Task.tileKey) + skip * keyRow, value = pointer(scratch, Task.tileValue) + skip * valueRow;
  const keyScales = pointer(scratch, Task.tileKeyScales) + (skip << 2), valueScales = pointer(scratch, Task.tileValueScales) + (skip << 2);
  const scores = scratch + SCORES, query = scratch + queryBytesAt(params), output = group + outputAt(params);
  const pairs = scratch + PAIRS, units = scratch + UNITS, bytes: usize = rows > 4 ? 32 : 16, stride = outputRow(params) << 2;
  for (let at: usize = 0; at < bytes; at += 16) {
    const rowsAt = query + (at >> 1) * keyRow, scales = scratch + QUERY_SCALES + at;
    const ahead = valueRow >= keyRow ? value : key;
    dotsBytes(scores + at, key, keyScales, rowsAt, scales, count, keyRow, ahead);
  }
  softmaxTile(params, scratch, group, run, first, count, bytes, true);
  for (let at: usize = 0; at < bytes; at += 16) {
    quantizeWeights(pairs, units, scores + at, valueScales, count);
    accumulateBytes(output + (at >> 2) * stride, stride, value, pairs, units, count, valueRow);
  }
}

/** `attendFew` for a task of one row. Its keys lie in the lanes: scores are S [count]. */
export function attendOne(params: usize, scratch: usize, group: usize, run: usize, first: i32, count: i32, bytes: bool, minding: bool): void {
  const headDim = word(params, Attention.headDim), valueDim = word(params, Attention.valueDim), skip = <usize>(first - word(scratch, Task.tileStart));
  const keyRow = pointer(scratch, Task.tileKeyRow), valueRow = pointer(scratch, Task.tileValueRow);
  const key = pointer(scratch, Task.tileKey) + skip * keyRow, value = pointer(scratch, Task.tileValue) + skip * valueRow;
  const keyScales = pointer(scratch, Task.tileKeyScales) + (skip << 2), valueScales = pointer(scratch, Task.tileValueScales) + (skip << 2);
  const scores = scratch + SCORES, output = group + outputAt(params), stride = outputRow(params) << 2;
  if (bytes) dotsBytesOne(scores, key, keyScales, scratch + queryBytesAt(params), scratch + QUERY_SCALES, count, keyRow, valueRow >= keyRow ? value : key);
  else dotsOne(scores, key, group + QUERY, count, headDim, keyRow);

  if (word(run, Run.kind) != RunKind.full || word(params, Attention.adjusted) != 0) adjustOne(scores, params, group, run, first, count);
  const padded = (count + 15) & ~15, factors = scratch + FACTORS;
  padOne(scores, count);
  if (raiseOne(scores, padded, group + MAX, group + SUM, factors)) scale(output, <i32>stride >> 4, load<f32>(factors), 0);
  exponentiateOne(scores, padded, group + MAX, group + SUM);

  if (bytes) {
    quantizeOne(scratch + PAIRS, scratch + UNITS, scores, valueScales, padded);
    accumulateBytesOne(output, stride, value, scratch + PAIRS, scratch + UNITS, count, valueRow);
  } else if (minding) accumulateFewVisible(output, stride, value, scores, count, valueDim, valueRow, 1, 4);
  else accumulateOne(output, value, scores, count, valueDim, valueRow);
}

/** `adjust` on S [count]: its place is [count][8] for the while. */
function adjustOne(scores: usize, params: usize, group: usize, run: usize, first: i32, count: i32): void {
  for (let j: usize = count; j > 0; j--) store<f32>(scores + ((j - 1) << 5), load<f32>(scores + ((j - 1) << 2)));
  adjust(scores, params, group, run, first, count);
  for (let j: usize = 0; j < <usize>count; j++) store<f32>(scores + (j << 2), load<f32>(scores + (j << 5)));
}

/** A tile's scores become its weights; the state so far is rescaled where the max has risen. `bytes`: 16 for 4 lanes, 32 for 8. */
function softmaxTile(params: usize, scratch: usize, group: usize, run: usize, first: i32, count: i32, bytes: usize, few: bool): void {
  if (word(run, Run.kind) != RunKind.full || word(params, Attention.adjusted) != 0) adjust(scratch + SCORES, params, group, run, first, count);
  exponentiateTile(params, scratch, group, count, bytes, few);
}

/** The online softmax of a tile whose scores are final. */
export function exponentiateTile(params: usize, scratch: usize, group: usize, count: i32, bytes: usize, few: bool): void {
  const scores = scratch + SCORES, factors = scratch + FACTORS, padded = (count + 3) & ~3;
  pad(scores, count);
  let risen = false;
  for (let at: usize = 0; at < bytes; at += 16) {
    if (raise(scores + at, padded, group + MAX + at, group + SUM + at, factors + at)) risen = true;
    else v128.store(factors + at, f32x4.splat(1));
    exponentiate(scores + at, padded, group + MAX + at, group + SUM + at);
  }
  if (!risen) return;
  const dim = word(params, Attention.valueDim), output = group + outputAt(params);
  if (!few) return rescale(output, factors, dim);
  const row = outputRow(params);
  for (let lane: usize = 0; lane < bytes; lane += 4) scale(output + lane * row, <i32>row >> 2, load<f32>(factors + lane), 0);
}

/** Oᵀ[dim][8] ← Oᵀ · factors[8] */
function rescale(output: usize, factors: usize, dim: i32): void {
  const a = v128.load(factors), b = v128.load(factors, 16);
  for (const end = output + (<usize>dim << 5); output < end; output += 32) {
    v128.store(output, f32x4.mul(v128.load(output), a));
    v128.store(output, f32x4.mul(v128.load(output, 16), b), 16);
  }
}

/** Rows that the kernels of two rows touch ahead: 6 KB (4 to 8 KB are equal, 16 KB lose a third, measured); even. */
// @ts-ignore: top-level decorator
@inline
function rowsAhead(rowBytes: usize, count: i32): i32 {
  return min((6144 / <i32>rowBytes + 2) & ~1, count & ~1);
}

/** `dotsFew` touching its own rows ahead and, from its last rows, the start of what comes `next`, if that has enough bytes. */
function streamDots(out: usize, row: usize, query: usize, count: i32, dim: i32, rowBytes: usize, next: usize, nextBytes: usize): void {
  const ahead = rowsAhead(rowBytes, count), far = (count - ahead) & ~1, rest = count - far, last = row + <usize>far * rowBytes;
  if (far > 0) dotsFew(out, row, query, far, dim, rowBytes, row + <usize>ahead * rowBytes);
  dotsFew(out + (<usize>far << 5), last, query, rest, dim, rowBytes, <usize>rest * rowBytes <= nextBytes ? next : last);
}

/** `accumulateFew` likewise. */
function streamAccumulate(out: usize, stride: usize, value: usize, weights: usize, count: i32, dim: i32, rowBytes: usize, next: usize, nextBytes: usize): void {
  const ahead = rowsAhead(rowBytes, count), far = (count - ahead) & ~1, rest = count - far, last = value + <usize>far * rowBytes;
  if (far > 0) accumulateFew(out, stride, value, weights, far, dim, rowBytes, value + <usize>ahead * rowBytes);
  accumulateFew(out, stride, last, weights + (<usize>far << 5), rest, dim, rowBytes, <usize>rest * rowBytes <= nextBytes ? next : last);
}
