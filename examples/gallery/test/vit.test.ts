import { expect, it } from 'vitest';
import { createRuntimeSync } from 'wasm-attention';
import { alpineLandscape, toChannels } from '../src/image.ts';
import { classRollout, vit, vitSvg } from '../src/vit.ts';

const result = vit(createRuntimeSync({ build: 'simd' }), {
  imageSize: 48,
  patchSize: 16,
  dim: 48,
  heads: 4,
  ffn: 96,
  blocks: 3,
});

it('is the float64 block', () => {
  expect(result.tokens).toBe(10);
  expect(result.error).toBeLessThanOrEqual(5e-6);
});

it('the rollout is the first row of the product of the matrices', () => {
  const { attention, rollout, tokens } = result;
  const mixed = attention.map((A) => A.map((a, at) => (a + Number(at % (tokens + 1) === 0)) / 2));
  const product = mixed.reduce((below, A) =>
    A.map((_, at) => {
      const [i, j] = [Math.floor(at / tokens), at % tokens];
      return below.reduce((sum, _value, k) => (k < tokens ? sum + A[i * tokens + k] * below[k * tokens + j] : sum), 0);
    }),
  );
  rollout.forEach((weight, j) => void expect(weight).toBeCloseTo(product[j], 6));
  expect(rollout.reduce((sum, weight) => sum + weight)).toBeCloseTo(1, 5);
  expect(Array.from(classRollout([], 3))).toEqual([1, 0, 0]);
});

it('the photograph is a photograph: bright sky above, a range of tones', () => {
  const { data } = toChannels(alpineLandscape(8));
  const mean = (values: Float32Array) => values.reduce((sum, value) => sum + value) / values.length;
  expect(data.length).toBe(3 * 64);
  expect(mean(data.subarray(0, 16))).toBeGreaterThan(mean(data.subarray(48, 64)));
});

it('the map has a square a patch, clear where the weight is largest', () => {
  const svg = vitSvg(result);
  const opacities = [...svg.matchAll(/fill-opacity="([\d.]+)"/g)].map((match) => Number(match[1]));
  expect(opacities.length).toBe(9);
  const patches = result.rollout.subarray(1);
  expect(opacities.indexOf(0)).toBe(patches.indexOf(Math.max(...patches)));
  expect(svg).toContain('data:image/jpeg;base64,');
});
