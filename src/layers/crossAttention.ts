import { scaledDotProductAttention } from '../attention/scaledDotProduct.ts';
import {
  checkFlag,
  checkFloat32,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkPositive,
  checkSameShape,
  checkTensor,
  wrongValue,
} from '../check.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Tensor } from '../tensor.ts';
import { checkMask } from './gated.ts';
import { Layer, linearShapes, normShapes } from './layer.ts';
import { checkGroups } from './norm.ts';

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
  /** `norm_num_groups`: the input is normalised in so many groups of its features, by `group_norm`; default not at all. */
  normGroups?: number;
  /** `eps` of `group_norm`; default 1e-5. The autoencoder of Stable Diffusion has 1e-6. */
  epsilon?: number;
  /** `cross_attention_norm`: how a context that is given is normalised, by `norm_cross`; default not at all. */
  contextNorm?: 'layer_norm' | 'group_norm';
  /** `cross_attention_norm_num_groups`, default 32. */
  contextNormGroups?: number;
  /** `residual_connection`: whether the input is added to the output; default false. */
  residual?: boolean;
  /** `rescale_output_factor`: what the output, with the input, is divided by; default 1. */
  rescale?: number;
};

const sizes = ['queryDim', 'contextDim', 'heads', 'headDim', 'contextNormGroups'] as const;
const layerOptions = new Set([
  'queryDim',
  'contextDim',
  'heads',
  'headDim',
  'bias',
  'normGroups',
  'epsilon',
  'contextNorm',
  'contextNormGroups',
  'residual',
  'rescale',
]);

/**
 * Attention of a diffusion model: queries from the image's tokens, keys and values from a context (the prompt), or from the
 * tokens themselves. `output = (W_o·concat(attention(W_q x', W_k c', W_v c')_h) + b_o (+ x)) / rescale`, where x' and c' are normalised
 * if there are norms, and c' is x' without a context.
 *
 * Its parameters have the names of diffusers' `Attention`: `to_q.weight` [heads·headDim, queryDim], `to_k.weight` and
 * `to_v.weight` [heads·headDim, contextDim], `to_out.0.weight` [queryDim, heads·headDim], `to_out.0.bias`; with `bias`
 * `to_q.bias`, `to_k.bias`, `to_v.bias`; with `normGroups` `group_norm.weight` and `.bias` [queryDim]; with `contextNorm`
 * `norm_cross.weight` and `.bias` [contextDim]. Source: Rombach et al. 2022, section 3.3.
 *
 * @example
 * const attention = new CrossAttention(runtime, { queryDim: 320, contextDim: 768, heads: 8, headDim: 40 });
 * const output = attention.load(stateDict, { prefix: 'attn2.' }).forward(tokens, prompt);
 * @example
 * const norm = { normGroups: 32, epsilon: 1e-6 };                            // the middle of Stable Diffusion's autoencoder
 * const attention = new CrossAttention(runtime, { queryDim: 512, heads: 1, headDim: 512, bias: true, residual: true, ...norm });
 * const output = attention.load(stateDict, { prefix: 'decoder.mid_block.attentions.0.' }).forward(pixels);
 */
export class CrossAttention extends Layer {
  readonly queryDim: number;
  readonly contextDim: number;
  readonly heads: number;
  readonly headDim: number;
  readonly residual: boolean;
  readonly rescale: number;
  readonly #norms: { groups?: number; epsilon: number; contextGroups: number };

  constructor(runtime: Runtime, options: CrossAttentionOptions) {
    const where = 'CrossAttention';
    checkOptions(where, options, layerOptions);
    const { queryDim, contextDim = queryDim, heads, headDim, bias = false, residual = false, rescale = 1 } = options;
    const { normGroups, epsilon = 1e-5, contextNorm, contextNormGroups = 32 } = options;
    const given = { queryDim, contextDim, heads, headDim, contextNormGroups };
    for (const name of sizes) checkInteger(where, name, given[name], 1);
    for (const [name, flag] of Object.entries({ bias, residual })) checkFlag(where, name, flag);
    checkFloat32(where, 'rescale', rescale);
    if (rescale === 0) throw wrongValue(where, 'rescale', 'is 0');
    checkPositive(where, 'epsilon', epsilon);
    if (normGroups !== undefined) checkGroups(where, 'normGroups', normGroups, queryDim);
    if (contextNorm !== undefined) checkOneOf(where, 'contextNorm', contextNorm, ['layer_norm', 'group_norm']);
    if (contextNorm === 'group_norm') checkGroups(where, 'contextNormGroups', contextNormGroups, contextDim);
    const dim = heads * headDim;
    super(runtime, where, {
      ...(normGroups === undefined ? {} : normShapes('group_norm', queryDim)),
      ...(contextNorm === undefined ? {} : normShapes('norm_cross', contextDim)),
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
    this.#norms = { groups: normGroups, epsilon, contextGroups: contextNorm === 'group_norm' ? contextNormGroups : 0 };
  }

  /**
   * @param input float32 [batch, queries, queryDim]; of an image, its pixels row by row, with the channels last
   * @param context float32 [batch, keys, contextDim]; default the input, normalised as it is
   * @param mask boolean [batch, keys], true = may attend
   * @returns [batch, queries, queryDim]
   * @throws Error before `load`; otherwise as `scaledDotProductAttention`
   */
  forward(input: Tensor, context?: Tensor, mask?: Tensor<'boolean'>): Tensor {
    const where = 'CrossAttention.forward';
    const own = context === undefined;
    this.checkLoaded(where);
    checkTensor(where, 'input', input, this.runtime, { rank: 3 });
    const from = own ? input : context;
    checkTensor(where, 'context', from, this.runtime, { rank: 3 });
    const [batch, queries] = input.shape;
    const keys = from.shape[1];
    checkSameShape(where, 'input', input.shape, [batch, queries, this.queryDim]);
    checkSameShape(where, 'context', from.shape, [batch, keys, this.contextDim]);
    checkMask(where, mask, this.runtime, [batch, keys]);
    return this.runtime.scope(() => {
      const x = this.#normed(input);
      const c = own ? x : this.#normedContext(context);
      const split = (name: string, tensor: Tensor) =>
        this.project(name, tensor).view([batch, tensor.shape[1], this.heads, this.headDim]);
      const attended = scaledDotProductAttention(split('to_q', x), split('to_k', c), split('to_v', c), {
        layout: 'bshd',
        mask: mask?.view([batch, 1, 1, keys]),
      });
      const output = this.project('to_out.0', attended.view([batch, queries, this.heads * this.headDim]));
      if (this.residual || this.rescale !== 1) this.#finish(output.data, input.data);
      return output;
    });
  }

  #normed(input: Tensor): Tensor {
    const { groups, epsilon } = this.#norms;
    return groups === undefined ? input : this.groupNorm('group_norm', input, groups, epsilon);
  }

  #normedContext(context: Tensor): Tensor {
    const { contextGroups } = this.#norms;
    if (!this.find('norm_cross.weight')) return context;
    return contextGroups > 0
      ? this.groupNorm('norm_cross', context, contextGroups)
      : this.layerNorm('norm_cross', context);
  }

  #finish(output: Float32Array, input: Float32Array): void {
    for (let at = 0; at < output.length; at++)
      output[at] = (this.residual ? output[at] + input[at] : output[at]) / this.rescale;
  }
}
