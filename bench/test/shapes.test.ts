import { describe, expect, it } from 'vitest';
import { createRuntimeSync, scaledDotProductAttention } from 'wasm-attention';
import { attention } from 'wasm-attention/reference';
import { errorOfRows, inputs } from '../data.ts';
import { flops, type Shape, suites, visiblePairs } from '../shapes.ts';

const small: Shape = { name: '', kind: 'prefill', batch: 2, heads: 4, kvHeads: 2, queries: 5, keys: 7, headDim: 3 };
const masks: Partial<Shape>[] = [
  {},
  { causal: true },
  { window: [2, 0] },
  { window: [2, 1] },
  { causal: true, window: [1, 5] },
  { queries: 9, causal: true },
];

function full(
  { batch, heads, kvHeads, queries, keys, headDim, causal, window }: Shape,
  data: ReturnType<typeof inputs>,
) {
  const query = { shape: [batch, heads, queries, headDim], data: data.query };
  const key = { shape: [batch, kvHeads, keys, headDim], data: data.key };
  const value = { shape: [batch, kvHeads, keys, headDim], data: data.value };
  return attention(query, key, value, { causal, window });
}

describe('shapes', () => {
  it.each(masks)('counts the pairs that the reference shows: %o', (mask) => {
    const shape = { ...small, ...mask };
    const { masked } = full(shape, inputs(shape));
    const seen = masked.data.filter((score) => score !== -Infinity).length;
    expect(visiblePairs(shape)).toBe(seen);
    expect(flops(shape)).toBe(4 * seen * 3);
  });

  it('have names of their own', () => {
    const names = suites.flat().map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });

  it.each(masks)('rows are compared with the right keys: %o', (mask) => {
    const shape = { ...small, ...mask };
    const data = inputs(shape);
    const output = Float32Array.from(full(shape, data).output.data);
    expect(errorOfRows(shape, data, output)).toBeLessThanOrEqual(1e-6);
    output[output.length - 1] += 0.01;
    expect(errorOfRows(shape, data, output)).toBeGreaterThan(0.005);
    output[0] = Number.NaN;
    expect(errorOfRows(shape, data, output)).toBeNaN();
  });
});

it('the runtime passes the check of the table', () => {
  const shape = suites.flat().find(({ name }) => name === 'short')!;
  const { batch, heads, queries, keys, headDim } = shape;
  const data = inputs(shape);
  using runtime = createRuntimeSync({ build: 'simd' });
  const query = runtime.tensor([batch, heads, queries, headDim], data.query);
  const key = runtime.tensor([batch, heads, keys, headDim], data.key);
  const value = runtime.tensor([batch, heads, keys, headDim], data.value);
  expect(errorOfRows(shape, data, scaledDotProductAttention(query, key, value).data)).toBeLessThanOrEqual(1e-5);
  expect(errorOfRows(shape, data, runtime.zeros(query.shape).data)).toBeGreaterThan(0.01);
});
