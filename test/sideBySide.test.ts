import { describe, expect, it } from 'vitest';
import {
  CrossAttention,
  createRuntime,
  everyScore,
  KVCache,
  linear,
  masks,
  RotaryEmbedding,
  type Runtime,
  scaledDotProductAttention,
  sinusoidalEncoding,
} from 'wasm-attention';
import { attention } from 'wasm-attention/reference';
import { randomState } from './layerSupport.ts';
import { expectAccurate, random, upload } from './support.ts';

describe.each([1, 2])('two runtimes, of %i threads', (threads) => {
  const arrays = [1, 2, 3].map((seed) => random([2, 4, 70, 32], seed));
  const [query, key, value] = arrays;
  const mask = masks.longformer({ window: 9, globalTokens: [3] }).and(masks.causal());
  const options = { causal: true, softcap: 5 };
  const truth = attention(query, key, value, options).output.data;
  const float32 = attention(query, key, value, { ...options, precision: 'float32' }).output.data;
  const compute = (runtime: Runtime, given: object = options) =>
    runtime.scope(() => {
      const [q, k, v] = arrays.map((array) => upload(runtime, array));
      return scaledDotProductAttention(q, k, v, given).toArray();
    });

  it('compute beside each other, with masks in common, and one goes on when the other is gone', async () => {
    const [one, other] = await Promise.all([
      createRuntime({ build: 'simd', threads }),
      createRuntime({ build: 'relaxed', threads }),
    ]);
    const caches = [one, other].map(
      (runtime) => new KVCache(runtime, { batch: 2, kvHeads: 4, headDim: 32, maxLength: 140 }),
    );
    const [alone, ...masked] = [one, one, other].map((runtime) => compute(runtime, { mask }));
    expect(masked[0]).toEqual(alone);
    for (let turn = 0; turn < 2; turn++) {
      for (const [i, runtime] of [one, other].entries()) {
        expectAccurate(compute(runtime), truth, float32);
        runtime.scope(() => caches[i].append(upload(runtime, key), upload(runtime, value)));
      }
    }
    const before = other.memory.usedBytes;
    one.dispose();
    expectAccurate(compute(other), truth, float32);
    expect(compute(other, { mask })).toEqual(masked[1]);
    expect(caches.map(({ disposed }) => disposed)).toEqual([true, false]);
    expect(other.memory.usedBytes).toBe(before);
    caches[1].dispose();
    expect(other.memory.usedBytes).toBe(0);
    other.dispose();
  });

  it('everything that was made of a runtime says so when it is gone', async () => {
    const runtime = await createRuntime({ threads });
    const x = upload(runtime, random([1, 2, 5, 4], 1));
    const cache = new KVCache(runtime, { kvHeads: 2, headDim: 4, maxLength: 8 });
    const rotary = new RotaryEmbedding(runtime, { headDim: 4 });
    const layer = new CrossAttention(runtime, { queryDim: 4, heads: 1, headDim: 4 });
    layer.load(randomState(layer, 1));
    runtime.dispose();
    const uses = [
      () => cache.append(x, x),
      () => cache.truncate(0),
      () => cache.reset(),
      () => scaledDotProductAttention(x, x, x),
      () => scaledDotProductAttention(x, cache),
      () => rotary.apply(x),
      () => layer.forward(x.view([2, 5, 4])),
      () => layer.load(randomState(layer, 1)),
      () => linear(x, x),
      () => sinusoidalEncoding(runtime, { length: 1, dim: 1 }),
      () => new KVCache(runtime, { kvHeads: 2, headDim: 4, maxLength: 8 }),
      () => new RotaryEmbedding(runtime, { headDim: 4 }),
    ];
    for (const use of uses) expect(use).toThrow(/disposed/);
    // Freeing what is gone is no error.
    layer.dispose();
    for (const gone of [cache, layer, x, runtime]) gone[Symbol.dispose]();
  });

  it("memory that grows in the caller's functions is no harm, or an error where it takes their view away", async () => {
    const runtime = await createRuntime({ threads, memory: { initialBytes: 1 << 19 } });
    const grow = () => {
      const { capacityBytes } = runtime.memory;
      while (runtime.memory.capacityBytes === capacityBytes) runtime.zeros([1 << 18]);
    };
    const sees = (_b: number, _h: number, i: number, j: number) => (i + j) % 3 > 0;
    const [truth, float32] = (['float64', 'float32'] as const).map(
      (precision) => attention(query, key, value, { mask: sees, precision }).output.data,
    );
    const maskMod = (b: number, h: number, i: number, j: number) => {
      if (i === 7 && j === 9) grow();
      return sees(b, h, i, j);
    };
    const own = masks.fromPredicate(maskMod);
    for (const given of [{ maskMod }, { mask: own }]) expectAccurate(compute(runtime, given), truth, float32);
    let calls = 0;
    const scoreMod = everyScore((score) => {
      if (++calls === 1000) grow();
      return score + 1;
    });
    const used = runtime.memory.usedBytes;
    if (threads === 1) expect(() => compute(runtime, { maskMod: sees, scoreMod })).toThrow(/the memory grew within/);
    else expectAccurate(compute(runtime, { maskMod: sees, scoreMod }), truth, float32, 'output', 1e-6);
    expect(runtime.memory.usedBytes).toBe(used);
    runtime.dispose();
  });
});
