import { madd } from './lanes';

// In linear memory, as the constants of exp2. ln 2 in two parts: n times the first is exact.
const constants: usize = memory.data<f32>([
  1.44269504088896341, 0.693359375, 2.12194440e-4,
  1, 5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2, 8.3334519073e-3, 1.3981999507e-3, 1.9875691500e-4,
]);

// @ts-ignore: top-level decorator
@inline
function constant(index: usize): v128 {
  return v128.load32_splat(constants + (index << 2));
}

/**
 * eˣ within 0.6 units in the last place (Cephes expf): where factors multiply up, 2^(x·log2 e) is not near enough. Exactly 0 below −87;
 * above 88 it is e⁸⁸; NaN stays NaN.
 */
// @ts-ignore: top-level decorator
@inline
export function exp(x: v128): v128 {
  const clamped = f32x4.pmin(x, f32x4.splat(88));
  const n = f32x4.nearest(f32x4.mul(clamped, constant(0)));
  const r = madd(n, constant(2), f32x4.sub(clamped, f32x4.mul(n, constant(1))));
  let p = madd(constant(9), r, constant(8));
  p = madd(p, r, constant(7));
  p = madd(p, r, constant(6));
  p = madd(p, r, constant(5));
  p = madd(p, r, constant(4));
  const y = f32x4.add(madd(f32x4.mul(r, r), p, r), constant(3));
  const power = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23);
  return v128.andnot(f32x4.mul(y, power), f32x4.lt(x, f32x4.splat(-87)));
}
