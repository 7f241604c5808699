import { describe, expect, it } from 'vitest';
import {
  GatedAttention,
  type GatedAttentionOptions,
  layerNorm,
  MSAColumnAttention,
  MSAColumnGlobalAttention,
  MSARowAttentionWithPairBias,
  rmsNorm,
  TriangleAttention,
} from 'wasm-attention';
import {
  gatedAttention,
  msaColumnAttention,
  msaColumnGlobalAttention,
  msaRowAttentionWithPairBias,
  type NdArray,
  layerNorm as referenceLayerNorm,
  rmsNorm as referenceRmsNorm,
  triangleAttention,
} from 'wasm-attention/reference';
import { checkLayer, randomMask, randomState, uploadMask } from './layerSupport.ts';
import { expectAccurate, poisonedRuntime, random, testBuilds, upload } from './support.ts';

describe.each(testBuilds)('%s', (build) => {
  const runtime = poisonedRuntime(build);
  const masked = (mask: NdArray | undefined) => mask && uploadMask(runtime, mask);

  it('layer and RMS normalisation', () => {
    for (const dim of [1, 2, 3, 4, 5, 31, 64, 130]) {
      for (const offset of [0, 30]) {
        const shape = [Math.ceil(600 / dim), dim];
        const input = { shape, data: random(shape, dim).data.map((x) => x + offset) };
        const [weight, bias] = [random([dim], 2), random([dim], 3)];
        runtime.scope(() => {
          const [x, w, b] = [input, weight, bias].map((array) => upload(runtime, array));
          const float32 = { precision: 'float32' } as const;
          expectAccurate(
            layerNorm(x, w, b).data,
            referenceLayerNorm(input, weight, bias).data,
            referenceLayerNorm(input, weight, bias, float32).data,
          );
          expectAccurate(
            layerNorm(x, w, undefined, 0.1).data,
            referenceLayerNorm(input, weight, undefined, { epsilon: 0.1 }).data,
            referenceLayerNorm(input, weight, undefined, { epsilon: 0.1, ...float32 }).data,
          );
          expectAccurate(
            rmsNorm(x, w).data,
            referenceRmsNorm(input, weight).data,
            referenceRmsNorm(input, weight, float32).data,
          );
        });
      }
    }
    expect(runtime.scope(() => layerNorm(runtime.empty([0, 4]), runtime.zeros([4])).size)).toBe(0);
  });

  function checkGated(
    options: GatedAttentionOptions,
    [batch, queries, keys]: number[],
    { mask, bias }: { mask?: NdArray; bias?: NdArray } = {},
  ): void {
    const layer = new GatedAttention(runtime, options);
    const state = randomState(layer, 1);
    const [x, y] = [random([batch, queries, layer.queryDim], 50), random([batch, keys, layer.keyDim], 51)];
    checkLayer(
      layer,
      state,
      () =>
        layer.forward(upload(runtime, x), upload(runtime, y), {
          mask: masked(mask),
          bias: bias && upload(runtime, bias),
        }),
      (precision) => gatedAttention(x, y, state, { heads: layer.heads, mask, bias, precision }),
    );
  }

  it('gated attention of many sizes', () => {
    for (const [queryDim, heads, headDim] of [
      [1, 1, 1],
      [6, 2, 3],
      [15, 5, 7],
      [32, 1, 64],
      [40, 4, 10],
    ])
      checkGated({ queryDim, heads, headDim }, [9, 11, 19]);
    for (const sizes of [
      [1, 1, 1],
      [2, 0, 5],
      [0, 3, 5],
      [3, 65, 1],
      [2, 70, 129],
    ])
      checkGated({ queryDim: 24, keyDim: 13, heads: 3, headDim: 8 }, sizes);
    checkGated({ queryDim: 24, heads: 3, headDim: 8, gating: false, queryBias: true }, [4, 30, 20]);
  });

  it('gated attention with pair bias and mask', () => {
    const [batch, heads, queries, keys] = [5, 3, 20, 33];
    for (const shape of [
      [heads, queries, keys],
      [batch, heads, queries, keys],
      [batch, 1, 1, keys],
    ]) {
      const mask = randomMask([batch, keys], 7);
      mask.data.fill(0, keys, 2 * keys);
      for (const given of [{ bias: random(shape, 8) }, { bias: random(shape, 8), mask }, { mask }])
        checkGated({ queryDim: 24, heads, headDim: 8 }, [batch, queries, keys], given);
    }
  });

  const sizes = { msaDim: 20, heads: 4, headDim: 6 };
  const msaCases = [
    [7, 13],
    [1, 30],
    [40, 1],
    [70, 9],
    [0, 3],
  ];

  it('MSA row attention with pair bias', () => {
    for (const [sequences, residues] of msaCases) {
      for (const mask of [undefined, randomMask([sequences, residues], 3)]) {
        const layer = new MSARowAttentionWithPairBias(runtime, { ...sizes, pairDim: 11 });
        const state = randomState(layer, 1);
        const [msa, pair] = [random([sequences, residues, 20], 2), random([residues, residues, 11], 4)];
        checkLayer(
          layer,
          state,
          () => layer.forward(upload(runtime, msa), upload(runtime, pair), masked(mask)),
          (precision) => msaRowAttentionWithPairBias(msa, pair, state, { heads: 4, mask, precision }),
        );
      }
    }
  });

  it.each([
    ['MSA column attention', MSAColumnAttention, msaColumnAttention],
    ['global MSA column attention', MSAColumnGlobalAttention, msaColumnGlobalAttention],
  ] as const)('%s', (_name, Column, reference) => {
    for (const [sequences, residues] of msaCases) {
      const mask = randomMask([sequences, residues], 3);
      for (let s = 0; s < sequences; s++) mask.data[s * residues] = 0;
      for (const given of [undefined, mask]) {
        const layer = new Column(runtime, sizes);
        const state = randomState(layer, 1);
        const msa = random([sequences, residues, 20], 2);
        checkLayer(
          layer,
          state,
          () => layer.forward(upload(runtime, msa), masked(given)),
          (precision) => reference(msa, state, { heads: 4, mask: given, precision }),
        );
      }
    }
  });

  it.each([
    ['starting', undefined],
    ['ending', undefined],
    ['ending', 'ik'],
  ] as const)('triangle attention around the %s node, bias %s', (node, endingBias) => {
    for (const residues of [0, 1, 9, 23, 66]) {
      const given = randomMask([residues, residues], 3);
      for (const mask of residues > 64 ? [given] : [undefined, given]) {
        const layer = new TriangleAttention(runtime, { pairDim: 6, heads: 2, headDim: 3, node, endingBias });
        const state = randomState(layer, 1);
        const pair = random([residues, residues, 6], 2);
        checkLayer(
          layer,
          state,
          () => layer.forward(upload(runtime, pair), masked(mask)),
          (precision) => triangleAttention(pair, state, { heads: 2, node, endingBias, mask, precision }),
        );
      }
    }
  });

  it('does not let masked rows through', () => {
    const layer = new MSAColumnGlobalAttention(runtime, sizes);
    layer.load(randomState(layer, 1));
    runtime.scope(() => {
      const msa = runtime.tensor([5, 3, 20], random([5, 3, 20], 2).data);
      const mask = runtime.tensor([5, 3], [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1], 'boolean');
      const clean = layer.forward(msa, mask).toArray();
      msa.data.fill(Number.NaN, 3 * 3 * 20, 4 * 3 * 20);
      const poisoned = layer.forward(msa, mask).data;
      // Where it meets a NaN, attention is computed again in another order.
      for (const s of [0, 1, 2, 4]) {
        for (let at = s * 60; at < (s + 1) * 60; at++) expect(poisoned[at]).toBeCloseTo(clean[at], 5);
      }
    });
    layer.dispose();
  });

  it('has the names of OpenFold and loads from a part of a state dict', () => {
    const layer = new MSARowAttentionWithPairBias(runtime, { ...sizes, pairDim: 11 });
    expect(layer.shapes).toEqual({
      'layer_norm_m.weight': [20],
      'layer_norm_m.bias': [20],
      'layer_norm_z.weight': [11],
      'layer_norm_z.bias': [11],
      'linear_z.weight': [4, 11],
      'mha.linear_q.weight': [24, 20],
      'mha.linear_k.weight': [24, 20],
      'mha.linear_v.weight': [24, 20],
      'mha.linear_g.weight': [24, 20],
      'mha.linear_g.bias': [24],
      'mha.linear_o.weight': [20, 24],
      'mha.linear_o.bias': [20],
    });
    expect(
      Object.keys(new TriangleAttention(runtime, { pairDim: 1, heads: 1, headDim: 1, node: 'ending' }).shapes),
    ).toEqual(['layer_norm.weight', 'layer_norm.bias', 'linear.weight', ...Object.keys(layer.shapes).slice(5)]);
    const prefix = 'evoformer.blocks.0.msa_att_row.';
    layer.load({ ...randomState(layer, 1, prefix), 'evoformer.blocks.1.x': [1] }, { prefix });
    layer.load({ ...randomState(layer, 1, prefix), [`${prefix}mha.extra`]: [1] }, { prefix, strict: false });
    layer.dispose();
  });
});
