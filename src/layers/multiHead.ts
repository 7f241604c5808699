import { tensor } from '../attention/masks/given.ts';
import { scaledDotProductAttention } from '../attention/scaledDotProduct.ts';
import { attentionWeights } from '../attention/weights.ts';
import { checkInteger, checkOptions, checkSameShape, checkTensor, wrongValue } from '../check.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Tensor } from '../tensor.ts';
import { Layer, linearShapes } from './layer.ts';
import { linear } from './linear.ts';

/** Sizes of a `MultiHeadAttention`. */
export type MultiHeadOptions = {
  /** E: the size of a query vector and of an output vector. */
  embedDim: number;
  /** Divides embedDim. */
  heads: number;
  /** Size of a key vector; default embedDim. */
  kdim?: number;
  /** Size of a value vector; default embedDim. */
  vdim?: number;
  /** Whether the projections have biases; default true. */
  bias?: boolean;
};

/** Masks, in PyTorch's sense (true = ignore), and weights of one call. */
export type MultiHeadForwardOptions = {
  /** `[batch, keys]`: boolean, true = ignore this key; or float32, added. */
  keyPaddingMask?: Tensor<'boolean' | 'float32'>;
  /** [queries, keys] or [batch · heads, queries, keys]: boolean, true = ignore; or float32, added. */
  attnMask?: Tensor<'boolean' | 'float32'>;
  /** Query `i` sees key `j` iff `j ≤ i`. Default false. */
  isCausal?: boolean;
  /** Whether the weights are computed too: O(queries × keys) memory. Default false. */
  needWeights?: boolean;
  /** Weights as the mean over the heads; default true. */
  averageWeights?: boolean;
};

/** A mask with its shape over [batch, heads, queries, keys]. */
type Hidden = { tensor: Tensor<'boolean' | 'float32'>; shape: number[] };

const layerOptions = new Set(['embedDim', 'heads', 'kdim', 'vdim', 'bias']);
const forwardOptions = new Set(['keyPaddingMask', 'attnMask', 'isCausal', 'needWeights', 'averageWeights']);

/**
 * Multi-head attention as `torch.nn.MultiheadAttention` with `batch_first=True`, for inference.
 *
 * `head_h = attention(Q·W_qᵀ + b_q, K·W_kᵀ + b_k, V·W_vᵀ + b_v)_h`, `output = concat(head)·W_oᵀ + b_o`.
 * Its parameters have PyTorch's names: `in_proj_weight` [3E, E] (or `q_proj_weight` [E, E], `k_proj_weight` [E, kdim],
 * `v_proj_weight` [E, vdim]), `in_proj_bias` [3E], `out_proj.weight` [E, E], `out_proj.bias` [E].
 * Boolean masks have PyTorch's sense here: true = ignore. Source: Vaswani et al. 2017, 3.2.2.
 *
 * @example
 * const attention = new MultiHeadAttention(runtime, { embedDim: 512, heads: 8 }).load(stateDict);
 * const { output } = attention.forward(x, x, x);
 */
export class MultiHeadAttention extends Layer {
  readonly embedDim: number;
  readonly heads: number;
  readonly kdim: number;
  readonly vdim: number;

  constructor(runtime: Runtime, options: MultiHeadOptions) {
    const where = 'MultiHeadAttention';
    checkOptions(where, options, layerOptions);
    const { embedDim, heads, kdim = embedDim, vdim = embedDim, bias = true } = options;
    for (const [name, size] of Object.entries({ embedDim, heads, kdim, vdim })) checkInteger(where, name, size, 1);
    if (embedDim % heads !== 0) throw wrongValue(where, 'embedDim', `is ${embedDim}, not a multiple of heads ${heads}`);
    const joint = kdim === embedDim && vdim === embedDim;
    super(runtime, where, {
      ...(joint
        ? { in_proj_weight: [3 * embedDim, embedDim] }
        : { q_proj_weight: [embedDim, embedDim], k_proj_weight: [embedDim, kdim], v_proj_weight: [embedDim, vdim] }),
      ...(bias ? { in_proj_bias: [3 * embedDim] } : {}),
      ...linearShapes('out_proj', embedDim, embedDim, bias),
    });
    this.embedDim = embedDim;
    this.heads = heads;
    this.kdim = kdim;
    this.vdim = vdim;
  }

