import { expect, it } from 'vitest';
import { createRuntimeSync } from 'wasm-attention';
import { diffusion, report } from '../src/diffusion.ts';

it.each(['simd', 'relaxed'] as const)('%s: latents attend to the words that were planted', (build) => {
  const sizes = { side: 16, channels: 80, textTokens: 20, textDim: 96, heads: 2 };
  const result = diffusion(createRuntimeSync({ build }), sizes);
  expect(result.error).toBeLessThanOrEqual(5e-6);
  expect(new Set(result.planted).size).toBe(4);
  expect(result.agreement).toBeGreaterThanOrEqual(0.95);
  expect(report(result).at(-1)).toMatch(/^ {2}~{16}$/);
});
