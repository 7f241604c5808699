import type { RotaryEmbedding } from '../position/rope.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Tensor } from '../tensor.ts';
import type { CacheSizes } from './cacheOptions.ts';
import { CacheRows, storedAs, storeRows, type Write } from './cacheRows.ts';
import { type KeyValues, sizesIn } from './keyValues.ts';
import type { Layout } from './options.ts';
import { Pages } from './pages.ts';
import { Sequences } from './sequences.ts';
import { Sinks } from './sinks.ts';

/** A cache's memory and what is where in it; its caller has checked that all fits. */
export class CacheStore {
  readonly pages: Pages;
  readonly sequences: Sequences;
  readonly #keys: CacheRows;
  /** Absent where the values lie in the keys. */
  readonly #values: CacheRows | undefined;
  readonly #valueDim: number;
  readonly #rotary: RotaryEmbedding | undefined;
  readonly #sinks: Sinks | undefined;

  constructor(
    readonly runtime: Runtime,
    sizes: CacheSizes,
  ) {
    const { batch, kvHeads, headDim, valueDim, dtype, capacity, window, sinks, rotary, pageSize, pages } = sizes;
    const made: { dispose(): void }[] = [];
    const own = <T extends { dispose(): void }>(part: T): T => {
      made.push(part);
      return part;
    };
    try {
      this.#keys = own(new CacheRows(runtime, dtype, kvHeads, pages * pageSize, headDim));
      if (!sizes.sharedValues) this.#values = own(new CacheRows(runtime, dtype, kvHeads, pages * pageSize, valueDim));
      if (rotary && sinks > 0) this.#sinks = own(new Sinks(runtime, batch, kvHeads, sinks, headDim));
    } catch (error) {
      for (const part of made) part.dispose();
      throw error;
    }
    this.#valueDim = valueDim;
    this.#rotary = rotary;
    this.pages = new Pages(pageSize, pages, batch);
    this.sequences = new Sequences(batch, capacity, window, sinks);
  }

  get disposed(): boolean {
    return this.#keys.disposed;
  }

  /** Takes pages and stores `counts` tokens, or throws and leaves everything as it was. */
  append(where: string, key: Tensor, value: Tensor | undefined, layout: Layout, counts: readonly number[]): void {
    const { pages, sequences } = this;
    const claims = pages.claim(
      where,
      counts.map((count, b) => sequences.newSlots(b, count)),
    );
    const size = pages.pageSize;
    for (const { from, page } of claims) {
      if (from === undefined) continue;
      this.#keys.copy(from * size, page * size, size);
      this.#values?.copy(from * size, page * size, size);
    }
    try {
      storeRows(this.runtime, this.#writes(key, value, layout, counts));
    } catch (error) {
      pages.revert(claims);
      throw error;
    }
    sequences.append(counts);
  }

  #writes(key: Tensor, value: Tensor | undefined, layout: Layout, counts: readonly number[]): Write[] {
    const { rows, positions } = this.#placed(counts, sizesIn(layout, key.shape).length);
    const rotary = this.#rotary;
    const writes: Write[] = [{ to: this.#keys, input: key, layout, rows, positions, rotary }];
    if (this.#values && value) writes.push({ to: this.#values, input: value, layout, rows });
    if (!this.#sinks) return writes;
    this.#sinks.remember(key, layout, counts, this.sequences.positions);
    const moved = this.#sinks.moved(this.sequences, counts, (b, slot) => this.pages.row(b, slot));
    if (moved) writes.push({ to: this.#keys, input: this.#sinks.keys, layout: 'bhsd', rotary, ...moved });
    return writes;
  }

  /** Row of the store and position of each token [batch · tokens]; row −1: not stored. */
  #placed(counts: readonly number[], tokens: number): { rows: Int32Array; positions: Float64Array } {
    const { pages, sequences } = this;
    const rows = new Int32Array(counts.length * tokens).fill(-1);
    const positions = new Float64Array(rows.length);
    sequences.positions.forEach((total, b) => {
      const dropped = sequences.dropped(b, counts[b]);
      for (let i = 0; i < counts[b]; i++) {
        const token = total + i;
        positions[b * tokens + i] = token < sequences.sinks ? token + dropped : token;
        const slot = sequences.slot(b, token, counts[b]);
        if (slot !== undefined) rows[b * tokens + i] = pages.row(b, slot);
      }
    });
    return { rows, positions };
  }

  describe(): KeyValues {
    const keys = this.#keys;
    const values = this.#values ?? keys;
    const { lengths } = this.sequences;
    const longest = lengths.reduce((most, length) => Math.max(most, length), 0);
    return {
      batch: lengths.length,
      kvHeads: keys.heads,
      keys: longest,
      headDim: keys.dim,
      valueDim: this.#valueDim,
      lengths: lengths.some((length) => length !== longest) ? lengths : undefined,
      key: keys.address,
      value: values.address,
      keyStrides: keys.strides,
      valueStrides: values.strides,
      stored: storedAs[keys.dtype],
      keyScales: keys.scales,
      valueScales: values.scales,
      scaleHead: keys.rows,
      segments: this.sequences.segments(this.pages),
    };
  }

  dispose(): void {
    this.#keys.dispose();
    this.#values?.dispose();
    this.#sinks?.dispose();
  }
}
