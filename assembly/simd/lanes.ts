// The one place where the builds differ.

/** a·b + c: fused where relaxed SIMD is on, two roundings in the plain build. */
// @ts-ignore: top-level decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/** Whether the micro-kernels of 6 rows exist: where mul and add are two instructions they spill (56 → 37 GFLOP/s, measured). */
// @ts-ignore: top-level decorator
@inline
export function hasTall(): bool {
  return ASC_FEATURE_RELAXED_SIMD;
}

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
