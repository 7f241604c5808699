import { madd } from '../simd/lanes';

// Few rows (decoding): headDim in the lanes. Keys and values stream through once, in the order in which they lie; queries and
// outputs are rows of `dim` rounded up to 4. Scores are Sᵀ [key][8] as everywhere, so that masks and softmax are the same.

/** [Σa, Σb, Σc, Σd] */
// @ts-ignore: top-level decorator
@inline
function sums(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(i32x4.shuffle(a, b, 0, 4, 1, 5), i32x4.shuffle(a, b, 2, 6, 3, 7));
  const cd = f32x4.add(i32x4.shuffle(c, d, 0, 4, 1, 5), i32x4.shuffle(c, d, 2, 6, 3, 7));
  return f32x4.add(i64x2.shuffle(ab, cd, 0, 2), i64x2.shuffle(ab, cd, 1, 3));
}

/** The dims past the last multiple of 4, one by one: out[4 lanes] += row[d] · query[0…3][d]. */
function addTail(out: usize, row: usize, query: usize, dim: i32, stride: usize): void {
  let sum = v128.load(out);
  for (let d: usize = <usize>(dim & ~3) << 2; d < <usize>dim << 2; d += 4) {
    const q = query + d;
    const column = f32x4(load<f32>(q), load<f32>(q + stride), load<f32>(q + 2 * stride), load<f32>(q + 3 * stride));
    sum = madd(v128.load32_splat(row + d), column, sum);
  }
  v128.store(out, sum);
}

/** Sᵀ[count][4 lanes] = K[count][dim] · Q[4][dim], two keys at a time. */
export function dotsFew(out: usize, row: usize, query: usize, count: i32, dim: i32, rowBytes: usize): void {
  const stride = <usize>((dim + 3) & ~3) << 2, end = row + (<usize>(dim & ~3) << 2);
  for (let j = 0; j < count; j += 2, out += 64) {
    const other = j + 1 < count ? rowBytes : 0;
    let a0 = f32x4.splat(0), a1 = f32x4.splat(0), a2 = f32x4.splat(0), a3 = f32x4.splat(0);
    let b0 = f32x4.splat(0), b1 = f32x4.splat(0), b2 = f32x4.splat(0), b3 = f32x4.splat(0);
    let q = query;
    for (let k = row + <usize>j * rowBytes, last = end + <usize>j * rowBytes; k < last; k += 16, q += 16) {
      const x = v128.load(k), y = v128.load(k + other);
      let s = v128.load(q);
      a0 = madd(s, x, a0); b0 = madd(s, y, b0);
      s = v128.load(q + stride);
      a1 = madd(s, x, a1); b1 = madd(s, y, b1);
      s = v128.load(q + 2 * stride);
      a2 = madd(s, x, a2); b2 = madd(s, y, b2);
      s = v128.load(q + 3 * stride);
      a3 = madd(s, x, a3); b3 = madd(s, y, b3);
    }
    v128.store(out, sums(a0, a1, a2, a3));
    v128.store(out, sums(b0, b1, b2, b3), 32);
    if (dim & 3) {
      addTail(out, row + <usize>j * rowBytes, query, dim, stride);
      addTail(out + 32, row + <usize>j * rowBytes + other, query, dim, stride);
    }
  }
}

/** The same for one row, its score in all 4 lanes; four keys at a time. */
export function dotsOne(out: usize, row: usize, query: usize, count: i32, dim: i32, rowBytes: usize): void {
  const last = row + <usize>(count - 1) * rowBytes, bytes: usize = <usize>(dim & ~3) << 2;
  for (let j = 0; j < count; j += 4, out += 128) {
    const r0 = row + <usize>j * rowBytes, r1 = min(r0 + rowBytes, last), r2 = min(r1 + rowBytes, last), r3 = min(r2 + rowBytes, last);
    let a = f32x4.splat(0), b = f32x4.splat(0), c = f32x4.splat(0), d = f32x4.splat(0);
    for (let k: usize = 0; k < bytes; k += 16) {
      const q = v128.load(query + k);
      a = madd(q, v128.load(r0 + k), a);
      b = madd(q, v128.load(r1 + k), b);
      c = madd(q, v128.load(r2 + k), c);
      d = madd(q, v128.load(r3 + k), d);
    }
    const sum = sums(a, b, c, d);
    v128.store(out, i32x4.shuffle(sum, sum, 0, 0, 0, 0));
    v128.store(out, i32x4.shuffle(sum, sum, 1, 1, 1, 1), 32);
    v128.store(out, i32x4.shuffle(sum, sum, 2, 2, 2, 2), 64);
    v128.store(out, i32x4.shuffle(sum, sum, 3, 3, 3, 3), 96);
    if (dim & 3) {
      addTail(out, r0, query, dim, 0);
      addTail(out + 32, r1, query, dim, 0);
      addTail(out + 64, r2, query, dim, 0);
      addTail(out + 96, r3, query, dim, 0);
    }
  }
}

