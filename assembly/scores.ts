import { Attention, Block, Run } from './params';
import { adjust } from './micro/adjust';
import { dots } from './micro/dots';
import { pack, scale, unpack } from './micro/lanes';
import { pointer, real, word } from './simd/lanes';
import { Lane, locate, Task, visibleKeys } from './task';

// The score matrix itself, to look at: output [batch, heads, queries, keys], natural units, −∞ where masked.
// Scratch: the task, factors [8], scores [keys + 8][8], then for each group its lanes and Qᵀ [headDim][8].

const FACTORS: usize = Task.bytes, SCORES: usize = FACTORS + 32, GROUPS: usize = SCORES + ((Block.keys + 8) << 5);

// @ts-ignore: top-level decorator
@inline
function groupBytes(params: usize): usize {
  return <usize>Lane.bytes + (<usize>((word(params, Attention.headDim) + 3) & ~3) << 5);
}

export function scoresScratchBytes(params: usize): usize {
  return GROUPS + <usize>(Block.queries / Block.lanes) * groupBytes(params);
}

/** One task: `Block.queries` rows of one head. */
export function scores(params: usize, index: i32, scratch: usize): void {
  const headDim = word(params, Attention.headDim), keys = word(params, Attention.keys), size = groupBytes(params);
  locate(params, index, scratch, scratch + GROUPS, size);
  const keyRow = <usize>word(params, Attention.keyRow) << 2, key = pointer(scratch, Task.key), runsEnd = pointer(scratch, Task.runsEnd);
  v128.store(scratch, f32x4.splat(1), FACTORS);
  v128.store(scratch, f32x4.splat(1), FACTORS + 16);
  const end = scratch + GROUPS + <usize>((word(scratch, Task.rows) + 7) >> 3) * size;
  for (let group = scratch + GROUPS; group < end; group += size) {
    for (let lane: usize = 0; lane < 32; lane += 4) hideRow(load<usize>(group + lane, Lane.output), keys);
    pack(group + Lane.bytes, group + Lane.query, headDim);
    scale(group + Lane.bytes, headDim << 1, real(params, Attention.scale), real(params, Attention.scaleLow));
    for (let run = pointer(scratch, Task.run); run < runsEnd; run += Run.words << 2) {
      const visible = visibleKeys(run, group);
      for (let j = <i32>visible; j < <i32>(visible >> 32); j += Block.keys) {
        const count = min(<i32>(visible >> 32) - j, Block.keys);
        dots(scratch + SCORES, key + <usize>j * keyRow, group + Lane.bytes, count, headDim, keyRow);
        adjust(scratch + SCORES, params, group, run, j, count);
        unpack(group + Lane.output, <usize>j << 2, scratch + SCORES, count, scratch + FACTORS);
      }
    }
  }
}

function hideRow(row: usize, keys: i32): void {
  for (let j = 0; j < keys; j++) store<f32>(row + (<usize>j << 2), -f32.MAX_VALUE - f32.MAX_VALUE);
}
