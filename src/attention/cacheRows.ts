import { Append, Kernel, Stored } from '../../assembly/params.ts';
import type { RotaryEmbedding } from '../position/rope.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Tensor } from '../tensor.ts';
import type { KeyValues } from './keyValues.ts';
import { type Layout, stridesOf } from './options.ts';

export type CacheDType = 'float32' | 'float16' | 'int8';

export const storedAs: Readonly<Record<CacheDType, Stored>> = {
  float32: Stored.float32,
  float16: Stored.float16,
  int8: Stored.int8,
};

/** Bytes of a stored row. */
function bytesOf(dtype: CacheDType, dim: number): number {
  if (dtype === 'int8') return Math.ceil(dim / 16) * 16;
  return dim * (dtype === 'float16' ? 2 : 4);
}

/** Rows of keys or of values, [heads, rows, dim] in a cache's type, with their scales where they are int8. */
export class CacheRows {
  readonly #store: Tensor<'int32'>;
  readonly #scales: Tensor | undefined;

  constructor(
    readonly runtime: Runtime,
    readonly dtype: CacheDType,
    readonly heads: number,
    readonly rows: number,
    readonly dim: number,
  ) {
    const words = Math.ceil((heads * rows * bytesOf(dtype, dim)) / 4);
    [this.#store, this.#scales] = runtime.allOrNothing((make) => {
      const store = make([words], 'int32');
      return [store, dtype === 'int8' ? make([heads * rows]) : undefined];
    });
    runtime.keep(this.#store);
    if (this.#scales) runtime.keep(this.#scales);
  }

  get disposed(): boolean {
    return this.#store.disposed;
  }

  get address(): number {
    return this.#store.address;
  }

  get scales(): number {
    return this.#scales?.address ?? 0;
  }

  /** Of [batch, heads, rows], in elements: all batches have their rows in one store. */
  get strides(): KeyValues['keyStrides'] {
    const row = this.dtype === 'int8' ? bytesOf(this.dtype, this.dim) : this.dim;
    return [0, this.rows * row, row];
  }

  /**
   * Stores tokens, turned by their positions if there is a `rotary`.
   * @param input float32 [batch, heads, tokens, dim], in the order of `layout`
   * @param rowOf [batch · tokens]: the row of each, −1: not stored
   */
  write(
    input: Tensor,
    layout: Layout,
    rowOf: Int32Array,
    positions: ArrayLike<number>,
    rotary: RotaryEmbedding | undefined,
  ): void {
    const { runtime, heads, dim } = this;
    const batch = input.shape[0];
    if (rowOf.length === 0) return;
    const pairs = rotary ? rotary.rotaryDim / 2 : 0;
    const tableBytes = rowOf.length * pairs * 4;
    runtime.withScratch([Append.words * 4, rowOf.byteLength, tableBytes, tableBytes], (params, rowsAt, cos, sin) => {
      if (pairs > 0) rotary?.writeTables(cos, sin, positions, 'key');
      const { int32 } = runtime.allocator;
      int32.set(rowOf, rowsAt / 4);
      const tables = pairs > 0 ? [cos, sin] : [0, 0];
      const interleaved = rotary?.style === 'interleaved' ? 1 : 0;
      const sizes = [batch, heads, rowOf.length / batch, dim, 2 * pairs, interleaved, storedAs[this.dtype], this.rows];
      const words = [this.address, this.scales, input.address, rowsAt, ...tables, ...sizes];
      int32.set([...words, ...stridesOf(input.shape, layout)], params / 4);
      runtime.run(Kernel.append, params, batch * heads, rowOf.length * heads * dim);
    });
  }

  /** Copies `count` rows of every head. */
  copy(from: number, to: number, count: number): void {
    const { bytes } = this.runtime.allocator;
    const copy = (address: number, rowBytes: number) => {
      for (let head = 0; head < this.heads; head++) {
        const base = address + head * this.rows * rowBytes;
        bytes.copyWithin(base + to * rowBytes, base + from * rowBytes, base + (from + count) * rowBytes);
      }
    };
    copy(this.address, bytesOf(this.dtype, this.dim));
    if (this.#scales) copy(this.scales, 4);
  }

  dispose(): void {
    this.#store.dispose();
    this.#scales?.dispose();
  }
}
