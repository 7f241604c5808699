import { madd } from '../simd/lanes';

// 16 columns of one head's state, S [rows][16]: they stay in the L1 cache over a tile of tokens. Rows of features are read by splats.
// All functions are exported and called a token: V8 swaps in optimised code only where a function is called.

/** S += k·vᵀ, output[16] = qᵀS. One load and one store a multiply-add pair; four chains hide the latency of its sum. */
export function step(state: usize, rows: i32, key: usize, value: usize, query: usize, output: usize): void {
  const a = v128.load(value), b = v128.load(value, 16), c = v128.load(value, 32), d = v128.load(value, 48);
  let w = f32x4.splat(0), x = f32x4.splat(0), y = f32x4.splat(0), z = f32x4.splat(0);
  for (const end = key + (<usize>rows << 2); key < end; key += 4, query += 4, state += 64) {
    const k = v128.load32_splat(key), q = v128.load32_splat(query);
    let s = madd(k, a, v128.load(state));
    v128.store(state, s);
    w = madd(q, s, w);
    s = madd(k, b, v128.load(state, 16));
    v128.store(state, s, 16);
    x = madd(q, s, x);
    s = madd(k, c, v128.load(state, 32));
    v128.store(state, s, 32);
    y = madd(q, s, y);
    s = madd(k, d, v128.load(state, 48));
    v128.store(state, s, 48);
    z = madd(q, s, z);
  }
  v128.store(output, w);
  v128.store(output, x, 16);
  v128.store(output, y, 32);
  v128.store(output, z, 48);
}

/** S = diag(decay)·S + k·vᵀ, output[16] = qᵀS. @param decayStep bytes from a row's decay to the next: 4, or 0 where it is one for all */
export function stepGated(
  state: usize, rows: i32, decay: usize, decayStep: usize, key: usize, value: usize, query: usize, output: usize,
): void {
  const a = v128.load(value), b = v128.load(value, 16), c = v128.load(value, 32), d = v128.load(value, 48);
  let w = f32x4.splat(0), x = f32x4.splat(0), y = f32x4.splat(0), z = f32x4.splat(0);
  for (const end = key + (<usize>rows << 2); key < end; key += 4, query += 4, decay += decayStep, state += 64) {
    const k = v128.load32_splat(key), q = v128.load32_splat(query), g = v128.load32_splat(decay);
    let s = madd(k, a, f32x4.mul(g, v128.load(state)));
    v128.store(state, s);
    w = madd(q, s, w);
    s = madd(k, b, f32x4.mul(g, v128.load(state, 16)));
    v128.store(state, s, 16);
    x = madd(q, s, x);
    s = madd(k, c, f32x4.mul(g, v128.load(state, 32)));
    v128.store(state, s, 32);
    y = madd(q, s, y);
    s = madd(k, d, f32x4.mul(g, v128.load(state, 48)));
    v128.store(state, s, 48);
    z = madd(q, s, z);
  }
  v128.store(output, w);
  v128.store(output, x, 16);
  v128.store(output, y, 32);
  v128.store(output, z, 48);
}

/** S += k₀·v₀ᵀ + k₁·v₁ᵀ. Two tokens at once: one alone is bound by its stores. */
export function absorb(state: usize, rows: i32, key0: usize, value0: usize, key1: usize, value1: usize): void {
  const a0 = v128.load(value0), b0 = v128.load(value0, 16), c0 = v128.load(value0, 32), d0 = v128.load(value0, 48);
  const a1 = v128.load(value1), b1 = v128.load(value1, 16), c1 = v128.load(value1, 32), d1 = v128.load(value1, 48);
  for (const end = key0 + (<usize>rows << 2); key0 < end; key0 += 4, key1 += 4, state += 64) {
    const k0 = v128.load32_splat(key0), k1 = v128.load32_splat(key1);
    v128.store(state, madd(k1, a1, madd(k0, a0, v128.load(state))));
    v128.store(state, madd(k1, b1, madd(k0, b0, v128.load(state, 16))), 16);
    v128.store(state, madd(k1, c1, madd(k0, c0, v128.load(state, 32))), 32);
    v128.store(state, madd(k1, d1, madd(k0, d0, v128.load(state, 48))), 48);
  }
}

/** output₀[16] = q₀ᵀS, output₁[16] = q₁ᵀS. */
export function read(state: usize, rows: i32, query0: usize, output0: usize, query1: usize, output1: usize): void {
  let w0 = f32x4.splat(0), x0 = f32x4.splat(0), y0 = f32x4.splat(0), z0 = f32x4.splat(0);
  let w1 = f32x4.splat(0), x1 = f32x4.splat(0), y1 = f32x4.splat(0), z1 = f32x4.splat(0);
  for (const end = query0 + (<usize>rows << 2); query0 < end; query0 += 4, query1 += 4, state += 64) {
    const p = v128.load32_splat(query0), q = v128.load32_splat(query1);
    let s = v128.load(state);
    w0 = madd(p, s, w0); w1 = madd(q, s, w1);
    s = v128.load(state, 16);
    x0 = madd(p, s, x0); x1 = madd(q, s, x1);
    s = v128.load(state, 32);
    y0 = madd(p, s, y0); y1 = madd(q, s, y1);
    s = v128.load(state, 48);
    z0 = madd(p, s, z0); z1 = madd(q, s, z1);
  }
  v128.store(output0, w0); v128.store(output0, x0, 16); v128.store(output0, y0, 32); v128.store(output0, z0, 48);
  v128.store(output1, w1); v128.store(output1, x1, 16); v128.store(output1, y1, 32); v128.store(output1, z1, 48);
}

/** The delta rule's error in place of a value: value[16] = beta·(value − kᵀS). Even and odd rows apart: eight chains. */
export function correct(state: usize, rows: i32, key: usize, value: usize, beta: f32): void {
  let w = f32x4.splat(0), x = f32x4.splat(0), y = f32x4.splat(0), z = f32x4.splat(0);
  let w1 = f32x4.splat(0), x1 = f32x4.splat(0), y1 = f32x4.splat(0), z1 = f32x4.splat(0);
  for (const end = key + (<usize>(rows & ~1) << 2); key < end; key += 8, state += 128) {
    let k = v128.load32_splat(key);
    w = madd(k, v128.load(state), w);
    x = madd(k, v128.load(state, 16), x);
    y = madd(k, v128.load(state, 32), y);
    z = madd(k, v128.load(state, 48), z);
    k = v128.load32_splat(key, 4);
    w1 = madd(k, v128.load(state, 64), w1);
    x1 = madd(k, v128.load(state, 80), x1);
    y1 = madd(k, v128.load(state, 96), y1);
    z1 = madd(k, v128.load(state, 112), z1);
  }
  if (rows & 1) {
    const k = v128.load32_splat(key);
    w = madd(k, v128.load(state), w);
    x = madd(k, v128.load(state, 16), x);
    y = madd(k, v128.load(state, 32), y);
    z = madd(k, v128.load(state, 48), z);
  }
  const b = f32x4.splat(beta);
  v128.store(value, f32x4.mul(b, f32x4.sub(v128.load(value), f32x4.add(w, w1))));
  v128.store(value, f32x4.mul(b, f32x4.sub(v128.load(value, 16), f32x4.add(x, x1))), 16);
  v128.store(value, f32x4.mul(b, f32x4.sub(v128.load(value, 32), f32x4.add(y, y1))), 32);
  v128.store(value, f32x4.mul(b, f32x4.sub(v128.load(value, 48), f32x4.add(z, z1))), 48);
}
