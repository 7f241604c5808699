import { bytesPerElement, checkInteger, checkShape, type DType, sizeOf, wrongKind, wrongValue } from './check.ts';
import { Disposing } from './dispose.ts';
import type { Runtime } from './runtime/runtime.ts';

/** The typed array of each dtype; `true` is 1. */
export type TensorData<D extends DType = DType> = D extends 'float32'
  ? Float32Array
  : D extends 'int32'
    ? Int32Array
    : Uint8Array;

const views = { float32: Float32Array, int32: Int32Array, boolean: Uint8Array };

/** A shape, a dtype and an address in a runtime's linear memory; elements lie in C order. */
export class Tensor<D extends DType = 'float32'> extends Disposing {
  #owner: Tensor<D> | undefined;
  #disposed = false;

  /** Made by `runtime.tensor`, `empty` and `zeros`. */
  constructor(
    readonly runtime: Runtime,
    readonly shape: readonly number[],
    readonly dtype: D,
    /** In bytes, in linear memory. */
    readonly address: number,
    owner?: Tensor<D>,
  ) {
    super();
    this.#owner = owner;
  }

  /** Whether its memory was freed, or its runtime disposed. */
  get disposed(): boolean {
    return this.owner.#disposed || this.runtime.disposed;
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  /** Of a view, the tensor whose memory it shows; otherwise this tensor. */
  get owner(): Tensor<D> {
    return this.#owner ?? this;
  }

  /** A view on linear memory, without a copy. Ask again after a call: growth of the memory detaches views. */
  get data(): TensorData<D> {
    this.#check('data');
    return new views[this.dtype](this.runtime.buffer, this.address, this.size) as TensorData<D>;
  }

  /** Copies `data` in; as many elements as the tensor has. In a boolean tensor every true value is 1. */
  set(data: ArrayLike<number | boolean>): this {
    this.#check('set');
    if (typeof data !== 'object' || data === null || typeof data.length !== 'number')
      throw wrongKind('set', 'data', 'an array or a typed array', data);
    if (data.length !== this.size)
      throw wrongValue('set', 'data', `has ${data.length} elements, but the tensor has ${this.size}`);
    const values = this.dtype === 'boolean' ? Uint8Array.from(data as ArrayLike<number>, (x) => (x ? 1 : 0)) : data;
    this.data.set(values as ArrayLike<number>);
    return this;
  }

  /** A copy that outlives the tensor. */
  toArray(): TensorData<D> {
    return this.data.slice() as TensorData<D>;
  }

  /** The same memory under another shape of the same size; it lives as long as this tensor. */
  view(shape: readonly number[]): Tensor<D> {
    this.#check('view');
    checkShape('view', shape);
    if (sizeOf(shape) !== this.size) {
      throw wrongValue('view', 'shape', `[${shape}] has ${sizeOf(shape)} elements, but the tensor has ${this.size}`);
    }
    return new Tensor(this.runtime, [...shape], this.dtype, this.address, this.owner);
  }

  /** `count` entries of the first axis from `start` on, in the same memory. */
  slice(start: number, count: number): Tensor<D> {
    this.#check('slice');
    const [length, ...rest] = this.shape;
    if (length === undefined) throw wrongValue('slice', 'tensor', 'has rank 0, but a first axis is needed');
    checkInteger('slice', 'start', start);
    checkInteger('slice', 'count', count);
    if (start + count > length)
      throw wrongValue('slice', 'start', `${start} and "count" ${count} leave the ${length} entries`);
    const address = this.address + start * sizeOf(rest) * bytesPerElement[this.dtype];
    return new Tensor(this.runtime, [count, ...rest], this.dtype, address, this.owner);
  }

  /** Frees the memory. @throws Error when it is already freed, or on a view. */
  dispose(): void {
    this.#check('dispose');
    if (this.#owner) throw new Error('dispose: a view does not own its memory; dispose the tensor it was made from');
    this.#disposed = true;
    this.runtime.release(this);
  }

  protected override get held(): boolean {
    return !this.disposed && this.owner === this;
  }

  #check(where: string): void {
    if (this.runtime.disposed) throw new Error(`${where}: the runtime of the tensor was disposed`);
    if (this.disposed) throw new Error(`${where}: the tensor was disposed`);
  }
}

/** The tensors in a value, in its arrays and in its plain objects; of a view, the owner. */
export function tensorsIn(value: unknown, found = new Set<unknown>()): Set<unknown> {
  if (typeof value !== 'object' || value === null || found.has(value)) return found;
  if (value instanceof Tensor) return found.add(value.owner);
  const prototype = Object.getPrototypeOf(value);
  if (!Array.isArray(value) && prototype !== Object.prototype && prototype !== null) return found;
  found.add(value);
  for (const part of Object.values(value)) tensorsIn(part, found);
  return found;
}
