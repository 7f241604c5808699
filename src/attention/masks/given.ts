import { checkOptions, wrongKind } from '../../check.ts';
import type { Tensor } from '../../tensor.ts';
import { AttentionMask } from './attentionMask.ts';
import { lengthRows, type Predicate, predicateRows, tensorRows } from './definitions.ts';

// Masks that the caller spells out: lengths, a tensor, a function.

/** In batch `b`, the keys below `lengths[b]` are visible. */
export function keyLengths(lengths: ArrayLike<number>): AttentionMask {
  return new AttentionMask(lengthRows(lengths));
}

/** A boolean tensor, true = may attend, broadcast to [batch, heads, queries, keys]. Its content is read at every call. */
export function tensor(mask: Tensor<'boolean'>): AttentionMask {
  return new AttentionMask(tensorRows(mask));
}

/**
 * Visible where `visible(batch, head, query, key)` is true. It is asked about every pair once for calls of equal sizes, and the plan
 * kept with this mask: what it answers must not change. That takes time O(queries × keys); no matrix is built.
 * @param varies whether the answer depends on the batch and on the head (default true): what does not is asked and planned once
 */
export function fromPredicate(
  visible: Predicate,
  varies: { readonly batch?: boolean; readonly head?: boolean } = {},
): AttentionMask {
  if (typeof visible !== 'function') throw wrongKind('fromPredicate', 'visible', 'a function', visible);
  checkOptions('fromPredicate', varies, new Set(['batch', 'head']));
  return new AttentionMask(predicateRows(visible, varies));
}
