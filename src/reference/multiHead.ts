import { broadcast, type Float64NdArray, type NdArray, type Precision, rounder, zeros } from './array.ts';
import { attention } from './attention.ts';
import { linear } from './linear.ts';

/** The state of `torch.nn.MultiheadAttention`, under its own names. E = embedDim. */
export type MultiHeadState = {
  /** `[3E, E]`: query, key, value in this order. Without it the next three are read. */
  in_proj_weight?: NdArray;
  /** [E, E] */
  q_proj_weight?: NdArray;
  /** [E, kdim] */
  k_proj_weight?: NdArray;
  /** [E, vdim] */
  v_proj_weight?: NdArray;
  /** [3E] */
  in_proj_bias?: NdArray;
  /** [E, E] */
  'out_proj.weight': NdArray;
  /** [E] */
  'out_proj.bias'?: NdArray;
};

/** Masks, in PyTorch's sense. */
export type MultiHeadOptions = {
  /** [batch, keys], 1 = ignore this key. */
  keyPaddingMask?: NdArray;
  /** [queries, keys] or [batch·heads, queries, keys]: of dtype `'boolean'` 1 = ignore, of any other it is added. */
  attnMask?: NdArray & { readonly dtype?: string };
  /** Query `i` sees key `j` iff `j ≤ i`. Default false. */
  isCausal?: boolean;
  /** Weights are the mean over the heads. Default true. */
  averageWeights?: boolean;
  precision?: Precision;
};

/**
 * Multi-head attention as `torch.nn.MultiheadAttention` with `batch_first=True` computes it.
 *
 * `head_h = attention(Q·W_qᵀ + b_q, K·W_kᵀ + b_k, V·W_vᵀ + b_v)_h`, `output = concat(head)·W_oᵀ + b_o`, scale `1/√(E/heads)`.
 *
 * Boolean masks have PyTorch's sense: true = ignore. A query that sees no key gives `b_o`, where PyTorch may give NaN.
 *
 * Source: Vaswani et al. 2017, section 3.2.2.
 *
 * @param query [batch, queries, E]
 * @param key [batch, keys, kdim]
 * @param value [batch, keys, vdim]
 * @returns output [batch, queries, E]; weights [batch, queries, keys], or [batch, heads, queries, keys] if not averaged
 */
export function multiHeadAttention(
  query: NdArray,
  key: NdArray,
  value: NdArray,
  heads: number,
  state: MultiHeadState,
  options: MultiHeadOptions = {},
): { output: Float64NdArray; weights: Float64NdArray } {
  const { keyPaddingMask, attnMask, isCausal: causal = false, averageWeights = true, precision } = options;
  const [batch, queries, embedDim] = query.shape;
  const keys = key.shape[1];
  const part = (array: NdArray | undefined, index: number) => array && rows(array, index * embedDim, embedDim);
  const project = (input: NdArray, weight: NdArray | undefined, index: number): Float64NdArray => {
    const matrix = weight ?? part(state.in_proj_weight, index);
    if (!matrix) throw new TypeError('multiHeadAttention: "state" has no projection weight for query, key or value');
    const { shape, data } = linear(input, matrix, part(state.in_proj_bias, index), { precision });
    return { shape: [shape[0], shape[1], heads, embedDim / heads], data };
  };

  const perHead = attnMask && {
    shape: attnMask.shape.length === 3 ? [batch, heads, queries, keys] : attnMask.shape,
    data: attnMask.data,
  };
  const isBoolean = attnMask?.dtype === 'boolean';
  const padding = keyPaddingMask && { shape: [batch, 1, 1, keys], data: keyPaddingMask.data };
  const ignored = [padding, isBoolean ? perHead : undefined]
    .filter((mask) => mask !== undefined)
    .map((mask) => broadcast(mask, [batch, heads, queries, keys]));
  const { output, weights } = attention(
    project(query, state.q_proj_weight, 0),
    project(key, state.k_proj_weight, 1),
    project(value, state.v_proj_weight, 2),
    {
      layout: 'bshd',
      causal,
      causalAlignment: 'top-left',
      mask: (...index) => !ignored.some((read) => read(...index)),
      bias: isBoolean ? undefined : perHead,
      precision,
    },
  );
  return {
    output: linear(
      { shape: [batch, queries, embedDim], data: output.data },
      state['out_proj.weight'],
      state['out_proj.bias'],
      { precision },
    ),
    weights: averageWeights ? meanOverHeads(weights, precision) : weights,
  };
}

/** `count` rows from row `start` of a matrix, or elements of a vector. */
function rows(array: NdArray, start: number, count: number): NdArray {
  const stride = array.shape[1] ?? 1;
  const data = Float64Array.from({ length: count * stride }, (_, at) => array.data[start * stride + at]);
  return { shape: [count, ...array.shape.slice(1)], data };
}

/** [batch, heads, queries, keys] → [batch, queries, keys] */
function meanOverHeads(weights: Float64NdArray, precision?: Precision): Float64NdArray {
  const round = rounder(precision);
  const [batch, heads, queries, keys] = weights.shape;
  const matrix = queries * keys;
  const mean = zeros([batch, queries, keys]);
  mean.data.forEach((_, at) => {
    const start = Math.floor(at / matrix) * heads * matrix + (at % matrix);
    let sum = 0;
    for (let h = 0; h < heads; h++) sum = round(sum + weights.data[start + h * matrix]);
    mean.data[at] = round(sum / heads);
  });
  return mean;
}
