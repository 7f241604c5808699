import { describe, expect, it } from 'vitest';
import {
  CrossAttention,
  createRuntimeSync,
  DifferentialAttention,
  type Layer,
  MSAColumnAttention,
  MSAColumnGlobalAttention,
  MSARowAttentionWithPairBias,
  MultiHeadAttention,
  MultiHeadLatentAttention,
  PatchEmbedding,
  TriangleAttention,
} from 'wasm-attention';
import {
  crossAttention,
  differentialAttention,
  latentAttention,
  type MultiHeadState,
  msaColumnAttention,
  msaColumnGlobalAttention,
  msaRowAttentionWithPairBias,
  multiHeadAttention,
  type NdArray,
  patchEmbedding,
  triangleAttention,
} from 'wasm-attention/reference';
import { randomMask, randomState } from './layerSupport.ts';
import { random } from './support.ts';

// The references, which the other suites hold the layers to, against PyTorch (1.13, 2.13) in float64 running what the original modules
// compute on the same random numbers: the first three values, the middle one and the last.

const runtime = createRuntimeSync();
type State = Record<string, NdArray>;

function is({ data }: { data: Float64Array }, expected: number[]): void {
  const values = [data[0], data[1], data[2], data[data.length >> 1], data[data.length - 1]];
  for (const [i, x] of expected.entries()) expect(values[i]).toBeCloseTo(x, 11);
}

const state = (layer: Layer): State => randomState(layer, 1);

describe('OpenFold', () => {
  const sizes = { msaDim: 8, heads: 2, headDim: 3 };
  const [msa, pair, mask] = [random([4, 5, 8], 2), random([5, 5, 6], 4), randomMask([4, 5], 3)];
  const options = { heads: 2, mask };

  it('MSARowAttentionWithPairBias', () => {
    const parameters = state(new MSARowAttentionWithPairBias(runtime, { ...sizes, pairDim: 6 }));
    const expected = [0.6661789225612, 0.8194362720256, 0.4910011405909, 0.1498142825197, 0.0218564508891];
    is(msaRowAttentionWithPairBias(msa, pair, parameters, options), expected);
  });

  it('MSAColumnAttention', () => {
    const parameters = state(new MSAColumnAttention(runtime, sizes));
    const expected = [0.2955673397214, -0.9133513666832, 0.5990141009385, 0.1538176809631, -1.087552561654];
    is(msaColumnAttention(msa, parameters, options), expected);
  });

  it('MSAColumnGlobalAttention', () => {
    const parameters = state(new MSAColumnGlobalAttention(runtime, sizes));
    const expected = [-0.4881671179502, -0.006500661705828, -0.153953683863, -0.3265465507625, 0.05077495516791];
    is(msaColumnGlobalAttention(msa, parameters, options), expected);
  });

  it.each([
    ['starting', [0.5135800089277, -0.5916065002396, -1.044722528297, 0.28403615591, 0.4535049896351]],
    ['ending', [0.3279468077753, -0.158117180296, -0.2076467607195, 0.4473996227528, -0.2142138016742]],
  ] as const)('TriangleAttention, %s node', (node, expected) => {
    const parameters = state(new TriangleAttention(runtime, { pairDim: 6, heads: 2, headDim: 3, node }));
    is(triangleAttention(pair, parameters, { heads: 2, node, mask: randomMask([5, 5], 3) }), [...expected]);
  });
});

it('AlphaFold 3, GridSelfAttention of transposed pairs', () => {
  const parameters = state(new TriangleAttention(runtime, { pairDim: 6, heads: 2, headDim: 3, node: 'ending' }));
  const options = { heads: 2, node: 'ending', endingBias: 'ik', mask: randomMask([5, 5], 3) } as const;
  is(
    triangleAttention(random([5, 5, 6], 4), parameters, options),
    [0.3754898240141, -0.1299224636724, -0.3216048430171, 0.5035001008981, -0.1893140195239],
  );
});

