import {
  MSAColumnAttention,
  MSAColumnGlobalAttention,
  MSARowAttentionWithPairBias,
  TriangleAttention,
} from 'wasm-attention';
import {
  msaColumnAttention,
  msaColumnGlobalAttention,
  msaRowAttentionWithPairBias,
  triangleAttention,
} from 'wasm-attention/reference';
import type { Choice } from './choice.ts';
import { layer, maskFor } from './layer.ts';
import type { Inputs, Operation } from './trial.ts';

const msa = (inputs: Inputs, pick: Choice) => {
  const [sequences, residues] = [pick.size(7, 30), pick.size(7, 30)];
  const sizes = { msaDim: pick.integer(1, 9), heads: pick.integer(1, 3), headDim: pick.integer(1, 5) };
  const x = inputs.random([sequences, residues, sizes.msaDim]);
  return { sizes, x, residues, ...maskFor([sequences, residues], inputs, pick) };
};

const msaRow = layer((inputs, pick) => {
  const { sizes, x, residues, mask, given } = msa(inputs, pick);
  const pairDim = pick.integer(1, 6);
  const pair = inputs.random([residues, residues, pairDim]);
  return {
    layer: MSARowAttentionWithPairBias,
    options: { ...sizes, pairDim },
    args: [inputs.upload(x), inputs.upload(pair), given],
    truth: (state) => msaRowAttentionWithPairBias(x, pair, state, { heads: sizes.heads, mask }),
  };
});

const msaColumn = layer((inputs, pick) => {
  const { sizes, x, mask, given } = msa(inputs, pick);
  const global = pick.chance();
  const reference = global ? msaColumnGlobalAttention : msaColumnAttention;
  return {
    layer: global ? MSAColumnGlobalAttention : MSAColumnAttention,
    options: sizes,
    args: [inputs.upload(x), given],
    truth: (state) => reference(x, state, { heads: sizes.heads, mask }),
  };
});

const triangle = layer((inputs, pick) => {
  const [residues, pairDim, heads] = [pick.size(7, 30), pick.integer(1, 9), pick.integer(1, 3)];
  const pair = inputs.random([residues, residues, pairDim]);
  const { mask, given } = maskFor([residues, residues], inputs, pick);
  const node = pick.one('starting' as const, 'ending' as const);
  return {
    layer: TriangleAttention,
    options: { pairDim, heads, headDim: pick.integer(1, 5), node },
    args: [inputs.upload(pair), given],
    truth: (state) => triangleAttention(pair, state, { heads, node, mask }),
  };
});

export const alphaFoldOperations: Record<string, Operation> = {
  MSARowAttentionWithPairBias: msaRow,
  'MSAColumnAttention, MSAColumnGlobalAttention': msaColumn,
  TriangleAttention: triangle,
};
