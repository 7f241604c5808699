import { type Float64NdArray, type NdArray, type Precision, rounder, zeros } from './array.ts';
import { attention } from './attention.ts';
import { gatedAttention, type State } from './gated.ts';
import { linear } from './linear.ts';
import { layerNorm, sigmoid } from './norm.ts';

/** Heads and mask of the AlphaFold layers. */
export type AlphaFoldOptions = {
  heads: number;
  /** 1 = present, in the shape of the input's first two axes. */
  mask?: NdArray;
  precision?: Precision;
};

/**
 * MSA row attention with pair bias.
 *
 * Source: Jumper et al. 2021, supplement, Alg. 7; parameters of all functions here as OpenFold's modules.
 *
 * @param msa [sequences, residues, msaDim]
 * @param pair [residues, residues, pairDim]
 */
export function msaRowAttentionWithPairBias(
  msa: NdArray,
  pair: NdArray,
  state: State,
  options: AlphaFoldOptions,
): Float64NdArray {
  const m = norm('layer_norm_m', msa, state, options);
  const bias = headsFirst(
    linear(norm('layer_norm_z', pair, state, options), state['linear_z.weight'], undefined, options),
  );
  return gatedAttention(m, m, state, { ...options, prefix: 'mha.', bias });
}

/** MSA column attention (Alg. 8). */
export function msaColumnAttention(msa: NdArray, state: State, options: AlphaFoldOptions): Float64NdArray {
  const m = norm('layer_norm_m', transposed(msa), state, options);
  const mask = options.mask && transposed(options.mask);
  return transposed(gatedAttention(m, m, state, { ...options, prefix: 'mha.', mask }));
}

/** Global MSA column attention (Alg. 19). */
export function msaColumnGlobalAttention(msa: NdArray, state: State, options: AlphaFoldOptions): Float64NdArray {
  const { heads, precision } = options;
  const round = rounder(precision);
  const m = norm('layer_norm_m', transposed(msa), state, options);
  const [residues, sequences, dim] = m.shape;
  const mask = options.mask && transposed(options.mask);
  const mean = zeros([residues, dim]);
  for (let at = 0; at < mean.data.length; at++) {
    const [n, d] = [Math.floor(at / dim), at % dim];
    let [sum, count] = [0, 0];
    for (let s = 0; s < sequences; s++) {
      if (mask && !mask.data[n * sequences + s]) continue;
      sum = round(sum + m.data[(n * sequences + s) * dim + d]);
      count++;
    }
    mean.data[at] = count === 0 ? 0 : round(sum / count);
  }
  const project = (name: string, input: NdArray) =>
    linear(input, state[`global_attention.${name}.weight`], state[`global_attention.${name}.bias`], { precision });
  const view = ({ data }: NdArray, ...shape: number[]) => ({ shape, data });
  const q = project('linear_q', mean);
  const headDim = q.shape[1] / heads;
  const { output } = attention(
    view(q, residues, heads, 1, headDim),
    view(project('linear_k', m), residues, 1, sequences, headDim),
    view(project('linear_v', m), residues, 1, sequences, headDim),
    { mask: mask && view(mask, residues, 1, 1, sequences), precision },
  );
  const gates = project('linear_g', m);
  const width = heads * headDim;
  gates.data.forEach((g, at) => {
    const attended = output.data[Math.floor(at / (sequences * width)) * width + (at % width)];
    gates.data[at] = round(attended * sigmoid(g, round));
  });
  return transposed(project('linear_o', gates));
}

/**
 * Triangle attention around the starting (Alg. 13) or ending node (Alg. 14).
 *
 * @param pair [residues, residues, pairDim]
 */
export function triangleAttention(
  pair: NdArray,
  state: State,
  options: AlphaFoldOptions & {
    node: 'starting' | 'ending';
    /** Around the ending node, where the bias for edge kj is from. Default `'ki'`; `'ik'` as AlphaFold 3's `GridSelfAttention`. */
    endingBias?: 'ki' | 'ik';
  },
): Float64NdArray {
  const turn = (array: NdArray) => (options.node === 'ending' ? transposed(array) : array);
  const z = norm('layer_norm', turn(pair), state, options);
  const from = options.endingBias === 'ik' ? norm('layer_norm', pair, state, options) : z;
  const bias = headsFirst(linear(from, state['linear.weight'], undefined, options));
  const mask = options.mask && turn(options.mask);
  return turn(gatedAttention(z, z, state, { ...options, prefix: 'mha.', mask, bias })) as Float64NdArray;
}

function norm(name: string, input: NdArray, state: State, { precision }: AlphaFoldOptions): Float64NdArray {
  return layerNorm(input, state[`${name}.weight`], state[`${name}.bias`], { precision });
}

/** [a, b, …] → [b, a, …] */
function transposed(array: NdArray): Float64NdArray {
  const [a, b, ...rest] = array.shape;
  const output = zeros([b, a, ...rest]);
  const cell = rest.reduce((size, n) => size * n, 1);
  for (let at = 0; at < output.data.length; at++) {
    const [j, i] = [Math.floor(at / (a * cell)), Math.floor(at / cell) % a];
    output.data[at] = array.data[(i * b + j) * cell + (at % cell)];
  }
  return output;
}

/** [i, j, heads] → [heads, i, j] */
function headsFirst({ shape: [i, j, heads], data }: NdArray): Float64NdArray {
  const output = zeros([heads, i, j]);
  for (let at = 0; at < output.data.length; at++)
    output.data[at] = data[(at % (i * j)) * heads + Math.floor(at / (i * j))];
  return output;
}