it('diffusers, Attention with residual_connection and rescale_output_factor √2', () => {
  const parameters = state(new CrossAttention(runtime, { queryDim: 6, contextDim: 5, heads: 2, headDim: 4 }));
  is(
    crossAttention(random([2, 4, 6], 8), random([2, 3, 5], 9), parameters, {
      heads: 2,
      residual: true,
      rescale: Math.SQRT2,
    }),
    [-0.5664126068432, 0.2905521374679, 0.02321307459275, 1.867355111193, 0.3347050918442],
  );
});

it('diffusers, Attention in the middle of an autoencoder', () => {
  const options = { queryDim: 8, heads: 1, headDim: 8, bias: true, normGroups: 4, epsilon: 1e-6, residual: true };
  is(
    crossAttention(random([2, 5, 8], 8), undefined, state(new CrossAttention(runtime, options)), options),
    [-0.265275773876, -0.6100994739843, -1.528670799913, -0.6019634108741, 1.177726262012],
  );
});

it.each([
  ['layer_norm', undefined, [-0.5203654587755, -0.4859877857495, -0.801830371844, -0.1554478720866, -1.453942500941]],
  ['group_norm', 3, [-0.4161191069662, 0.1230046984336, -1.074523472376, -0.1713555726474, -1.991380719149]],
] as const)('diffusers, Attention with cross_attention_norm %s', (contextNorm, contextNormGroups, expected) => {
  const options = { queryDim: 8, contextDim: 6, heads: 2, headDim: 4, normGroups: 2, contextNorm, contextNormGroups };
  const parameters = state(new CrossAttention(runtime, options));
  is(crossAttention(random([2, 5, 8], 8), random([2, 3, 6], 9), parameters, options), [...expected]);
});

it('timm, VisionTransformer: patches of an image of another size', () => {
  const parameters = state(new PatchEmbedding(runtime, { imageSize: 6, patchSize: 2, embedDim: 5 }));
  is(
    patchEmbedding(random([2, 3, 8, 4], 9), parameters, { grid: [3, 3] }),
    [-0.513382345438, 1.109199941158, 0.3100374564528, -0.513382345438, -1.527304323387],
  );
});

it('transformers, DeepseekV3Attention', () => {
  const sizes = { heads: 2, latentDim: 6, nopeDim: 4, ropeDim: 4, valueDim: 3 };
  const parameters = state(new MultiHeadLatentAttention(runtime, { ...sizes, hiddenDim: 8, queryRank: 7 }));
  is(
    latentAttention(random([2, 5, 8], 9), parameters, sizes),
    [0.4269871356261, -0.2195340516175, 1.020134665499, -0.2956028315014, -0.2644040542098],
  );
});

it('unilm, MultiheadFlashDiff1 with grouped heads', () => {
  const sizes = { embedDim: 24, heads: 3, kvHeads: 1, depth: 2 };
  const options = { heads: 3, depth: 2, base: 10000, causal: true };
  is(
    differentialAttention(random([2, 5, 24], 9), state(new DifferentialAttention(runtime, sizes)), options),
    [-0.0720269147682, -0.1481788477458, 0.03465979172326, -0.08330488457963, -0.001556286993652],
  );
});

it('torch.nn.MultiheadAttention with both masks', () => {
  const parameters = state(new MultiHeadAttention(runtime, { embedDim: 6, heads: 2 })) as unknown as MultiHeadState;
  const [query, key] = [random([2, 4, 6], 8), random([2, 3, 6], 9)];
  const keyPaddingMask = { shape: [2, 3], data: [0, 0, 0, 0, 1, 0] };
  const options = { attnMask: random([4, 3], 5), keyPaddingMask };
  const { output, weights } = multiHeadAttention(query, key, key, 2, parameters, options);
  is(output, [-0.634377647719, 0.1699140240443, -0.5842588861511, -0.6636426266421, -1.59610682288]);
  is(weights, [0.08564014547075, 0.6155356353699, 0.2988242191593, 0.3834136023063, 0.289226637688]);
});
