import { expect, it } from 'vitest';
import { createRuntimeSync } from 'wasm-attention';
import { bert } from '../src/bert.ts';

it.each(['simd', 'relaxed'] as const)('%s: is the float64 layer, whatever the padding holds', (build) => {
  const { shape, checked, error } = bert(createRuntimeSync({ build }), {
    dim: 96,
    heads: 6,
    ffn: 160,
    lengths: [9, 40, 33],
  });
  expect(shape).toEqual([3, 40, 96]);
  expect(checked).toEqual([0, 4, 8]);
  expect(error).toBeLessThanOrEqual(5e-6);
});
