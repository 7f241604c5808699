import { madd } from './lanes';
import { exp2 } from './exp2';

/** tanh x: x + x³·P(x²) below 0.625 (Cephes tanhf), 1 − 2/(e²ˣ + 1) above. */
// @ts-ignore: top-level decorator
@inline
export function tanh(x: v128): v128 {
  const magnitude = f32x4.abs(x);
  const z = f32x4.mul(x, x);
  let p = madd(f32x4.splat(-5.70498872745e-3), z, f32x4.splat(2.06390887954e-2));
  p = madd(p, z, f32x4.splat(-5.37397155531e-2));
  p = madd(p, z, f32x4.splat(1.33314422036e-1));
  p = madd(p, z, f32x4.splat(-3.33332819422e-1));
  const small = madd(f32x4.mul(p, z), x, x);
  // Above 10, tanh is 1 in float32; the clamp keeps e²ˣ finite.
  const e = exp2(f32x4.mul(f32x4.pmin(magnitude, f32x4.splat(10)), f32x4.splat(2.8853900817779268)));
  const big = f32x4.sub(f32x4.splat(1), f32x4.div(f32x4.splat(2), f32x4.add(e, f32x4.splat(1))));
  const sign = v128.and(x, i32x4.splat(i32.MIN_VALUE));
  return v128.bitselect(small, v128.or(big, sign), f32x4.lt(magnitude, f32x4.splat(0.625)));
}
