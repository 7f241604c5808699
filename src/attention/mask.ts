import { checkInteger, checkTensor, wrongKind, wrongValue } from '../check.ts';
import type { Tensor } from '../tensor.ts';
import { complement, type Intervals, intersection, interval, intervalsWhere, union } from './intervals.ts';

/** What a mask is asked about: sizes, and the position of query 0 in each batch. */
export type MaskContext = {
  readonly batch: number;
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  readonly queryOffset: (batch: number) => number;
};

/** Which keys each query may attend to. Masks combine with `and`, `or` and `not`. */
export class AttentionMask {
  /**
   * @param varies whether rows differ between batches and between heads: what does not vary is planned once
   * @param row the visible keys of one query
   * @param check throws where the mask does not fit the sizes
   */
  constructor(
    readonly varies: { readonly batch: boolean; readonly head: boolean },
    readonly row: (context: MaskContext, batch: number, head: number, query: number) => Intervals,
    readonly check: (where: string, context: MaskContext) => void = () => {},
  ) {}

  /** Visible where both are. */
  and(other: AttentionMask): AttentionMask {
    return this.#with(other, (_context, a, b) => (a.length === 0 ? a : intersection(a, b)));
  }

  /** Visible where either is. */
  or(other: AttentionMask): AttentionMask {
    return this.#with(other, ({ keys }, a, b) => union(a, b, keys));
  }

  /** Visible where this is not. */
  not(): AttentionMask {
    return new AttentionMask(
      this.varies,
      (context, ...index) => complement(this.row(context, ...index), context.keys),
      this.check,
    );
  }

  #with(other: AttentionMask, combine: (context: MaskContext, a: Intervals, b: Intervals) => Intervals): AttentionMask {
    if (!(other instanceof AttentionMask)) throw wrongKind('AttentionMask', 'other', 'an AttentionMask', other);
    return new AttentionMask(
      { batch: this.varies.batch || other.varies.batch, head: this.varies.head || other.varies.head },
      (context, ...index) => combine(context, this.row(context, ...index), other.row(context, ...index)),
      (where, context) => {
        this.check(where, context);
        other.check(where, context);
      },
    );
  }
}

/** Key `j` is visible iff `j ≤ p`, where `p = queryOffset + i` is the query's position. */
function causal(): AttentionMask {
  return new AttentionMask({ batch: true, head: false }, (context, b, _h, i) =>
    interval(0, context.queryOffset(b) + i + 1, context.keys),
  );
}

/** Key `j` is visible iff `p − left ≤ j ≤ p + right`, both inclusive; `Infinity` is unbounded. */
function slidingWindow(left: number, right: number): AttentionMask {
  for (const [name, size] of Object.entries({ left, right })) {
    if (size !== Infinity) checkInteger('slidingWindow', name, size);
  }
  return new AttentionMask({ batch: true, head: false }, (context, b, _h, i) => {
    const p = context.queryOffset(b) + i;
    return interval(p - left, p + right + 1, context.keys);
  });
}

/** In batch `b`, the keys below `lengths[b]` are visible. */
function keyLengths(lengths: ArrayLike<number>): AttentionMask {
  return new AttentionMask(
    { batch: true, head: false },
    (context, b) => interval(0, lengths[b], context.keys),
    (where, { batch, keys }) => checkKeyLengths(where, lengths, batch, keys),
  );
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
function tensor(mask: Tensor<'boolean'>): AttentionMask {
  checkTensor('masks.tensor', 'mask', mask, mask?.runtime, { dtypes: ['boolean'] });
  const [batch, head] = [mask.shape.at(-4) ?? 1, mask.shape.at(-3) ?? 1];
  return new AttentionMask(
    { batch: batch > 1, head: head > 1 },
    (context, b, h, i) => {
      const strides = broadcastStrides('mask', 'mask', mask.shape, sizesOf(context));
      const start = b * strides[0] + h * strides[1] + i * strides[2];
      const data = mask.data;
      return intervalsWhere(context.keys, (j) => data[start + j * strides[3]]);
    },
    (where, context) => {
      checkTensor(where, 'mask', mask, mask.runtime, { dtypes: ['boolean'] });
      broadcastStrides(where, 'mask', mask.shape, sizesOf(context));
    },
  );
}

/** Visible where `visible(batch, head, query, key)` is true; asked about every pair at every call. */
function fromPredicate(visible: (batch: number, head: number, query: number, key: number) => boolean): AttentionMask {
  if (typeof visible !== 'function') throw wrongKind('fromPredicate', 'visible', 'a function', visible);
  return new AttentionMask({ batch: true, head: true }, (context, b, h, i) =>
    intervalsWhere(context.keys, (j) => visible(b, h, i, j)),
  );
}

/** Ready-made masks. */
export const masks = { causal, slidingWindow, keyLengths, tensor, fromPredicate };

export function sizesOf({ batch, heads, queries, keys }: MaskContext): readonly number[] {
  return [batch, heads, queries, keys];
}

/** Element strides of `shape` read as [batch, heads, queries, keys]: aligned at the last axis, a size of 1 repeats. */
export function broadcastStrides(
  where: string,
  name: string,
  shape: readonly number[],
  sizes: readonly number[],
): [number, number, number, number] {
  const strides = sizes.map(() => 0);
  let stride = 1;
  for (let axis = 1; axis <= shape.length; axis++) {
    const size = shape.at(-axis)!;
    if (axis > 4 || (size !== 1 && size !== sizes[4 - axis])) {
      throw wrongValue(where, name, `has shape [${shape}], which does not broadcast to [${sizes}]`);
    }
    strides[4 - axis] = size === 1 ? 0 : stride;
    stride *= size;
  }
  return strides as [number, number, number, number];
}
