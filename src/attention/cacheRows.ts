import { Append, Kernel, Stored } from '../../assembly/params.ts';
import type { RotaryEmbedding } from '../position/rope.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { whole } from '../runtime/whole.ts';
import type { Tensor } from '../tensor.ts';
import type { KeyValues } from './keyValues.ts';
import { type Layout, stridesOf } from './options.ts';

/** How a `KVCache` stores elements: 4 bytes, 2, or 1 with a float32 scale per token and head. */
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
      // The kernels of one row read 16 scales at a time.
      return [store, dtype === 'int8' ? make([heads * rows + 15]) : undefined];
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

/** Tokens to be stored. */
export type Write = {
  to: CacheRows;
  /** float32 [batch, heads, tokens, dim], in the order of `layout` */
  input: Tensor;
  layout: Layout;
  /** `[batch · tokens]`: the row of each, −1: not stored */
  rows: Int32Array;
  /** Turns each token by its position, [batch · tokens]. */
  rotary?: RotaryEmbedding;
  positions?: Float64Array;
};

/** Stores tokens, of as many batches and heads in each write: all of them or, if the memory limit is hit, none. */
export function storeRows(runtime: Runtime, writes: readonly Write[]): void {
  if (writes[0].rows.length === 0) return;
  const pairsOf = ({ rotary }: Write) => (rotary ? rotary.rotaryDim / 2 : 0);
  const sizes = writes.flatMap((write) => {
    const tableBytes = write.rows.length * pairsOf(write) * 4;
    return [write.rows.byteLength, tableBytes, tableBytes];
  });
  runtime.withScratch([writes.length * Append.words * 4, ...sizes], (params, ...places) => {
    let tasks = 0;
    let work = 0;
    writes.forEach((write, part) => {
      const { to, input, layout, rows, rotary, positions } = write;
      const [rowsAt, cos, sin] = places.slice(3 * part);
      const pairs = pairsOf(write);
      if (rotary && positions && pairs > 0) rotary.writeTables(cos, sin, positions, 'key');
      const [batch] = input.shape;
      const tables = pairs > 0 ? [cos, sin] : [0, 0];
      const interleaved = rotary?.style === 'interleaved' ? 1 : 0;
      const sizes = [batch, to.heads, rows.length / batch, to.dim, 2 * pairs, interleaved, storedAs[to.dtype], to.rows];
      const words = [writes.length, to.address, to.scales, input.address, rowsAt, ...tables, ...sizes];
      const { int32 } = runtime.allocator;
      int32.set(rows, rowsAt / 4);
      int32.set([...words, ...stridesOf(input.shape, layout)], params / 4 + part * Append.words);
      tasks += batch * to.heads;
      work += rows.length * to.heads * to.dim;
    });
    whole(runtime).run(Kernel.append, params, tasks, work);
  });
}
