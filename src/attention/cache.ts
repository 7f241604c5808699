import { checkInteger, checkOneOf, checkOptions, checkSameShape, checkTensor, wrongValue } from '../check.ts';
import type { RotaryEmbedding } from '../position/rope.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Tensor } from '../tensor.ts';
import { type AppendOptions, appendCounts, appendOptions, cacheSizes, type KVCacheOptions } from './cacheOptions.ts';
import type { CacheDType } from './cacheRows.ts';
import { CacheStore } from './cacheStore.ts';
import { KeyValueStore, type KeyValues, sizesIn } from './keyValues.ts';

/**
 * Keys and values of past tokens, for decoding: `cache.append(key, value)`, then
 * `scaledDotProductAttention(query, cache, options)`.
 *
 * Its sequences have lengths of their own. They share one store of pages, allocated when the cache is made; a sequence can
 * begin with the pages of another (`fork`), which are copied when one of the two appends to them.
 *
 * With `window` the store is a ring that keeps the first `sinks` tokens and the last `window` ones (Xiao et al. 2023,
 * StreamingLLM): with `rotary`, the sinks move along, so that distances count what is in the cache. An append overwrites the
 * oldest tokens before its queries attend: only a token at a time sees its whole window.
 *
 * With `sharedValues` values are the first columns of the keys and are not stored again, as multi-head latent attention has them:
 * `cache.append(latents)`. An int8 row then has one scale for both.
 *
 * `'float16'` stores the nearest float16. `'int8'` stores `round(x / s)` with `s = max|x| / 127` over a token of a head: an
 * error of at most s/2 an element; a row that is not finite is NaN as a whole. Over 4096 normal random keys and values of
 * headDim 128, an output's root mean square error, relative to the outputs, is 3.5e-4 for float16 and 1e-2 for int8.
 *
 * Attention over the stored numbers is as exact as over tensors, except that up to 8 rows (queries times heads of a KV head)
 * attend to int8 in 16-bit integers, which add 5e-5; in the worst case `max|v|·(n + 2·scale·max|q|·max‖k‖₁) / 65534`, n the
 * multiple of 4 from 4 to 120 that is nearest to `3072 / max(headDim, valueDim)`.
 *
 * The cache lives until `dispose`: a `runtime.scope` in which it is made does not free it.
 *
 * @throws TypeError, RangeError: wrong options, or the memory limit; Error: a rotary embedding of another runtime
 * @example
 * const cache = new KVCache(runtime, { kvHeads: 8, headDim: 128, maxLength: 4096 });
 * cache.append(key, value);
 * const output = scaledDotProductAttention(query, cache, { causal: true });
 */
export class KVCache extends KeyValueStore {
  /** Sequences. */
  readonly batch: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly valueDim: number;
  readonly sharedValues: boolean;
  readonly dtype: CacheDType;
  /** The most tokens that a sequence can have in the cache. */
  readonly capacity: number;
  /** First tokens that a ring keeps; 0 without `window`. */
  readonly sinks: number;
  /** Last tokens that a ring keeps; undefined where nothing is overwritten. */
  readonly window: number | undefined;
  /** What turns the keys as they are appended. */
  readonly rotary: RotaryEmbedding | undefined;
  readonly #store: CacheStore;
  #keyValues: KeyValues | undefined;

  constructor(
    readonly runtime: Runtime,
    options: KVCacheOptions,
  ) {
    super();
    const sizes = cacheSizes('KVCache', runtime, options);
    this.batch = sizes.batch;
    this.kvHeads = sizes.kvHeads;
    this.headDim = sizes.headDim;
    this.valueDim = sizes.valueDim;
    this.sharedValues = sizes.sharedValues;
    this.dtype = sizes.dtype;
    this.capacity = sizes.capacity;
    this.window = sizes.window;
    this.sinks = sizes.sinks;
    this.rotary = sizes.rotary;
    this.#store = new CacheStore(runtime, sizes);
  }

  /** The most tokens that a sequence has in the cache. */
  get length(): number {
    return this.lengths.reduce((most, length) => Math.max(most, length), 0);
  }

  /** How many tokens each sequence has in the cache. */
  get lengths(): number[] {
    return this.#store.sequences.lengths;
  }

  /** How many tokens were appended to each sequence: the position of its next one, for `rotary.apply(query, { positions })`. */
  get positions(): number[] {
    return this.#store.sequences.positions;
  }

  /** Whether its memory was freed, or its runtime disposed. */
  get disposed(): boolean {
    return this.#store.disposed;
  }

  /** Pages that no sequence has. */
  get freePages(): number {
    return this.#store.pages.free;
  }

