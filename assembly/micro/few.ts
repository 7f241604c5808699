import { madd } from '../simd/lanes';

// Few rows (decoding): headDim in the lanes, queries are rows of `dim` rounded up to 4, outputs rows `stride` bytes apart. Scores are Sᵀ [key][8] as
// everywhere, so that masks and softmax are the same. What counts is the order in which K and V come from memory: one sequential
// stream. Two rows at once saturate the arithmetic, but as two streams they halve the bandwidth (8 instead of 19 GB/s, measured), so
// the kernels of two rows touch memory a little ahead of where they compute, one line after the other (24 of 31 GB/s).

/** [Σa, Σb, Σc, Σd] */
// @ts-ignore: top-level decorator
@inline
export function sums(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(i32x4.shuffle(a, b, 0, 4, 1, 5), i32x4.shuffle(a, b, 2, 6, 3, 7));
  const cd = f32x4.add(i32x4.shuffle(c, d, 0, 4, 1, 5), i32x4.shuffle(c, d, 2, 6, 3, 7));
  return f32x4.add(i64x2.shuffle(ab, cd, 0, 2), i64x2.shuffle(ab, cd, 1, 3));
}

/** The dims past the last multiple of 4, one by one: out[4 lanes] += row[d] · query[0…3][d]. */
// @ts-ignore: top-level decorator
@inline
function addTail(out: usize, row: usize, query: usize, dim: i32, stride: usize): void {
  let sum = v128.load(out);
  for (let d: usize = <usize>(dim & ~3) << 2; d < <usize>dim << 2; d += 4) {
    const q = query + d;
    const column = f32x4(load<f32>(q), load<f32>(q + stride), load<f32>(q + 2 * stride), load<f32>(q + 3 * stride));
    sum = madd(v128.load32_splat(row + d), column, sum);
  }
  v128.store(out, sum);
}

/**
 * Sᵀ[count][4 lanes] = K[count][dim] · Q[4][dim], two keys at a time.
 * @param ahead where `count · dim` floats lie that are needed next
 */
export function dotsFew(out: usize, row: usize, query: usize, count: i32, dim: i32, rowBytes: usize, ahead: usize): void {
  const stride = <usize>((dim + 3) & ~3) << 2, bytes: usize = <usize>(dim & ~3) << 2;
  for (let j = 0; j < count; j += 2, row += 2 * rowBytes, out += 64) {
    const pair = j + 1 < count, other = pair ? rowBytes : 0, step: usize = pair ? 32 : 0;
    let a0 = f32x4.splat(0), a1 = f32x4.splat(0), a2 = f32x4.splat(0), a3 = f32x4.splat(0);
    let b0 = f32x4.splat(0), b1 = f32x4.splat(0), b2 = f32x4.splat(0), b3 = f32x4.splat(0);
    let q = query;
    for (let k = row, last = row + bytes; k < last; k += 16, q += 16) {
      load<u8>(ahead);
      const x = v128.load(k), y = v128.load(k + other);
      let s = v128.load(q);
      a0 = madd(s, x, a0); b0 = madd(s, y, b0);
      s = v128.load(q + stride);
      a1 = madd(s, x, a1); b1 = madd(s, y, b1);
      s = v128.load(q + 2 * stride);
      a2 = madd(s, x, a2); b2 = madd(s, y, b2);
      s = v128.load(q + 3 * stride);
      a3 = madd(s, x, a3); b3 = madd(s, y, b3);
      ahead += step;
    }
    v128.store(out, sums(a0, a1, a2, a3));
    v128.store(out, sums(b0, b1, b2, b3), 32);
    if (dim & 3) {
      addTail(out, row, query, dim, stride);
      addTail(out + 32, row + other, query, dim, stride);
    }
  }
}

/** 4 partial sums of row · query over the dims up to the last multiple of 4. */
// @ts-ignore: top-level decorator
@inline
function dotOne(row: usize, query: usize, dim: i32): v128 {
  let a = f32x4.splat(0), b = f32x4.splat(0), c = f32x4.splat(0), d = f32x4.splat(0);
  let k: usize = 0;
  for (const end: usize = <usize>(dim & ~15) << 2; k < end; k += 64) {
    a = madd(v128.load(query + k), v128.load(row + k), a);
    b = madd(v128.load(query + k, 16), v128.load(row + k, 16), b);
    c = madd(v128.load(query + k, 32), v128.load(row + k, 32), c);
    d = madd(v128.load(query + k, 48), v128.load(row + k, 48), d);
  }
  for (const end: usize = <usize>(dim & ~3) << 2; k < end; k += 16) a = madd(v128.load(query + k), v128.load(row + k), a);
  return f32x4.add(f32x4.add(a, b), f32x4.add(c, d));
}

