import type { Kernel } from '../../assembly/params.ts';
import { bytesPerElement, checkDType, checkShape, type DType, sizeOf, wrongKind, wrongValue } from '../check.ts';
import { Disposing } from '../dispose.ts';
import { Tensor, tensorsIn } from '../tensor.ts';
import type { Allocator } from './allocator.ts';
import type { Build } from './builds.ts';
import { Leaks } from './leaks.ts';
import { type AttentionKernels, instantiate, type Kernels } from './load.ts';
import type { Pool } from './pool.ts';
import { withShared } from './shared.ts';

/** What a runtime is made of. */
export type Parts = {
  kernels: AttentionKernels;
  allocator: Allocator;
  pool: Pool;
  /** Where the kernels are those of attention only: the plain build's bytes. */
  attention?: () => Uint8Array;
  debug: boolean;
};

/** One instance of the kernels with its linear memory. */
export class Runtime extends Disposing {
  #scopes: Set<Tensor<DType>>[] = [];
  #live: (Parts & { leaks?: Leaks }) | undefined;

  /** Made by `createRuntime`. */
  constructor(
    /** Which of the two builds computes. */
    readonly build: Build,
    parts: Parts,
  ) {
    super();
    this.#live = { ...parts, leaks: parts.debug ? new Leaks() : undefined };
    forgotten?.register(this, parts.pool, this);
  }

  /** Threads that compute, the caller's among them. */
  get threads(): number {
    return this.pool.threads;
  }

  /** Why there are fewer threads than one might expect, in words; undefined where all were started. */
  get threadsReason(): string | undefined {
    return this.pool.reason;
  }

  /** Whether `dispose` was called; whatever is asked of it then throws. */
  get disposed(): boolean {
    return this.#live === undefined;
  }

  /** @internal */
  get kernels(): AttentionKernels {
    return this.#checked('kernels').kernels;
  }