  /**
   * Appends tokens to every sequence, turning the keys by their positions where the cache has a `rotary`.
   *
   * @param key float32 [batch, kvHeads, tokens, headDim], in the order of `layout`
   * @param value float32 [batch, kvHeads, tokens, valueDim]; none where the cache has `sharedValues`
   * @throws TypeError, RangeError: wrong tensors or options, a sequence longer than `maxLength`, no page left or the memory
   * limit; Error: a disposed tensor or cache. Nothing is appended then.
   * @example
   * cache.append(key, value, { lengths: [3, 1] });
   */
  append(key: Tensor, value?: Tensor, options: AppendOptions = {}): this {
    const where = 'KVCache.append';
    this.#checkLive(where);
    checkOptions(where, options, appendOptions);
    const { layout = 'bhsd' } = options;
    checkOneOf(where, 'layout', layout, ['bhsd', 'bshd']);
    checkTensor(where, 'key', key, this.runtime, { rank: 4 });
    const { batch, kvHeads } = this;
    const tokens = sizesIn(layout, key.shape).length;
    const shape = (dim: number) => (layout === 'bhsd' ? [batch, kvHeads, tokens, dim] : [batch, tokens, kvHeads, dim]);
    checkSameShape(where, 'key', key.shape, shape(this.headDim));
    if (!this.sharedValues) {
      checkTensor(where, 'value', value as Tensor, this.runtime, { rank: 4 });
      checkSameShape(where, 'value', value!.shape, shape(this.valueDim));
    } else if (value !== undefined) throw wrongValue(where, 'value', 'cannot be given: the values lie in the keys');
    const counts = appendCounts(where, options.lengths, batch, tokens);
    this.#checkRoom(where, counts);
    this.#store.append(where, key, value, layout, counts);
    this.#keyValues = undefined;
    return this;
  }

  /**
   * Drops the last tokens, so that each sequence has at most `length` in the cache (speculative decoding). A ring does not get
   * back what the dropped tokens have overwritten.
   *
   * @param length a number or one per sequence
   * @throws RangeError a wrong length, or fewer than the sinks of a ring that has overwritten tokens; nothing is dropped then
   * @example
   * cache.truncate(cache.lengths.map((length) => length - rejected));
   */
  truncate(length: number | ArrayLike<number>): this {
    const where = 'KVCache.truncate';
    this.#checkLive(where);
    const one = typeof length === 'number';
    if (!one && length?.length !== this.batch)
      throw wrongValue(where, 'length', `must be a number or one per sequence (${this.batch})`);
    const kept = this.lengths.map((most, b) => {
      const name = one ? 'length' : `length[${b}]`;
      const wanted = one ? length : length[b];
      checkInteger(where, name, wanted);
      if (this.#store.sequences.dropped(b) > 0 && wanted < this.sinks)
        throw wrongValue(where, name, `is ${wanted}, fewer than the sinks (${this.sinks}) of a ring that has turned`);
      return Math.min(wanted, most);
    });
    kept.forEach((count, b) => {
      if (this.#store.sequences.truncate(b, count)) this.#store.pages.truncate(b, count);
    });
    this.#keyValues = undefined;
    return this;
  }

  /** Forgets everything; positions begin at 0 again. @throws Error when the cache is disposed */
  reset(): this {
    this.#checkLive('KVCache.reset');
    this.#store.sequences.reset();
    for (let b = 0; b < this.batch; b++) this.#store.pages.truncate(b, 0);
    this.#keyValues = undefined;
    return this;
  }

  /**
   * Makes sequence `target` begin as sequence `source` is, on the same pages (prefix sharing); what either appends is its own.
   *
   * @throws RangeError no such sequence, or a cache with a window, which is rewritten in place
   * @example
   * for (let beam = 1; beam < cache.batch; beam++) cache.fork(0, beam);
   */
  fork(source: number, target: number): this {
    const where = 'KVCache.fork';
    this.#checkLive(where);
    for (const [name, sequence] of Object.entries({ source, target })) {
      checkInteger(where, name, sequence);
      if (sequence >= this.batch)
        throw wrongValue(where, name, `is ${sequence}, but there are ${this.batch} sequences`);
    }
    if (this.window !== undefined)
      throw wrongValue(where, 'source', 'is in a cache with a window, which is rewritten in place');
    if (source === target) return this;
    this.#store.pages.share(source, target);
    this.#store.sequences.fork(source, target);
    this.#keyValues = undefined;
    return this;
  }

  /** Frees the memory. @throws Error when it is already freed */
  dispose(): void {
    this.#checkLive('KVCache.dispose');
    this.#store.dispose();
  }

  protected override get held(): boolean {
    return !this.disposed;
  }

  /** @internal What the kernels read. */
  keyValues(where: string, runtime: Runtime): KeyValues {
    if (this.runtime !== runtime) throw new Error(`${where}: the cache belongs to another runtime`);
    this.#checkLive(where);
    this.#keyValues ??= this.#store.describe();
    return this.#keyValues;
  }

  #checkRoom(where: string, counts: readonly number[]): void {
    if (this.window !== undefined) return;
    this.lengths.forEach((length, b) => {
      if (length + counts[b] <= this.capacity) return;
      const problem = `make sequence ${b} ${length + counts[b]} long, but maxLength is ${this.capacity}`;
      throw wrongValue(where, 'key', `has ${counts[b]} tokens, which ${problem}`);
    });
  }

  #checkLive(where: string): void {
    if (this.disposed) throw new Error(`${where}: the cache was disposed`);
  }
}
