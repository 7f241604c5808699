import type { Task } from '../../assembly/params.ts';
import {
  bytesPerElement,
  checkDType,
  checkInteger,
  checkOneOf,
  checkShape,
  type DType,
  wrongKind,
  wrongValue,
} from '../check.ts';
import { Tensor } from '../tensor.ts';
import { Allocator } from './allocator.ts';
import {
  type Build,
  compileBuild,
  compileBytes,
  fetchModule,
  instantiate,
  type Kernels,
  type ModuleSource,
} from './load.ts';
import { chooseThreads, Pool } from './pool.ts';
import type { WebWorker } from './worker.ts';

export type RuntimeOptions = {
  /** `'auto'` (default): relaxed SIMD where the engine has it, plain SIMD otherwise. */
  build?: Build | 'auto';
  /**
   * Threads that compute, the caller's among them; default 1. `'auto'`: one a core, at most 8, and 1 where there can be no more
   * (`runtime.threadsReason` tells why); its workers start in the background. With more than 1 thread, linear memory is a
   * SharedArrayBuffer, which some functions of the platform refuse (TextDecoder, for one): `tensor.toArray()` copies out of it.
   */
  threads?: number | 'auto';
  /** Makes the workers, from `wasm-attention/worker`, where a content security policy forbids blob: workers. */
  createWorker?: () => WebWorker;
  /** Linear memory in bytes: default 1 MiB to begin with, at most 4 GiB (shared: as much of it as the engine reserves). */
  memory?: { initialBytes?: number; maximumBytes?: number };
  /** A module of one's own instead of the ones inside the package; `build` then names what it is. */
  module?: ModuleSource;
};

const PAGE = 65536;
const LIMIT = 65536 * PAGE;
const MOST_THREADS = 256;

/** One instance of the kernels with its linear memory. */
export class Runtime {
  readonly kernels: Kernels;
  readonly allocator: Allocator;
  readonly pool: Pool;
  #scopes: Set<Tensor>[] = [];
  #disposed = false;

  constructor(
    readonly build: Build,
    module: WebAssembly.Module,
    chosen: { threads: number; reason?: string },
    options: RuntimeOptions,
  ) {
    const memory = createMemory(chosen.threads > 1, options.memory);
    this.kernels = instantiate(module, memory.memory);
    this.allocator = new Allocator(memory.memory, this.kernels.heapBase.value, memory.maximumBytes);
    this.pool = new Pool(this.kernels, { module, memory: memory.memory }, chosen, options.createWorker);
    forgotten?.register(this, this.pool);
  }

  /** Threads that compute: 1 where `'auto'` found no more. */
  get threads(): number {
    return this.pool.threads;
  }

