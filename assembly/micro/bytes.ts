import { sums } from './few';

// Few rows against an int8 cache, in integers: an int16 dot product takes 8 pairs at once where a float FMA takes 4, and nothing is
// widened to float. Queries and weights are int16 (15 bits, an error of 2⁻¹⁶ of the largest: far below that of an int8 key or value).
// Sums fit 32 bits: 32767 · 127 · 2 a dot product, headDim / 8 or a tile's keys / 2 of them a lane.

const MOST: f32 = 32767;

/** int16[dim] = row[dim] · 32767 / max|row|, padded with zeros to a multiple of 16; returns the scale back. */
export function quantize(to: usize, row: usize, dim: i32): f32 {
  memory.fill(to, 0, <usize>((dim + 15) & ~15) << 1);
  let most: f32 = 0;
  for (let d: usize = 0; d < <usize>dim; d++) most = max(most, abs(load<f32>(row + (d << 2))));
  if (!(most < Infinity)) return NaN;
  const inverse: f32 = most > 0 ? MOST / most : 0;
  for (let d: usize = 0; d < <usize>dim; d++) store<i16>(to + (d << 1), <i16>(<i32>nearest(load<f32>(row + (d << 2)) * inverse)));
  return most / MOST;
}

// @ts-ignore: top-level decorator
@inline
function dot(sum: v128, low: v128, high: v128, query: usize): v128 {
  const x = i32x4.dot_i16x8_s(low, v128.load(query)), y = i32x4.dot_i16x8_s(high, v128.load(query, 16));
  return i32x4.add(sum, i32x4.add(x, y));
}

/** Sᵀ[count][4 lanes] = K[count][dim] · scales[count] · Q[4][dim] · queryScales[4]; rows of K are `rowBytes` of int8, of Q twice that. */
export function dotsBytes(out: usize, row: usize, scales: usize, query: usize, queryScales: usize, count: i32, rowBytes: usize): void {
  const stride = rowBytes << 1, factor = v128.load(queryScales), zero = i32x4.splat(0);
  for (let j = 0; j < count; j++, scales += 4, out += 32) {
    let a = zero, b = zero, c = zero, d = zero, q = query;
    for (const end = row + rowBytes; row < end; row += 16, q += 32) {
      const low = v128.load8x8_s(row), high = v128.load8x8_s(row, 8);
      a = dot(a, low, high, q);
      b = dot(b, low, high, q + stride);
      c = dot(c, low, high, q + 2 * stride);
      d = dot(d, low, high, q + 3 * stride);
    }
    const sum = sums(f32x4.convert_i32x4_s(a), f32x4.convert_i32x4_s(b), f32x4.convert_i32x4_s(c), f32x4.convert_i32x4_s(d));
    v128.store(out, f32x4.mul(sum, f32x4.mul(factor, v128.load32_splat(scales))));
  }
}

/** The same for one row, its score in all 4 lanes. */
export function dotsBytesOne(out: usize, row: usize, scales: usize, query: usize, queryScales: usize, count: i32, rowBytes: usize): void {
  const factor = v128.load32_splat(queryScales), zero = i32x4.splat(0);
  for (let j = 0; j < count; j++, scales += 4, out += 32) {
    let a = zero, q = query;
    for (const end = row + rowBytes; row < end; row += 16, q += 32) a = dot(a, v128.load8x8_s(row), v128.load8x8_s(row, 8), q);
    const sum = f32x4.convert_i32x4_s(a);
    v128.store(out, f32x4.mul(sums(sum, sum, sum, sum), f32x4.mul(factor, v128.load32_splat(scales))));
  }
}

/**
 * A tile's weights times the values' scales as int16: pairs [⌈count / 4⌉ · 2][4 rows] of (key 2i, key 2i + 1); keys past `count` are 0.
 * @param unit [4] what one step is worth
 */
