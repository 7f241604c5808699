import { type Float64NdArray, type NdArray, type Precision, rounder } from './array.ts';
import { attention } from './attention.ts';
import type { State } from './gated.ts';
import { linear } from './linear.ts';
import { groupNorm, layerNorm } from './norm.ts';

/** Heads, mask and normalisations, as the options of the layer. */
export type CrossAttentionOptions = {
  heads: number;
  mask?: NdArray;
  /** Of `group_norm`. */
  normGroups?: number;
  /** Of `group_norm`; default 1e-5. */
  epsilon?: number;
  /** Of `norm_cross`; without them it is a layer norm. */
  contextNormGroups?: number;
  residual?: boolean;
  rescale?: number;
  precision?: Precision;
};

/**
 * Attention of a diffusion model: `(W_o·concat(attention(W_q x', W_k c', W_v c')_h) + b_o (+ x)) / rescale`; x' is x after `group_norm`,
 * c' the context after `norm_cross` or, without a context, x'. Without their parameters there are no norms.
 *
 * Source: Rombach et al. 2022, section 3.3; diffusers' `Attention`, whose names `state` has.
 *
 * @param input [batch, queries, queryDim]
 * @param context [batch, keys, contextDim]
 */
export function crossAttention(
  input: NdArray,
  context: NdArray | undefined,
  state: State,
  options: CrossAttentionOptions,
): Float64NdArray {
  const { heads, mask, residual = false, rescale = 1, normGroups, epsilon, contextNormGroups, precision } = options;
  const round = rounder(precision);
  const norm = (name: string, x: NdArray, groups: number | undefined, given: { epsilon?: number }) => {
    const [weight, bias] = [state[`${name}.weight`], state[`${name}.bias`]];
    if (!weight) return x;
    return groups
      ? groupNorm(x, groups, weight, bias, { ...given, precision })
      : layerNorm(x, weight, bias, { precision });
  };
  const x = norm('group_norm', input, normGroups, { epsilon });
  const c = context ? norm('norm_cross', context, contextNormGroups, {}) : x;
  const project = (name: string, from: NdArray) =>
    linear(from, state[`${name}.weight`], state[`${name}.bias`], options);
  const split = ({ shape: [batch, length, dim], data }: NdArray) => ({
    shape: [batch, length, heads, dim / heads],
    data,
  });
  const { output } = attention(split(project('to_q', x)), split(project('to_k', c)), split(project('to_v', c)), {
    layout: 'bshd',
    mask: mask && { shape: [mask.shape[0], 1, 1, mask.shape[1]], data: mask.data },
    precision,
  });
  const joined = { shape: [...input.shape.slice(0, 2), heads * output.shape[3]], data: output.data };
  const projected = project('to_out.0', joined);
  projected.data.forEach((y, at) => {
    projected.data[at] = round((residual ? round(y + input.data[at]) : y) / round(rescale));
  });
  return projected;
}
