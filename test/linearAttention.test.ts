import { describe, expect, it } from 'vitest';
import {
  favorFeatures,
  type LinearAttentionOptions,
  linearAttention,
  linearAttentionState,
  type Runtime,
  retentionDecay,
  scaledDotProductAttention,
  type Tensor,
} from 'wasm-attention';
import {
  type NdArray,
  type LinearAttentionOptions as ReferenceOptions,
  linearAttention as reference,
} from 'wasm-attention/reference';
import { expectAccurate, poisonedRuntime, random, testBuilds, upload } from './support.ts';

const DIMS = [1, 3, 40, 63, 64, 128];
/** Around the edges of a tile of 16 tokens, and of 64. */
const LENGTHS = [0, 1, 2, 15, 16, 17, 63, 64, 65, 200];
const RULES = ['linear', 'gated', 'delta', 'gatedDelta'] as const;
const MAPS = ['identity', 'elu', 'relu', 'cosformer'] as const;

type Sizes = {
  batch?: number;
  heads?: number;
  kvHeads?: number;
  queries?: number;
  keys: number;
  headDim: number;
  valueDim?: number;
};

/** Unit vectors along the last axis, as delta rules need keys. */
function normalised(array: ReturnType<typeof random>) {
  const dim = array.shape.at(-1)!;
  for (let at = 0; at < array.data.length; at += dim) {
    const row = array.data.subarray(at, at + dim);
    const norm = Math.hypot(...row);
    row.forEach((x, d) => {
      row[d] = x / (norm || 1);
    });
  }
  return array;
}

/** Inputs of a call: keys of length 1 under delta rules, decays in [−0.4, 0), β in [0, 1). */
function inputs(
  sizes: Required<Sizes>,
  options: ReferenceOptions,
  gates: 'head' | 'token' | 'feature',
  features: number,
) {
  const { batch, heads, kvHeads, queries, keys, headDim, valueDim } = sizes;
  const shape = (h: number, n: number, ...rest: number[]) =>
    options.layout === 'bshd' ? [batch, n, h, ...rest] : [batch, h, n, ...rest];
  const { update = 'linear' } = options;
  const [query, plainKey, value] = [
    random(shape(heads, queries, headDim), 1),
    random(shape(kvHeads, keys, headDim), 2),
    random(shape(kvHeads, keys, valueDim), 3),
  ];
  const key = update.endsWith('elta') ? normalised(plainKey) : plainKey;
  const positive = (s: number[], seed: number) => {
    const array = random(s, seed, 0.5);
    return { ...array, data: array.data.map((x) => x + 0.5) };
  };
  const negated = (array: NdArray & { data: Float32Array }) => ({ ...array, data: array.data.map((x) => x * -0.4) });
  const decay =
    gates === 'head'
      ? retentionDecay(kvHeads)
      : negated(positive(gates === 'token' ? shape(kvHeads, keys) : shape(kvHeads, keys, features), 4));
  const beta = positive(shape(gates === 'head' ? 1 : kvHeads, keys), 5);
  // Above 2/‖φ(k)‖² the delta rule diverges.
  if ((options.featureMap ?? 'identity') !== 'identity') beta.data = beta.data.map((x) => x / (2 * features));
  const given: ReferenceOptions = { ...options };
  if (update.startsWith('gated')) given.decay = decay;
  if (update.endsWith('elta')) given.beta = beta;
  return { query, key, value, given };
}

/** Reference options as the kernel takes them. */
function uploaded(
  runtime: Runtime,
  { precision: _, decay, beta, state, ...rest }: ReferenceOptions,
): LinearAttentionOptions {
  const options: LinearAttentionOptions = { ...rest };
  if (decay) options.decay = 'shape' in decay ? upload(runtime, decay) : decay;
  if (beta) options.beta = upload(runtime, beta);
  if (state) options.state = upload(runtime, state);
  return options;
}

