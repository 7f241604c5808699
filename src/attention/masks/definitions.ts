import { checkInteger, checkTensor, wrongValue } from '../../check.ts';
import type { Tensor } from '../../tensor.ts';
import { broadcastStrides, sizesOf } from '../broadcast.ts';
import { interval, intervalsWhere, none } from '../intervals.ts';
import type { MaskDefinition } from './visibility.ts';

// Masks that are options of attention too; as masks they are in `positions.ts` and `given.ts`.

/** Whether a query may attend to a key: FlexAttention's `mask_mod`. `query` and `key` are indices, not positions. */
export type Predicate = (batch: number, head: number, query: number, key: number) => boolean;

export const causalRows: MaskDefinition = {
  varies: { position: true },
  reach: [Infinity, 0],
  rows({ queryOffset, keys }, batch) {
    const end = queryOffset(batch) + 1;
    return (i) => interval(0, end + i, keys);
  },
};

export function windowRows(left: number, right: number): MaskDefinition {
  for (const [name, size] of Object.entries({ left, right })) {
    if (size !== Infinity) checkInteger('slidingWindow', name, size);
  }
  return {
    varies: { position: true },
    reach: [left, right],
    rows({ queryOffset, keys }, batch) {
      const p = queryOffset(batch);
      return (i) => interval(p + i - left, p + i + right + 1, keys);
    },
  };
}

export function lengthRows(lengths: ArrayLike<number>): MaskDefinition {
  return {
    varies: { batch: true },
    content: 'changing',
    rows({ keys }, batch) {
      const row = interval(0, lengths[batch], keys);
      return () => row;
    },
    check: (where, { batch, keys }) => checkKeyLengths(where, lengths, batch, keys),
  };
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

export function tensorRows(mask: Tensor<'boolean'>): MaskDefinition {
  checkTensor('masks.tensor', 'mask', mask, mask?.runtime, { dtypes: ['boolean'] });
  const [batch, head] = [mask.shape.at(-4) ?? 1, mask.shape.at(-3) ?? 1];
  return {
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
  };
}

export function predicateRows(
  visible: Predicate,
  varies: { readonly batch?: boolean; readonly head?: boolean } = {},
): MaskDefinition {
  return {
    varies: { batch: varies.batch ?? true, head: varies.head ?? true },
    content: 'costly',
    rows:
      ({ keys }, b, h) =>
      (i) =>
        intervalsWhere(keys, (j) => visible(b, h, i, j)),
  };
}