export function quantizeWeights(pairs: usize, unit: usize, weights: usize, scales: usize, count: i32): void {
  const zero = f32x4.splat(0);
  let most = zero;
  for (let j: usize = 0; j < <usize>count; j++) {
    const w = v128.load(weights + (j << 5));
    const scaled = v128.and(f32x4.mul(w, v128.load32_splat(scales + (j << 2))), f32x4.ne(w, zero));
    v128.store(weights + (j << 5), scaled);
    most = f32x4.max(most, scaled);
  }
  for (let j = count; j & 3; j++) v128.store(weights + (<usize>j << 5), zero);
  // Where all weights are 0, 0 · ∞ gives NaN, which is saturated to 0.
  const inverse = f32x4.div(f32x4.splat(MOST), most);
  v128.store(unit, f32x4.div(most, f32x4.splat(MOST)));
  for (let j = 0; j < count; j += 4, weights += 128, pairs += 32) {
    const a = step(weights, inverse), b = step(weights + 32, inverse), c = step(weights + 64, inverse), d = step(weights + 96, inverse);
    v128.store(pairs, v128.or(a, i32x4.shl(b, 16)));
    v128.store(pairs, v128.or(c, i32x4.shl(d, 16)), 16);
  }
}

// @ts-ignore: top-level decorator
@inline
function step(weights: usize, inverse: v128): v128 {
  return i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(weights), inverse)));
}

/** 4 dims of keys a, b and of keys c, d by their weights' pairs, added to 4 int32 sums. */
// @ts-ignore: top-level decorator
@inline
function add(sum: usize, ab: v128, cd: v128, pairAB: v128, pairCD: v128): void {
  v128.store(sum, i32x4.add(v128.load(sum), i32x4.add(i32x4.dot_i16x8_s(ab, pairAB), i32x4.dot_i16x8_s(cd, pairCD))));
}

/** sums[rows][dim] int32 += pairs · V, four keys at a time; `rows` 1 or 4. Past `last`, that row of V is read again, with weight 0. */
export function accumulateBytes(sum: usize, value: usize, pairs: usize, count: i32, rowBytes: usize, rows: i32): void {
  const last = value + <usize>(count - 1) * rowBytes, stride = rowBytes << 2, end = <usize>rows << 2;
  for (let j = 0; j < count; j += 4, pairs += 32) {
    const r0 = value + <usize>j * rowBytes, r1 = min(r0 + rowBytes, last), r2 = min(r1 + rowBytes, last), r3 = min(r2 + rowBytes, last);
    for (let k: usize = 0; k < rowBytes; k += 16) {
      const a = v128.load(r0 + k), b = v128.load(r1 + k), c = v128.load(r2 + k), d = v128.load(r3 + k);
      const abLow = i8x16.shuffle(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      const abHigh = i8x16.shuffle(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
      const cdLow = i8x16.shuffle(c, d, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      const cdHigh = i8x16.shuffle(c, d, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
      const ab0 = i16x8.extend_low_i8x16_s(abLow), ab1 = i16x8.extend_high_i8x16_s(abLow);
      const ab2 = i16x8.extend_low_i8x16_s(abHigh), ab3 = i16x8.extend_high_i8x16_s(abHigh);
      const cd0 = i16x8.extend_low_i8x16_s(cdLow), cd1 = i16x8.extend_high_i8x16_s(cdLow);
      const cd2 = i16x8.extend_low_i8x16_s(cdHigh), cd3 = i16x8.extend_high_i8x16_s(cdHigh);
      let to = sum + (k << 2);
      for (let r: usize = 0; r < end; r += 4, to += stride) {
        const pairAB = v128.load32_splat(pairs + r), pairCD = v128.load32_splat(pairs + r, 16);
        add(to, ab0, cd0, pairAB, pairCD);
        add(to + 16, ab1, cd1, pairAB, pairCD);
        add(to + 32, ab2, cd2, pairAB, pairCD);
        add(to + 48, ab3, cd3, pairAB, pairCD);
      }
    }
  }
}

/** O[rows][outStride bytes] += unit[rows] · sums[rows][dim], and the sums begin again at 0. */
export function collect(out: usize, outStride: usize, sum: usize, unit: usize, rowBytes: usize, rows: i32): void {
  const zero = i32x4.splat(0);
  for (let r = 0; r < rows; r++, out += outStride) {
    const u = v128.load32_splat(unit + (<usize>r << 2));
    for (let k: usize = 0; k < rowBytes << 2; k += 16, sum += 16) {
      if (k < outStride) v128.store(out + k, f32x4.add(v128.load(out + k), f32x4.mul(u, f32x4.convert_i32x4_s(v128.load(sum)))));
      v128.store(sum, zero);
    }
  }
}
