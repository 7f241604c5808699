import { describe, expect, it } from 'vitest';
import { favorFeatures, linearAttention, linearAttentionState } from 'wasm-attention';
import {
  type LinearAttentionOptions as ReferenceOptions,
  linearAttention as reference,
} from 'wasm-attention/reference';
import { featuresOf, inputs, MAPS, RULES, type Sizes, uploaded } from './linearInputs.ts';
import { expectAccurate, poisonedRuntime, testBuilds, upload } from './support.ts';

const DIMS = [1, 3, 40, 63, 64, 128];
/** Around the edges of a tile of 16 tokens, and of 64. */
const LENGTHS = [0, 1, 2, 15, 16, 17, 63, 64, 65, 200];

describe.each(testBuilds)('%s', (build) => {
  const runtime = poisonedRuntime(build);

  function check(given: Sizes, options: ReferenceOptions = {}, gates: 'head' | 'token' | 'feature' = 'token'): void {
    const { heads = 2, kvHeads = heads, keys, queries = keys, headDim, valueDim = headDim } = given;
    // The largest of a few errors is luck: small cases are repeated.
    const { batch = Math.max(1, Math.min(200, Math.ceil(3000 / (heads * queries * valueDim + 1)))) } = given;
    const sizes = { batch, heads, kvHeads, queries, keys, headDim, valueDim };
    const features = featuresOf(options.featureMap, headDim);
    const { query, key, value, given: full } = inputs(sizes, options, gates, features);
    const truth = reference(query, key, value, full);
    const float32 = reference(query, key, value, { ...full, precision: 'float32' });
    runtime.scope(() => {
      const [q, k, v] = [query, key, value].map((array) => upload(runtime, array));
      const result = linearAttentionState(q, k, v, uploaded(runtime, full));
      expect(result.output.shape).toEqual(truth.output.shape);
      expect(result.state.shape).toEqual(truth.state.shape);
      expectAccurate(result.output.data, truth.output.data, float32.output.data, 'output');
      const isFavor = typeof options.featureMap === 'object' && 'projection' in options.featureMap;
      if (!isFavor) expectAccurate(result.state.data, truth.state.data, float32.state.data, 'state');
      expect(linearAttention(q, k, v, uploaded(runtime, full)).data).toEqual(result.output.data);
    });
  }

  it.each(DIMS)('headDim %i: every rule, every map, causal or not', (headDim) => {
    for (const featureMap of MAPS) {
      for (const causal of [true, false]) check({ keys: 35, headDim }, { featureMap, causal });
      for (const update of RULES.slice(1)) check({ keys: 35, headDim }, { update, featureMap });
    }
    const favor = favorFeatures({ headDim, features: 2 * headDim + 3, seed: 2 });
    for (const causal of [true, false]) check({ keys: 35, headDim }, { featureMap: favor, causal });
  });

  it.each(DIMS)('valueDim %i beside headDim 20', (valueDim) => {
    for (const update of RULES) check({ keys: 35, headDim: 20, valueDim }, { update });
    check({ keys: 35, headDim: 20, valueDim }, { featureMap: 'elu' });
    check({ keys: 35, headDim: 20, valueDim }, { featureMap: favorFeatures({ headDim: 20 }), causal: true });
  });

  it('lengths around every edge', () => {
    const favor = favorFeatures({ headDim: 5, features: 9 });
    for (const keys of LENGTHS) {
      for (const update of RULES) check({ keys, headDim: 5 }, { update });
      for (const featureMap of [...MAPS, favor]) check({ keys, headDim: 5 }, { featureMap, causal: true });
      for (const queries of [0, 1, 17]) {
        for (const featureMap of [...MAPS, favor]) check({ keys, queries, headDim: 5 }, { featureMap });
      }
    }
  });

  it('decays of a head, a token and a feature, with a divisor and without', () => {
    for (const gates of ['head', 'token', 'feature'] as const) {
      for (const [featureMap, normalize] of [
        ['identity', false],
        ['elu', true],
        ['elu', false],
        ['cosformer', true],
      ] as const) {
        check({ keys: 50, headDim: 12, valueDim: 7 }, { update: 'gated', featureMap, normalize }, gates);
      }
      check({ keys: 50, headDim: 12, valueDim: 7 }, { update: 'gatedDelta' }, gates);
    }
  });

  it('grouped heads, both layouts, key lengths, scale', () => {
    const favor = favorFeatures({ headDim: 12, features: 30 });
    for (const layout of ['bhsd', 'bshd'] as const) {
      for (const kvHeads of [1, 2, 6]) {
        const sizes = { batch: 3, heads: 6, kvHeads, keys: 37, headDim: 12, valueDim: 7 };
        for (const update of RULES) check(sizes, { layout, update, scale: 0.3, keyLengths: [0, 20, 37] });
        for (const featureMap of ['elu', favor] as const) {
          check(sizes, { layout, featureMap, keyLengths: [0, 20, 37] });
          check(sizes, { layout, featureMap, causal: true, keyLengths: [0, 20, 37] });
          check({ ...sizes, queries: 9 }, { layout, featureMap });
        }
      }
    }
  });
});
