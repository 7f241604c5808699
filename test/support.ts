import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { type Build, createRuntimeSync, type Runtime, type RuntimeOptions, type Tensor } from 'wasm-attention';
import type { NdArray } from 'wasm-attention/reference';

export const builds: Build[] = ['simd', 'relaxed'];

/** The builds, and the plain SIMD one as the compiler makes it without its optimiser. */
export const testBuilds = [...builds, 'debug'] as const;
export type TestBuild = (typeof testBuilds)[number];

export function runtimeOf(build: TestBuild, options: RuntimeOptions = {}): Runtime {
  if (build !== 'debug') return createRuntimeSync({ build, ...options });
  return createRuntimeSync({ module: readFileSync(new URL('../build/debug.wasm', import.meta.url)), ...options });
}

/** The promise of every kernel: its error is at most this many times that of a plain float32 implementation. */
export const FLOAT32_ERRORS = 2;

/** A runtime whose memory holds NaN wherever nothing was written. */
export function poisonedRuntime(build: TestBuild): Runtime {
  const runtime = runtimeOf(build);
  const tensor = runtime.empty([1 << 22]);
  tensor.data.fill(Number.NaN);
  tensor.dispose();
  return runtime;
}

export const count = (shape: readonly number[]) => shape.reduce((product, n) => product * n, 1);

/** Float32 values in [−range, range), the same for the same seed. */
export function random(shape: readonly number[], seed: number, range = 2): NdArray & { data: Float32Array } {
  let state = Math.imul(seed + 1, 2654435761) >>> 0;
  const data = Float32Array.from({ length: count(shape) }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 31 - 1) * range;
  });
  return { shape, data };
}

export function upload(runtime: Runtime, array: NdArray): Tensor {
  return runtime.tensor(array.shape, array.data);
}

function worst(actual: ArrayLike<number>, truth: ArrayLike<number>): number {
  let error = 0;
  for (let i = 0; i < truth.length; i++) {
    const difference = Object.is(actual[i], truth[i]) || actual[i] === truth[i] ? 0 : Math.abs(actual[i] - truth[i]);
    if (!(difference <= error)) error = difference;
    if (Number.isNaN(error)) return error;
  }
  return error;
}

/**
 * Holds the largest error to twice that of plain float32, or one unit in the last place of the largest value, or `least`, if
 * that is more: where there are few values, the largest error of plain float32 is luck.
 */
export function expectAccurate(
  actual: ArrayLike<number>,
  truth: ArrayLike<number>,
  float32: ArrayLike<number>,
  name = 'output',
  least = 0,
): void {
  expect(actual.length).toBe(truth.length);
  let largest = 0;
  for (let i = 0; i < truth.length; i++) if (Number.isFinite(truth[i])) largest = Math.max(largest, Math.abs(truth[i]));
  const bound = Math.max(FLOAT32_ERRORS * worst(float32, truth), largest * 2 ** -23, least);
  expect(worst(actual, truth), `${name}, bound ${bound}`).toBeLessThanOrEqual(bound);
}
