import { exp2 } from './simd/exp2';
import { madd } from './simd/lanes';

// What lies between attention and its projections.

const LOG2E: f32 = 1.4426950408889634;

/**
 * Rows of `dim`: y = (x − μ)·weight / √(σ² + ε) + bias (Ba et al. 2016, eq. 4); not `centered`, μ is 0 and σ² the mean square
 * (Zhang & Sennrich 2019, eq. 4). `bias` may be 0: none.
 */
export function normalize(output: usize, input: usize, weight: usize, bias: usize, rows: i32, dim: i32, epsilon: f64, centered: bool): void {
  const bytes = <usize>dim << 2;
  for (let i = 0; i < rows; i++, input += bytes, output += bytes) {
    const mean: f32 = centered ? <f32>(sum(input, bytes) / dim) : 0;
    const factor = <f32>(1 / sqrt<f64>(squares(input, bytes, mean) / dim + epsilon));
    const means = f32x4.splat(mean), factors = f32x4.splat(factor), none = f32x4.splat(0);
    let at: usize = 0;
    for (; at + 16 <= bytes; at += 16) {
      const x = f32x4.mul(f32x4.sub(v128.load(input + at), means), factors);
      v128.store(output + at, madd(x, v128.load(weight + at), bias != 0 ? v128.load(bias + at) : none));
    }
    for (; at < bytes; at += 4) {
      const x = (load<f32>(input + at) - mean) * factor;
      store<f32>(output + at, x * load<f32>(weight + at) + (bias != 0 ? load<f32>(bias + at) : 0));
    }
  }
}

function sum(row: usize, bytes: usize): f64 {
  let low = f64x2.splat(0), high = low, rest: f64 = 0;
  const end = row + bytes;
  for (; row + 16 <= end; row += 16) {
    const x = v128.load(row);
    low = f64x2.add(low, f64x2.promote_low_f32x4(x));
    high = f64x2.add(high, f64x2.promote_low_f32x4(i32x4.shuffle(x, x, 2, 3, 2, 3)));
  }
  for (; row < end; row += 4) rest += load<f32>(row);
  low = f64x2.add(low, high);
  return f64x2.extract_lane(low, 0) + f64x2.extract_lane(low, 1) + rest;
}

function squares(row: usize, bytes: usize, mean: f32): f64 {
  const means = f32x4.splat(mean), end = row + bytes;
  let low = f64x2.splat(0), high = low, rest: f64 = 0;
  for (; row + 16 <= end; row += 16) {
    const x = f32x4.sub(v128.load(row), means);
    const a = f64x2.promote_low_f32x4(x), b = f64x2.promote_low_f32x4(i32x4.shuffle(x, x, 2, 3, 2, 3));
    low = f64x2.add(low, f64x2.mul(a, a));
    high = f64x2.add(high, f64x2.mul(b, b));
  }
  for (; row < end; row += 4) {
    const x = <f64>(load<f32>(row) - mean);
    rest += x * x;
  }
  low = f64x2.add(low, high);
  return f64x2.extract_lane(low, 0) + f64x2.extract_lane(low, 1) + rest;
}

/** Rows of `dim`, in place: gate ← x·σ(gate), one x for all rows. */
export function gate(gates: usize, input: usize, rows: i32, dim: i32): void {
  const bytes = <usize>dim << 2;
  for (let i = 0; i < rows; i++, gates += bytes) {
    let at: usize = 0;
    for (; at + 16 <= bytes; at += 16) v128.store(gates + at, f32x4.mul(v128.load(input + at), sigmoid(v128.load(gates + at))));
    for (; at < bytes; at += 4) {
      store<f32>(gates + at, load<f32>(input + at) * f32x4.extract_lane(sigmoid(v128.load32_splat(gates + at)), 0));
    }
  }
}

/** 1 / (1 + e⁻ˣ); below −87 the clamp keeps it a normal number. */
// @ts-ignore: top-level decorator
@inline
function sigmoid(x: v128): v128 {
  const one = f32x4.splat(1), e = exp2(f32x4.pmin(f32x4.mul(x, f32x4.splat(-LOG2E)), f32x4.splat(126)));
  return f32x4.div(one, f32x4.add(one, e));
}

/** `rows` rows of `bytes`, each a stride (in bytes) after the one before. */
export function copyRows(output: usize, input: usize, rows: i32, bytes: usize, outputStride: usize, inputStride: usize): void {
  for (let i = 0; i < rows; i++, output += outputStride, input += inputStride) memory.copy(output, input, bytes);
}
