import { describe, expect, it } from 'vitest';
import {
  type AttentionOptions,
  attentionState,
  attentionWeights,
  masks,
  mergeStates,
  scaledDotProductAttention,
} from 'wasm-attention';
import { attention, type AttentionOptions as ReferenceOptions } from 'wasm-attention/reference';
import { expectAccurate, poisonedRuntime, random, testBuilds, upload } from './support.ts';

const DIMS = [1, 3, 40, 59, 63, 64, 80, 96, 111, 128, 256];
/** Around the edges of a group of 8 queries, a block of 64 and a tile of 128 keys. */
const LENGTHS = [0, 1, 2, 7, 8, 9, 63, 64, 65, 127, 128, 129, 255, 256, 257];

type Case = {
  batch?: number;
  heads?: number;
  kvHeads?: number;
  queries: number;
  keys: number;
  headDim: number;
  valueDim?: number;
  range?: number;
};

describe.each(testBuilds)('%s', (build) => {
  const runtime = poisonedRuntime(build);

  function check(sizes: Case, options: ReferenceOptions = {}, seed = 1): void {
    const { heads = 1, kvHeads = heads, queries, keys, headDim, valueDim = headDim, range = 2 } = sizes;
    // The largest of a few errors is luck: small cases are repeated.
    const { batch = Math.min(64, Math.ceil(3000 / (heads * queries * keys + 1))) } = sizes;
    const shape = (h: number, n: number, d: number) =>
      options.layout === 'bshd' ? [batch, n, h, d] : [batch, h, n, d];
    const query = random(shape(heads, queries, headDim), seed, range);
    const key = random(shape(kvHeads, keys, headDim), seed + 1, range);
    const value = random(shape(kvHeads, keys, valueDim), seed + 2);
    const truth = attention(query, key, value, options);
    const float32 = attention(query, key, value, { ...options, precision: 'float32' });
    runtime.scope(() => {
      const { precision: _precision, bias, mask, ...plain } = options;
      const given: AttentionOptions = { ...plain };
      if (bias) given.bias = upload(runtime, bias);
      if (typeof mask === 'function') given.mask = masks.fromPredicate(mask);
      const [q, k, v] = [query, key, value].map((array) => upload(runtime, array));
      const results = {
        ...attentionState(q, k, v, given),
        masked: attentionWeights(q, k, { ...given, stage: 'masked' }),
        weights: attentionWeights(q, k, given),
      };
      for (const name of ['output', 'lse', 'masked', 'weights'] as const) {
        expectAccurate(results[name].data, truth[name].data, float32[name].data, name);
      }
    });
  }

  it.each(DIMS)('headDim %i', (headDim) => {
    for (const keys of [1, 65, 130]) check({ heads: 2, queries: 13, keys, headDim });
  });

  it.each(DIMS)('valueDim %i beside headDim 20', (valueDim) => check({ queries: 9, keys: 140, headDim: 20, valueDim }));

  it('headDim 512 and beyond', () => {
    check({ queries: 9, keys: 130, headDim: 512 });
    check({ queries: 9, keys: 20, headDim: 513, valueDim: 1024 });
  });

  it('lengths around every edge', () => {
    for (const keys of LENGTHS) for (const queries of [1, 9, 65]) check({ queries, keys, headDim: 5 });
    for (const queries of LENGTHS) check({ queries, keys: 17, headDim: 5 });
  });

  it('causal, both alignments and offsets', () => {
    for (const keys of LENGTHS) {
      check({ queries: 65, keys, headDim: 8 }, { causal: true });
      check({ queries: 65, keys, headDim: 8 }, { causal: true, causalAlignment: 'top-left' });
    }
    check({ batch: 2, queries: 70, keys: 150, headDim: 8 }, { causal: true, queryOffset: [-3, 90] });
  });

  it('window, key lengths, grouped heads, both layouts', () => {
    for (const layout of ['bhsd', 'bshd'] as const) {
      const sizes = { batch: 2, heads: 6, kvHeads: 2, queries: 70, keys: 200, headDim: 12, valueDim: 7 };
      check(sizes, { layout, window: [30, 5] });
      check(sizes, { layout, window: [Number.POSITIVE_INFINITY, 0], keyLengths: [0, 133] });
      check({ ...sizes, kvHeads: 1 }, { layout, causal: true, window: [40, 0], keyLengths: [200, 90] });
    }
  });

  it('predicate, bias, softcap, ALiBi and sink', () => {
    const sizes = { batch: 2, heads: 2, queries: 70, keys: 150, headDim: 12 };
    check(sizes, { mask: (b, h, i, j) => (i * 7 + j * 3 + b + h) % 5 < 2 });
    for (const shape of [[150], [70, 150], [1, 2, 1, 150], [2, 1, 70, 1], [2, 2, 70, 150]]) {
      check(sizes, { bias: random(shape, 9), causal: true });
    }
    check(sizes, { softcap: 3, scale: 2 });
    check(sizes, { alibiSlopes: [0.5, 0.25], queryOffset: [80, 3] });
    check(sizes, { sink: [0.5, -2], keyLengths: [0, 150] });
    const everything = { bias: random([2, 2, 70, 150], 5), softcap: 10, alibiSlopes: [0.1, 0.2], sink: [1, 2] };
    check(sizes, { ...everything, causal: true, window: [60, 0], mask: (_b, _h, i, j) => (i + j) % 3 > 0 });
  });

  it('scores of ±1e4', () => check({ heads: 2, queries: 20, keys: 150, headDim: 64, range: 100 }, { scale: 0.25 }));

  it('does not let a masked NaN or Infinity through', () => {
    const [query, key, value] = [1, 2, 3].map((seed) => random([1, 1, 70, 16], seed));
    const options = { causal: true, causalAlignment: 'top-left' as const };
    const clean = attention(query, key, value, { ...options, keyLengths: [60] });
    for (const poison of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const [k, v] = [key, value].map((array) => ({ ...array, data: array.data.slice() }));
      k.data.fill(poison, 60 * 16);
      v.data.fill(poison, 60 * 16);
      runtime.scope(() => {
        const tensors = [query, k, v].map((array) => upload(runtime, array));
        const output = scaledDotProductAttention(tensors[0], tensors[1], tensors[2], { ...options, keyLengths: [60] });
        for (const [i, x] of output.data.entries()) expect(x).toBeCloseTo(clean.output.data[i], 5);
      });
    }
  });

  it('takes a state of lse −∞ as the identity, without reading its output', () => {
    runtime.scope(() => {
      const some = { output: upload(runtime, random([1, 1, 2, 3], 1)), lse: upload(runtime, random([1, 1, 2], 2)) };
      const none = { output: runtime.empty([1, 1, 2, 3]), lse: runtime.empty([1, 1, 2]) };
      none.output.data.fill(Number.NaN);
      none.lse.data.fill(Number.NEGATIVE_INFINITY);
      for (const states of [[none, some], [some, none], [some], [none, some, none]]) {
        const { output, lse } = mergeStates(states);
        expect([output.data, lse.data]).toEqual([some.output.data, some.lse.data]);
      }
      for (const states of [[none], [none, none]]) {
        const { output, lse } = mergeStates(states);
        expect([...output.data, ...lse.data]).toEqual([0, 0, 0, 0, 0, 0, -Infinity, -Infinity]);
      }
    });
  });

  it('reads only the first columns of the values, which may lie in the keys', () => {
    const [headDim, keys] = [41, 300];
    for (const layout of ['bhsd', 'bshd'] as const) {
      for (const queries of [1, 2, 5, 70]) {
        const shape = (h: number, n: number) => (layout === 'bhsd' ? [3, h, n, headDim] : [3, n, h, headDim]);
        const [query, key] = [random(shape(4, queries), 1), random(shape(2, keys), 2)];
        for (const valueDim of [1, 3, 16, 31, 40, 41]) {
          const value = {
            shape: [...key.shape.slice(0, 3), valueDim],
            data: key.data.filter((_, at) => at % headDim < valueDim),
          };
          const given = { layout, causal: true, window: [250, 0] as const };
          const truth = attention(query, key, value, given);
          const float32 = attention(query, key, value, { ...given, precision: 'float32' });
          runtime.scope(() => {
            const [q, k, v] = [query, key, key].map((array) => upload(runtime, array));
            // What is not read may be anything.
            v.data.forEach((_, at, data) => {
              if (at % headDim >= valueDim) data[at] = Number.NaN;
            });
            const shared = attentionState(q, k, k, { ...given, valueDim });
            const { output } = attentionState(q, k, v, { ...given, valueDim });
            expect(shared.output.shape).toEqual(truth.output.shape);
            expectAccurate(shared.output.data, truth.output.data, float32.output.data);
            expectAccurate(shared.lse.data, truth.lse.data, float32.lse.data, 'lse');
            for (const [at, x] of output.data.entries()) expect(x).toBeCloseTo(shared.output.data[at], 5);
            const modified = attentionState(q, k, k, { ...given, valueDim, scoreMod: () => {} });
            expectAccurate(modified.output.data, truth.output.data, float32.output.data, 'modified');
          });
        }
      }
    }
  });

  it('merges states over parts of the keys', () => {
    for (const layout of ['bhsd', 'bshd'] as const) {
      const shape = (n: number) => (layout === 'bhsd' ? [2, 3, n, 8] : [2, n, 3, 8]);
      const [query, key, value] = [random(shape(11), 1), random(shape(50), 2), random(shape(50), 3)];
      const truth = attention(query, key, value, { layout });
      const float32 = attention(query, key, value, { layout, precision: 'float32' });
      runtime.scope(() => {
        const [q, k, v] = [query, key, value].map((array) => upload(runtime, array));
        const part = (start: number, end: number) =>
          attentionState(q, k, v, { layout, mask: masks.fromPredicate((_b, _h, _i, j) => j >= start && j < end) });
        const merged = mergeStates([part(0, 20), part(20, 20), part(20, 50)], { layout });
        expectAccurate(merged.output.data, truth.output.data, float32.output.data);
        expectAccurate(merged.lse.data, truth.lse.data, float32.lse.data);
      });
    }
  });
});
