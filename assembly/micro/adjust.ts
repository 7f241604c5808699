import { Attention, RunKind } from '../params';
import { pointer, real, word } from '../simd/lanes';
import { tanh } from '../simd/tanh';

/** Sᵀ ← c·tanh(Sᵀ / c). */
export function softcap(scores: usize, count: i32, cap: f32): void {
  const c = f32x4.splat(cap), inverse = f32x4.splat(1 / cap);
  const end = scores + (<usize>count << 5);
  for (; scores < end; scores += 16) v128.store(scores, f32x4.mul(c, tanh(f32x4.mul(v128.load(scores), inverse))));
}

/** Sᵀ ← Sᵀ + unit·bias[row][key]; −∞ masks, whatever the score. */
export function addBias(scores: usize, params: usize, bias: usize, count: i32, lanes: i32): void {
  const row = <usize>word(params, Attention.biasRow) << 2;
  const step = <usize>word(params, Attention.biasKey) << 2;
  const unit = real(params, Attention.unit);
  for (let lane = 0; lane < 8; lane++) {
    let from = bias + <usize>min(lane, lanes - 1) * row;
    let at = scores + (<usize>lane << 2);
    for (let j = 0; j < count; j++, at += 32, from += step) {
      const b = load<f32>(from);
      store<f32>(at, b == -f32.MAX_VALUE - f32.MAX_VALUE ? b : load<f32>(at) + unit * b);
    }
  }
}

/** Sᵀ ← Sᵀ − slope·|p − j| with p the position of the lane's query (Press et al. 2022). */
export function addAlibi(scores: usize, key: i32, count: i32, position: i32, slope: f32): void {
  const s = f32x4.splat(slope);
  let x = i32x4.sub(i32x4.add(i32x4.splat(position), i32x4(0, 1, 2, 3)), i32x4.splat(key));
  const one = i32x4.splat(1), four = i32x4.splat(4);
  for (let j = 0; j < count; j++, scores += 32) {
    const near = f32x4.convert_i32x4_s(i32x4.abs(x)), far = f32x4.convert_i32x4_s(i32x4.abs(i32x4.add(x, four)));
    v128.store(scores, f32x4.sub(v128.load(scores), f32x4.mul(s, near)));
    v128.store(scores, f32x4.sub(v128.load(scores, 16), f32x4.mul(s, far)), 16);
    x = i32x4.sub(x, one);
  }
}

// @ts-ignore: top-level decorator
@inline
function hide(scores: usize, first: v128, second: v128): void {
  const hidden = f32x4.splat(-f32.MAX_VALUE - f32.MAX_VALUE);
  v128.store(scores, v128.bitselect(v128.load(scores), hidden, first));
  v128.store(scores, v128.bitselect(v128.load(scores, 16), hidden, second), 16);
}

/** Keys outside [first, end) of a lane's row become −∞. */
export function maskInterval(scores: usize, key: i32, count: i32, first: usize, end: usize): void {
  const f0 = v128.load(first), f1 = v128.load(first, 16), e0 = v128.load(end), e1 = v128.load(end, 16);
  for (let j = key; j < key + count; j++, scores += 32) {
    const x = i32x4.splat(j);
    hide(scores, v128.and(i32x4.ge_s(x, f0), i32x4.lt_s(x, e0)), v128.and(i32x4.ge_s(x, f1), i32x4.lt_s(x, e1)));
  }
}

/** Keys whose byte has the lane's bit clear become −∞. */
export function maskBits(scores: usize, count: i32, bytes: usize): void {
  const low = i32x4(1, 2, 4, 8), high = i32x4(16, 32, 64, 128), zero = i32x4.splat(0);
  for (let j: usize = 0; j < <usize>count; j++, scores += 32) {
    const x = i32x4.splat(load<u8>(bytes + j));
    hide(scores, i32x4.ne(v128.and(x, low), zero), i32x4.ne(v128.and(x, high), zero));
  }
}

/** softcap → bias → ALiBi → mask on one tile of scores: [count keys][8 queries], of batch `b`, head `h`, from key `j` and query `i` on. */
export function adjust(
  scores: usize, params: usize, b: i32, h: i32, i: i32, lanes: i32, j: i32, count: i32, kind: i32, data: usize, runStart: i32, runEnd: i32,
): void {
  const cap = real(params, Attention.softcap);
  if (cap != 0) softcap(scores, count, cap * real(params, Attention.unit));
  const bias = pointer(params, Attention.bias);
  if (bias != 0) {
    const at = b * word(params, Attention.biasBatch) + h * word(params, Attention.biasHead)
      + i * word(params, Attention.biasRow) + j * word(params, Attention.biasKey);
    addBias(scores, params, bias + (<usize>at << 2), count, lanes);
  }
  const slopes = pointer(params, Attention.slopes);
  if (slopes != 0) {
    const offset = load<i32>(pointer(params, Attention.offsets) + (<usize>b << 2));
    addAlibi(scores, j, count, offset + i, load<f32>(slopes + (<usize>h << 2)) * real(params, Attention.unit));
  }
  if (kind == RunKind.interval) {
    const first = data + (<usize>(i & 63) << 2);
    maskInterval(scores, j, count, first, first + 256);
  } else if (kind == RunKind.bits) {
    const group = <usize>((i & 63) >> 3);
    maskBits(scores, count, data + group * <usize>(runEnd - runStart) + <usize>(j - runStart));
  }
}
