import { describe, expect, it } from 'vitest';
import { type LatentAttentionOptions, MultiHeadLatentAttention } from 'wasm-attention';
import { latentAttention, type Precision } from 'wasm-attention/reference';
import { checkLayer, randomState } from './layerSupport.ts';
import { expectAccurate, poisonedRuntime, random, testBuilds, upload } from './support.ts';

const small = { hiddenDim: 24, heads: 3, queryRank: 20, latentDim: 16, nopeDim: 8, ropeDim: 4, valueDim: 10 };

describe.each(testBuilds)('%s', (build) => {
  const runtime = poisonedRuntime(build);

  function check(
    options: LatentAttentionOptions,
    [batch, length]: number[],
    given: { causal?: boolean; keyLengths?: number[] } = {},
    scale = options.scale,
  ): void {
    const layer = new MultiHeadLatentAttention(runtime, options);
    const state = randomState(layer, 1);
    const x = random([batch, length, options.hiddenDim], 9);
    checkLayer(
      layer,
      state,
      () => layer.forward(upload(runtime, x), given),
      (precision) => latentAttention(x, state, { ...options, ...options.rope, ...given, scale, precision }),
    );
  }

  it('latent attention of many sizes', () => {
    check(small, [2, 33]);
    check({ ...small, queryRank: undefined }, [2, 33]);
    check({ ...small, heads: 1, ropeDim: 2, nopeDim: 1, valueDim: 1, latentDim: 3 }, [4, 40]);
    check({ ...small, bias: true }, [3, 20], { causal: false });
    check(small, [3, 20], { keyLengths: [20, 7, 0] });
    check(small, [1, 0]);
    check(small, [0, 5]);
    check(small, [20, 1]);
    check({ hiddenDim: 64, heads: 2, latentDim: 512, nopeDim: 128, ropeDim: 64, valueDim: 128 }, [1, 70]);
  });

  it('with the scale that goes with YaRN', () => {
    const scaling = { type: 'yarn', factor: 40, originalMaxPosition: 16, mscale: 1, mscaleAllDim: 1 } as const;
    const mscale = 0.1 * Math.log(40) + 1;
    check({ ...small, rope: { scaling } }, [2, 33], {}, mscale ** 2 / Math.sqrt(12));
    check({ ...small, rope: { scaling, style: 'half', base: 500 }, scale: 0.3 }, [2, 33]);
  });

  it('decodes from cached latents, batches of different lengths too', () => {
    const layer = new MultiHeadLatentAttention(runtime, small);
    const state = randomState(layer, 1);
    layer.load(state);
    const [batch, length, dim] = [2, 12, small.latentDim + small.ropeDim];
    const x = random([batch, length, small.hiddenDim], 9);
    const reference = (precision: Precision) => latentAttention(x, state, { ...small, precision });
    const [truth, float32] = [reference('float64'), reference('float32')];
    const lengths = [12, 9];
    const last = (data: ArrayLike<number>) =>
      lengths.flatMap((n, b) =>
        Array.from({ length: 2 * small.hiddenDim }, (_, at) => data[(b * length + n - 2) * small.hiddenDim + at]),
      );
    runtime.scope(() => {
      const all = layer.latents(upload(runtime, x));
      expect(all.shape).toEqual([batch, length, dim]);
      all.data.fill(Number.NaN, (length + lengths[1]) * dim);
      const queries = runtime.tensor([batch, 2, small.hiddenDim], last(x.data));
      const offset = lengths.map((n) => n - 2);
      const own = layer.latents(queries, { offset });
      for (const [b, n] of lengths.entries()) {
        const from = (b * length + n - 2) * dim;
        expect(own.data.slice(b * 2 * dim, (b + 1) * 2 * dim)).toEqual(all.data.slice(from, from + 2 * dim));
      }
      const output = layer.attend(queries, all, { keyLengths: lengths });
      expectAccurate(output.data, last(truth.data), last(float32.data));
      expect(layer.attend(queries, all, { keyLengths: lengths, offset }).data).toEqual(output.data);
    });
    layer.dispose();
    expect(runtime.memory.usedBytes).toBe(0);
  });

  it('with a cache gives the tokens of a text, in any pieces, what the whole text gives them', () => {
    for (const options of [small, { ...small, queryRank: undefined, heads: 20, latentDim: 9 }]) {
      const layer = new MultiHeadLatentAttention(runtime, options);
      const state = randomState(layer, 1);
      layer.load(state);
      const used = runtime.memory.usedBytes;
      const [batch, length, dim] = [2, 23, options.hiddenDim];
      const x = random([batch, length, dim], 9);
      const reference = (precision: Precision) => latentAttention(x, state, { ...options, precision });
      const [truth, float32] = [reference('float64'), reference('float32')];
      /** Tokens `first` … of each sequence, `counts` of them, padded with NaN to the most. */
      const piece = (data: ArrayLike<number>, first: number[], counts: number[]) => {
        const most = Math.max(...counts);
        return counts.flatMap((count, b) =>
          Array.from({ length: most * dim }, (_, at) =>
            at < count * dim ? data[(b * length + first[b]) * dim + at] : Number.NaN,
          ),
        );
      };
      for (const made of [{ maxLength: length }, { maxLength: length, pageSize: 4 }, { window: length, sinks: 1 }]) {
        const cache = layer.cache({ batch, ...made });
        for (const counts of [
          [9, 5],
          [1, 1],
          [0, 3],
          [3, 3],
          [10, 11],
        ]) {
          const first = cache.positions;
          runtime.scope(() => {
            const input = runtime.tensor([batch, Math.max(...counts), dim], piece(x.data, first, counts));
            const ragged = counts[0] !== counts[1];
            const output = layer.forward(input, { cache, keyLengths: ragged ? counts : undefined });
            const real = (data: ArrayLike<number>) =>
              counts.flatMap((count, b) =>
                [...Array(count * dim).keys()].map((at) => data[(b * length + first[b]) * dim + at]),
              );
            const ours = counts.flatMap((count, b) => [...output.slice(b, 1).data.subarray(0, count * dim)]);
            expectAccurate(ours, real(truth.data), real(float32.data));
          });
        }
        expect(cache.lengths).toEqual([length, length]);
        cache.dispose();
        expect(runtime.memory.usedBytes).toBe(used);
      }
      layer.dispose();
    }
  });

  it('a cache takes the bytes of its latents once, and a ring sees its last ones', () => {
    const layer = new MultiHeadLatentAttention(runtime, small);
    const state = randomState(layer, 1);
    layer.load(state);
    const [length, window] = [15, 6];
    const before = runtime.memory.usedBytes;
    const whole = layer.cache({ maxLength: 320 });
    const bytes = 320 * (small.latentDim + small.ropeDim) * 4;
    expect(runtime.memory.usedBytes - before - bytes).toBeLessThanOrEqual(64);
    const ring = layer.cache({ window });
    const x = random([1, length, small.hiddenDim], 9);
    const last = (array: ArrayLike<number>, n: number) => Array.from(array).slice(-n * small.hiddenDim);
    runtime.scope(() => {
      for (let i = 0; i < length; i++) {
        const token = upload(runtime, x).view([length, 1, small.hiddenDim]).slice(i, 1);
        const output = layer.forward(token, { cache: ring }).data;
        // Positions are relative: the last tokens alone, from position 0 on, give the same.
        const seen = { shape: [1, Math.min(window, i + 1), small.hiddenDim], data: new Float32Array(0) };
        seen.data = Float32Array.from(last(x.data.subarray(0, (i + 1) * small.hiddenDim), seen.shape[1]));
        const reference = (precision: Precision) =>
          last(latentAttention(seen, state, { ...small, offset: i + 1 - seen.shape[1], precision }).data, 1);
        expectAccurate(output, reference('float64'), reference('float32'), `token ${i}`);
      }
    });
    for (const part of [whole, ring, layer]) part.dispose();
  });

  it.each(['float16', 'int8'] as const)('%s latents are near the float32 ones, and not the same', (dtype) => {
    const layer = new MultiHeadLatentAttention(runtime, small);
    layer.load(randomState(layer, 1));
    const x = random([1, 40, small.hiddenDim], 9);
    runtime.scope(() => {
      const [exact, stored] = [{}, { dtype }].map((options) => {
        const cache = layer.cache({ maxLength: 40, ...options });
        const output = layer.forward(upload(runtime, x), { cache }).toArray();
        cache.dispose();
        return output;
      });
      const error = Math.sqrt(exact.reduce((sum, y, at) => sum + (y - stored[at]) ** 2, 0) / exact.length);
      const size = Math.sqrt(exact.reduce((sum, y) => sum + y ** 2, 0) / exact.length);
      expect(error / size).toBeLessThanOrEqual(dtype === 'int8' ? 2e-2 : 1e-3);
      expect(error).toBeGreaterThan(0);
    });
    layer.dispose();
  });

  it('has the names of DeepSeek', () => {
    const options = {
      hiddenDim: 7168,
      heads: 128,
      queryRank: 1536,
      latentDim: 512,
      nopeDim: 128,
      ropeDim: 64,
      valueDim: 128,
    };
    expect(new MultiHeadLatentAttention(runtime, options).shapes).toEqual({
      'q_a_proj.weight': [1536, 7168],
      'q_a_layernorm.weight': [1536],
      'q_b_proj.weight': [24576, 1536],
      'kv_a_proj_with_mqa.weight': [576, 7168],
      'kv_a_layernorm.weight': [512],
      'kv_b_proj.weight': [32768, 512],
      'o_proj.weight': [7168, 16384],
    });
  });
});
