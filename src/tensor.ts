import { bytesPerElement, checkSameShape, type DType, wrongValue } from './check.ts';
import type { Runtime } from './runtime/runtime.ts';

export type TensorData = Float32Array | Int32Array | Uint8Array;

const views = { float32: Float32Array, int32: Int32Array, boolean: Uint8Array };

/** A shape, a dtype and an address in a runtime's linear memory; elements lie in C order. */
export class Tensor {
  #owner: Tensor | undefined;
  #disposed = false;

  constructor(
    readonly runtime: Runtime,
    readonly shape: readonly number[],
    readonly dtype: DType,
    readonly address: number,
    owner?: Tensor,
  ) {
    this.#owner = owner;
  }

  get disposed(): boolean {
    return this.#owner ? this.#owner.disposed : this.#disposed || this.runtime.disposed;
  }

  get size(): number {
    return this.shape.reduce((product, size) => product * size, 1);
  }

  /** A view on linear memory, without a copy. Ask again after a call: growth of the memory detaches views. */
  get data(): Float32Array {
    this.#check('data');
    return new views[this.dtype](this.runtime.buffer, this.address, this.size) as Float32Array;
  }

  /** Copies `data` in; as many elements as the tensor has. */
  set(data: ArrayLike<number | boolean>): this {
    this.#check('set');
    if (data.length !== this.size)
      throw wrongValue('set', 'data', `has ${data.length} elements, but the tensor has ${this.size}`);
    this.data.set(data as ArrayLike<number>);
    return this;
  }

  /** A copy that outlives the tensor. */
  toArray(): Float32Array {
    return this.data.slice();
  }

  /** The same memory under another shape of the same size; it lives as long as this tensor. */
  view(shape: readonly number[]): Tensor {
    this.#check('view');
    const size = shape.reduce((product, n) => product * n, 1);
    if (size !== this.size) checkSameShape('view', 'shape', shape, this.shape);
    return new Tensor(this.runtime, [...shape], this.dtype, this.address, this.#owner ?? this);
  }

  /** `count` entries of the first axis from `start` on, in the same memory. */
  slice(start: number, count: number): Tensor {
    this.#check('slice');
    const [length, ...rest] = this.shape;
    if (!(start >= 0 && count >= 0 && start + count <= length)) {
      throw wrongValue('slice', 'start', `${start} and "count" ${count} leave the ${length} entries`);
    }
    const bytes = (this.size / Math.max(length, 1)) * bytesPerElement[this.dtype];
    return new Tensor(this.runtime, [count, ...rest], this.dtype, this.address + start * bytes, this.#owner ?? this);
  }

  /** Frees the memory. @throws Error when it is already freed, or on a view. */
  dispose(): void {
    this.#check('dispose');
    if (this.#owner) throw new Error('dispose: a view does not own its memory; dispose the tensor it was made from');
    this.#disposed = true;
    this.runtime.allocator.free(this.address);
  }

  [Symbol.dispose](): void {
    if (!this.disposed && !this.#owner) this.dispose();
  }

  #check(where: string): void {
    if (this.disposed) throw new Error(`${where}: the tensor was disposed`);
  }
}
