import { Stored } from '../params';
import { Half, half, INFINITE, widen, widenFinite } from '../simd/half';

/** Bytes of a stored element. */
// @ts-ignore: top-level decorator
@inline
export function elementBytes(stored: i32): usize {
  return stored == Stored.float32 ? 4 : stored == Stored.float16 ? 2 : 1;
}

/** Bytes of a stored row; int8 rows are padded with zeros to whole vectors. */
// @ts-ignore: top-level decorator
@inline
export function storedBytes(stored: i32, dim: i32): usize {
  return <usize>(stored == Stored.int8 ? (dim + 15) & ~15 : dim) * elementBytes(stored);
}

/** rows[count][dim] float32 of stored rows, `rowBytes` apart; `scales` [count] for int8. */
export function widenRows(rows: usize, stored: i32, from: usize, rowBytes: usize, scales: usize, count: i32, dim: i32): void {
  const stride = <usize>dim << 2;
  for (let j = 0; j < count; j++, rows += stride, from += rowBytes) {
    if (stored == Stored.float16) widenHalves(rows, from, dim);
    else widenBytes(rows, from, dim, load<f32>(scales + (<usize>j << 2)));
  }
}

// @ts-ignore: top-level decorator
@inline
function widenHalves(to: usize, from: usize, dim: i32): void {
  const bits = half(Half.bits), scale = half(Half.scale);
  // Twice a float16 is its magnitude, shifted: the largest tells whether all are finite.
  let most = i16x8.splat(0), d = 0;
  for (; d + 8 <= dim; d += 8) {
    const at = from + (<usize>d << 1), out = to + (<usize>d << 2);
    const x = v128.load(at);
    most = i16x8.max_u(most, i16x8.shl(x, 1));
    v128.store(out, widenFinite(v128.load16x4_s(at), bits, scale));
    v128.store(out, widenFinite(v128.load16x4_s(at, 8), bits, scale), 16);
  }
  if (v128.any_true(i16x8.gt_u(most, i16x8.splat(INFINITE)))) d = 0;
  for (; d < dim; d++) {
    store<f32>(to + (<usize>d << 2), f32x4.extract_lane(widen(i32x4.splat(load<i16>(from + (<usize>d << 1)))), 0));
  }
}

// @ts-ignore: top-level decorator
@inline
function widenBytes(to: usize, from: usize, dim: i32, scale: f32): void {
  const s = f32x4.splat(scale);
  let d = 0;
  for (; d + 8 <= dim; d += 8, to += 32, from += 8) {
    const x = v128.load8x8_s(from);
    v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(x)), s));
    v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(x)), s), 16);
  }
  for (; d < dim; d++, to += 4, from++) store<f32>(to, <f32>load<i8>(from) * scale);
}
