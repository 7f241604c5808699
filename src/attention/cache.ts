import { Segment } from '../../assembly/params.ts';
import {
  checkInteger,
  checkOneOf,
  checkOptions,
  checkSameShape,
  checkTensor,
  wrongKind,
  wrongValue,
} from '../check.ts';
import { defineDispose } from '../dispose.ts';
import { RotaryEmbedding } from '../position/rope.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Tensor } from '../tensor.ts';
import { type CacheDType, CacheRows, storedAs } from './cacheRows.ts';
import { type KeyValues, LARGEST_DIM } from './keyValues.ts';
import { type Layout, stridesOf } from './options.ts';
import { Pages } from './pages.ts';

export type KVCacheOptions = {
  /** Sequences; default 1. */
  batch?: number;
  kvHeads: number;
  headDim: number;
  /** Default headDim. */
  valueDim?: number;
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

export type AppendOptions = {
  layout?: Layout;
  /** Per sequence, how many of the tokens are real; default all. */
  lengths?: ArrayLike<number>;
};

const cacheOptions = new Set<keyof KVCacheOptions>([
  'batch',
  'kvHeads',
  'headDim',
  'valueDim',
  'maxLength',
  'window',
  'sinks',
  'dtype',
  'rotary',
  'pageSize',
  'pages',
]);
const appendOptions = new Set<keyof AppendOptions>(['layout', 'lengths']);
const NO_KEY_MORE = 2 ** 31 - 1;

/** A sequence: `total` tokens were appended, of which `kept` are in the cache: the sinks and the last ones. */
type Sequence = { total: number; kept: number };

/**
 * Keys and values of past tokens, for decoding: `cache.append(key, value)`, then
 * `scaledDotProductAttention(query, cache, options)`.
 *
 * Its sequences have lengths of their own. They share one store of pages, allocated when the cache is made; a sequence can
 * begin with the pages of another (`fork`), which are copied when one of the two appends to them. With `window` the store is
 * a ring that keeps the first `sinks` tokens and the last `window` ones (Xiao et al. 2023, StreamingLLM): with `rotary`, the
 * sinks move along, so that positions count what is in the cache. `'int8'` stores `round(x / s)`, `s = max|x| / 127`: an
 * error of at most s/2 an element.
 *
 * @throws TypeError, RangeError: wrong options, or the memory limit
 * @example
 * const cache = new KVCache(runtime, { kvHeads: 8, headDim: 128, maxLength: 4096 });
 * cache.append(key, value);
 * const output = scaledDotProductAttention(query, cache, { causal: true });
 */
export class KVCache {
  readonly batch: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly valueDim: number;
  readonly dtype: CacheDType;
  /** The most tokens that a sequence can have in the cache. */
  readonly capacity: number;
  readonly sinks: number;
  readonly #window: number | undefined;
  readonly #rotary: RotaryEmbedding | undefined;
  readonly #pages: Pages;
  readonly #sequences: Sequence[];
  readonly #keys: CacheRows;
  readonly #values: CacheRows;
  /** With sinks that move: the sinks' keys as they came, [batch, kvHeads, sinks, headDim]. */
  readonly #sinkKeys: Tensor | undefined;
  #keyValues: KeyValues | undefined;

  constructor(
    readonly runtime: Runtime,
    options: KVCacheOptions,
  ) {
    const where = 'KVCache';
    checkOptions(where, options, cacheOptions);
    const { batch = 1, kvHeads, headDim, valueDim = headDim, window, sinks = 0, dtype = 'float32', rotary } = options;
    for (const [name, size] of Object.entries({ batch, kvHeads, headDim, valueDim }))
      checkInteger(where, name, size, 1);
    for (const [name, size] of Object.entries({ headDim, valueDim }))
      if (size > LARGEST_DIM) throw wrongValue(where, name, `is ${size}, but at most ${LARGEST_DIM} is possible`);
    checkOneOf(where, 'dtype', dtype, Object.keys(storedAs));
    checkInteger(where, 'sinks', sinks);
    if ((window === undefined) === (options.maxLength === undefined))
      throw wrongValue(where, 'maxLength', 'or "window", one of the two, must be given');
    if (window === undefined) checkInteger(where, 'maxLength', options.maxLength, 1);
    else checkInteger(where, 'window', window, 1);
    if (sinks > 0 && window === undefined) throw wrongValue(where, 'sinks', 'are for a cache with a window');
    if (rotary !== undefined && !(rotary instanceof RotaryEmbedding))
      throw wrongKind(where, 'rotary', 'a RotaryEmbedding', rotary);
    if (rotary && rotary.headDim !== headDim)
      throw wrongValue(where, 'rotary', `has headDim ${rotary.headDim}, but the cache has ${headDim}`);
    if (rotary && rotary.axes > 1)
      throw wrongValue(where, 'rotary', `has ${rotary.axes} axes, but a token of a cache has one position`);
    this.batch = batch;
    this.kvHeads = kvHeads;
    this.headDim = headDim;
    this.valueDim = valueDim;
    this.dtype = dtype;
    this.capacity = window === undefined ? options.maxLength! : sinks + window;
    this.sinks = sinks;
    this.#window = window;
    this.#rotary = rotary;
    const { pageSize = this.capacity } = options;
    checkInteger(where, 'pageSize', pageSize, 1);
    const { pages = batch * Math.ceil(this.capacity / pageSize) } = options;
    checkInteger(where, 'pages', pages, 1);
    const rows = pages * pageSize;
    if (!(rows * kvHeads < 2 ** 31)) throw wrongValue(where, 'pages', `make ${rows} tokens, too many`);
    this.#pages = new Pages(pageSize, pages, batch);
    this.#sequences = Array.from({ length: batch }, () => ({ total: 0, kept: 0 }));
    const made: { dispose(): void }[] = [];
    const own = <T extends { dispose(): void }>(part: T): T => {
      made.push(part);
      return part;
    };
    try {
      this.#keys = own(new CacheRows(runtime, dtype, kvHeads, rows, headDim));
      this.#values = own(new CacheRows(runtime, dtype, kvHeads, rows, valueDim));
      if (rotary && sinks > 0) this.#sinkKeys = own(runtime.keep(runtime.empty([batch, kvHeads, sinks, headDim])));
    } catch (error) {
      for (const part of made) part.dispose();
      throw error;
    }
  }

  /** The most tokens that a sequence has in the cache. */
  get length(): number {
    return this.#sequences.reduce((most, { kept }) => Math.max(most, kept), 0);
  }

  /** How many tokens each sequence has in the cache. */
  get lengths(): number[] {
    return this.#sequences.map(({ kept }) => kept);
  }

  /** How many tokens were appended to each sequence: the position of its next one, for `rotary.apply(query, { positions })`. */
  get positions(): number[] {
    return this.#sequences.map(({ total }) => total);
  }

  get disposed(): boolean {
    return this.#keys.disposed;
  }

  /** Pages that no sequence has. */
  get freePages(): number {
    return this.#pages.free;
  }

  /**
   * Appends tokens to every sequence, turning the keys by their positions where the cache has a `rotary`.
   *
   * @param key float32 [batch, kvHeads, tokens, headDim], in the order of `layout`
   * @param value float32 [batch, kvHeads, tokens, valueDim]
   * @throws RangeError where a sequence would be longer than `maxLength`, or no page is left: nothing is appended then
   */
  append(key: Tensor, value: Tensor, options: AppendOptions = {}): this {
    const where = 'KVCache.append';
    this.#checkLive(where);
    checkOptions(where, options, appendOptions);
    const { layout = 'bhsd' } = options;
    checkOneOf(where, 'layout', layout, ['bhsd', 'bshd']);
    const shape = (dim: number, tokens: number) =>
      layout === 'bhsd' ? [this.batch, this.kvHeads, tokens, dim] : [this.batch, tokens, this.kvHeads, dim];
    checkTensor(where, 'key', key, this.runtime, { rank: 4 });
    checkTensor(where, 'value', value, this.runtime, { rank: 4 });
    const tokens = key.shape[layout === 'bhsd' ? 2 : 1];
    checkSameShape(where, 'key', key.shape, shape(this.headDim, tokens));
    checkSameShape(where, 'value', value.shape, shape(this.valueDim, tokens));
    const counts = this.#counts(where, options.lengths, tokens);
    this.#reserve(where, counts);
    const { rows, positions } = this.#placed(counts, tokens);
    this.#keyValues = undefined;
    this.#keys.write(key, layout, rows, positions, this.#rotary);
    this.#values.write(value, layout, rows, positions, undefined);
    if (this.#sinkKeys) this.#keepSinks(this.#sinkKeys, key, layout, counts);
    counts.forEach((count, b) => {
      const sequence = this.#sequences[b];
      sequence.total += count;
      sequence.kept = Math.min(sequence.kept + count, this.capacity);
    });
    if (this.#sinkKeys) this.#moveSinks(this.#sinkKeys);
    return this;
  }

  /**
   * Drops the last tokens, so that each sequence has at most `length` in the cache (speculative decoding), a number or one per
   * sequence. A ring does not get back what the dropped tokens have overwritten.
   */
  truncate(length: number | ArrayLike<number>): this {
    const where = 'KVCache.truncate';
    this.#checkLive(where);
    const kept = this.lengths.map((most, b) => {
      const wanted = typeof length === 'number' ? length : length?.[b];
      checkInteger(where, 'length', wanted);
      return Math.min(wanted, most);
    });
    for (let b = 0; b < this.batch; b++) {
      const sequence = this.#sequences[b];
      if (sequence.total > sequence.kept && kept[b] < this.sinks)
        throw wrongValue(
          where,
          'length',
          `is ${kept[b]}, fewer than the sinks (${this.sinks}) of a ring that has turned`,
        );
    }
    this.#keyValues = undefined;
    kept.forEach((count, b) => {
      const sequence = this.#sequences[b];
      sequence.total -= sequence.kept - count;
      sequence.kept = count;
      if (this.#window === undefined || sequence.total === sequence.kept) this.#pages.truncate(b, count);
    });
    return this;
  }

  /** Forgets everything. */
  reset(): this {
    this.#checkLive('KVCache.reset');
    this.#keyValues = undefined;
    this.#sequences.forEach((sequence, b) => {
      sequence.total = 0;
      sequence.kept = 0;
      this.#pages.truncate(b, 0);
    });
    return this;
  }

  /** Makes sequence `target` begin as sequence `source` is, on the same pages; what either appends is its own. */
  fork(source: number, target: number): this {
    const where = 'KVCache.fork';
    this.#checkLive(where);
    for (const [name, sequence] of Object.entries({ source, target })) {
      checkInteger(where, name, sequence);
      if (sequence >= this.batch)
        throw wrongValue(where, name, `is ${sequence}, but there are ${this.batch} sequences`);
    }
    if (this.#window !== undefined)
      throw wrongValue(where, 'source', 'is in a cache with a window, which is rewritten in place');
    if (source === target) return this;
    this.#keyValues = undefined;
    this.#pages.share(source, target);
    Object.assign(this.#sequences[target], this.#sequences[source]);
    return this;
  }

  /** Frees the memory. */
  dispose(): void {
    this.#checkLive('KVCache.dispose');
    this.#keys.dispose();
    this.#values.dispose();
    this.#sinkKeys?.dispose();
  }

  /** `dispose`, once: for `using`. */
  declare [Symbol.dispose]: () => void;

  /** What the kernels read. */
  keyValues(where: string, runtime: Runtime): KeyValues {
    if (this.runtime !== runtime) throw new Error(`${where}: the cache belongs to another runtime`);
    this.#checkLive(where);
    this.#keyValues ??= this.#describe();
    return this.#keyValues;
  }

  #describe(): KeyValues {
    const { batch, kvHeads, headDim, valueDim, dtype } = this;
    const { lengths, length } = this;
    const records: number[] = [];
    const starts = new Int32Array(batch);
    this.#sequences.forEach(({ total, kept }, b) => {
      starts[b] = records.length / Segment.words;
      const own: number[] = [];
      const ringFrom = total > kept ? this.sinks : kept;
      this.#pages.segments(own, b, 0, 0, Math.min(ringFrom, kept));
      if (total > kept && this.#window !== undefined) {
        // Tokens of the ring, oldest first: token t ≥ sinks lies in slot sinks + (t − sinks) mod window.
        const count = kept - this.sinks;
        const oldest = this.sinks + ((total - count - this.sinks) % this.#window);
        const first = Math.min(count, this.capacity - oldest);
        this.#pages.segments(own, b, this.sinks, oldest, oldest + first);
        this.#pages.segments(own, b, this.sinks + first, this.sinks, this.sinks + count - first);
      }
      if (own.length === 0) own.push(0, 0);
      records.push(...own, NO_KEY_MORE, 0);
    });
    return {
      batch,
      kvHeads,
      keys: length,
      headDim,
      valueDim,
      lengths: lengths.some((own) => own !== length) ? lengths : undefined,
      key: this.#keys.address,
      value: this.#values.address,
      keyStrides: this.#keys.strides,
      valueStrides: this.#values.strides,
      stored: storedAs[dtype],
      keyScales: this.#keys.scales,
      valueScales: this.#values.scales,
      scaleHead: this.#keys.rows,
      segments: { records: Int32Array.from(records), starts },
    };
  }

  #counts(where: string, lengths: ArrayLike<number> | undefined, tokens: number): number[] {
    if (lengths === undefined) return this.#sequences.map(() => tokens);
    if (lengths?.length !== this.batch)
      throw wrongValue(where, 'lengths', `must be one number per sequence (${this.batch})`);
    return Array.from(lengths, (count, b) => {
      checkInteger(where, `lengths[${b}]`, count);
      if (count > tokens) throw wrongValue(where, `lengths[${b}]`, `is ${count}, but there are ${tokens} tokens`);
      return count;
    });
  }

  /** Checks that there is room, then takes the pages. */
  #reserve(where: string, counts: readonly number[]): void {
    const slots = counts.map((count, b) => {
      const { total } = this.#sequences[b];
      if (this.#window !== undefined) return [Math.min(total, this.capacity), Math.min(total + count, this.capacity)];
      if (total + count > this.capacity) {
        const problem = `make sequence ${b} ${total + count} long, but maxLength is ${this.capacity}`;
        throw wrongValue(where, 'key', `has ${count} tokens, which ${problem}`);
      }
      return [total, total + count];
    });
    const needed = slots.reduce((sum, [start, end], b) => sum + this.#pages.needed(b, start, end), 0);
    if (needed > this.#pages.free)
      throw new RangeError(`${where}: ${needed} pages are needed, but ${this.#pages.free} are free`);
    slots.forEach(([start, end], b) => {
      for (const [from, to] of this.#pages.claim(b, start, end)) {
        const size = this.#pages.pageSize;
        this.#keys.copy(from * size, to * size, size);
        this.#values.copy(from * size, to * size, size);
      }
    });
  }

  /** Row of the store and position of each token [batch · tokens]; row −1: not stored. */
  #placed(counts: readonly number[], tokens: number): { rows: Int32Array; positions: Float64Array } {
    const rows = new Int32Array(this.batch * tokens).fill(-1);
    const positions = new Float64Array(this.batch * tokens);
    counts.forEach((count, b) => {
      const { total } = this.#sequences[b];
      for (let i = 0; i < count; i++) {
        const token = total + i;
        positions[b * tokens + i] = token;
        const slot = this.#slot(token, total + count);
        if (slot !== undefined) rows[b * tokens + i] = this.#pages.row(b, slot);
      }
    });
    return { rows, positions };
  }

  /** Where token `t` lies once there are `total`; undefined where it is overwritten at once. */
  #slot(token: number, total: number): number | undefined {
    if (this.#window === undefined || token < this.sinks) return token;
    if (token < total - this.#window) return undefined;
    return this.sinks + ((token - this.sinks) % this.#window);
  }

  /** Remembers the sinks among new keys as they came. */
  #keepSinks(sinkKeys: Tensor, key: Tensor, layout: Layout, counts: readonly number[]): void {
    const [from, to] = [key.data, sinkKeys.data];
    const [batchStride, headStride, rowStride] = stridesOf(key.shape, layout);
    counts.forEach((count, b) => {
      const { total } = this.#sequences[b];
      for (let i = 0; i < Math.min(count, this.sinks - total); i++) {
        for (let h = 0; h < this.kvHeads; h++) {
          const at = b * batchStride + h * headStride + i * rowStride;
          to.set(
            from.subarray(at, at + this.headDim),
            ((b * this.kvHeads + h) * this.sinks + total + i) * this.headDim,
          );
        }
      }
    });
  }

  /** Turns the sinks' keys to where they are in the cache: as many positions on as tokens were overwritten. */
  #moveSinks(sinkKeys: Tensor): void {
    if (this.#sequences.every(({ total, kept }) => total === kept)) return;
    const rows = new Int32Array(this.batch * this.sinks).fill(-1);
    const positions = new Float64Array(rows.length);
    this.#sequences.forEach(({ total, kept }, b) => {
      if (total === kept) return;
      for (let s = 0; s < this.sinks; s++) {
        rows[b * this.sinks + s] = this.#pages.row(b, s);
        positions[b * this.sinks + s] = s + total - kept;
      }
    });
    this.#keys.write(sinkKeys, 'bhsd', rows, positions, this.#rotary);
  }

  #checkLive(where: string): void {
    if (this.disposed) throw new Error(`${where}: the cache was disposed`);
  }
}

defineDispose(KVCache, (cache) => {
  if (!cache.disposed) cache.dispose();
});
