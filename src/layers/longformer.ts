import { type AttentionMask, masks } from '../attention/mask.ts';
import { globalTokensOf, longformerWithoutGlobalRows } from '../attention/masks/longformer.ts';
import { scaledDotProductAttention } from '../attention/scaledDotProduct.ts';
import { checkInteger, checkOptions, checkSameShape, checkTensor, wrongValue } from '../check.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Tensor } from '../tensor.ts';
import { checkMask } from './gated.ts';
import { Layer, linearShapes } from './layer.ts';

/** Sizes of a `LongformerAttention`. */
export type LongformerAttentionOptions = {
  /** E: the size of a token's vector. */
  embedDim: number;
  /** Divides embedDim. */
  heads: number;
  /** Tokens on either side that a token sees (Hugging Face's `attention_window` is twice that). */
  window: number;
  /** Steps between the tokens of the window; default 1. */
  dilation?: number;
};

/** Global tokens and padding of one call. */
export type LongformerForwardOptions = {
  /** Positions that see all tokens and that all tokens see: for all batches alike, or an array of them per batch. Default none. */
  globalTokens?: ArrayLike<number> | readonly ArrayLike<number>[];
  /** boolean [batch, sequence], true = a real token. What is not is seen by none, and its output is 0. */
  mask?: Tensor<'boolean'>;
};

const layerOptions = new Set(['embedDim', 'heads', 'window', 'dilation']);
const forwardOptions = new Set(['globalTokens', 'mask']);
const projections = ['query', 'key', 'value', 'query_global', 'key_global', 'value_global'];

/**
 * Longformer's self-attention, as Hugging Face's `LongformerSelfAttention`: without an output projection. Every token attends within its
 * window and to the global tokens, in one softmax; global tokens attend to all, with projections of their own. Time and memory are linear
 * in the sequence.
 *
 * Its parameters have Hugging Face's names: `query.weight` [E, E], `query.bias` [E], and likewise `key`, `value`, `query_global`,
 * `key_global` and `value_global`. Source: Beltagy, Peters & Cohan 2020, section 3.1.
 *
 * @example
 * const attention = new LongformerAttention(runtime, { embedDim: 768, heads: 12, window: 256 }).load(stateDict);
 * const output = attention.forward(hidden, { globalTokens: [0] });
 */
export class LongformerAttention extends Layer {
  readonly embedDim: number;
  readonly heads: number;
  readonly window: number;
  readonly dilation: number;
  /** The last call's: of the same tokens, its plan is kept. */
  #last: { tokens: string; mask: AttentionMask } | undefined;

  constructor(runtime: Runtime, options: LongformerAttentionOptions) {
    const where = 'LongformerAttention';
    checkOptions(where, options, layerOptions);
    const { embedDim, heads, window, dilation = 1 } = options;
    for (const [name, size] of Object.entries({ embedDim, heads, dilation })) checkInteger(where, name, size, 1);
    checkInteger(where, 'window', window);
    if (embedDim % heads !== 0) throw wrongValue(where, 'embedDim', `is ${embedDim}, not a multiple of heads ${heads}`);
    super(runtime, where, Object.assign({}, ...projections.map((name) => linearShapes(name, embedDim, embedDim))));
    this.embedDim = embedDim;
    this.heads = heads;
    this.window = window;
    this.dilation = dilation;
  }

  /**
   * @param hidden float32 [batch, sequence, embedDim]
   * @returns [batch, sequence, embedDim]
   * @throws Error before `load`; otherwise as `scaledDotProductAttention` and `masks.longformer`
   */
  forward(hidden: Tensor, options: LongformerForwardOptions = {}): Tensor {
    const where = 'LongformerAttention.forward';
    this.checkLoaded(where);
    checkOptions(where, options, forwardOptions);
    checkTensor(where, 'hidden', hidden, this.runtime, { rank: 3 });
    const [batch, length] = hidden.shape;
    checkSameShape(where, 'hidden', hidden.shape, [batch, length, this.embedDim]);
    const { mask, globalTokens = [] } = options;
    checkMask(where, mask, this.runtime, [batch, length]);
    const tokens = globalTokensOf(where, globalTokens);
    const pattern = this.#pattern(tokens);
    pattern.check(where, { batch, heads: this.heads, queries: length, keys: length, queryOffset: () => 0 });
    return this.runtime.scope(() => {
      const real = mask && masks.tensor(mask.view([batch, 1, 1, length]));
      const own = mask && masks.tensor(mask.view([batch, 1, length, 1]));
      const [query, key, value] = ['query', 'key', 'value'].map((name) => this.#split(name, hidden));
      const visible = real && own ? pattern.and(real).and(own) : pattern;
      const output = this.runtime.empty(hidden.shape);
      scaledDotProductAttention(query, key, value, { layout: 'bshd', mask: visible, output: output.view(query.shape) });
      for (let b = 0; b < batch; b++) {
        const ofBatch = tokens[tokens.length === 1 ? 0 : b];
        this.runtime.scope(() => this.#attendGlobally(output, hidden, mask, ofBatch, b));
      }
      return output;
    });
  }

  #pattern(globalTokens: number[][]): AttentionMask {
    const { window, dilation } = this;
    const tokens = JSON.stringify(globalTokens);
    if (this.#last?.tokens !== tokens)
      this.#last = { tokens, mask: longformerWithoutGlobalRows({ window, dilation, globalTokens }) };
    return this.#last.mask;
  }

  /** A projection as [batch, sequence, heads, headDim]. */
  #split(name: string, input: Tensor): Tensor {
    const [batch, length] = input.shape;
    return this.project(name, input).view([batch, length, this.heads, this.embedDim / this.heads]);
  }

  /** Writes the rows of a batch's global tokens. */
  #attendGlobally(
    output: Tensor,
    hidden: Tensor,
    mask: Tensor<'boolean'> | undefined,
    tokens: readonly number[],
    batch: number,
  ): void {
    const [, length, embedDim] = hidden.shape;
    const seen = mask?.slice(batch, 1);
    const real = tokens.filter((token) => !seen || seen.data[token]);
    if (real.length === 0) return;
    const whole = hidden.slice(batch, 1);
    const rows = this.runtime.empty([1, real.length, embedDim]);
    const [from, to] = [whole.data, rows.data];
    real.forEach((token, row) => {
      to.set(from.subarray(token * embedDim, (token + 1) * embedDim), row * embedDim);
    });
    const [query, key, value] = [rows, whole, whole].map((input, at) => this.#split(projections[3 + at], input));
    const attended = scaledDotProductAttention(query, key, value, {
      layout: 'bshd',
      mask: seen?.view([1, 1, 1, length]),
    });
    real.forEach((token, row) => {
      const values = attended.data.subarray(row * embedDim, (row + 1) * embedDim);
      output.data.set(values, (batch * length + token) * embedDim);
    });
  }
}
