import { Attention, Block } from './params';
import { close, FACTORS, groupBytes, GROUPS, isFiniteOutput, MAX, open, outputAt, SCORES, SUM } from './group';
import { mask, shift } from './micro/adjust';
import { exponentiate, pad } from './micro/online';
import { scale } from './micro/lanes';
import { word } from './simd/lanes';
import { locate, Task, visibleKeys } from './task';
import { accumulateTile, exponentiateTile, openTile, scoreTile } from './tile';

// Flash attention in steps, between which the caller changes a tile's scores or weights (He et al. 2024, FlexAttention). Scores
// are natural here, so the parameters' unit is 1; the state is in log2 units as everywhere. Rows are in the lanes, however few.

const LOG2E: f64 = 1.4426950408889634;

// @ts-ignore: top-level decorator
@inline
function groupAt(params: usize, scratch: usize, group: i32): usize {
  return scratch + GROUPS + <usize>group * groupBytes(params);
}

/** Where a tile's scores lie, Sᵀ [keys][8 rows]. */
export function tileScores(scratch: usize): usize {
  return scratch + SCORES;
}

/** Begins a task, of one head; returns how many rows it has. */
export function modOpen(params: usize, index: i32, scratch: usize): i32 {
  locate(params, index, scratch, scratch + GROUPS, groupBytes(params));
  const rows = word(scratch, Task.rows);
  // The layout of many rows, whatever their number.
  store<i32>(scratch, Block.queries, Task.rows << 2);
  for (let group = 0; group < (rows + 7) >> 3; group++) open(params, scratch, groupAt(params, scratch, group), false);
  return rows;
}

/** Makes keys from `start` on the task's tile; returns how many. */
export function modTile(params: usize, scratch: usize, start: i32, end: i32): i32 {
  return openTile(params, scratch, start, Block.keys, end);
}

/** Scores of the tile's keys that some row of a group may see, up to the mask: returns (first − start) << 8 | count, 0: none. */
export function modScores(params: usize, scratch: usize, index: i32, run: usize, start: i32, keys: i32): i32 {
  const group = groupAt(params, scratch, index), visible = visibleKeys(run, group);
  const first = max(start, <i32>visible), count = min(start + keys, <i32>(visible >> 32)) - first;
  if (count <= 0) return 0;
  scoreTile(params, scratch, group, first, count);
  if (word(params, Attention.adjusted) != 0) shift(scratch + SCORES, params, group, first, count);
  return (first - start) << 8 | count;
}

/** What the caller did to a group's last row is done to the lanes that repeat it. */
function repeatLast(scores: usize, count: i32, lanes: i32): void {
  const last = <usize>(lanes - 1) << 2;
  for (let at = scores, end = scores + (<usize>count << 5); lanes < 8 && at < end; at += 32) {
    for (let lane: usize = last + 4; lane < 32; lane += 4) store<f32>(at + lane, load<f32>(at + last));
  }
}

/**
 * Masks the scores of a group of `lanes` rows, which become weights: unnormalised by the online softmax, or, where the sums are known
 * (`modNormalize`), `final`.
 */
export function modSoftmax(params: usize, scratch: usize, index: i32, run: usize, first: i32, count: i32, lanes: i32, final: bool): void {
  const group = groupAt(params, scratch, index), scores = scratch + SCORES;
  repeatLast(scores, count, lanes);
  mask(scores, group, run, first, count);
  scale(scores, count << 1, <f32>LOG2E, <f32>(LOG2E - <f64><f32>LOG2E));
  if (!final) return exponentiateTile(params, scratch, group, count, 32, false);
  pad(scores, count);
  for (let at: usize = 0; at < 32; at += 16) exponentiate(scores + at, (count + 3) & ~3, group + MAX + at, scratch + FACTORS + at);
}

/** From here on the softmax of a group is final: weights are 2^(S − lse). */
export function modNormalize(params: usize, scratch: usize, index: i32): void {
  const group = groupAt(params, scratch, index);
  for (let lane: usize = 0; lane < 32; lane += 4) {
    const sum = load<f32>(group + lane, SUM);
    if (sum == 0) continue;
    store<f32>(group + lane, <f32>(<f64>load<f32>(group + lane, MAX) + NativeMath.log(sum) * LOG2E), MAX);
    store<f32>(group + lane, 1, SUM);
  }
  memory.fill(group + outputAt(params), 0, groupBytes(params) - outputAt(params));
}

/** After the caller has changed the weights: those of masked keys are 0 all the same. */
export function modMask(params: usize, scratch: usize, index: i32, run: usize, first: i32, count: i32, lanes: i32): void {
  const scores = scratch + SCORES, hidden = f32x4.splat(-f32.MAX_VALUE - f32.MAX_VALUE);
  repeatLast(scores, count, lanes);
  mask(scores, groupAt(params, scratch, index), run, first, count);
  for (let at = scores, end = scores + (<usize>count << 5); at < end; at += 16) {
    const x = v128.load(at);
    v128.store(at, v128.and(x, f32x4.ne(x, hidden)));
  }
}

export function modAccumulate(params: usize, scratch: usize, index: i32, first: i32, count: i32, minding: bool): void {
  accumulateTile(params, scratch, groupAt(params, scratch, index), first, count, minding);
}

/** Writes a group's rows; returns whether all of O is finite. */
export function modClose(params: usize, scratch: usize, index: i32): bool {
  const group = groupAt(params, scratch, index), finite = isFiniteOutput(params, group, false);
  close(params, scratch, group, 8, false);
  return finite;
}
