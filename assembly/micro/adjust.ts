import { Attention, Block, Run, RunKind } from '../params';
import { Lane } from '../task';
import { pointer, real, word } from '../simd/lanes';
import { tanh } from '../simd/tanh';

// What may stand between QKᵀ and the softmax, on one tile of scores Sᵀ [count keys][8 lanes].

/** Sᵀ ← c·tanh(Sᵀ / c). */
export function softcap(scores: usize, count: i32, cap: f32): void {
  const c = f32x4.splat(cap), inverse = f32x4.splat(1 / cap);
  const end = scores + (<usize>count << 5);
  for (; scores < end; scores += 16) v128.store(scores, f32x4.mul(c, tanh(f32x4.mul(v128.load(scores), inverse))));
}

/** Sᵀ ← Sᵀ + unit·bias[row][key], `step` bytes from key to key; −∞ masks, whatever the score. */
export function addBias(scores: usize, group: usize, key: i32, count: i32, step: usize, unit: f32): void {
  for (let lane: usize = 0; lane < 32; lane += 4) {
    let from = load<usize>(group + lane, Lane.bias) + <usize>key * step, at = scores + lane;
    for (let j = 0; j < count; j++, at += 32, from += step) {
      const b = load<f32>(from);
      store<f32>(at, b == -f32.MAX_VALUE - f32.MAX_VALUE ? b : load<f32>(at) + unit * b);
    }
  }
}

/** Sᵀ ← Sᵀ − slope·|p − j| with p the position of the lane's query (Press et al. 2022). */
export function addAlibi(scores: usize, group: usize, key: i32, count: i32): void {
  const s = v128.load(group, Lane.slope), t = v128.load(group, Lane.slope + 16), one = i32x4.splat(1);
  let x = i32x4.sub(v128.load(group, Lane.position), i32x4.splat(key));
  let y = i32x4.sub(v128.load(group, Lane.position + 16), i32x4.splat(key));
  for (let j = 0; j < count; j++, scores += 32) {
    const near = f32x4.convert_i32x4_s(i32x4.abs(x)), far = f32x4.convert_i32x4_s(i32x4.abs(y));
    v128.store(scores, f32x4.sub(v128.load(scores), f32x4.mul(s, near)));
    v128.store(scores, f32x4.sub(v128.load(scores, 16), f32x4.mul(t, far)), 16);
    x = i32x4.sub(x, one);
    y = i32x4.sub(y, one);
  }
}

// @ts-ignore: top-level decorator
@inline
function hide(scores: usize, first: v128, second: v128): void {
  const hidden = f32x4.splat(-f32.MAX_VALUE - f32.MAX_VALUE);
  v128.store(scores, v128.bitselect(v128.load(scores), hidden, first));
  v128.store(scores, v128.bitselect(v128.load(scores, 16), hidden, second), 16);
}

/** Keys outside [first, end) of a lane become −∞. */
export function maskInterval(scores: usize, group: usize, key: i32, count: i32): void {
  const f0 = v128.load(group, Lane.first), f1 = v128.load(group, Lane.first + 16);
  const e0 = v128.load(group, Lane.end), e1 = v128.load(group, Lane.end + 16);
  for (let j = key; j < key + count; j++, scores += 32) {
    const x = i32x4.splat(j);
    hide(scores, v128.and(i32x4.ge_s(x, f0), i32x4.lt_s(x, e0)), v128.and(i32x4.ge_s(x, f1), i32x4.lt_s(x, e1)));
  }
}

/** Keys whose 64 bits have the lane's bit clear become −∞. */
export function maskBits(scores: usize, group: usize, bits: usize, count: i32): void {
  const l0 = v128.load(group, Lane.bitLow), l1 = v128.load(group, Lane.bitLow + 16), zero = i32x4.splat(0);
  const h0 = v128.load(group, Lane.bitHigh), h1 = v128.load(group, Lane.bitHigh + 16);
  for (const end = scores + (<usize>count << 5); scores < end; scores += 32, bits += 8) {
    const x = v128.load32_splat(bits), y = v128.load32_splat(bits, 4);
    const first = v128.or(v128.and(x, l0), v128.and(y, h0)), second = v128.or(v128.and(x, l1), v128.and(y, h1));
    hide(scores, i32x4.ne(first, zero), i32x4.ne(second, zero));
  }
}

/** softcap → bias → ALiBi on the scores of a group with `count` keys from `key` on. */
export function shift(scores: usize, params: usize, group: usize, key: i32, count: i32): void {
  const cap = real(params, Attention.softcap), unit = real(params, Attention.unit);
  if (cap != 0) softcap(scores, count, cap * unit);
  if (pointer(params, Attention.bias) != 0) addBias(scores, group, key, count, <usize>word(params, Attention.biasKey) << 2, unit);
  if (pointer(params, Attention.slopes) != 0) addAlibi(scores, group, key, count);
}

/** The mask of a run. */
export function mask(scores: usize, group: usize, run: usize, key: i32, count: i32): void {
  const kind = word(run, Run.kind);
  if (kind == RunKind.interval) maskInterval(scores, group, key, count);
  else if (kind == RunKind.bits) {
    maskBits(scores, group, pointer(run, Run.data) + Block.boundsBytes + (<usize>(key - word(run, Run.start)) << 3), count);
  }
}

/** softcap → bias → ALiBi → mask. */
export function adjust(scores: usize, params: usize, group: usize, run: usize, key: i32, count: i32): void {
  shift(scores, params, group, key, count);
  mask(scores, group, run, key, count);
}
