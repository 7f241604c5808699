import { hasTall, madd } from '../simd/lanes';

/** out[dim][8] += Σ_key value[key][dim] · weights[key][8] for 4 neighbouring dims. */
// @ts-ignore: top-level decorator
@inline
function accumulate4(out: usize, value: usize, weights: usize, count: i32, rowBytes: usize): void {
  let a0 = v128.load(out), b0 = v128.load(out, 16), a1 = v128.load(out, 32), b1 = v128.load(out, 48);
  let a2 = v128.load(out, 64), b2 = v128.load(out, 80), a3 = v128.load(out, 96), b3 = v128.load(out, 112);
  const end = weights + (<usize>count << 5);
  for (; weights < end; weights += 32) {
    const x = v128.load(weights), y = v128.load(weights, 16);
    let s = v128.load32_splat(value);
    a0 = madd(s, x, a0); b0 = madd(s, y, b0);
    s = v128.load32_splat(value, 4);
    a1 = madd(s, x, a1); b1 = madd(s, y, b1);
    s = v128.load32_splat(value, 8);
    a2 = madd(s, x, a2); b2 = madd(s, y, b2);
    s = v128.load32_splat(value, 12);
    a3 = madd(s, x, a3); b3 = madd(s, y, b3);
    value += rowBytes;
  }
  v128.store(out, a0); v128.store(out, b0, 16);
  v128.store(out, a1, 32); v128.store(out, b1, 48);
  v128.store(out, a2, 64); v128.store(out, b2, 80);
  v128.store(out, a3, 96); v128.store(out, b3, 112);
}

/** The same for 6 neighbouring dims. */
// @ts-ignore: top-level decorator
@inline
function accumulate6(out: usize, value: usize, weights: usize, count: i32, rowBytes: usize): void {
  let a0 = v128.load(out), b0 = v128.load(out, 16), a1 = v128.load(out, 32), b1 = v128.load(out, 48);
  let a2 = v128.load(out, 64), b2 = v128.load(out, 80), a3 = v128.load(out, 96), b3 = v128.load(out, 112);
  let a4 = v128.load(out, 128), b4 = v128.load(out, 144), a5 = v128.load(out, 160), b5 = v128.load(out, 176);
  const end = weights + (<usize>count << 5);
  for (; weights < end; weights += 32) {
    const x = v128.load(weights), y = v128.load(weights, 16);
    let s = v128.load32_splat(value);
    a0 = madd(s, x, a0); b0 = madd(s, y, b0);
    s = v128.load32_splat(value, 4);
    a1 = madd(s, x, a1); b1 = madd(s, y, b1);
    s = v128.load32_splat(value, 8);
    a2 = madd(s, x, a2); b2 = madd(s, y, b2);
    s = v128.load32_splat(value, 12);
    a3 = madd(s, x, a3); b3 = madd(s, y, b3);
    s = v128.load32_splat(value, 16);
    a4 = madd(s, x, a4); b4 = madd(s, y, b4);
    s = v128.load32_splat(value, 20);
    a5 = madd(s, x, a5); b5 = madd(s, y, b5);
    value += rowBytes;
  }
  v128.store(out, a0); v128.store(out, b0, 16);
  v128.store(out, a1, 32); v128.store(out, b1, 48);
  v128.store(out, a2, 64); v128.store(out, b2, 80);
  v128.store(out, a3, 96); v128.store(out, b3, 112);
  v128.store(out, a4, 128); v128.store(out, b4, 144);
  v128.store(out, a5, 160); v128.store(out, b5, 176);
}

/**
 * Oᵀ[dim][8] += V[count][dim] · P[count][8]. Reads up to 3 values past the end of a row and writes as many rows of Oᵀ past `dim`:
 * the allocator and the scratch leave room, and those rows are never stored.
 */
export function accumulate(out: usize, value: usize, weights: usize, count: i32, dim: i32, rowBytes: usize): void {
  for (let d = 0; d < dim; d += 4) {
    accumulate4(out, value, weights, count, rowBytes);
    out += 128;
    value += 16;
  }
}

/** `accumulate` by 6 dims where the engine keeps 6×8 in its registers (`tall`); 8 dims are left for two blocks of 4. */
export function accumulateTall(out: usize, value: usize, weights: usize, count: i32, dim: i32, rowBytes: usize): void {
  if (hasTall()) {
    for (; dim >= 6 && dim != 8; dim -= 6) {
      accumulate6(out, value, weights, count, rowBytes);
      out += 192;
      value += 24;
    }
  }
  if (dim > 0) accumulate(out, value, weights, count, dim, rowBytes);
}

/** `accumulate` where a value may be NaN or infinite: a weight of 0 contributes nothing. */
export function accumulateVisible(out: usize, value: usize, weights: usize, count: i32, dim: i32, rowBytes: usize): void {
  const zero = f32x4.splat(0);
  for (let j = 0; j < count; j++, value += rowBytes, weights += 32) {
    const x = v128.load(weights), y = v128.load(weights, 16);
    const seenX = f32x4.ne(x, zero), seenY = f32x4.ne(y, zero);
    for (let d: usize = 0; d < <usize>dim; d++) {
      const s = v128.load32_splat(value + (d << 2));
      const at = out + (d << 5);
      v128.store(at, f32x4.add(v128.load(at), v128.and(f32x4.mul(s, x), seenX)));
      v128.store(at, f32x4.add(v128.load(at, 16), v128.and(f32x4.mul(s, y), seenY)), 16);
    }
  }
}
