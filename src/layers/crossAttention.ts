import { scaledDotProductAttention } from '../attention/scaledDotProduct.ts';
import {
  checkFloat32,
  checkInteger,
  checkOptions,
  checkSameShape,
  checkTensor,
  wrongKind,
  wrongValue,
} from '../check.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Tensor } from '../tensor.ts';
import { checkMask } from './gated.ts';
import { Layer, linearShapes } from './layer.ts';

/** Sizes of a `CrossAttention`, as diffusers' `Attention` has them. */
export type CrossAttentionOptions = {
  /** Size of a query vector, and of an output vector. */
  queryDim: number;
  /** Size of a vector of the context; default queryDim. */
  contextDim?: number;
  /** The inner dimension is heads · headDim. */
  heads: number;
  headDim: number;
  /** Whether to_q, to_k and to_v have biases; default false. */
  bias?: boolean;
  /** Whether the input is added to the output; default false. */
  residual?: boolean;
  /** What the output, with the input, is divided by; default 1. */
  rescale?: number;
};

const layerOptions = new Set(['queryDim', 'contextDim', 'heads', 'headDim', 'bias', 'residual', 'rescale']);

/**
 * Attention of a diffusion model: queries from the image's tokens, keys and values from a context (the prompt), or from the
 * tokens themselves. `output = (W_o·concat(attention(W_q x, W_k c, W_v c)_h) + b_o (+ x)) / rescale`.
 *
 * Its parameters have the names of diffusers' `Attention`: `to_q.weight` [heads·headDim, queryDim], `to_k.weight` and
 * `to_v.weight` [heads·headDim, contextDim], `to_out.0.weight` [queryDim, heads·headDim], `to_out.0.bias`; with `bias`
 * `to_q.bias`, `to_k.bias`, `to_v.bias`. Source: Rombach et al. 2022, section 3.3.
 *
 * @example
 * const attention = new CrossAttention(runtime, { queryDim: 320, contextDim: 768, heads: 8, headDim: 40 });
 * const output = attention.load(stateDict, { prefix: 'attn2.' }).forward(tokens, prompt);
 */
export class CrossAttention extends Layer {
  readonly queryDim: number;
  readonly contextDim: number;
  readonly heads: number;
  readonly headDim: number;
  readonly residual: boolean;
  readonly rescale: number;

  constructor(runtime: Runtime, options: CrossAttentionOptions) {
    const where = 'CrossAttention';
    checkOptions(where, options, layerOptions);
    const { queryDim, contextDim = queryDim, heads, headDim, bias = false, residual = false, rescale = 1 } = options;
    for (const [name, size] of Object.entries({ queryDim, contextDim, heads, headDim }))
      checkInteger(where, name, size, 1);
    for (const [name, flag] of Object.entries({ bias, residual }))
      if (typeof flag !== 'boolean') throw wrongKind(where, name, 'true or false', flag);
    checkFloat32(where, 'rescale', rescale);
    if (rescale === 0) throw wrongValue(where, 'rescale', 'is 0');
    const dim = heads * headDim;
    super(runtime, where, {
      ...linearShapes('to_q', queryDim, dim, bias),
      ...linearShapes('to_k', contextDim, dim, bias),
      ...linearShapes('to_v', contextDim, dim, bias),
      ...linearShapes('to_out.0', dim, queryDim),
    });
    this.queryDim = queryDim;
    this.contextDim = contextDim;
    this.heads = heads;
    this.headDim = headDim;
    this.residual = residual;
    this.rescale = rescale;
  }

  /**
   * @param input float32 [batch, queries, queryDim]
   * @param context float32 [batch, keys, contextDim]; default the input
   * @param mask boolean [batch, keys], true = may attend
   * @returns [batch, queries, queryDim]
   * @throws Error before `load`; otherwise as `scaledDotProductAttention`
   */
  forward(input: Tensor, context: Tensor = input, mask?: Tensor<'boolean'>): Tensor {
    const where = 'CrossAttention.forward';
    this.checkLoaded(where);
    checkTensor(where, 'input', input, this.runtime, { rank: 3 });
    checkTensor(where, 'context', context, this.runtime, { rank: 3 });
    const [batch, queries] = input.shape;
    const keys = context.shape[1];
    checkSameShape(where, 'input', input.shape, [batch, queries, this.queryDim]);
    checkSameShape(where, 'context', context.shape, [batch, keys, this.contextDim]);
    checkMask(where, mask, this.runtime, [batch, keys]);
    return this.runtime.scope(() => {
      const split = (name: string, from: Tensor) =>
        this.project(name, from).view([batch, from.shape[1], this.heads, this.headDim]);
      const attended = scaledDotProductAttention(split('to_q', input), split('to_k', context), split('to_v', context), {
        layout: 'bshd',
        mask: mask?.view([batch, 1, 1, keys]),
      });
      const output = this.project('to_out.0', attended.view([batch, queries, this.heads * this.headDim]));
      if (this.residual || this.rescale !== 1) this.#finish(output.data, input.data);
      return output;
    });
  }

  #finish(output: Float32Array, input: Float32Array): void {
    for (let at = 0; at < output.length; at++)
      output[at] = (this.residual ? output[at] + input[at] : output[at]) / this.rescale;
  }
}