/** O[4][dim] += P[count][4 lanes]ᵀ · V[count][dim], two keys at a time; the tile ends in a key of weight 0 if `count` is odd. */
export function accumulateFew(out: usize, value: usize, weights: usize, count: i32, dim: i32, rowBytes: usize): void {
  const stride = <usize>((dim + 3) & ~3) << 2;
  for (let j = 0; j < count; j += 2, weights += 64, value += 2 * rowBytes) {
    const other = j + 1 < count ? rowBytes : 0;
    const a0 = v128.load32_splat(weights), a1 = v128.load32_splat(weights, 4);
    const a2 = v128.load32_splat(weights, 8), a3 = v128.load32_splat(weights, 12);
    const b0 = v128.load32_splat(weights, 32), b1 = v128.load32_splat(weights, 36);
    const b2 = v128.load32_splat(weights, 40), b3 = v128.load32_splat(weights, 44);
    let v = value, o = out;
    for (const last = value + (<usize>(dim & ~3) << 2); v < last; v += 16, o += 16) {
      const x = v128.load(v), y = v128.load(v + other);
      v128.store(o, madd(b0, y, madd(a0, x, v128.load(o))));
      v128.store(o + stride, madd(b1, y, madd(a1, x, v128.load(o + stride))));
      v128.store(o + 2 * stride, madd(b2, y, madd(a2, x, v128.load(o + 2 * stride))));
      v128.store(o + 3 * stride, madd(b3, y, madd(a3, x, v128.load(o + 3 * stride))));
    }
    for (let d = dim & 3; d > 0; d--, v += 4, o += 4) {
      const x = load<f32>(v), y = load<f32>(v + other);
      for (let r: usize = 0, at = o; r < 16; r += 4, at += stride) {
        store<f32>(at, load<f32>(at) + load<f32>(weights + r) * x + load<f32>(weights + r, 32) * y);
      }
    }
  }
}

/** The same for one row, four keys at a time; weights past `count` up to a multiple of 4 are 0. */
export function accumulateOne(out: usize, value: usize, weights: usize, count: i32, dim: i32, rowBytes: usize): void {
  const last = value + <usize>(count - 1) * rowBytes, bytes: usize = <usize>(dim & ~3) << 2;
  for (let j = 0; j < count; j += 4, weights += 128) {
    const r0 = value + <usize>j * rowBytes, r1 = min(r0 + rowBytes, last), r2 = min(r1 + rowBytes, last), r3 = min(r2 + rowBytes, last);
    const a = v128.load32_splat(weights), b = v128.load32_splat(weights, 32);
    const c = v128.load32_splat(weights, 64), d = v128.load32_splat(weights, 96);
    let k: usize = 0;
    for (; k < bytes; k += 16) {
      let o = madd(a, v128.load(r0 + k), v128.load(out + k));
      o = madd(b, v128.load(r1 + k), o);
      o = madd(c, v128.load(r2 + k), o);
      v128.store(out + k, madd(d, v128.load(r3 + k), o));
    }
    for (; k < <usize>dim << 2; k += 4) {
      store<f32>(out + k, load<f32>(out + k)
        + load<f32>(weights) * load<f32>(r0 + k) + load<f32>(weights, 32) * load<f32>(r1 + k)
        + load<f32>(weights, 64) * load<f32>(r2 + k) + load<f32>(weights, 96) * load<f32>(r3 + k));
    }
  }
}

/** `accumulateFew` where a value may be NaN or infinite: a weight of 0 contributes nothing. */
export function accumulateFewVisible(out: usize, value: usize, weights: usize, count: i32, dim: i32, rowBytes: usize): void {
  const stride = <usize>((dim + 3) & ~3) << 2;
  for (let j = 0; j < count; j++, weights += 32, value += rowBytes) {
    for (let r: usize = 0; r < 4; r++) {
      const weight = load<f32>(weights + (r << 2));
      if (weight == 0) continue;
      for (let d: usize = 0; d < <usize>dim << 2; d += 4) {
        const at = out + r * stride + d;
        store<f32>(at, load<f32>(at) + weight * load<f32>(value + d));
      }
    }
  }
}
