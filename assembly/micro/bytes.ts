import { sums } from './few';

// Few rows against an int8 cache, in integers: an int16 dot product takes 8 pairs at once where a float FMA takes 4, and nothing is
// widened to float. Queries and weights are int16 (15 bits, an error of 2⁻¹⁶ of the largest: far below that of an int8 key or value).
// Sums fit 32 bits: 32767 · 127 · 2 a dot product, headDim / 8 or a tile's keys / 2 of them a lane: at most 258.

const MOST: f32 = 32767;
/** The largest headDim of these kernels. */
export const BYTES_DIM = 2048;

/** max|row[dim]|; NaN if there is one. */
export function largestOf(row: usize, dim: i32): f32 {
  let most: f32 = 0;
  for (let d: usize = 0; d < <usize>dim; d++) most = max(most, abs(load<f32>(row + (d << 2))));
  return most;
}

/** int16[dim] = row[dim] · 32767 / max|row|, padded with zeros to a multiple of 16; returns the scale back. */
export function quantize(to: usize, row: usize, dim: i32): f32 {
  memory.fill(to, 0, <usize>((dim + 15) & ~15) << 1);
  const most = largestOf(row, dim);
  if (!(most < Infinity)) return NaN;
  const inverse = most > 0 ? <f64>MOST / <f64>most : 0;
  for (let d: usize = 0; d < <usize>dim; d++) store<i16>(to + (d << 1), <i16>(<i32>nearest(<f64>load<f32>(row + (d << 2)) * inverse)));
  return most / MOST;
}

/**
 * Sᵀ[count][4 lanes] = K[count][dim] · scales[count] · Q[4][dim] · queryScales[4]; rows of K are `rowBytes` of int8, of Q twice that. Touches
 * as many bytes from `ahead` on: the values, which are read across the rows, and come faster in a row (2 × on a large cache, measured).
 */
export function dotsBytes(out: usize, row: usize, scales: usize, query: usize, queryScales: usize, count: i32, rowBytes: usize, ahead: usize): void {
  const stride = rowBytes << 1, factor = v128.load(queryScales), zero = i32x4.splat(0);
  for (let j = 0; j < count; j += 2, scales += 8, out += 64) {
    const pair = j + 1 < count, other = pair ? rowBytes : 0, step: usize = pair ? 16 : 0;
    let a0 = zero, a1 = zero, a2 = zero, a3 = zero, b0 = zero, b1 = zero, b2 = zero, b3 = zero;
    let k = row + <usize>j * rowBytes, q = query;
    for (const end = k + rowBytes; k < end; k += 8, q += 16) {
      load<u8>(ahead);
      const x = v128.load8x8_s(k), y = v128.load8x8_s(k + other);
      let s = v128.load(q);
      a0 = i32x4.add(a0, i32x4.dot_i16x8_s(x, s)); b0 = i32x4.add(b0, i32x4.dot_i16x8_s(y, s));
      s = v128.load(q + stride);
      a1 = i32x4.add(a1, i32x4.dot_i16x8_s(x, s)); b1 = i32x4.add(b1, i32x4.dot_i16x8_s(y, s));
      s = v128.load(q + 2 * stride);
      a2 = i32x4.add(a2, i32x4.dot_i16x8_s(x, s)); b2 = i32x4.add(b2, i32x4.dot_i16x8_s(y, s));
      s = v128.load(q + 3 * stride);
      a3 = i32x4.add(a3, i32x4.dot_i16x8_s(x, s)); b3 = i32x4.add(b3, i32x4.dot_i16x8_s(y, s));
      ahead += step;
    }
    storeScores(out, a0, a1, a2, a3, f32x4.mul(factor, v128.load32_splat(scales)));
    storeScores(out + 32, b0, b1, b2, b3, f32x4.mul(factor, v128.load32_splat(scales + (other != 0 ? 4 : 0))));
  }
}

// @ts-ignore: top-level decorator
@inline
function storeScores(out: usize, a: v128, b: v128, c: v128, d: v128, factor: v128): void {
  const sum = sums(f32x4.convert_i32x4_s(a), f32x4.convert_i32x4_s(b), f32x4.convert_i32x4_s(c), f32x4.convert_i32x4_s(d));
  v128.store(out, f32x4.mul(sum, factor));
}

