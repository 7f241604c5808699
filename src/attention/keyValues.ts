import { Stored } from '../../assembly/params.ts';
import { checkTensor, LARGEST_DIM, wrongValue } from '../check.ts';
import { Disposing } from '../dispose.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Tensor } from '../tensor.ts';
import { type Layout, type Strides, stridesOf } from './options.ts';

/** Keys and values as the kernels find them: in two tensors or in a cache. */
export type KeyValues = {
  readonly batch: number;
  readonly kvHeads: number;
  /** The most keys of a batch. */
  readonly keys: number;
  readonly headDim: number;
  readonly valueDim: number;
  /** Keys of each batch, where they differ. */
  readonly lengths?: readonly number[];
  readonly key: number;
  readonly value: number;
  /** In elements. */
  readonly keyStrides: Strides;
  readonly valueStrides: Strides;
  readonly stored: Stored;
  /** int8: addresses of the rows' scales, and rows from head to head. */
  readonly keyScales: number;
  readonly valueScales: number;
  readonly scaleHead: number;
  /** Segment records, those of batch b from `starts[b]` on. */
  readonly segments?: { readonly records: Int32Array; readonly starts: Int32Array };
};

/**
 * What has keys and values of its own: a `KVCache`. Attention knows it by this class, so that nobody downloads a cache who makes
 * none.
 */
export abstract class KeyValueStore extends Disposing {
  /** What the kernels read. */
  abstract keyValues(where: string, runtime: Runtime): KeyValues;
}

export function sizesIn(layout: Layout, [batch, second, third, dim]: readonly number[]) {
  return layout === 'bhsd'
    ? { batch, heads: second, length: third, dim }
    : { batch, heads: third, length: second, dim };
}

/** Checks key and value against each other and the query's batch. Without a value only scores can be had. */
export function keyValuesOf(
  where: string,
  runtime: Runtime,
  layout: Layout,
  batch: number,
  key: Tensor,
  value: Tensor | undefined,
): KeyValues {
  checkTensor(where, 'key', key, runtime, rank4);
  const k = sizesIn(layout, key.shape);
  const differ = (name: string, has: string, other: string) => wrongValue(where, name, `has ${has}, but ${other}`);
  if (k.batch !== batch) throw differ('key', `batch ${k.batch}`, `"query" has batch ${batch}`);
  if (value === undefined) return plain(layout, key, k, 0, 0, noStrides);
  checkTensor(where, 'value', value, runtime, rank4);
  const v = sizesIn(layout, value.shape);
  if (v.batch !== batch) throw differ('value', `batch ${v.batch}`, `"query" has batch ${batch}`);
  if (v.heads !== k.heads) throw differ('value', `${v.heads} heads`, `"key" has ${k.heads}`);
  if (v.length !== k.length) throw differ('value', `length ${v.length}`, `"key" has length ${k.length}`);
  if (v.dim < 1) throw wrongValue(where, 'value', 'has headDim 0, but at least 1 is needed');
  if (v.dim > LARGEST_DIM)
    throw wrongValue(where, 'value', `has headDim ${v.dim}, but at most ${LARGEST_DIM} is possible`);
  return plain(layout, key, k, v.dim, value.address, stridesOf(value.shape, layout));
}

const rank4 = { rank: 4 };
const noStrides: Strides = [0, 0, 0];

/** Of tensors. One object: calls leave little garbage. */
function plain(
  layout: Layout,
  key: Tensor,
  { batch, heads, length, dim }: ReturnType<typeof sizesIn>,
  valueDim: number,
  value: number,
  valueStrides: Strides,
): KeyValues {
  return {
    batch,
    kvHeads: heads,
    keys: length,
    headDim: dim,
    valueDim,
    key: key.address,
    value,
    keyStrides: stridesOf(key.shape, layout),
    valueStrides,
    stored: Stored.float32,
    keyScales: 0,
    valueScales: 0,
    scaleHead: 0,
  };
}