  /**
   * @internal Has all kernels from now on: their module takes the place of that of attention, on the same memory.
   * @param binary its bytes, of those of the plain build's attention kernels
   */
  extended(binary: (attention: Uint8Array, build: Build) => Uint8Array): Kernels {
    const live = this.#checked('kernels');
    if (live.attention) {
      const { allocator, pool } = live;
      const bytes = withShared(binary(live.attention(), this.build), pool.workers.length > 0);
      const kernels = instantiate(new WebAssembly.Module(bytes), allocator.memory);
      pool.goOn(kernels, pool.threads > 1 ? this.#store(bytes) : 0);
      live.kernels = kernels;
      live.attention = undefined;
    }
    return live.kernels as Kernels;
  }

  /** @internal */
  get allocator(): Allocator {
    return this.#checked('memory').allocator;
  }

  /** @internal */
  get pool(): Pool {
    return this.#checked('threads').pool;
  }

  /** `usedBytes`, `peakBytes` (highest use so far) and `capacityBytes` of linear memory. */
  get memory(): { usedBytes: number; peakBytes: number; capacityBytes: number } {
    const { usedBytes, peakBytes, capacityBytes } = this.allocator;
    return { usedBytes, peakBytes, capacityBytes };
  }

  /** The linear memory itself; an ArrayBuffer that growth detaches, or, with more than one thread, a SharedArrayBuffer. */
  get buffer(): ArrayBuffer {
    return this.allocator.memory.buffer as ArrayBuffer;
  }

  /**
   * A tensor whose content is whatever the memory held, to be written through `data`.
   * @throws RangeError for a wrong shape or dtype, and at the memory limit
   */
  empty<D extends DType = 'float32'>(shape: readonly number[], dtype: D = 'float32' as D): Tensor<D> {
    const { allocator, leaks } = this.#checked('empty');
    checkShape('empty', shape);
    checkDType('empty', dtype);
    const address = allocator.allocate(sizeOf(shape) * bytesPerElement[dtype]);
    const tensor = new Tensor<D>(this, [...shape], dtype, address);
    leaks?.watch(tensor);
    this.#scopes.at(-1)?.add(tensor);
    return tensor;
  }

  /** Takes a tensor out of the scope that would free it. */
  keep<D extends DType>(tensor: Tensor<D>): Tensor<D> {
    this.#scopes.at(-1)?.delete(tensor);
    return tensor;
  }

  /** A tensor of zeros. @throws RangeError at the memory limit */
  zeros<D extends DType = 'float32'>(shape: readonly number[], dtype: D = 'float32' as D): Tensor<D> {
    const tensor = this.empty(shape, dtype);
    tensor.data.fill(0);
    return tensor;
  }

  /**
   * A tensor with a copy of `data`, in C order; numbers become the nearest of the dtype, true is 1.
   * @param data as many elements as the product of `shape`
   * @param dtype default `'float32'`
   * @throws TypeError where `data` is no array; RangeError where it has another length, and at the memory limit
   */
  tensor<D extends DType = 'float32'>(
    shape: readonly number[],
    data: ArrayLike<number | boolean>,
    dtype: D = 'float32' as D,
  ): Tensor<D> {
    const where = 'tensor';
    this.checkLive(where);
    checkShape(where, shape);
    if (typeof data !== 'object' || data === null || typeof data.length !== 'number') {
      throw wrongKind(where, 'data', 'an array or a typed array', data);
    }
    if (data.length !== sizeOf(shape))
      throw wrongValue(where, 'data', `has ${data.length} elements, but shape [${shape}] needs ${sizeOf(shape)}`);
    // Growth would detach a view on this very memory.
    const values = ArrayBuffer.isView(data) && data.buffer === this.buffer ? (data as Float32Array).slice() : data;
    return this.allOrNothing((make) => make(shape, dtype).set(values));
  }

  /** Runs `fn` and frees every tensor that it made and does not return (directly, or in arrays and plain objects). */
  scope<T>(fn: () => T): T {
    this.checkLive('scope');
    const made = new Set<Tensor<DType>>();
    this.#scopes.push(made);
    let kept = new Set<unknown>();
    try {
      const result = fn();
      if (typeof (result as PromiseLike<unknown> | undefined)?.then === 'function')
        throw wrongKind('scope', 'fn', 'a function without a promise, whose tensors would be freed too early', result);
      kept = tensorsIn(result);
      return result;
    } finally {
      this.#scopes.pop();
      for (const tensor of made) {
        if (kept.has(tensor)) this.#scopes.at(-1)?.add(tensor);
        else if (!tensor.disposed) tensor.dispose();
      }
    }
  }

  /** @internal Memory for the length of one call: freed when `fn` ends, whatever happens in it. */
  withMemory<T>(bytes: number, fn: (address: number) => T): T {
    const { allocator } = this.#checked('memory');
    const address = allocator.allocate(bytes);
    try {
      return fn(address);
    } finally {
      allocator.free(address);
    }
  }

  /** @internal `withMemory` for several pieces. */
  withScratch<T>(bytes: readonly number[], fn: (...addresses: number[]) => T): T {
    const addresses: number[] = [];
    try {
      for (const size of bytes) addresses.push(this.allocator.allocate(size));
      return fn(...addresses);
    } finally {
      for (const address of addresses) this.allocator.free(address);
    }
  }

  /** @internal Runs `fn`, which makes tensors by its argument: if it throws, they are freed. */
  allOrNothing<T>(fn: (make: Runtime['empty']) => T): T {
    const made: Tensor<DType>[] = [];
    try {
      return fn((shape, dtype) => {
        const tensor = this.empty(shape, dtype);
        made.push(tensor);
        return tensor;
      });
    } catch (error) {
      for (const tensor of made) tensor.dispose();
      throw error;
    }
  }

  /**
   * @internal Runs a kernel's tasks on all threads, with the scratch that it says it needs.
   * @param work multiply-adds of all tasks together: a small job stays on this thread
   */
  run(kernel: Kernel, params: number, tasks: number, work: number): void {
    const { kernels, pool } = this.#checked('run');
    const threads = pool.threadsFor(tasks, work);
    const bytes = Math.ceil(kernels.scratchBytes(kernel, params) / 64) * 64;
    this.withMemory(bytes * threads, (scratch) => pool.run(kernel, params, tasks, scratch, bytes, threads));
  }

  /** @internal */
  checkLive(where: string): void {
    this.#checked(where);
  }

  /** @internal Frees a tensor's memory; called by `tensor.dispose()`. */
  release(tensor: Tensor<DType>): void {
    const { allocator, leaks } = this.#checked('dispose');
    leaks?.forget(tensor);
    allocator.free(tensor.address);
  }

  /** Ends the threads and lets go of the memory, and with it of every tensor. @throws Error when it is already disposed. */
  dispose(): void {
    this.#checked('dispose').pool.close('the runtime was disposed');
    forgotten?.unregister(this);
    this.#live = undefined;
  }

  protected override get held(): boolean {
    return !this.disposed;
  }

  /** For the workers, which may come late. */
  #store(module: Uint8Array): number {
    const { allocator } = this;
    const address = allocator.reserve(4 + module.length);
    allocator.int32[address / 4] = module.length;
    allocator.bytes.set(module, address + 4);
    return address;
  }

  #checked(where: string) {
    if (!this.#live) throw new Error(`${where}: the runtime was disposed`);
    return this.#live;
  }
}

/** Ends the workers of a runtime that nobody holds or disposed. */
const forgotten =
  typeof FinalizationRegistry === 'function'
    ? new FinalizationRegistry<Pool>((pool) => pool.close('the runtime was collected'))
    : undefined;
