// IEEE 754 binary16 (float16) and float32.

/** 4 float32 of 4 float16 in the low halves of int32 lanes: exponent and fraction shifted into place, times 2¹¹². */
// @ts-ignore: top-level decorator
@inline
export function widen(halves: v128): v128 {
  const magnitude = i32x4.shl(v128.and(halves, i32x4.splat(0x7fff)), 13);
  const number = f32x4.mul(magnitude, f32x4.splat(5.192296858534828e33));
  const special = v128.and(i32x4.ge_u(magnitude, i32x4.splat(0x0f800000)), i32x4.splat(0x7f800000));
  const sign = i32x4.shl(v128.and(halves, i32x4.splat(0x8000)), 16);
  return v128.or(v128.or(number, special), sign);
}

/** The nearest float16, ties to even, of a float32; from 65520 on it is infinite. */
export function narrow(value: f32): u32 {
  const bits = reinterpret<u32>(value), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  // Below 2⁻¹⁴ a float16 is a multiple of 2⁻²⁴: adding ½ leaves that multiple, rounded, in the low bits.
  if (magnitude < 0x38800000) return sign | (reinterpret<u32>(reinterpret<f32>(magnitude) + 0.5) - 0x3f000000);
  return sign | (magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13;
}
