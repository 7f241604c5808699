// The one place where the builds differ.

/** a·b + c: fused where relaxed SIMD is on, two roundings in the plain build. */
// @ts-ignore: top-level decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/** Rows of a micro-kernel of rows × 8 lanes: 6 fill V8's 15 vector registers when the multiply-add is fused; unfused, 6 spill. */
// @ts-ignore: top-level decorator
@inline
export const ROWS: i32 = ASC_FEATURE_RELAXED_SIMD ? 6 : 4;

// @ts-ignore: top-level decorator
@inline
export function word(params: usize, field: i32): i32 {
  return load<i32>(params + (<usize>field << 2));
}

// @ts-ignore: top-level decorator
@inline
export function real(params: usize, field: i32): f32 {
  return load<f32>(params + (<usize>field << 2));
}

// @ts-ignore: top-level decorator
@inline
export function pointer(params: usize, field: i32): usize {
  return load<usize>(params + (<usize>field << 2));
}
