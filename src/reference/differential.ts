import { type Float64NdArray, type NdArray, type Precision, rounder, zeros } from './array.ts';
import { attention } from './attention.ts';
import type { State } from './gated.ts';
import { linear } from './linear.ts';
import { rmsNorm } from './norm.ts';
import { rotaryEmbedding } from './rope.ts';

/**
 * Differential attention: `(1 − λ_init)·norm((softmax(Q₁K₁ᵀ/√d) − λ·softmax(Q₂K₂ᵀ/√d))·V)` a head.
 *
 * Source: Ye et al. 2024, eq. 1–3; parameters and grouped heads as the authors' `MultiheadFlashDiff1`.
 *
 * @param input [batch, length, embedDim]
 * @param options.base of the rotary embedding, interleaved; without it there is none
 */
export function differentialAttention(
  input: NdArray,
  state: State,
  options: { heads: number; depth: number; base?: number; causal?: boolean; precision?: Precision },
): Float64NdArray {
  const { heads, depth, base, causal, precision } = options;
  const round = rounder(precision);
  const [batch, length, embedDim] = input.shape;
  const dim = embedDim / heads / 2;
  const project = (name: string, x: NdArray) => linear(x, state[`${name}.weight`], undefined, { precision });
  const turned = (name: string) => {
    const { data } = project(name, input);
    const split = { shape: [batch, length, data.length / (batch * length * dim), dim], data };
    return base ? rotaryEmbedding(split, { base, style: 'interleaved', layout: 'bshd', precision }) : split;
  };
  const [query, key] = [turned('q_proj'), turned('k_proj')];
  const kvHeads = key.shape[2] / 2;
  const value = { shape: [batch, length, kvHeads, 2 * dim], data: project('v_proj', input).data };
  const maps = [0, 1].map(
    (half) =>
      attention(every(query, half), every(key, half), value, { layout: 'bshd', causal, precision }).weights.data,
  );

  const lambdaInit = 0.8 - 0.6 * Math.exp(-0.3 * depth);
  const product = (i: number) => {
    const [q, k] = [state[`lambda_q${i}`].data, state[`lambda_k${i}`].data];
    return Array.from(q).reduce((sum, x, d) => round(sum + round(x * k[d])), 0);
  };
  const lambda = round(round(round(Math.exp(product(1))) - round(Math.exp(product(2)))) + lambdaInit);
  const output = zeros([batch, length, heads, 2 * dim]);
  for (let at = 0; at < output.data.length; at++) {
    const [d, h, i] = [at % (2 * dim), Math.floor(at / (2 * dim)) % heads, Math.floor(at / embedDim) % length];
    const b = Math.floor(at / embedDim / length);
    const kvHead = Math.floor(h / (heads / kvHeads));
    const row = ((b * heads + h) * length + i) * length;
    for (let j = 0; j < length; j++) {
      const weight = round(maps[0][row + j] - round(lambda * maps[1][row + j]));
      const x = value.data[((b * length + j) * kvHeads + kvHead) * 2 * dim + d];
      output.data[at] = round(output.data[at] + round(weight * x));
    }
  }
  const normed = rmsNorm(output, state['subln.weight'], { epsilon: 1e-5, precision });
  return project('out_proj', { shape: input.shape, data: normed.data.map((x) => round(x * round(1 - lambdaInit))) });
}

/** [b, s, 2 · heads, d] → [b, s, heads, d]: every second head from `first` on. */
function every({ shape: [batch, length, heads, dim], data }: NdArray, first: number): Float64NdArray {
  const output = zeros([batch, length, heads / 2, dim]);
  for (let at = 0; at < output.data.length; at++)
    output.data[at] = data[(2 * Math.floor(at / dim) + first) * dim + (at % dim)];
  return output;
}
