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
