import type { Layer, Tensor } from 'wasm-attention';
import type { NdArray } from 'wasm-attention/reference';

export type Float32NdArray = NdArray & { data: Float32Array };

/** Values in [−range, range), the same for the same seed (numbers of Numerical Recipes' generator). */
export function random(shape: readonly number[], seed: number, range = 1): Float32NdArray {
  let state = Math.imul(seed + 1, 2654435761) >>> 0;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 31 - 1) * range;
  };
  return { shape, data: Float32Array.from({ length: shape.reduce((size, n) => size * n, 1) }, next) };
}

/** Weights for parameters of these shapes: norms are the identity, biases 0, projections keep the size of what they project. */
export function seededState(shapes: Layer['shapes'], seed: number): Record<string, Float32NdArray> {
  const entries = Object.entries(shapes).map(([name, shape], i) => {
    if (/norm.*weight$/.test(name)) return [name, { shape, data: new Float32Array(shape[0]).fill(1) }];
    if (/bias$/.test(name)) return [name, { shape, data: new Float32Array(shape[0]) }];
    return [name, random(shape, seed + i, Math.sqrt(3 / shape.slice(1).reduce((size, n) => size * n, 1)))];
  });
  return Object.fromEntries(entries);
}

/** `x += y` */
export function add(x: Tensor, y: Tensor): Tensor {
  const [to, from] = [x.data, y.data];
  for (let i = 0; i < to.length; i++) to[i] += from[i];
  return x;
}

export function mapInPlace<A extends { data: Float32Array | Float64Array }>(x: A, fn: (value: number) => number): A {
  const { data } = x;
  for (let i = 0; i < data.length; i++) data[i] = fn(data[i]);
  return x;
}

/** Some rows of [1, rows, dim]. */
export function select(x: NdArray, indices: readonly number[]): NdArray {
  const dim = x.shape.at(-1)!;
  const data = indices.flatMap((index) => Array.from({ length: dim }, (_, d) => x.data[index * dim + d]));
  return { shape: [1, indices.length, dim], data };
}

/** Largest |a − b|; NaN where one is. */
export function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new RangeError(`difference: ${a.length} values beside ${b.length}`);
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    const distance = Math.abs(a[i] - b[i]);
    if (!(distance <= largest)) largest = distance;
    if (Number.isNaN(largest)) return largest;
  }
  return largest;
}

/** What `fn` returns, and how long it took: the median of `times` runs, of which all but the last are freed by `release`. */
export function timed<T>(fn: () => T, times = 1, release: (result: T) => void = () => {}): { result: T; ms: number } {
  const measured: number[] = [];
  for (;;) {
    const begin = performance.now();
    const result = fn();
    measured.push(performance.now() - begin);
    if (measured.length === times) return { result, ms: measured.sort((a, b) => a - b)[times >> 1] };
    release(result);
  }
}

export const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
