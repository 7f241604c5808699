import {
  CrossAttention,
  DifferentialAttention,
  GatedAttention,
  LongformerAttention,
  MultiHeadAttention,
  MultiHeadLatentAttention,
  PatchEmbedding,
  type Tensor,
} from 'wasm-attention';
import {
  crossAttention,
  differentialAttention,
  gatedAttention,
  latentAttention,
  longformerAttention,
  type MultiHeadState,
  multiHeadAttention,
  patchEmbedding,
} from 'wasm-attention/reference';
import { layer, maskFor } from './layer.ts';
import type { Operation } from './trial.ts';

const multiHead = layer((inputs, pick) => {
  const heads = pick.integer(1, 4);
  const embedDim = heads * pick.integer(1, 6);
  const [batch, queries, keys] = [pick.integer(1, 2), pick.size(9, 70, 0), pick.size(9, 70)];
  const options = { embedDim, heads, kdim: pick.maybe(() => 5), vdim: pick.maybe(() => 7), bias: pick.chance() };
  const arrays = [
    inputs.random([batch, queries, embedDim]),
    inputs.random([batch, keys, options.kdim ?? embedDim]),
    inputs.random([batch, keys, options.vdim ?? embedDim]),
  ] as const;
  const { mask: keyPaddingMask, given } = maskFor([batch, keys], inputs, pick);
  const isCausal = pick.chance();
  return {
    layer: MultiHeadAttention,
    options,
    args: [
      ...arrays.map((array) => inputs.upload(array)),
      { keyPaddingMask: given, isCausal, needWeights: pick.chance() },
    ],
    truth: (state) =>
      multiHeadAttention(...arrays, heads, state as unknown as MultiHeadState, { keyPaddingMask, isCausal }).output,
    of: ({ output }: { output: Tensor }) => output,
  };
});

const gated = layer((inputs, pick) => {
  const [batch, queries, keys, heads] = [pick.integer(1, 3), pick.size(9, 70, 0), pick.size(9, 70), pick.integer(1, 3)];
  const options = { queryDim: pick.integer(1, 9), keyDim: pick.integer(1, 9), heads, headDim: pick.integer(1, 6) };
  const [x, y] = [inputs.random([batch, queries, options.queryDim]), inputs.random([batch, keys, options.keyDim])];
  const { mask, given } = maskFor([batch, keys], inputs, pick);
  const bias = pick.maybe(() => inputs.random([heads, queries, keys]));
  return {
    layer: GatedAttention,
    options: { ...options, gating: pick.chance(), queryBias: pick.chance() },
    args: [inputs.upload(x), inputs.upload(y), { mask: given, bias: bias && inputs.upload(bias) }],
    truth: (state) => gatedAttention(x, y, state, { heads, mask, bias }),
  };
});

const cross = layer((inputs, pick) => {
  const [batch, queries, keys, heads] = [pick.integer(1, 3), pick.size(9, 70, 0), pick.size(9, 70), pick.integer(1, 3)];
  const options = { queryDim: pick.integer(1, 9), contextDim: pick.integer(1, 9), heads, headDim: pick.integer(1, 6) };
  const [x, context] = [
    inputs.random([batch, queries, options.queryDim]),
    inputs.random([batch, keys, options.contextDim]),
  ];
  const { mask, given } = maskFor([batch, keys], inputs, pick);
  const added = { residual: pick.chance(), rescale: pick.one(1, Math.SQRT2) };
  return {
    layer: CrossAttention,
    options: { ...options, ...added, bias: pick.chance() },
    args: [inputs.upload(x), inputs.upload(context), given],
    truth: (state) => crossAttention(x, context, state, { heads, mask, ...added }),
  };
});

const longformer = layer((inputs, pick) => {
  const [batch, length, heads] = [pick.integer(1, 2), pick.size(12, 80), pick.integer(1, 3)];
  const options = {
    embedDim: heads * pick.integer(1, 5),
    heads,
    window: pick.integer(0, 6),
    dilation: pick.integer(1, 2),
  };
  const x = inputs.random([batch, length, options.embedDim]);
  const globalTokens = pick.list(pick.integer(0, 2), 0, length - 1);
  const perBatch = Array.from({ length: batch }, () => globalTokens);
  return {
    layer: LongformerAttention,
    options,
    args: [inputs.upload(x), { globalTokens }],
    truth: (state) => longformerAttention(x, state, { ...options, globalTokens: perBatch }),
  };
});

const latent = layer((inputs, pick) => {
  const options = {
    hiddenDim: pick.integer(1, 9),
    heads: pick.integer(1, 3),
    latentDim: pick.integer(1, 9),
    nopeDim: pick.integer(1, 5),
    ropeDim: 2 * pick.integer(1, 3),
    valueDim: pick.integer(1, 5),
    queryRank: pick.maybe(() => 4),
    bias: pick.chance(),
  };
  const x = inputs.random([pick.integer(1, 2), pick.size(9, 40, 0), options.hiddenDim]);
  const causal = pick.chance();
  return {
    layer: MultiHeadLatentAttention,
    options,
    args: [inputs.upload(x), { causal }],
    truth: (state) => latentAttention(x, state, { ...options, causal }),
  };
});

const differential = layer((inputs, pick) => {
  const heads = pick.integer(1, 3);
  const options = { embedDim: 2 * heads * pick.integer(1, 5), heads, depth: pick.integer(0, 9) };
  const x = inputs.random([pick.integer(1, 2), pick.size(9, 40, 0), options.embedDim]);
  const causal = pick.chance();
  return {
    layer: DifferentialAttention,
    options,
    args: [inputs.upload(x), { causal }],
    truth: (state) => differentialAttention(x, state, { ...options, causal }),
  };
});

const patches = layer((inputs, pick) => {
  const [patchSize, across, down] = [pick.integer(1, 4), pick.integer(1, 4), pick.integer(1, 4)];
  const channels = pick.integer(1, 3);
  const imageSize = [patchSize * down, patchSize * across] as const;
  const options = { imageSize, patchSize, embedDim: pick.integer(1, 12), channels, classToken: pick.chance() };
  const x = inputs.random([pick.integer(1, 2), channels, ...imageSize]);
  return {
    layer: PatchEmbedding,
    options,
    args: [inputs.upload(x)],
    truth: (state) => patchEmbedding(x, state, { grid: [down, across] }),
  };
});

export const layerOperations: Record<string, Operation> = {
  MultiHeadAttention: multiHead,
  GatedAttention: gated,
  CrossAttention: cross,
  LongformerAttention: longformer,
  MultiHeadLatentAttention: latent,
  DifferentialAttention: differential,
  PatchEmbedding: patches,
};
