import type { Tensor } from '../tensor.ts';
import type { AttentionMask } from './mask.ts';
import type { Predicate } from './masks/definitions.ts';
import type { TileMod } from './modify.ts';

/** The order of the axes: `'bhsd'` [batch, heads, sequence, headDim] as in PyTorch, `'bshd'` [batch, sequence, heads, headDim] as in flash-attn. */
export type Layout = 'bhsd' | 'bshd';

/**
 * How scores are made and which keys a query sees. `S = scale·QKᵀ` → softcap → bias and ALiBi → `scoreMod` → masks → softmax → `probMod`;
 * a key is visible where all that is given here lets it be.
 */
export type AttentionOptions = {
  /** Factor of QKᵀ. Default `1/√headDim`. */
  scale?: number;
  /** Key `j` is visible iff `j ≤ queryOffset + i`. Default false. */
  causal?: boolean;
  /** The default of `queryOffset`: `'bottom-right'` (default) keyLength − queries, `'top-left'` 0. */
  causalAlignment?: 'bottom-right' | 'top-left';
  /**
   * The position of query 0, a number or one per batch. Default: `keyLengths[b]` (else keys) − queries. For causal
   * self-attention over right-padded sequences with `keyLengths`, give `causalAlignment: 'top-left'`.
   */
  queryOffset?: number | ArrayLike<number>;
  /** `[left, right]`: key `j` is visible iff `p − left ≤ j ≤ p + right`, `p = queryOffset + i`. `Infinity` = unbounded. */
  window?: readonly [number, number];
  /** Per batch: how many keys, from the first, are visible. */
  keyLengths?: ArrayLike<number>;
  /** A mask, or a tensor broadcast to [batch, heads, queries, keys]: boolean, true = may attend; float32, added. */
  mask?: AttentionMask | Tensor<'boolean' | 'float32'>;
  /** float32, added to the scores, broadcast to [batch, heads, queries, keys]; −Infinity = not visible. */
  bias?: Tensor;
  /** `c` of `c·tanh(S/c)`, from 1e-30 to 1e30. Default none. */
  softcap?: number;
  /** `[heads]`: `−slope·|p − j|` is added. */
  alibiSlopes?: ArrayLike<number>;
  /**
   * How many columns of the values are read, from the first, and how many the output has; default all. Values that lie in the keys
   * (multi-head latent attention) are the key tensor given twice.
   */
  valueDim?: number;
  /** `[heads]`: a logit that joins the softmax's denominator, not scaled. */
  sink?: ArrayLike<number>;
  /** FlexAttention's `mask_mod`: which pairs are visible; asked about each pair once, and the plan kept with the function. */
  maskMod?: Predicate;
  /**
   * Changes the scores (after softcap, bias and ALiBi, before the mask) tile by tile; `everyScore` makes one of a function of single
   * scores. On one thread, the caller's: a function cannot be handed to workers. It costs what the function does: of 8 heads of 1,024 × 64
   * one that does nothing takes 1.1 ×, ALiBi by `everyScore` 1.7 ×, a `Math.tanh` a score 5 × the time without.
   */
  scoreMod?: TileMod;
  /** Changes the weights likewise, after the softmax; they are not normalised again, and those of keys that are not visible stay 0. Scores are computed twice. */
  probMod?: TileMod;
  /** Axes of query, key, value and output: `'bhsd'` (default) [batch, heads, sequence, headDim] or `'bshd'`. */
  layout?: Layout;
  /** The tensor to write, in place of a new one. */
  output?: Tensor;
};

export const attentionOptions: ReadonlySet<string> = new Set<keyof AttentionOptions>([
  'scale',
  'causal',
  'causalAlignment',
  'queryOffset',
  'window',
  'keyLengths',
  'mask',
  'bias',
  'softcap',
  'alibiSlopes',
  'sink',
  'valueDim',
  'maskMod',
  'scoreMod',
  'probMod',
  'layout',
  'output',
]);

/** Strides of [batch, heads, sequence], in elements. */
export type Strides = readonly [number, number, number];

export function stridesOf(shape: readonly number[], layout: Layout): Strides {
  const [, second, third, dim] = shape;
  return layout === 'bhsd' ? [second * third * dim, third * dim, dim] : [second * third * dim, dim, third * dim];
}

export function overlap(a: Tensor, b: Tensor): boolean {
  return a.address < b.address + b.size * 4 && b.address < a.address + a.size * 4;
}
