import { attention } from 'wasm-attention/reference';
import type { Shape } from './shapes.ts';

/** [batch, heads, sequence, headDim] in C order. */
export type Inputs = { query: Float32Array; key: Float32Array; value: Float32Array };

const ROWS = 12;

/** Uniform in [−2, 2): scores of unit scale, as a layer norm leaves them. */
function random(length: number, seed: number): Float32Array<ArrayBuffer> {
  let state = Math.imul(seed, 2654435761) >>> 0;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 31 - 1) * 2;
  });
}

export function inputs({ batch, heads, kvHeads, queries, keys, headDim }: Shape): Inputs {
  return {
    query: random(batch * heads * queries * headDim, 1),
    key: random(batch * kvHeads * keys * headDim, 2),
    value: random(batch * kvHeads * keys * headDim, 3),
  };
}

/** The largest distance of a few rows, first and last among them, from the float64 reference. */
export function errorOfRows(shape: Shape, { query, key, value }: Inputs, output: Float32Array): number {
  const { batch, heads, kvHeads, queries, keys, headDim, causal, window } = shape;
  const rows = batch * heads * queries;
  let error = 0;
  for (let sample = 0; sample < ROWS; sample++) {
    const row = Math.round((sample * (rows - 1)) / (ROWS - 1));
    const position = row % queries;
    const head = Math.floor(row / queries);
    const kvHead = Math.floor(head / heads) * kvHeads + Math.floor((head % heads) / (heads / kvHeads));
    const slice = (data: Float32Array, at: number, length: number) => ({
      shape: [1, 1, length, headDim],
      data: data.subarray(at * headDim, (at + length) * headDim),
    });
    const truth = attention(slice(query, row, 1), slice(key, kvHead * keys, keys), slice(value, kvHead * keys, keys), {
      causal,
      window,
      queryOffset: keys - queries + position,
    }).output.data;
    error = Math.max(error, worst(truth, output.subarray(row * headDim, (row + 1) * headDim)));
  }
  return error;
}

/** The largest absolute difference; NaN if there is one. */
export function worst(truth: ArrayLike<number>, actual: ArrayLike<number>): number {
  if (truth.length !== actual.length) return Number.NaN;
  let error = 0;
  for (let i = 0; i < truth.length; i++) {
    const difference = Math.abs(truth[i] - actual[i]);
    if (Number.isNaN(difference)) return difference;
    error = Math.max(error, difference);
  }
  return error;
}

/** Swaps the two middle axes of [batch, outer, inner, headDim]. */
export function swapMiddle(data: Float32Array, batch: number, outer: number, inner: number): Float32Array<ArrayBuffer> {
  const dim = data.length / (batch * outer * inner);
  const swapped = new Float32Array(data.length);
  for (let b = 0; b < batch; b++) {
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < inner; i++) {
        const from = ((b * outer + o) * inner + i) * dim;
        swapped.set(data.subarray(from, from + dim), ((b * inner + i) * outer + o) * dim);
      }
    }
  }
  return swapped;
}
