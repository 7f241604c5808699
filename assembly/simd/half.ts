// IEEE 754 binary16 (float16) and float32.

/** Masks of `widen`, to be loaded before a loop: V8 rebuilds a v128.const at every use in one. */
export const enum Half { bits = 0, scale, limit, infinity }
const constants: usize = memory.data<u32>([0x8fffe000, 0x77800000, 0x47800000, 0x7f800000]);

// @ts-ignore: top-level decorator
@inline
export function half(index: i32): v128 {
  return v128.load32_splat(constants + (<usize>index << 2));
}

/** Twice the bits of a float16 that is infinite or NaN are more than this. */
export const INFINITE: i16 = <i16>0xf7ff;

/**
 * 4 float32 of 4 finite float16, sign-extended to int32 lanes: the bits shifted into place (the sign's copies masked off), times 2¹¹² for
 * the exponent's other bias.
 */
// @ts-ignore: top-level decorator
@inline
export function widenFinite(halves: v128, bits: v128, scale: v128): v128 {
  return f32x4.mul(v128.and(i32x4.shl(halves, 13), bits), scale);
}

/** The same of any: what is 65536 or more after that was infinite or NaN. */
// @ts-ignore: top-level decorator
@inline
export function widen(halves: v128): v128 {
  const number = widenFinite(halves, half(Half.bits), half(Half.scale));
  return v128.or(number, v128.and(f32x4.ge(f32x4.abs(number), half(Half.limit)), half(Half.infinity)));
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
