import { checkDim, checkFlag, checkInteger, checkOneOf, checkOptions, wrongKind, wrongValue } from '../check.ts';
import { RotaryEmbedding } from '../position/rope.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { type CacheDType, storedAs } from './cacheRows.ts';
import type { Layout } from './options.ts';

/** Sizes and storage of a `KVCache`; one of `maxLength` and `window` must be given. */
export type KVCacheOptions = {
  /** Sequences; default 1. */
  batch?: number;
  /** Heads of keys and values. */
  kvHeads: number;
  /** Size of a key, from 1 to 65,536. */
  headDim: number;
  /** Size of a value; default headDim. */
  valueDim?: number;
  /**
   * Values are the first valueDim columns of the keys, which are stored once (multi-head latent attention); `append` takes no value.
   * Not with `rotary`, which would turn them. Default false.
   */
  sharedValues?: boolean;
  /** The most tokens of a sequence. Not with `window`. */
  maxLength?: number;
  /** Keep only the last so many tokens of each sequence, in a ring; `sinks` more are kept from its beginning. */
  window?: number;
  /** With `window`: how many first tokens are kept (StreamingLLM: 4). Default 0. */
  sinks?: number;
  /** How elements are stored: 4 bytes, 2, or 1 with a float32 scale per token and head. Default `'float32'`. */
  dtype?: CacheDType;
  /** Turns keys by their positions as they are appended. */
  rotary?: RotaryEmbedding;
  /** Tokens of a page; default the whole length, so that a sequence lies in one piece. */
  pageSize?: number;
  /** Pages of all sequences together; default as many as full sequences need. */
  pages?: number;
};

/** What `KVCache.append` is told beside key and value. */
export type AppendOptions = {
  /** Axes of key and value: `'bhsd'` (default) or `'bshd'`. */
  layout?: Layout;
  /** Per sequence, how many of the tokens are real; default all. */
  lengths?: ArrayLike<number>;
};

const cacheOptions = new Set<keyof KVCacheOptions>([
  'batch',
  'kvHeads',
  'headDim',
  'valueDim',
  'sharedValues',
  'maxLength',
  'window',
  'sinks',
  'dtype',
  'rotary',
  'pageSize',
  'pages',
]);
export const appendOptions: ReadonlySet<string> = new Set<keyof AppendOptions>(['layout', 'lengths']);

/** Checked options with their defaults. `capacity`: the most tokens that a sequence can have in the cache. */
export type CacheSizes = Required<Omit<KVCacheOptions, 'maxLength' | 'window' | 'rotary'>> &
  Pick<KVCacheOptions, 'window' | 'rotary'> & { capacity: number };

export function cacheSizes(where: string, runtime: Runtime, options: KVCacheOptions): CacheSizes {
  checkOptions(where, options, cacheOptions);
  const { batch = 1, kvHeads, headDim, valueDim = headDim, sharedValues = false } = options;
  const { window, sinks = 0, dtype = 'float32', rotary } = options;
  for (const [name, size] of Object.entries({ batch, kvHeads })) checkInteger(where, name, size, 1);
  for (const [name, size] of Object.entries({ headDim, valueDim })) checkDim(where, name, size);
  checkFlag(where, 'sharedValues', sharedValues);
  if (sharedValues && valueDim > headDim)
    throw wrongValue(
      where,
      'valueDim',
      `is ${valueDim}, more than the headDim ${headDim} of keys that hold the values`,
    );
  if (sharedValues && rotary !== undefined)
    throw wrongValue(where, 'rotary', 'would turn the values too, which lie in the keys');
  checkOneOf(where, 'dtype', dtype, Object.keys(storedAs));
  checkInteger(where, 'sinks', sinks);
  if ((window === undefined) === (options.maxLength === undefined))
    throw wrongValue(where, 'maxLength', 'or "window", one of the two, must be given');
  if (window === undefined) checkInteger(where, 'maxLength', options.maxLength, 1);
  else checkInteger(where, 'window', window, 1);
  if (sinks > 0 && window === undefined) throw wrongValue(where, 'sinks', 'are for a cache with a window');
  if (rotary !== undefined) checkRotary(where, runtime, rotary, headDim);
  const capacity = window === undefined ? options.maxLength! : sinks + window;
  const { pageSize = capacity } = options;
  checkInteger(where, 'pageSize', pageSize, 1);
  const { pages = batch * Math.ceil(capacity / pageSize) } = options;
  checkInteger(where, 'pages', pages, 1);
  // Kernels count rows in int32.
  if (pages * pageSize * kvHeads >= 2 ** 31)
    throw wrongValue(where, 'pages', `have room for ${pages * pageSize} tokens of ${kvHeads} heads, not less than 2³¹`);
  const sizes = { batch, kvHeads, headDim, valueDim, sharedValues, capacity, pageSize, pages };
  return { ...sizes, window, sinks, dtype, rotary };
}

function checkRotary(where: string, runtime: Runtime, rotary: RotaryEmbedding, headDim: number): void {
  if (!(rotary instanceof RotaryEmbedding)) throw wrongKind(where, 'rotary', 'a RotaryEmbedding', rotary);
  if (rotary.runtime !== runtime) throw new Error(`${where}: "rotary" belongs to another runtime`);
  if (rotary.headDim !== headDim)
    throw wrongValue(where, 'rotary', `has headDim ${rotary.headDim}, but the cache has ${headDim}`);
  if (rotary.axes > 1)
    throw wrongValue(where, 'rotary', `has ${rotary.axes} axes, but a token of a cache has one position`);
}

/** How many tokens each sequence gets of an append. */
export function appendCounts(
  where: string,
  lengths: ArrayLike<number> | undefined,
  batch: number,
  tokens: number,
): number[] {
  if (lengths === undefined) return Array.from({ length: batch }, () => tokens);
  if (lengths?.length !== batch) throw wrongValue(where, 'lengths', `must be one number per sequence (${batch})`);
  return Array.from(lengths, (count, b) => {
    checkInteger(where, `lengths[${b}]`, count);
    if (count > tokens) throw wrongValue(where, `lengths[${b}]`, `is ${count}, but there are ${tokens} tokens`);
    return count;
  });
}