const featuresOf = (map: ReferenceOptions['featureMap'], headDim: number) =>
  typeof map === 'object' && 'features' in map ? map.features : map === 'cosformer' ? 2 * headDim : headDim;

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

  it('is one call over all tokens, two over their halves, or one a token', () => {
    const length = 37;
    const maps = [...MAPS, favorFeatures({ headDim: 12, features: 30 })];
    for (const update of RULES) {
      for (const featureMap of update === 'linear' ? maps : MAPS) {
        for (const gates of ['token', 'feature'] as const) {
          const sizes = { batch: 2, heads: 4, kvHeads: 2, queries: length, keys: length, headDim: 12, valueDim: 7 };
          const options: ReferenceOptions = { update, causal: true, layout: 'bshd', featureMap };
          const { query, key, value, given } = inputs(sizes, options, gates, featuresOf(featureMap, 12));
          const cosformer = (offset: number) =>
            featureMap === 'cosformer' ? ({ type: 'cosformer', maxLength: length, offset } as const) : featureMap;
          const part = (array: NdArray, start: number, count: number): NdArray => {
            const [batch, tokens, ...rest] = array.shape;
            const size = rest.reduce((a, b) => a * b, 1);
            const rows = Array.from({ length: batch }, (_, b) =>
              Array.from(array.data).slice((b * tokens + start) * size, (b * tokens + start + count) * size),
            );
            return { shape: [batch, count, ...rest], data: rows.flat() };
          };
          const truth = reference(query, key, value, given);
          const float32 = reference(query, key, value, { ...given, precision: 'float32' });
          for (const size of [1, 20, length]) {
            runtime.scope(() => {
              const output = new Float32Array(truth.output.data.length);
              let state: Tensor | undefined;
              for (let start = 0; start < length; start += size) {
                const count = Math.min(size, length - start);
                const cut = (array: NdArray) => part(array, start, count);
                const [q, k, v] = [query, key, value].map((array) => upload(runtime, cut(array)));
                const now: ReferenceOptions = { ...given, featureMap: cosformer(start) };
                if (given.decay) now.decay = cut(given.decay as NdArray);
                if (given.beta) now.beta = cut(given.beta);
                const before = state?.toArray();
                const result = linearAttentionState(q, k, v, { ...uploaded(runtime, now), state });
                if (state) expect(state.data).toEqual(before);
                state = result.state;
                const row = 4 * 7;
                for (let b = 0; b < 2; b++) {
                  const rows = result.output.data.subarray(b * count * row, (b + 1) * count * row);
                  output.set(rows, (b * length + start) * row);
                }
              }
              expectAccurate(output, truth.output.data, float32.output.data, `output in parts of ${size}`);
            });
          }
        }
      }
    }
  });

  it('does not depend on the order of keys where it is not causal', () => {
    const [query, key, value] = [1, 2, 3].map((seed) => random([1, 2, 40, 12], seed));
    const reversed = (array: NdArray & { data: Float32Array }) => {
      const data = array.data.slice();
      for (let h = 0; h < 2; h++) {
        for (let t = 0; t < 40; t++) {
          data.set(array.data.subarray((h * 40 + t) * 12, (h * 40 + t + 1) * 12), (h * 40 + 39 - t) * 12);
        }
      }
      return { ...array, data };
    };
    for (const featureMap of ['identity', 'elu', 'relu', favorFeatures({ headDim: 12 })] as const) {
      runtime.scope(() => {
        const call = (k: NdArray, v: NdArray) =>
          linearAttention(upload(runtime, query), upload(runtime, k), upload(runtime, v), { featureMap });
        const forth = call(key, value).data;
        const back = call(reversed(key), reversed(value)).data;
        forth.forEach((x, i) => {
          expect(Math.abs(x - back[i])).toBeLessThanOrEqual(1e-4);
        });
      });
    }
  });

  it('FAVOR+ comes nearer to softmax attention with more features', () => {
    const [query, key, value] = [1, 2, 3].map((seed) => random([1, 8, 100, 16], seed, 0.75));
    const errors = [16, 256, 4096].map((features) =>
      runtime.scope(() => {
        const [q, k, v] = [query, key, value].map((array) => upload(runtime, array));
        const featureMap = favorFeatures({ headDim: 16, features, seed: 3 });
        return [false, true].map((causal) => {
          const exact = scaledDotProductAttention(q, k, v, { causal }).data;
          const near = linearAttention(q, k, v, { featureMap, causal }).data;
          const squares = near.reduce((sum, x, i) => sum + (x - exact[i]) ** 2, 0);
          return Math.sqrt(squares / exact.reduce((sum, x) => sum + x ** 2, 0));
        });
      }),
    );
    for (const mode of [0, 1]) {
      const [few, more, many] = errors.map((error) => error[mode]);
      // Like 1/√features, 16 times more make it 4 times smaller.
      expect(more).toBeLessThan(few / 2.5);
      expect(many).toBeLessThan(more / 2.5);
      expect(many).toBeLessThan(0.05);
    }
  });

  it('FAVOR+ holds with keys far apart, in any order', () => {
    const favor = favorFeatures({ headDim: 8, features: 40 });
    for (const direction of [1, -1]) {
      const key = random([1, 1, 60, 8], 2, 1);
      key.data.forEach((x, i) => {
        const t = Math.floor(i / 8);
        key.data[i] = x * (direction > 0 ? t : 60 - t) * 0.5;
      });
      const [query, value] = [random([1, 1, 60, 8], 1, 4), random([1, 1, 60, 8], 3)];
      for (const causal of [true, false]) {
        const truth = reference(query, key, value, { featureMap: favor, causal });
        const float32 = reference(query, key, value, { featureMap: favor, causal, precision: 'float32' });
        expect(float32.output.data.every(Number.isFinite)).toBe(true);
        runtime.scope(() => {
          const [q, k, v] = [query, key, value].map((array) => upload(runtime, array));
          const { data } = linearAttention(q, k, v, { featureMap: favor, causal });
          expectAccurate(data, truth.output.data, float32.output.data);
        });
      }
    }
  });

  it('does not read keys and values past their length, even if they are NaN', () => {
    const shapes = [1, 2, 3].map((seed) => random([1, 2, 30, 6], seed));
    for (const update of RULES) {
      const options: LinearAttentionOptions = { update, keyLengths: [11] };
      if (update.startsWith('gated')) options.decay = [-0.1, -0.2];
      runtime.scope(() => {
        if (update.endsWith('elta')) options.beta = upload(runtime, { shape: [1, 2, 30], data: Array(60).fill(0.5) });
        const call = (poison: number) => {
          const [q, k, v] = shapes.map((array, i) => {
            const data = array.data.map((x, at) => (i > 0 && Math.floor(at / 6) % 30 >= 11 ? poison : x));
            return upload(runtime, { ...array, data });
          });
          return linearAttention(q, k, v, options).data;
        };
        expect(call(Number.NaN)).toEqual(call(0));
      });
    }
  });

  it('writes into the output that it is given', () => {
    runtime.scope(() => {
      const [q, k, v] = [1, 2, 3].map((seed) => upload(runtime, random([1, 2, 20, 6], seed)));
      const output = runtime.empty([1, 2, 20, 6]);
      expect(linearAttention(q, k, v, { output })).toBe(output);
      expect(linearAttentionState(q, k, v, { output }).output).toBe(output);
      expect(output.data).toEqual(linearAttention(q, k, v).data);
    });
  });
});
