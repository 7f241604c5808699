import { describe, expect, it } from 'vitest';
import { createRuntimeSync } from 'wasm-attention';
import { decode } from '../src/decode.ts';

const sizes = { layers: 2, dim: 48, heads: 6, kvHeads: 2, headDim: 8, ffn: 64, vocabulary: 50 };

describe.each(['simd', 'relaxed'] as const)('%s', (build) => {
  const { texts, errors, common } = decode(createRuntimeSync({ build }), {
    ...sizes,
    length: 60,
    window: 20,
    sinks: 4,
  });

  it('writes what a recomputation of the whole text says', () => {
    expect(texts.float32.tokens.length).toBe(60);
    expect(new Set(texts.float32.tokens).size).toBeGreaterThan(5);
    expect(errors.float32).toBeLessThanOrEqual(1e-5);
    expect(errors.window).toBeLessThanOrEqual(1e-5);
    expect(errors.sinks).toBeLessThanOrEqual(1e-5);
  });

  it('int8 is near, and not the same', () => {
    expect(errors.int8).toBeGreaterThan(1e-4);
    expect(errors.int8).toBeLessThanOrEqual(0.2);
    expect(texts.int8.cacheBytes).toBeLessThan(texts.float32.cacheBytes);
  });

  it('a ring keeps its size; with sinks it is the whole cache until it turns', () => {
    expect([texts.window.cached, texts.sinks.cached, texts.float32.cached]).toEqual([20, 24, 60]);
    expect(common).toBeGreaterThanOrEqual(24);
    expect(texts.sinks.logits[30]).not.toEqual(texts.float32.logits[30]);
  });
});
