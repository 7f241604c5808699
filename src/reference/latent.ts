import { type Float64NdArray, type NdArray, type Precision, zeros } from './array.ts';
import { attention } from './attention.ts';
import type { State } from './gated.ts';
import { linear } from './linear.ts';
import { rmsNorm } from './norm.ts';
import { rotaryEmbedding } from './rope.ts';
import type { RotaryScaling } from './rotaryFrequencies.ts';

/** Sizes, as the options of the layer. */
export type LatentOptions = {
  heads: number;
  latentDim: number;
  nopeDim: number;
  ropeDim: number;
  valueDim: number;
  base?: number;
  /** Default `'interleaved'`. */
  style?: 'half' | 'interleaved';
  scaling?: RotaryScaling;
  scale?: number;
  /** Position of the first token. Default 0. */
  offset?: number;
  /** Default true. */
  causal?: boolean;
  keyLengths?: ArrayLike<number>;
  precision?: Precision;
};

/**
 * Multi-head latent attention as it is defined, with the keys and values of every head: `k = [W_UK c; k_rope]`, `v = W_UV c`,
 * `c = norm(W_DKV x)`; the layer computes the absorbed form.
 *
 * Source: DeepSeek-AI 2024 (DeepSeek-V2), section 2.1; parameters as `DeepseekV3Attention`.
 *
 * @param input [batch, length, hiddenDim]
 * @returns [batch, length, hiddenDim]
 */
export function latentAttention(input: NdArray, state: State, options: LatentOptions): Float64NdArray {
  const { heads, latentDim, nopeDim, ropeDim, valueDim, offset = 0, causal = true, keyLengths, precision } = options;
  const [batch, length] = input.shape;
  const project = (name: string, x: NdArray) =>
    linear(x, state[`${name}.weight`], state[`${name}.bias`], { precision });
  const norm = (name: string, x: NdArray) => rmsNorm(x, state[`${name}.weight`], { precision });
  const turn = (x: NdArray, count: number) =>
    rotaryEmbedding(
      { shape: [batch, length, count, ropeDim], data: x.data },
      { ...options, rotaryDim: ropeDim, style: options.style ?? 'interleaved', layout: 'bshd', offset },
    );
  const compressed = project('kv_a_proj_with_mqa', input);
  const latent = norm('kv_a_layernorm', columns(compressed, 1, 0, latentDim));
  const keyRope = turn(columns(compressed, 1, latentDim, ropeDim), 1);
  const expanded = project('kv_b_proj', latent);
  const query = state['q_proj.weight']
    ? project('q_proj', input)
    : project('q_b_proj', norm('q_a_layernorm', project('q_a_proj', input)));
  const queryRope = turn(columns(query, heads, nopeDim, ropeDim), heads);
  const { output } = attention(
    beside(columns(query, heads, 0, nopeDim), queryRope),
    beside(columns(expanded, heads, 0, nopeDim), keyRope),
    columns(expanded, heads, nopeDim, valueDim),
    { layout: 'bshd', scale: options.scale, causal, queryOffset: 0, keyLengths, precision },
  );
  return project('o_proj', { shape: [batch, length, heads * valueDim], data: output.data });
}

/** Of [batch, length, …] with `heads` times as many elements as a head has, `count` of each head: [batch, length, heads, count]. */
function columns({ shape, data }: NdArray, heads: number, start: number, count: number) {
  const output = zeros([shape[0], shape[1], heads, count]);
  const dim = shape.slice(2).reduce((size, n) => size * n, 1) / heads;
  for (let at = 0; at < output.data.length; at++)
    output.data[at] = data[Math.floor(at / count) * dim + start + (at % count)];
  return output;
}

/** [b, s, heads, x] and [b, s, heads or 1, y] → [b, s, heads, x + y] */
function beside(left: NdArray, right: NdArray): Float64NdArray {
  const [batch, length, heads] = left.shape;
  const [x, y] = [left, right].map(({ shape }) => shape[shape.length - 1]);
  const output = zeros([batch, length, heads, x + y]);
  for (let at = 0; at < output.data.length; at++) {
    const [d, row] = [at % (x + y), Math.floor(at / (x + y))];
    const other = right.shape[2] === heads ? row : Math.floor(row / heads);
    output.data[at] = d < x ? left.data[row * x + d] : right.data[other * y + d - x];
  }
  return output;
}
