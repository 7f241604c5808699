import { describe, expect, it } from 'vitest';
import {
  favorFeatures,
  type LinearAttentionOptions,
  linearAttention,
  linearAttentionState,
  scaledDotProductAttention,
  type Tensor,
} from 'wasm-attention';
import {
  type NdArray,
  type LinearAttentionOptions as ReferenceOptions,
  linearAttention as reference,
} from 'wasm-attention/reference';
import { featuresOf, inputs, MAPS, RULES, uploaded } from './linearInputs.ts';
import { expectAccurate, poisonedRuntime, random, testBuilds, upload } from './support.ts';

describe.each(testBuilds)('%s', (build) => {
  const runtime = poisonedRuntime(build);

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

  it('forgets all at a decay of −200 or −∞', () => {
    runtime.scope(() => {
      const [q, k, v] = [1, 2, 3].map((seed) => upload(runtime, random([1, 1, 20, 6], seed)));
      const rest = [q, k, v].map((tensor) => upload(runtime, { shape: [1, 1, 8, 6], data: tensor.data.slice(12 * 6) }));
      const call = ([a, b, c]: Tensor[], g: number[]) =>
        linearAttention(a, b, c, {
          update: 'gated',
          decay: upload(runtime, { shape: [1, 1, g.length], data: g }),
        }).toArray();
      const fresh = call(rest, Array(8).fill(0));
      for (const end of [-200, -Infinity]) {
        const all = call(
          [q, k, v],
          Array.from({ length: 20 }, (_, t) => (t === 12 ? end : 0)),
        );
        expect(all.slice(12 * 6)).toEqual(fresh);
      }
    });
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
