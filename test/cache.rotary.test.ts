import { describe, expect, it } from 'vitest';
import { KVCache, RotaryEmbedding, scaledDotProductAttention, type Tensor } from 'wasm-attention';
import { dtypes, largest, Model } from './cacheModel.ts';
import { builds, poisonedRuntime, random, upload } from './support.ts';

const STYLES = ['half', 'interleaved'] as const;

describe.each(builds)('%s', (build) => {
  const runtime = poisonedRuntime(build);
  const tensor = (shape: number[], seed: number) => upload(runtime, random(shape, seed));

  it.each(dtypes)('%s: turning in append is RotaryEmbedding.apply before it, bit for bit', (dtype) => {
    for (const style of STYLES) {
      for (const [headDim, rotaryDim] of [
        [2, 2],
        [8, 0],
        [40, 6],
        [64, 64],
        [111, 110],
      ]) {
        const xpos = rotaryDim === 64 ? {} : undefined;
        const rotary = new RotaryEmbedding(runtime, { headDim, rotaryDim, style, xpos });
        const sizes = { batch: 2, kvHeads: 2, headDim, valueDim: 5, maxLength: 40, dtype, pageSize: 8 };
        const turned = new KVCache(runtime, { ...sizes, rotary });
        const plain = new KVCache(runtime, sizes);
        runtime.scope(() => {
          [
            [7, 7, 3],
            [1, 1, 1],
            [16, 2, 16],
          ].forEach(([tokens, ...lengths], seed) => {
            const [key, value] = [tensor([2, 2, tokens, headDim], seed), tensor([2, 2, tokens, 5], seed + 9)];
            turned.append(key, value, { lengths });
            const positions = plain.positions.flatMap((from) => [...Array(tokens).keys()].map((i) => from + i));
            plain.append(rotary.apply(key, { positions, role: 'key' }), value, { lengths });
          });
          const query = tensor([2, 4, 3, headDim], 7);
          const [a, b] = [turned, plain].map((cache) => scaledDotProductAttention(query, cache, { causal: true }));
          expect(a.data).toEqual(b.data);
        });
        turned.dispose();
        plain.dispose();
      }
    }
  });

  /** Attention over the kept tokens alone, their keys and the query turned by their places among them. */
  function withoutCache(rotary: RotaryEmbedding, query: Tensor, keys: Tensor, values: Tensor, kept: number[]): Tensor {
    const [, heads, , headDim] = keys.shape;
    const take = ({ data, shape }: Tensor) => {
      const [, , tokens, dim] = shape;
      const rows = [...Array(heads).keys()].flatMap((h) =>
        kept.flatMap((token) => [...data.subarray((h * tokens + token) * dim, (h * tokens + token + 1) * dim)]),
      );
      return runtime.tensor([1, heads, kept.length, dim], rows);
    };
    const turned = rotary.apply(query, { offset: kept.length - 1, output: runtime.empty([1, heads, 1, headDim]) });
    return scaledDotProductAttention(turned, rotary.apply(take(keys)), take(values));
  }

  it('a ring with sinks counts positions inside the cache', () => {
    for (const style of STYLES) {
      const rotary = new RotaryEmbedding(runtime, { headDim: 16, rotaryDim: 12, style });
      for (const [sinks, window] of [
        [4, 8],
        [2, 5],
        [0, 6],
        [1, 1],
      ]) {
        const cache = new KVCache(runtime, { kvHeads: 2, headDim: 16, window, sinks, rotary, pageSize: 3 });
        runtime.scope(() => {
          const [keys, values] = [tensor([1, 2, 40, 16], 1), tensor([1, 2, 40, 16], 2)];
          const one = (from: Tensor, token: number, count: number) => {
            const part = runtime.empty([1, 2, count, 16]);
            for (const h of [0, 1])
              part.data.set(from.data.subarray((h * 40 + token) * 16, (h * 40 + token + count) * 16), h * count * 16);
            return part;
          };
          let total = 0;
          const kept: number[] = [];
          const step = (count: number) => {
            cache.append(one(keys, total, count), one(values, total, count));
            for (let i = 0; i < count; i++) {
              kept.push(total++);
              if (kept.length > sinks + window) kept.splice(sinks, 1);
            }
            const query = tensor([1, 2, 1, 16], total);
            const expected = withoutCache(rotary, query, keys, values, kept).data;
            const turned = rotary.apply(query, { positions: cache.positions.map((position) => position - 1) });
            const { data } = scaledDotProductAttention(turned, cache);
            for (let i = 0; i < data.length; i++) expect(data[i]).toBeCloseTo(expected[i], 4);
          };
          for (let i = 0; i < 15; i++) step(1);
          step(7);
          step(1);
          // Speculative tokens go; what they have overwritten does not come back.
          const left = Math.max(sinks, cache.length - 3);
          cache.truncate(left);
          total -= kept.length - left;
          kept.length = left;
          for (let i = 0; i < 5; i++) step(1);
        });
        cache.dispose();
      }
    }
  });

  it.each(dtypes)('%s: sinks are stored as turned from the keys that came, however often they move', (dtype) => {
    const rotary = { rotaryDim: 16 };
    const model = new Model(runtime, { batch: 2, kvHeads: 1, headDim: 18, window: 5, sinks: 3, dtype, rotary });
    for (let i = 0; i < 40; i++) model.append(2, [2, i % 2]);
    model.expectSame();
    const query = model.query(1, 1);
    const truth = model.reference.attend(query).output.data;
    runtime.scope(() => {
      const { data } = scaledDotProductAttention(upload(runtime, query), model.cache);
      // A key turned in float32 is sometimes stored a step away from one turned in float64.
      const step = { float32: 2 ** -20, float16: 2 ** -11, int8: 2 ** -7 }[dtype] * largest(truth);
      for (let i = 0; i < data.length; i++) expect(Math.abs(data[i] - truth[i])).toBeLessThanOrEqual(step);
    });
    model.cache.dispose();
  });
});
