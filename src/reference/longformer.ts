import type { Float64NdArray, NdArray, Precision } from './array.ts';
import { attention } from './attention.ts';
import { linear } from './linear.ts';
import { longformerPattern } from './masks.ts';

/** Projections `query`, `key`, `value`, `query_global`, `key_global`, `value_global`, each with `.weight` [E, E] and `.bias` [E]. */
export type LongformerState = Readonly<Record<string, NdArray>>;

/** Heads, window, global tokens and padding. */
export type LongformerReferenceOptions = {
  heads: number;
  /** Keys on either side. */
  window: number;
  dilation?: number;
  /** Per batch. */
  globalTokens?: readonly (readonly number[])[];
  /** [batch, sequence], 1 = a real token. */
  mask?: NdArray;
  precision?: Precision;
};

/**
 * Longformer's self-attention, without an output projection: every token attends within its window and to the global tokens; the rows of
 * global tokens are then computed anew over all tokens, with projections of their own. Rows of tokens that are not real are 0.
 *
 * Source: Beltagy, Peters & Cohan 2020, section 3.1; allenai/longformer, longformer.py; Hugging Face's LongformerSelfAttention.
 *
 * @param hidden [batch, sequence, E]
 */
export function longformerAttention(
  hidden: NdArray,
  state: LongformerState,
  options: LongformerReferenceOptions,
): Float64NdArray {
  const { heads, window, dilation = 1, globalTokens = [], mask, precision } = options;
  const [batch, length, embedDim] = hidden.shape;
  const real = (b: number, i: number) => mask?.data[b * length + i] !== 0;
  const project = (name: string) => {
    const projected = linear(hidden, state[`${name}.weight`], state[`${name}.bias`], { precision });
    return { shape: [batch, length, heads, embedDim / heads], data: projected.data };
  };
  const attend = (suffix: string, sees: (b: number, i: number, j: number) => boolean) =>
    attention(project(`query${suffix}`), project(`key${suffix}`), project(`value${suffix}`), {
      layout: 'bshd',
      mask: (b, _h, i, j) => real(b, i) && real(b, j) && sees(b, i, j),
      precision,
    }).output;
  const patterns = Array.from({ length: batch }, (_, b) => longformerPattern(window, dilation, globalTokens[b] ?? []));
  const { data } = attend('', (b, i, j) => patterns[b](i, j));
  const global = attend('_global', () => true);
  for (let b = 0; b < batch; b++) {
    for (const token of globalTokens[b] ?? []) {
      const at = (b * length + token) * embedDim;
      data.set(global.data.subarray(at, at + embedDim), at);
    }
  }
  return { shape: [batch, length, embedDim], data };
}