  /** Why there are fewer threads than one might expect, in words; undefined where all were started. */
  get threadsReason(): string | undefined {
    return this.pool.reason;
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  /** `usedBytes`, `peakBytes` (highest use so far) and `capacityBytes` of linear memory. */
  get memory(): { usedBytes: number; peakBytes: number; capacityBytes: number } {
    const { usedBytes, peakBytes, capacityBytes } = this.allocator;
    return { usedBytes, peakBytes, capacityBytes };
  }

  get buffer(): ArrayBuffer {
    return this.allocator.memory.buffer as ArrayBuffer;
  }

  /** A tensor whose content is whatever the memory held. Throws `RangeError` at the memory limit. */
  empty(shape: readonly number[], dtype: DType = 'float32'): Tensor {
    this.checkLive('empty');
    checkShape('empty', shape);
    checkDType('empty', dtype);
    const bytes = shape.reduce((product, size) => product * size, 1) * bytesPerElement[dtype];
    const tensor = new Tensor(this, [...shape], dtype, this.allocator.allocate(bytes));
    this.#scopes.at(-1)?.add(tensor);
    return tensor;
  }

  /** A tensor that no scope frees. */
  persistent(shape: readonly number[]): Tensor {
    const tensor = this.empty(shape);
    this.#scopes.at(-1)?.delete(tensor);
    return tensor;
  }

  zeros(shape: readonly number[], dtype: DType = 'float32'): Tensor {
    const tensor = this.empty(shape, dtype);
    tensor.data.fill(0);
    return tensor;
  }

  /** Copies `data` in; its length must be the product of `shape`. */
  tensor(shape: readonly number[], data: ArrayLike<number | boolean>, dtype: DType = 'float32'): Tensor {
    checkShape('tensor', shape);
    if (typeof data !== 'object' || data === null || typeof data.length !== 'number') {
      throw wrongKind('tensor', 'data', 'an array or a typed array', data);
    }
    const size = shape.reduce((product, n) => product * n, 1);
    if (data.length !== size)
      throw wrongValue('tensor', 'data', `has ${data.length} elements, but shape [${shape}] needs ${size}`);
    const tensor = this.empty(shape, dtype);
    tensor.set(data);
    return tensor;
  }

  /** Runs `fn` and frees every tensor that it made and does not return (directly, in an array or in an object). */
  scope<T>(fn: () => T): T {
    const made = new Set<Tensor>();
    this.#scopes.push(made);
    let kept = new Set<unknown>();
    try {
      const result = fn();
      kept = new Set<unknown>([
        result,
        ...(typeof result === 'object' && result !== null ? Object.values(result) : []),
      ]);
      return result;
    } finally {
      this.#scopes.pop();
      for (const tensor of made) {
        if (kept.has(tensor)) this.#scopes.at(-1)?.add(tensor);
        else if (!tensor.disposed) tensor.dispose();
      }
    }
  }

  /** Memory for the length of one call: freed when `fn` ends, whatever happens in it. */
  withScratch<T>(bytes: readonly number[], fn: (...addresses: number[]) => T): T {
    const addresses: number[] = [];
    try {
      for (const size of bytes) addresses.push(this.allocator.allocate(size));
      return fn(...addresses);
    } finally {
      for (const address of addresses) this.allocator.free(address);
    }
  }

  /** Runs `fn`, which makes tensors by its argument: if it throws, they are freed. */
  allOrNothing<T>(fn: (make: (shape: readonly number[]) => Tensor) => T): T {
    const made: Tensor[] = [];
    try {
      return fn((shape) => {
        made.push(this.empty(shape));
        return made[made.length - 1];
      });
    } catch (error) {
      for (const tensor of made) tensor.dispose();
      throw error;
    }
  }

  /**
   * Runs a kernel's tasks on all threads, with the scratch that it says it needs.
   * @param work multiply-adds of all tasks together: a small job stays on this thread
   */
  run(kernel: Task, params: number, tasks: number, work: number): void {
    const threads = this.pool.threadsFor(tasks, work);
    const bytes = Math.ceil(this.kernels.scratchBytes(kernel, params) / 64) * 64;
    this.withScratch([bytes * threads], (scratch) => {
      this.pool.run(kernel, params, tasks, scratch, bytes, threads);
    });
  }

  checkLive(where: string): void {
    if (this.#disposed) throw new Error(`${where}: the runtime was disposed`);
  }

  dispose(): void {
    this.checkLive('dispose');
    this.#disposed = true;
    this.pool.close('the runtime was disposed');
  }

  [Symbol.dispose](): void {
    if (!this.#disposed) this.dispose();
  }
}

/** Ends the workers of a runtime that nobody holds or disposed. */
const forgotten =
  typeof FinalizationRegistry === 'function'
    ? new FinalizationRegistry<Pool>((pool) => pool.close('the runtime was collected'))
    : undefined;

function createMemory(shared: boolean, { initialBytes = 1 << 20, maximumBytes }: RuntimeOptions['memory'] = {}) {
  let maximum = Math.floor((maximumBytes ?? LIMIT) / PAGE);
  const initial = Math.min(Math.floor(initialBytes / PAGE), maximum);
  for (;;) {
    try {
      const memory = new WebAssembly.Memory({ initial, maximum, shared });
      return { memory, maximumBytes: maximum * PAGE };
    } catch (error) {
      // Shared memory cannot move when it grows: some engines (iOS) reserve its maximum at once, and may not have 4 GiB.
      maximum = Math.floor(maximum / 2);
      if (!shared || maximumBytes !== undefined || maximum < initial) throw error;
    }
  }
}

function checkOptions({ build = 'auto', threads = 1, memory = {}, createWorker }: RuntimeOptions): void {
  const where = 'createRuntime';
  checkOneOf(where, 'build', build, ['auto', 'simd', 'relaxed']);
  if (threads !== 'auto') {
    if (typeof threads !== 'number') throw wrongKind(where, 'threads', "a number or 'auto'", threads);
    checkInteger(where, 'threads', threads, 1);
    if (threads > MOST_THREADS) throw wrongValue(where, 'threads', `is ${threads}, more than ${MOST_THREADS}`);
  }
  if (createWorker !== undefined && typeof createWorker !== 'function')
    throw wrongKind(where, 'createWorker', 'a function', createWorker);
  for (const name of ['initialBytes', 'maximumBytes'] as const) {
    const bytes = memory[name];
    if (bytes !== undefined && !(bytes >= PAGE && bytes <= LIMIT))
      throw wrongValue(where, `memory.${name}`, `is ${bytes}, not from ${PAGE} to ${LIMIT}`);
  }
}

/**
 * Makes a runtime: kernels, their linear memory and their threads. With a number of threads it resolves when all are ready.
 * @throws Error where the engine has no WebAssembly SIMD, or not the build or the threads that were asked for.
 */
export async function createRuntime(options: RuntimeOptions = {}): Promise<Runtime> {
  checkOptions(options);
  const { module, threads = 1 } = options;
  const runtime = createRuntimeSync(module === undefined ? options : { ...options, module: await fetchModule(module) });
  if (threads === 'auto' || threads === 1) return runtime;
  await runtime.pool.started();
  if (runtime.threads === threads) return runtime;
  runtime.pool.close(runtime.threadsReason ?? '');
  throw noThreads(threads, runtime.threadsReason);
}

/** `createRuntime` without a promise; `module` must be compiled or be bytes. Workers join when they are ready. */
export function createRuntimeSync(options: RuntimeOptions = {}): Runtime {
  checkOptions(options);
  const { threads = 1 } = options;
  const chosen = chooseThreads(threads, options.createWorker);
  if (chosen.threads === 1 && threads !== 'auto' && threads > 1) throw noThreads(threads, chosen.reason);
  if (chosen.threads > 1) {
    try {
      return new Runtime(...compile(options, true), chosen, options);
    } catch (error) {
      const unshared = error instanceof WebAssembly.LinkError && options.module instanceof WebAssembly.Module;
      chosen.reason = unshared ? 'the module was compiled for unshared memory: give its bytes instead' : String(error);
      if (threads !== 'auto') throw noThreads(threads, chosen.reason);
    }
  }
  return new Runtime(...compile(options, false), { threads: 1, reason: chosen.reason }, options);
}

function noThreads(threads: number, reason: string | undefined): Error {
  return new Error(`createRuntime: ${threads} threads cannot be had: ${reason}`);
}

function compile({ build = 'auto', module }: RuntimeOptions, shared: boolean): [Build, WebAssembly.Module] {
  if (module === undefined) {
    const chosen = compileBuild(build, shared);
    return [chosen.build, chosen.module];
  }
  const name = build === 'auto' ? 'simd' : build;
  if (module instanceof WebAssembly.Module) return [name, module];
  if (module instanceof ArrayBuffer || ArrayBuffer.isView(module)) return [name, compileBytes(module, shared)];
  throw wrongKind('createRuntimeSync', 'module', 'a WebAssembly.Module or its bytes', module);
}
