import { checkInteger, checkOptions, checkTensor, wrongKind, wrongValue } from '../../check.ts';
import type { Tensor } from '../../tensor.ts';
import { broadcastStrides, sizesOf } from '../broadcast.ts';
import { interval, intervalsWhere, none } from '../intervals.ts';
import { AttentionMask } from './attentionMask.ts';

// Masks that the caller spells out: lengths, a tensor, a function.

/** In batch `b`, the keys below `lengths[b]` are visible. */
export function keyLengths(lengths: ArrayLike<number>): AttentionMask {
  return new AttentionMask({
    varies: { batch: true },
    content: 'changing',
    rows({ keys }, batch) {
      const row = interval(0, lengths[batch], keys);
      return () => row;
    },
    check: (where, { batch, keys }) => checkKeyLengths(where, lengths, batch, keys),
  });
}

export function checkKeyLengths(where: string, lengths: ArrayLike<number>, batch: number, keys: number): void {
  if (typeof lengths !== 'object' || lengths === null || lengths.length !== batch) {
    throw wrongValue(where, 'keyLengths', `must be one length per batch (${batch})`);
  }
  for (let b = 0; b < batch; b++) {
    checkInteger(where, `keyLengths[${b}]`, lengths[b]);
    if (lengths[b] > keys) throw wrongValue(where, `keyLengths[${b}]`, `is ${lengths[b]}, but there are ${keys} keys`);
  }
}

/** A boolean tensor, true = may attend, broadcast to [batch, heads, queries, keys]. Its content is read at every call. */
export function tensor(mask: Tensor<'boolean'>): AttentionMask {
  checkTensor('masks.tensor', 'mask', mask, mask?.runtime, { dtypes: ['boolean'] });
  const [batch, head] = [mask.shape.at(-4) ?? 1, mask.shape.at(-3) ?? 1];
  return new AttentionMask({
    varies: { batch: batch > 1, head: head > 1 },
    content: 'changing',
    rows(context, b, h) {
      const [batchStride, headStride, rowStride, keyStride] = broadcastStrides(
        'mask',
        'mask',
        mask.shape,
        sizesOf(context),
      );
      const { data } = mask;
      const first = b * batchStride + h * headStride;
      const read = (i: number) => intervalsWhere(context.keys, (j) => data[first + i * rowStride + j * keyStride]);
      const all = interval(0, context.keys, context.keys);
      if (keyStride === 0) return (i) => (data[first + i * rowStride] ? all : none);
      if (rowStride > 0) return read;
      const row = read(0);
      return () => row;
    },
    check(where, context) {
      checkTensor(where, 'mask', mask, mask.runtime, { dtypes: ['boolean'] });
      broadcastStrides(where, 'mask', mask.shape, sizesOf(context));
    },
  });
}

/** Whether a query may attend to a key: FlexAttention's `mask_mod`. `query` and `key` are indices, not positions. */
export type Predicate = (batch: number, head: number, query: number, key: number) => boolean;

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
  return new AttentionMask({
    varies: { batch: varies.batch ?? true, head: varies.head ?? true },
    content: 'costly',
    rows:
      ({ keys }, b, h) =>
      (i) =>
        intervalsWhere(keys, (j) => visible(b, h, i, j)),
  });
}

const ofPredicates = new WeakMap<Predicate, AttentionMask>();

/** The mask of a `maskMod`: one for each function, so that its plan is kept. */
export function maskOf(maskMod: Predicate): AttentionMask {
  const mask = ofPredicates.get(maskMod) ?? fromPredicate(maskMod);
  ofPredicates.set(maskMod, mask);
  return mask;
}
