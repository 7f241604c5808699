import { describe, expect, it } from 'vitest';
import { createRuntimeSync, masks, scaledDotProductAttention } from 'wasm-attention';
import { difference, random } from '../src/common.ts';
import { longDocument, patterns, visibleKeys, words } from '../src/longDocument.ts';

it('the text is Moby-Dick', () => {
  expect(words(400).join(' ')).toContain('call me ishmael some years ago never mind how long precisely');
  expect(words(200_000).length).toBe(200_000);
});

describe.each(['longformer', 'bigbird'])('%s', (pattern) => {
  const [short, long] = [700, 1400];
  const { runs } = longDocument(createRuntimeSync({ build: 'simd' }), pattern, {
    lengths: [short, long],
    heads: 2,
    headDim: 16,
  });

  it('rows are attention over the keys that the definition names, and the first sees all', () => {
    for (const { error, globalError } of runs) {
      expect(error).toBeLessThanOrEqual(2e-6);
      expect(globalError).toBeLessThanOrEqual(1e-6);
    }
  });

  it('the plan counts the pairs of the definition, and computes a smaller share of a longer text', () => {
    for (const { length, plan } of runs) {
      let pairs = 0;
      for (let h = 0; h < 2; h++) for (let i = 0; i < length; i++) pairs += visibleKeys(pattern, length, h, i).length;
      expect(plan.pairs.visible).toBe(pairs);
    }
    expect(runs[1].plan.share).toBeLessThan(0.7 * runs[0].plan.share);
  });
});

it('on a text no longer than the window, Longformer is full attention', () => {
  const runtime = createRuntimeSync({ build: 'simd' });
  const x = runtime.tensor([1, 2, 65, 16], random([1, 2, 65, 16], 1).data);
  const [sparse, full] = [patterns.longformer, undefined].map((mask) => scaledDotProductAttention(x, x, x, { mask }));
  expect(difference(sparse.data, full.data)).toBeLessThanOrEqual(1e-6);
  const window = masks.slidingWindow(64, 64).plan({ queries: 65, keys: 65 });
  expect(window.pairs.visible).toBe(65 * 65);
});
