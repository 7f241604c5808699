import { Attention, Block, Run, RunKind } from './params';
import { accumulate, accumulateVisible } from './micro/accumulate';
import { adjust } from './micro/adjust';
import { dots } from './micro/dots';
import { pack, unpack } from './micro/lanes';
import { exp2 } from './simd/exp2';
import { pointer, real, word } from './simd/lanes';

// Flash attention forward (Dao et al. 2022, Alg. 1; Dao 2023, Alg. 1): online softmax over tiles of keys. Scores are in log2 units.
// Scratch: scores [keys + 8][8], then for each group of 8 queries: running max [8], sum [8], Qᵀ [headDim][8], Oᵀ [valueDim + 8][8].

const LOG2E: f64 = 1.4426950408889634;
const LN2: f64 = 0.6931471805599453;
const SCORES_BYTES: usize = (Block.keys + 8) << 5;

// @ts-ignore: top-level decorator
@inline
function groupBytes(params: usize): usize {
  return 64 + (<usize>(word(params, Attention.headDim) + word(params, Attention.valueDim) + 8) << 5);
}

/** Bytes of scratch that one task needs. */
export function flashScratchBytes(params: usize): usize {
  return SCORES_BYTES + <usize>(Block.queries / Block.lanes) * groupBytes(params);
}

/** Largest score of a tile in each lane → max [8]. */
export function tileMax(max: usize, scores: usize, count: i32): void {
  let a = v128.load(scores), b = v128.load(scores, 16);
  const end = scores + (<usize>count << 5);
  for (let at = scores + 32; at < end; at += 32) {
    a = f32x4.pmax(a, v128.load(at));
    b = f32x4.pmax(b, v128.load(at, 16));
  }
  v128.store(max, a);
  v128.store(max, b, 16);
}

/** Sᵀ ← 2^(Sᵀ − max), sum += Σ of it. */
export function exponentiate(scores: usize, count: i32, max: usize, sum: usize): void {
  const m = v128.load(max), n = v128.load(max, 16);
  let a = v128.load(sum), b = v128.load(sum, 16);
  const end = scores + (<usize>count << 5);
  for (; scores < end; scores += 32) {
    const p = exp2(f32x4.sub(v128.load(scores), m)), q = exp2(f32x4.sub(v128.load(scores, 16), n));
    v128.store(scores, p);
    v128.store(scores, q, 16);
    a = f32x4.add(a, p);
    b = f32x4.add(b, q);
  }
  v128.store(sum, a);
  v128.store(sum, b, 16);
}

/** Raises the running max where a tile's is more than 2⁸ above it (FlashAttention-4's lazy rescale) and scales sum and Oᵀ to it. */
export function raise(max: usize, tile: usize, sum: usize, out: usize, dim: i32): void {
  const m = v128.load(max), n = v128.load(max, 16), x = v128.load(tile), y = v128.load(tile, 16);
  const slack = f32x4.splat(8);
  const grown = v128.or(f32x4.gt(x, f32x4.add(m, slack)), f32x4.gt(y, f32x4.add(n, slack)));
  if (!v128.any_true(grown)) return;
  const p = f32x4.pmax(m, x), q = f32x4.pmax(n, y);
  const a = exp2(f32x4.sub(m, p)), b = exp2(f32x4.sub(n, q));
  v128.store(max, p);
  v128.store(max, q, 16);
  v128.store(sum, f32x4.mul(v128.load(sum), a));
  v128.store(sum, f32x4.mul(v128.load(sum, 16), b), 16);
  const end = out + (<usize>dim << 5);
  for (; out < end; out += 32) {
    v128.store(out, f32x4.mul(v128.load(out), a));
    v128.store(out, f32x4.mul(v128.load(out, 16), b), 16);
  }
}

function allFinite(rows: usize, count: i32, dim: i32, rowBytes: usize): bool {
  for (let i = 0; i < count; i++, rows += rowBytes) {
    let x: f32 = 0;
    for (let d: usize = 0; d < <usize>dim; d++) x += load<f32>(rows + (d << 2)) * 0;
    if (x != 0) return false;
  }
  return true;
}

/** One task: `Block.queries` queries of one head. */
export function flash(params: usize, task: i32, scratch: usize): void {
  // A masked key's weight is 0, but 0 · NaN is not: only if the result is not finite is the task done again, minding every weight.
  if (!attend(params, task, scratch, false)) attend(params, task, scratch, true);
}

