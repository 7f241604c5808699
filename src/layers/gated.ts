import { broadcastStrides } from '../attention/broadcast.ts';
import { scaledDotProductAttention } from '../attention/scaledDotProduct.ts';
import { checkInteger, checkOptions, checkSameShape, checkTensor } from '../check.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Tensor } from '../tensor.ts';
import { gateInto } from './elementwise.ts';
import { Layer, linearShapes, type Shapes } from './layer.ts';

/** Sizes of a `GatedAttention`. */
export type GatedAttentionOptions = {
  /** Size of a query vector, and of an output vector. */
  queryDim: number;
  /** Size of a key vector; default queryDim. */
  keyDim?: number;
  /** The inner dimension is heads · headDim. */
  heads: number;
  headDim: number;
  /** Whether the output is gated; default true. */
  gating?: boolean;
  /** Whether the query projection has a bias, as in AlphaFold 3's `AttentionPairBias`; default false. */
  queryBias?: boolean;
};

/** Which keys are there, and what is added to the scores. */
export type GatedForwardOptions = {
  /** boolean [batch, keys], true = may attend. Default all. */
  mask?: Tensor<'boolean'>;
  /** float32, added to the scores, broadcast to [batch, heads, queries, keys]: a pair bias is [heads, queries, keys]. */
  bias?: Tensor;
};

const layerOptions = new Set(['queryDim', 'keyDim', 'heads', 'headDim', 'gating', 'queryBias']);
const forwardOptions = new Set(['mask', 'bias']);

/**
 * AlphaFold's gated attention: `head_h = softmax(W_q x·W_k y/√headDim + bias)·W_v y`,
 * `output = W_o(σ(W_g x + b_g) ⊙ concat(head)) + b_o`.
 *
 * Its parameters have the names of OpenFold's `Attention`, the weights of AlphaFold in PyTorch's layout: `linear_q.weight`
 * [heads·headDim, queryDim], `linear_k.weight` and `linear_v.weight` [heads·headDim, keyDim], `linear_g.weight`,
 * `linear_g.bias`, `linear_o.weight` [queryDim, heads·headDim], `linear_o.bias`; with `queryBias` `linear_q.bias`.
 * A row that sees no key gives `b_o`, where AlphaFold, which adds −1e9, averages the masked values.
 * Source: Jumper et al. 2021, supplement, Alg. 7.
 *
 * @example
 * const attention = new GatedAttention(runtime, { queryDim: 256, heads: 8, headDim: 32 }).load(stateDict);
 * const output = attention.forward(x, x, { mask, bias });
 */
export class GatedAttention extends Layer {
  readonly queryDim: number;
  readonly keyDim: number;
  readonly heads: number;
  readonly headDim: number;

  constructor(runtime: Runtime, options: GatedAttentionOptions) {
    const where = 'GatedAttention';
    checkOptions(where, options, layerOptions);
    const { queryDim, keyDim = queryDim, heads, headDim, gating = true, queryBias = false } = options;
    for (const [name, size] of Object.entries({ queryDim, keyDim, heads, headDim })) checkInteger(where, name, size, 1);
    super(runtime, where, gatedShapes({ queryDim, keyDim, heads, headDim, gating, queryBias }));
    this.queryDim = queryDim;
    this.keyDim = keyDim;
    this.heads = heads;
    this.headDim = headDim;
  }

  /**
   * @param query float32 [batch, queries, queryDim]
   * @param key float32 [batch, keys, keyDim]: keys and values come from it
   * @returns [batch, queries, queryDim]
   * @throws Error before `load`; otherwise as `scaledDotProductAttention`
   */
  forward(query: Tensor, key: Tensor, options: GatedForwardOptions = {}): Tensor {
    const where = 'GatedAttention.forward';
    this.checkLoaded(where);
    checkOptions(where, options, forwardOptions);
    checkTensor(where, 'query', query, this.runtime, { rank: 3 });
    checkTensor(where, 'key', key, this.runtime, { rank: 3 });
    const [batch, queries] = query.shape;
    const keys = key.shape[1];
    checkSameShape(where, 'query', query.shape, [batch, queries, this.queryDim]);
    checkSameShape(where, 'key', key.shape, [batch, keys, this.keyDim]);
    const { mask, bias } = options;
    checkMask(where, mask, this.runtime, [batch, keys]);
    if (bias !== undefined) {
      checkTensor(where, 'bias', bias, this.runtime);
      broadcastStrides(where, 'bias', bias.shape, [batch, this.heads, queries, keys]);
    }
    return this.runtime.scope(() => attendGated(this, '', this.heads, query, key, options));
  }
}

/** Sizes of `GatedAttention`, all of them given. */
export function gatedShapes(options: Required<GatedAttentionOptions>): Shapes {
  const { queryDim, keyDim, heads, headDim, gating, queryBias } = options;
  const dim = heads * headDim;
  return {
    ...linearShapes('linear_q', queryDim, dim, queryBias),
    ...linearShapes('linear_k', keyDim, dim, false),
    ...linearShapes('linear_v', keyDim, dim, false),
    ...(gating ? linearShapes('linear_g', queryDim, dim) : {}),
    ...linearShapes('linear_o', dim, queryDim),
  };
}

export function checkMask(
  where: string,
  mask: Tensor<'boolean'> | undefined,
  runtime: Runtime,
  shape: readonly number[],
): void {
  if (mask === undefined) return;
  checkTensor(where, 'mask', mask, runtime, { dtypes: ['boolean'] });
  checkSameShape(where, 'mask', mask.shape, shape);
}

/** Gated attention by the parameters of `layer` that begin with `prefix`, checked. */
export function attendGated(
  layer: Layer,
  prefix: string,
  heads: number,
  query: Tensor,
  key: Tensor,
  { mask, bias }: GatedForwardOptions,
): Tensor {
  const split = (name: string, input: Tensor) => {
    const projected = layer.project(prefix + name, input);
    return projected.view([input.shape[0], input.shape[1], heads, projected.shape[2] / heads]);
  };
  const attended = scaledDotProductAttention(split('linear_q', query), split('linear_k', key), split('linear_v', key), {
    layout: 'bshd',
    mask: mask?.view([mask.shape[0], 1, 1, mask.shape[1]]),
    bias,
  });
  const gated = layer.find(`${prefix}linear_g.weight`)
    ? gateInto(layer.project(`${prefix}linear_g`, query), attended)
    : attended;
  const [batch, queries, , headDim] = attended.shape;
  return layer.project(`${prefix}linear_o`, gated.view([batch, queries, heads * headDim]));
}
