import { type Float64NdArray, type NdArray, type Precision, rounder } from './array.ts';
import { attention } from './attention.ts';
import { linear } from './linear.ts';
import { sigmoid } from './norm.ts';

/** Parameters under the names of the implementation that they come from. */
export type State = Readonly<Record<string, NdArray>>;

/** Heads, names, mask and bias. */
export type GatedOptions = {
  heads: number;
  /** What the names of the parameters begin with. Default nothing. */
  prefix?: string;
  /** [batch, keys], 1 = may attend. */
  mask?: NdArray;
  /** Broadcast to [batch, heads, queries, keys]. */
  bias?: NdArray;
  precision?: Precision;
};

/**
 * AlphaFold's gated attention: `output = W_o(σ(W_g x + b_g) ⊙ attention(W_q x, W_k y, W_v y)) + b_o`, scores plus `bias`;
 * ungated without `linear_g.weight`. A query that sees no key gives `b_o`.
 *
 * Source: Jumper et al. 2021, supplement, Alg. 7; parameters as OpenFold's `Attention`.
 *
 * @param query [batch, queries, queryDim]
 * @param key [batch, keys, keyDim]
 * @returns [batch, queries, queryDim]
 */
export function gatedAttention(query: NdArray, key: NdArray, state: State, options: GatedOptions): Float64NdArray {
  const { heads, prefix = '', mask, bias, precision } = options;
  const round = rounder(precision);
  const project = (name: string, input: NdArray) =>
    linear(input, state[`${prefix}${name}.weight`], state[`${prefix}${name}.bias`], { precision });
  const split = ({ shape: [batch, length, dim], data }: NdArray) => ({
    shape: [batch, length, heads, dim / heads],
    data,
  });
  const { output } = attention(
    split(project('linear_q', query)),
    split(project('linear_k', key)),
    split(project('linear_v', key)),
    {
      layout: 'bshd',
      mask: mask && { shape: [mask.shape[0], 1, 1, mask.shape[1]], data: mask.data },
      bias,
      precision,
    },
  );
  const joined = { shape: [...query.shape.slice(0, 2), output.shape[2] * output.shape[3]], data: output.data };
  if (state[`${prefix}linear_g.weight`]) {
    const gates = project('linear_g', query);
    joined.data = output.data.map((x, at) => round(x * sigmoid(gates.data[at], round)));
  }
  return project('linear_o', joined);
}