  /**
   * @param query [batch, queries, embedDim]
   * @param key [batch, keys, kdim]
   * @param value [batch, keys, vdim]
   * @returns output [batch, queries, embedDim]; with `needWeights`, weights [batch, queries, keys], or
   * [batch, heads, queries, keys] where `averageWeights` is false
   * @throws Error before `load`; otherwise as `scaledDotProductAttention`
   */
  forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    options: MultiHeadForwardOptions = {},
  ): { output: Tensor; weights?: Tensor } {
    const where = 'MultiHeadAttention.forward';
    this.checkLoaded(where);
    checkOptions(where, options, forwardOptions);
    checkTensor(where, 'query', query, this.runtime, { rank: 3 });
    checkTensor(where, 'key', key, this.runtime, { rank: 3 });
    checkTensor(where, 'value', value, this.runtime, { rank: 3 });
    const sizes = { batch: query.shape[0], queries: query.shape[1], keys: key.shape[1] };
    checkSameShape(where, 'query', query.shape, [sizes.batch, sizes.queries, this.embedDim]);
    checkSameShape(where, 'key', key.shape, [sizes.batch, sizes.keys, this.kdim]);
    checkSameShape(where, 'value', value.shape, [sizes.batch, sizes.keys, this.vdim]);
    const hidden = this.#checkMasks(where, sizes, options);
    return this.runtime.scope(() => {
      const [q, k, v] = [query, key, value].map((input, part) => this.#project(input, part));
      const attention = { ...this.#visible(hidden, options), layout: 'bshd' as const };
      const heads = scaledDotProductAttention(q, k, v, attention);
      const output = this.project('out_proj', heads.view(query.shape));
      if (!options.needWeights) return { output };
      const weights = attentionWeights(q, k, attention);
      return { output, weights: options.averageWeights === false ? weights : meanOverHeads(weights) };
    });
  }

  /** Projection `part` (0 query, 1 key, 2 value) as [batch, sequence, heads, headDim]. */
  #project(input: Tensor, part: number): Tensor {
    const E = this.embedDim;
    const joint = this.find('in_proj_weight');
    const weight = joint?.slice(part * E, E) ?? this.parameter(`${'qkv'[part]}_proj_weight`);
    const projected = linear(input, weight, this.find('in_proj_bias')?.slice(part * E, E));
    return projected.view([input.shape[0], input.shape[1], this.heads, E / this.heads]);
  }

  /** Each mask with its shape over [batch, heads, queries, keys]. */
  #checkMasks(
    where: string,
    { batch, queries, keys }: { batch: number; queries: number; keys: number },
    { keyPaddingMask, attnMask }: MultiHeadForwardOptions,
  ): Hidden[] {
    const found: Hidden[] = [];
    if (keyPaddingMask) {
      checkTensor(where, 'keyPaddingMask', keyPaddingMask, this.runtime, { dtypes: ['boolean', 'float32'] });
      checkSameShape(where, 'keyPaddingMask', keyPaddingMask.shape, [batch, keys]);
      found.push({ tensor: keyPaddingMask, shape: [batch, 1, 1, keys] });
    }
    if (attnMask) {
      checkTensor(where, 'attnMask', attnMask, this.runtime, { dtypes: ['boolean', 'float32'] });
      const perHead = attnMask.shape.length === 3;
      checkSameShape(
        where,
        'attnMask',
        attnMask.shape,
        perHead ? [batch * this.heads, queries, keys] : [queries, keys],
      );
      found.push({ tensor: attnMask, shape: perHead ? [batch, this.heads, queries, keys] : [1, 1, queries, keys] });
    }
    return found;
  }

  #visible(hidden: readonly Hidden[], { isCausal }: MultiHeadForwardOptions) {
    const views = hidden.map(({ tensor, shape }) => tensor.view(shape));
    const booleans = views
      .filter((view) => view.dtype === 'boolean')
      .map((view) => tensor(view as Tensor<'boolean'>).not());
    const [added, bias] = views.filter((view) => view.dtype === 'float32') as Tensor[];
    const mask = added && bias ? added : undefined;
    const boolean = booleans.length > 0 ? booleans.reduce((whole, part) => whole.and(part)) : undefined;
    return {
      causal: isCausal ?? false,
      causalAlignment: 'top-left' as const,
      mask: mask ?? boolean,
      bias: mask ? bias : added,
    };
  }
}

/** [batch, heads, queries, keys] → [batch, queries, keys] */
function meanOverHeads(weights: Tensor): Tensor {
  const [batch, heads, queries, keys] = weights.shape;
  const mean = weights.runtime.zeros([batch, queries, keys]);
  const [from, to] = [weights.data, mean.data];
  const matrix = queries * keys;
  for (let at = 0; at < from.length; at++) {
    const b = Math.floor(at / (heads * matrix));
    to[b * matrix + (at % matrix)] += from[at] / heads;
  }
  return mean;
}
