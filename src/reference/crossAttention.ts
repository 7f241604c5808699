import { type Float64NdArray, type NdArray, type Precision, rounder } from './array.ts';
import { attention } from './attention.ts';
import type { State } from './gated.ts';
import { linear } from './linear.ts';

/**
 * Attention of a diffusion model: `(W_o·concat(attention(W_q x, W_k c, W_v c)_h) + b_o (+ x)) / rescale`.
 *
 * Source: Rombach et al. 2022, section 3.3; diffusers' `Attention`, whose names `state` has.
 *
 * @param input [batch, queries, queryDim]
 * @param context [batch, keys, contextDim]
 */
export function crossAttention(
  input: NdArray,
  context: NdArray,
  state: State,
  options: { heads: number; mask?: NdArray; residual?: boolean; rescale?: number; precision?: Precision },
): Float64NdArray {
  const { heads, mask, residual = false, rescale = 1, precision } = options;
  const round = rounder(precision);
  const project = (name: string, from: NdArray) =>
    linear(from, state[`${name}.weight`], state[`${name}.bias`], options);
  const split = ({ shape: [batch, length, dim], data }: NdArray) => ({
    shape: [batch, length, heads, dim / heads],
    data,
  });
  const { output } = attention(
    split(project('to_q', input)),
    split(project('to_k', context)),
    split(project('to_v', context)),
    {
      layout: 'bshd',
      mask: mask && { shape: [mask.shape[0], 1, 1, mask.shape[1]], data: mask.data },
      precision,
    },
  );
  const joined = { shape: [...input.shape.slice(0, 2), heads * output.shape[3]], data: output.data };
  const projected = project('to_out.0', joined);
  projected.data.forEach((x, at) => {
    projected.data[at] = round((residual ? round(x + input.data[at]) : x) / round(rescale));
  });
  return projected;
}