function attend(params: usize, task: i32, scratch: usize, minding: bool): bool {
  const queries = word(params, Attention.queries);
  const headDim = word(params, Attention.headDim), valueDim = word(params, Attention.valueDim);
  const blocks = (queries + Block.queries - 1) / Block.queries;
  const block = task % blocks, h = task / blocks % word(params, Attention.heads), b = task / blocks / word(params, Attention.heads);
  const kvHead = h / word(params, Attention.groupSize);
  const first = block * Block.queries, count = min(queries - first, Block.queries);
  const groups = (count + 7) >> 3;
  const size = groupBytes(params), state = scratch + SCORES_BYTES;
  const outOffset: usize = 64 + (<usize>headDim << 5);

  const queryRow = <usize>word(params, Attention.queryRow) << 2;
  const query = pointer(params, Attention.query)
    + (<usize>(b * word(params, Attention.queryBatch) + h * word(params, Attention.queryHead)) << 2) + <usize>first * queryRow;
  const sinks = pointer(params, Attention.sinks);
  // A sink is a key that was seen first, with value 0.
  const max: f32 = sinks != 0 ? <f32>(<f64>load<f32>(sinks + (<usize>h << 2)) * LOG2E) : -f32.MAX_VALUE;
  for (let g = 0; g < groups; g++) {
    const at = state + <usize>g * size;
    v128.store(at, f32x4.splat(max));
    v128.store(at, f32x4.splat(max), 16);
    v128.store(at, f32x4.splat(sinks != 0 ? 1 : 0), 32);
    v128.store(at, f32x4.splat(sinks != 0 ? 1 : 0), 48);
    pack(at + 64, query + <usize>(g << 3) * queryRow, count - (g << 3), headDim, queryRow, load<f64>(params + (Attention.scale << 2)));
    memory.fill(at + outOffset, 0, <usize>(valueDim + 8) << 5);
  }

  const keyRow = <usize>word(params, Attention.keyRow) << 2, valueRow = <usize>word(params, Attention.valueRow) << 2;
  const key = pointer(params, Attention.key)
    + (<usize>(b * word(params, Attention.keyBatch) + kvHead * word(params, Attention.keyHead)) << 2);
  const value = pointer(params, Attention.value)
    + (<usize>(b * word(params, Attention.valueBatch) + kvHead * word(params, Attention.valueHead)) << 2);
  const plan = b * word(params, Attention.planBatch) + h * word(params, Attention.planHead) + block;
  const starts = pointer(params, Attention.planStarts) + (<usize>plan << 2);
  let run = pointer(params, Attention.planRuns) + <usize>load<i32>(starts) * (Run.words << 2);
  const runsEnd = pointer(params, Attention.planRuns) + <usize>load<i32>(starts, 4) * (Run.words << 2);
  let masked = pointer(params, Attention.bias) != 0;
  for (; run < runsEnd; run += Run.words << 2) {
    const start = word(run, Run.start), end = word(run, Run.end), kind = word(run, Run.kind), data = pointer(run, Run.data);
    if (kind != RunKind.full) masked = true;
    const plain = kind == RunKind.full && real(params, Attention.softcap) == 0
      && pointer(params, Attention.bias) == 0 && pointer(params, Attention.slopes) == 0;
    for (let j = start; j < end; j += Block.keys) {
      const tile = min(end - j, Block.keys);
      for (let g = 0; g < groups; g++) {
        const at = state + <usize>g * size;
        dots(scratch, key + <usize>j * keyRow, at + 64, tile, headDim, keyRow);
        if (!plain) adjust(scratch, params, b, h, first + (g << 3), count - (g << 3), j, tile, kind, data, start, end);
        tileMax(scratch + SCORES_BYTES - 64, scratch, tile);
        raise(at, scratch + SCORES_BYTES - 64, at + 32, at + outOffset, valueDim);
        exponentiate(scratch, tile, at, at + 32);
        if (minding) accumulateVisible(at + outOffset, value + <usize>j * valueRow, scratch, tile, valueDim, valueRow);
        else accumulate(at + outOffset, value + <usize>j * valueRow, scratch, tile, valueDim, valueRow);
      }
    }
  }

  const outputRow = <usize>word(params, Attention.outputRow) << 2;
  const output = pointer(params, Attention.output)
    + (<usize>(b * word(params, Attention.outputBatch) + h * word(params, Attention.outputHead)) << 2) + <usize>first * outputRow;
  const lse = pointer(params, Attention.lse);
  for (let g = 0; g < groups; g++) {
    const at = state + <usize>g * size, lanes = min(count - (g << 3), 8);
    for (let lane = 0; lane < lanes; lane++) {
      const sum = load<f32>(at + (<usize>lane << 2), 32);
      if (lse != 0) {
        const row = <usize>((b * word(params, Attention.heads) + h) * queries + first + (g << 3) + lane) << 2;
        store<f32>(lse + row, <f32>(<f64>load<f32>(at + (<usize>lane << 2)) * LN2 + NativeMath.log(sum)));
      }
      store<f32>(at + (<usize>lane << 2), sum == 0 ? 0 : 1 / sum, 32);
    }
    unpack(output + <usize>(g << 3) * outputRow, at + outOffset, lanes, valueDim, outputRow, at + 32);
  }
  return !masked || allFinite(output, count, valueDim, outputRow);
}
