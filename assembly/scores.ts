import { Attention, Block, Run } from './params';
import { adjust } from './micro/adjust';
import { dots } from './micro/dots';
import { pack, unpack } from './micro/lanes';
import { pointer, real, word } from './simd/lanes';

// The score matrix itself, to look at: output [batch, heads, queries, keys], natural units, −∞ where masked.
// Scratch: scores [keys + 8][8], factors [8], Qᵀ [headDim][8].

const SCORES_BYTES: usize = (Block.keys + 8) << 5;

export function scoresScratchBytes(params: usize): usize {
  return SCORES_BYTES + 32 + (<usize>word(params, Attention.headDim) << 5);
}

/** One task: `Block.queries` rows of one head. */
export function scores(params: usize, task: i32, scratch: usize): void {
  const queries = word(params, Attention.queries), keys = word(params, Attention.keys), headDim = word(params, Attention.headDim);
  const blocks = (queries + Block.queries - 1) / Block.queries;
  const block = task % blocks, h = task / blocks % word(params, Attention.heads), b = task / blocks / word(params, Attention.heads);
  const first = block * Block.queries, end = min(first + Block.queries, queries);
  const queryRow = <usize>word(params, Attention.queryRow) << 2, keyRow = <usize>word(params, Attention.keyRow) << 2;
  const query = pointer(params, Attention.query)
    + (<usize>(b * word(params, Attention.queryBatch) + h * word(params, Attention.queryHead)) << 2);
  const key = pointer(params, Attention.key)
    + (<usize>(b * word(params, Attention.keyBatch) + h / word(params, Attention.groupSize) * word(params, Attention.keyHead)) << 2);
  const rowBytes = <usize>keys << 2;
  const output = pointer(params, Attention.output) + <usize>((b * word(params, Attention.heads) + h) * queries) * rowBytes;
  const factors = scratch + SCORES_BYTES, columns = factors + 32;
  v128.store(factors, f32x4.splat(1));
  v128.store(factors, f32x4.splat(1), 16);
  for (let at = output + <usize>first * rowBytes; at < output + <usize>end * rowBytes; at += 4) {
    store<f32>(at, -f32.MAX_VALUE - f32.MAX_VALUE);
  }
  const plan = b * word(params, Attention.planBatch) + h * word(params, Attention.planHead) + block;
  const starts = pointer(params, Attention.planStarts) + (<usize>plan << 2);
  const runs = pointer(params, Attention.planRuns);
  for (let i = first; i < end; i += 8) {
    pack(columns, query + <usize>i * queryRow, end - i, headDim, queryRow, load<f64>(params + (Attention.scale << 2)));
    for (let r = load<i32>(starts); r < load<i32>(starts, 4); r++) {
      const run = runs + <usize>r * (Run.words << 2);
      const start = word(run, Run.start), stop = word(run, Run.end), kind = word(run, Run.kind);
      for (let j = start; j < stop; j += Block.keys) {
        const tile = min(stop - j, Block.keys);
        dots(scratch, key + <usize>j * keyRow, columns, tile, headDim, keyRow);
        adjust(scratch, params, b, h, i, end - i, j, tile, kind, pointer(run, Run.data), start, stop);
        unpack(output + <usize>i * rowBytes + (<usize>j << 2), scratch, min(end - i, 8), tile, rowBytes, factors);
      }
    }
  }
}
