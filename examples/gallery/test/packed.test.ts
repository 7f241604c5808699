import { expect, it } from 'vitest';
import { createRuntimeSync } from 'wasm-attention';
import { packed } from '../src/packed.ts';

it.each(['simd', 'relaxed'] as const)('%s: packed sequences are what they are alone and padded', (build) => {
  const lengths = [33, 1, 70, 8, 129, 2];
  const { total, errors, plan } = packed(createRuntimeSync({ build }), { lengths, heads: 2, headDim: 16 });
  expect(total).toBe(243);
  expect(errors.each).toBeLessThanOrEqual(2e-6);
  expect(errors.padded).toBeLessThanOrEqual(2e-6);
  const pairs = lengths.reduce((sum, n) => sum + (n * (n + 1)) / 2, 0);
  expect(plan.pairs.visible).toBe(2 * pairs);
  expect(plan.pairs.computed).toBeLessThan(plan.pairs.all / 2);
});