// @ts-ignore: top-level decorator
@inline
function dotOne(row: usize, query: usize, rowBytes: usize): v128 {
  let a = i32x4.splat(0), b = a;
  for (const end = row + rowBytes; row < end; row += 16, query += 32) {
    a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load8x8_s(row), v128.load(query)));
    b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load8x8_s(row, 8), v128.load(query, 16)));
  }
  return f32x4.convert_i32x4_s(i32x4.add(a, b));
}

/** S[count] = K[count][dim] · scales[count] · query[dim] · queryScale of one row; writes up to 3 scores more. Touches `ahead` as `dotsBytes`. */
export function dotsBytesOne(out: usize, row: usize, scales: usize, query: usize, queryScale: usize, count: i32, rowBytes: usize, ahead: usize): void {
  const last = row + <usize>(count - 1) * rowBytes, factor = v128.load32_splat(queryScale);
  for (let j = 0; j < count; j += 4, scales += 16, out += 16) {
    const r1 = min(row + rowBytes, last), r2 = min(r1 + rowBytes, last), r3 = min(r2 + rowBytes, last);
    const a = dotOne(row, query, rowBytes), b = dotOne(r1, query, rowBytes);
    const c = dotOne(r2, query, rowBytes), d = dotOne(r3, query, rowBytes);
    v128.store(out, f32x4.mul(sums(a, b, c, d), f32x4.mul(factor, v128.load(scales))));
    row += rowBytes << 2;
    for (const end = ahead + <usize>min(count - j, 4) * rowBytes; ahead < end; ahead += 64) load<u8>(ahead);
  }
}

/** Weights become weights times scales; a weight of 0 stays 0 whatever the scale. */
// @ts-ignore: top-level decorator
@inline
function scaled(weights: usize, scales: v128): v128 {
  const w = v128.load(weights), zero = f32x4.splat(0);
  const product = v128.and(f32x4.mul(w, scales), f32x4.ne(w, zero));
  v128.store(weights, product);
  return product;
}

/** Number → int16 in the low bits of its lane: added to 2²³ it is rounded to an integer there. */
// @ts-ignore: top-level decorator
@inline
function steps(weights: usize, inverse: v128): v128 {
  return f32x4.add(f32x4.mul(v128.load(weights), inverse), f32x4.splat(8388608));
}

/** What to multiply weights up to `most` by; no infinity where all are 0: 0 · ∞ is NaN. */
// @ts-ignore: top-level decorator
@inline
function inverseOf(most: v128): v128 {
  return f32x4.min(f32x4.div(f32x4.splat(MOST), most), f32x4.splat(f32.MAX_VALUE));
}

/**
 * A tile's weights times the values' scales as int16: pairs [⌈count / 2⌉][4 rows] of (key 2i, key 2i + 1); a key past `count` is 0.
 * @param unit [4] what one step is worth
 */
export function quantizeWeights(pairs: usize, unit: usize, weights: usize, scales: usize, count: i32): void {
  const zero = f32x4.splat(0), low = i32x4.splat(0xffff);
  // Not max, whose care for NaN costs V8 12 cycles a key.
  let most = zero, poison = zero;
  for (let j: usize = 0; j < <usize>count; j++) {
    const w = scaled(weights + (j << 5), v128.load32_splat(scales + (j << 2)));
    most = f32x4.pmax(most, w);
    poison = v128.or(poison, f32x4.ne(w, w));
  }
  if (count & 1) v128.store(weights + (<usize>count << 5), zero);
  const inverse = inverseOf(most);
  v128.store(unit, v128.or(f32x4.div(most, f32x4.splat(MOST)), poison));
  for (let j = 0; j < count; j += 2, weights += 64, pairs += 16) {
    v128.store(pairs, v128.or(v128.and(steps(weights, inverse), low), i32x4.shl(steps(weights + 32, inverse), 16)));
  }
}

/** The same for one row: pairs [⌈count / 2⌉], unit [4] all the same; keys past `count` up to a multiple of 16 have weight 0. */
export function quantizeOne(pairs: usize, unit: usize, weights: usize, scales: usize, count: i32): void {
  const zero = f32x4.splat(0);
  let most = zero, poison = zero;
  const end = weights + (<usize>count << 2);
  for (let at = weights; at < end; at += 16, scales += 16) {
    const w = scaled(at, v128.load(scales));
    most = f32x4.pmax(most, w);
    poison = v128.or(poison, f32x4.ne(w, w));
  }
  most = f32x4.pmax(most, i32x4.shuffle(most, most, 2, 3, 0, 1));
  most = f32x4.pmax(most, i32x4.shuffle(most, most, 1, 0, 3, 2));
  const inverse = inverseOf(most), unknown = v128.any_true(poison) ? i32x4.splat(-1) : zero;
  v128.store(unit, v128.or(f32x4.div(most, f32x4.splat(MOST)), unknown));
  for (; weights < end; weights += 32, pairs += 16) {
    v128.store(pairs, i16x8.shuffle(steps(weights, inverse), steps(weights + 16, inverse), 0, 2, 4, 6, 8, 10, 12, 14));
  }
}

