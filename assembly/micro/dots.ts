import { hasTall, madd } from '../simd/lanes';

/**
 * Dot products of 4 rows with 8 columns in the lanes: out[row][8] = Σ_d row[row][d] · columns[d][8].
 * The rows are read as they lie in memory; past the last row, that row is read again.
 * The loop is not unrolled: V8 would hoist loads and spill (31 instead of 54 GFLOP/s, measured).
 */
// @ts-ignore: top-level decorator
@inline
function dots4(out: usize, row: usize, columns: usize, dim: i32, rowBytes: usize, last: usize): void {
  const r0 = row;
  const r1 = min(r0 + rowBytes, last);
  const r2 = min(r1 + rowBytes, last);
  const r3 = min(r2 + rowBytes, last);
  let a0 = f32x4.splat(0), b0 = f32x4.splat(0), a1 = f32x4.splat(0), b1 = f32x4.splat(0);
  let a2 = f32x4.splat(0), b2 = f32x4.splat(0), a3 = f32x4.splat(0), b3 = f32x4.splat(0);
  const end: usize = <usize>dim << 2;
  for (let d: usize = 0; d < end; d += 4) {
    const x = v128.load(columns), y = v128.load(columns, 16);
    let s = v128.load32_splat(r0 + d);
    a0 = madd(s, x, a0); b0 = madd(s, y, b0);
    s = v128.load32_splat(r1 + d);
    a1 = madd(s, x, a1); b1 = madd(s, y, b1);
    s = v128.load32_splat(r2 + d);
    a2 = madd(s, x, a2); b2 = madd(s, y, b2);
    s = v128.load32_splat(r3 + d);
    a3 = madd(s, x, a3); b3 = madd(s, y, b3);
    columns += 32;
  }
  v128.store(out, a0); v128.store(out, b0, 16);
  v128.store(out, a1, 32); v128.store(out, b1, 48);
  v128.store(out, a2, 64); v128.store(out, b2, 80);
  v128.store(out, a3, 96); v128.store(out, b3, 112);
}

/** The same for 6 rows, of which the first 5 exist: 12 chains hide the latency of an FMA, 8 do not quite (98 against 90 % of the peak). */
// @ts-ignore: top-level decorator
@inline
function dots6(out: usize, row: usize, columns: usize, dim: i32, rowBytes: usize, last: usize): void {
  const r1 = row + rowBytes, r2 = r1 + rowBytes, r3 = r2 + rowBytes, r4 = r3 + rowBytes, r5 = min(r4 + rowBytes, last);
  let a0 = f32x4.splat(0), b0 = f32x4.splat(0), a1 = f32x4.splat(0), b1 = f32x4.splat(0);
  let a2 = f32x4.splat(0), b2 = f32x4.splat(0), a3 = f32x4.splat(0), b3 = f32x4.splat(0);
  let a4 = f32x4.splat(0), b4 = f32x4.splat(0), a5 = f32x4.splat(0), b5 = f32x4.splat(0);
  const end: usize = <usize>dim << 2;
  for (let d: usize = 0; d < end; d += 4) {
    const x = v128.load(columns), y = v128.load(columns, 16);
    let s = v128.load32_splat(row + d);
    a0 = madd(s, x, a0); b0 = madd(s, y, b0);
    s = v128.load32_splat(r1 + d);
    a1 = madd(s, x, a1); b1 = madd(s, y, b1);
    s = v128.load32_splat(r2 + d);
    a2 = madd(s, x, a2); b2 = madd(s, y, b2);
    s = v128.load32_splat(r3 + d);
    a3 = madd(s, x, a3); b3 = madd(s, y, b3);
    s = v128.load32_splat(r4 + d);
    a4 = madd(s, x, a4); b4 = madd(s, y, b4);
    s = v128.load32_splat(r5 + d);
    a5 = madd(s, x, a5); b5 = madd(s, y, b5);
    columns += 32;
  }
  v128.store(out, a0); v128.store(out, b0, 16);
  v128.store(out, a1, 32); v128.store(out, b1, 48);
  v128.store(out, a2, 64); v128.store(out, b2, 80);
  v128.store(out, a3, 96); v128.store(out, b3, 112);
  v128.store(out, a4, 128); v128.store(out, b4, 144);
  v128.store(out, a5, 160); v128.store(out, b5, 176);
}

/**
 * Sᵀ[count][8] = rows · columns[dim][8]; writes up to 3 rows more than `count`.
 * Exported, so that Binaryen keeps it a function: V8 swaps in optimised code only where a function is called.
 */
export function dots(out: usize, row: usize, columns: usize, count: i32, dim: i32, rowBytes: usize): void {
  const last = row + <usize>(count - 1) * rowBytes;
  for (let i = 0; i < count; i += 4) {
    dots4(out, row, columns, dim, rowBytes, last);
    row += rowBytes << 2;
    out += 128;
  }
}

/** `dots` by 6 rows where the engine keeps 6×8 in its registers (`tall`). */
export function dotsTall(out: usize, row: usize, columns: usize, count: i32, dim: i32, rowBytes: usize): void {
  if (hasTall()) {
    const last = row + <usize>(count - 1) * rowBytes;
    for (; count >= 5; count -= 6) {
      dots6(out, row, columns, dim, rowBytes, last);
      row += rowBytes * 6;
      out += 192;
    }
  }
  if (count > 0) dots(out, row, columns, count, dim, rowBytes);
}
