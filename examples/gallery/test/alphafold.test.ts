import { expect, it } from 'vitest';
import { createRuntimeSync } from 'wasm-attention';
import { alphafold } from '../src/alphafold.ts';

it.each(['simd', 'relaxed'] as const)('%s: rows permute, pairs steer, padding does nothing', (build) => {
  const sizes = { sequences: 12, residues: 20, padding: 3, msaDim: 24, pairDim: 16, heads: 4, headDim: 8 };
  const { permuted, pairEffect, alikeEffect, leaked } = alphafold(createRuntimeSync({ build }), sizes);
  expect(permuted).toBeLessThanOrEqual(5e-6);
  expect(pairEffect).toBeGreaterThan(0.1);
  expect(alikeEffect).toBeLessThanOrEqual(5e-6);
  // A masked task that meets NaN is computed again with care, which in the relaxed build rounds otherwise.
  expect(leaked).toBeLessThanOrEqual(1e-6);
});