/** S[count] = K[count][dim] · query[dim] of one row; writes up to 3 scores more. */
export function dotsOne(out: usize, row: usize, query: usize, count: i32, dim: i32, rowBytes: usize): void {
  const last = row + <usize>(count - 1) * rowBytes;
  for (let j = 0; j < count; j += 4, out += 16) {
    const r1 = min(row + rowBytes, last), r2 = min(r1 + rowBytes, last), r3 = min(r2 + rowBytes, last);
    v128.store(out, sums(dotOne(row, query, dim), dotOne(r1, query, dim), dotOne(r2, query, dim), dotOne(r3, query, dim)));
    for (let d: usize = <usize>(dim & ~3) << 2; d < <usize>dim << 2; d += 4) {
      const column = f32x4(load<f32>(row + d), load<f32>(r1 + d), load<f32>(r2 + d), load<f32>(r3 + d));
      v128.store(out, madd(v128.load32_splat(query + d), column, v128.load(out)));
    }
    row += rowBytes << 2;
  }
}

/**
 * O[4][dim] += P[count][4 lanes]ᵀ · V[count][dim], two keys at a time; the tile ends in a key of weight 0 if `count` is odd.
 * @param ahead where `count · dim` floats lie that are needed next
 */
export function accumulateFew(out: usize, stride: usize, value: usize, weights: usize, count: i32, dim: i32, rowBytes: usize, ahead: usize): void {
  for (let j = 0; j < count; j += 2, weights += 64, value += 2 * rowBytes) {
    const pair = j + 1 < count, other = pair ? rowBytes : 0, step: usize = pair ? 32 : 0;
    const a0 = v128.load32_splat(weights), a1 = v128.load32_splat(weights, 4);
    const a2 = v128.load32_splat(weights, 8), a3 = v128.load32_splat(weights, 12);
    const b0 = v128.load32_splat(weights, 32), b1 = v128.load32_splat(weights, 36);
    const b2 = v128.load32_splat(weights, 40), b3 = v128.load32_splat(weights, 44);
    let v = value, o = out;
    for (const last = value + (<usize>(dim & ~3) << 2); v < last; v += 16, o += 16) {
      load<u8>(ahead);
      const x = v128.load(v), y = v128.load(v + other);
      v128.store(o, madd(b0, y, madd(a0, x, v128.load(o))));
      v128.store(o + stride, madd(b1, y, madd(a1, x, v128.load(o + stride))));
      v128.store(o + 2 * stride, madd(b2, y, madd(a2, x, v128.load(o + 2 * stride))));
      v128.store(o + 3 * stride, madd(b3, y, madd(a3, x, v128.load(o + 3 * stride))));
      ahead += step;
    }
    for (let d = dim & 3; d > 0; d--, v += 4, o += 4) {
      const x = load<f32>(v), y = load<f32>(v + other);
      for (let r: usize = 0, at = o; r < 16; r += 4, at += stride) {
        store<f32>(at, load<f32>(at) + load<f32>(weights + r) * x + load<f32>(weights + r, 32) * y);
      }
    }
  }
}

/** out[dim] += weights[count] · V[count][dim] */
export function accumulateOne(out: usize, value: usize, weights: usize, count: i32, dim: i32, rowBytes: usize): void {
  for (let j = 0; j < count; j++, weights += 4, value += rowBytes) {
    const a = v128.load32_splat(weights);
    let k: usize = 0;
    for (const end: usize = <usize>(dim & ~15) << 2; k < end; k += 64) {
      v128.store(out + k, madd(a, v128.load(value + k), v128.load(out + k)));
      v128.store(out + k, madd(a, v128.load(value + k, 16), v128.load(out + k, 16)), 16);
      v128.store(out + k, madd(a, v128.load(value + k, 32), v128.load(out + k, 32)), 32);
      v128.store(out + k, madd(a, v128.load(value + k, 48), v128.load(out + k, 48)), 48);
    }
    for (const end: usize = <usize>(dim & ~3) << 2; k < end; k += 16) v128.store(out + k, madd(a, v128.load(value + k), v128.load(out + k)));
    for (; k < <usize>dim << 2; k += 4) store<f32>(out + k, load<f32>(out + k) + load<f32>(weights) * load<f32>(value + k));
  }
}

/**
 * O[rows][dim] += weights · V where a value may be NaN or infinite: a weight of 0 contributes nothing.
 * @param step bytes from key to key of the weights
 */
export function accumulateFewVisible(
  out: usize, stride: usize, value: usize, weights: usize, count: i32, dim: i32, rowBytes: usize, rows: i32, step: usize,
): void {
  for (let j = 0; j < count; j++, weights += step, value += rowBytes) {
    for (let r: usize = 0; r < <usize>rows; r++) {
      const weight = load<f32>(weights + (r << 2));
      if (weight == 0) continue;
      for (let d: usize = 0; d < <usize>dim << 2; d += 4) {
        const at = out + r * stride + d;
        store<f32>(at, load<f32>(at) + weight * load<f32>(value + d));
      }
    }
  }
}