/** O += unit · sum */
// @ts-ignore: top-level decorator
@inline
function collect(out: usize, unit: v128, sum: v128): void {
  v128.store(out, f32x4.add(v128.load(out), f32x4.mul(unit, f32x4.convert_i32x4_s(sum))));
}

/**
 * O[4][dim] += unit[4] · pairs · V, 8 dims at a time over two keys at a time; rows of O are `stride` bytes apart and have room for a multiple
 * of 8 dims. Past the last row of V, that row is read again, with weight 0.
 */
export function accumulateBytes(out: usize, stride: usize, value: usize, pairs: usize, unit: usize, count: i32, rowBytes: usize): void {
  const zero = i32x4.splat(0);
  const u0 = v128.load32_splat(unit), u1 = v128.load32_splat(unit, 4), u2 = v128.load32_splat(unit, 8), u3 = v128.load32_splat(unit, 12);
  for (let k: usize = 0; k < stride; k += 32, value += 8) {
    let a0 = zero, a1 = zero, a2 = zero, a3 = zero, b0 = zero, b1 = zero, b2 = zero, b3 = zero;
    let v = value, w = pairs;
    for (let j = 0; j < count; j += 2, w += 16, v += rowBytes << 1) {
      const next = v + (j + 1 < count ? rowBytes : 0);
      const both = i8x16.shuffle(v128.load64_zero(v), v128.load64_zero(next), 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      const x = i16x8.extend_low_i8x16_s(both), y = i16x8.extend_high_i8x16_s(both);
      let s = v128.load32_splat(w);
      a0 = i32x4.add(a0, i32x4.dot_i16x8_s(x, s)); b0 = i32x4.add(b0, i32x4.dot_i16x8_s(y, s));
      s = v128.load32_splat(w, 4);
      a1 = i32x4.add(a1, i32x4.dot_i16x8_s(x, s)); b1 = i32x4.add(b1, i32x4.dot_i16x8_s(y, s));
      s = v128.load32_splat(w, 8);
      a2 = i32x4.add(a2, i32x4.dot_i16x8_s(x, s)); b2 = i32x4.add(b2, i32x4.dot_i16x8_s(y, s));
      s = v128.load32_splat(w, 12);
      a3 = i32x4.add(a3, i32x4.dot_i16x8_s(x, s)); b3 = i32x4.add(b3, i32x4.dot_i16x8_s(y, s));
    }
    let o = out + k;
    collect(o, u0, a0); collect(o + 16, u0, b0);
    o += stride;
    collect(o, u1, a1); collect(o + 16, u1, b1);
    o += stride;
    collect(o, u2, a2); collect(o + 16, u2, b2);
    o += stride;
    collect(o, u3, a3); collect(o + 16, u3, b3);
  }
}

/** The same for one row, pairs [⌈count / 2⌉], 16 dims at a time. */
export function accumulateBytesOne(out: usize, stride: usize, value: usize, pairs: usize, unit: usize, count: i32, rowBytes: usize): void {
  const zero = i32x4.splat(0), u = v128.load32_splat(unit);
  for (let k: usize = 0; k < stride; k += 64, value += 16) {
    let a = zero, b = zero, c = zero, d = zero, v = value, w = pairs;
    for (let j = 0; j < count; j += 2, w += 4, v += rowBytes << 1) {
      const p = v128.load(v), q = v128.load(v + (j + 1 < count ? rowBytes : 0)), s = v128.load32_splat(w);
      const low = i8x16.shuffle(p, q, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      const high = i8x16.shuffle(p, q, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
      a = i32x4.add(a, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(low), s));
      b = i32x4.add(b, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(low), s));
      c = i32x4.add(c, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(high), s));
      d = i32x4.add(d, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(high), s));
    }
    collect(out + k, u, a); collect(out + k + 16, u, b);
    collect(out + k + 32, u, c); collect(out + k + 48, u, d);
  }
}
