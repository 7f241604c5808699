import {
  bytesPerElement,
  checkDType,
  checkOptions,
  checkShape,
  type DType,
  sizeOf,
  wrongKind,
  wrongValue,
} from '../check.ts';
import { defineDispose } from '../dispose.ts';
import { Tensor, tensorsIn } from '../tensor.ts';
import { Allocator } from './allocator.ts';
import { Leaks } from './leaks.ts';
import {
  type Build,
  compileBuild,
  compileSource,
  instantiate,
  isModule,
  type Kernels,
  type ModuleSource,
} from './load.ts';

export type RuntimeOptions = {
  /** `'auto'` (default): relaxed SIMD where the engine has it, plain SIMD otherwise. */
  build?: Build | 'auto';
  /** Threads; only 1 for now, and `'auto'` means 1. */
  threads?: number | 'auto';
  /** Linear memory in bytes: default 1 MiB to begin with, at most 4 GiB. */
  memory?: { initialBytes?: number; maximumBytes?: number };
  /** A module of one's own instead of the ones inside the package; `build` then names what it is. */
  module?: ModuleSource;
  /** Whether tensors that are garbage collected before `dispose` are reported (`console.warn`); default false. */
  debug?: boolean;
};

/** Kernels that compute one task a call. */
export type TaskKernel = 'flash' | 'scores' | 'linear';

const PAGE = 65536;
const LIMIT = 65536 * PAGE;

/** One instance of the kernels with its linear memory. */
export class Runtime {
  readonly threads = 1;
  #scopes: Set<Tensor<DType>>[] = [];
  #live: { kernels: Kernels; allocator: Allocator; leaks?: Leaks } | undefined;

  constructor(
    readonly build: Build,
    module: WebAssembly.Module,
    { memory: limits = {}, debug = false }: RuntimeOptions = {},
  ) {
    const { initial, maximum } = pagesOf(limits);
    const memory = new WebAssembly.Memory({ initial, maximum });
    const kernels = instantiate(module, memory);
    if (kernels.heapBase === undefined)
      throw new Error('createRuntime: "module" has no kernels of this package (the export heapBase is missing)');
    const allocator = new Allocator(memory, kernels.heapBase.value, maximum * PAGE);
    this.#live = { kernels, allocator, leaks: debug ? new Leaks() : undefined };
  }

  get disposed(): boolean {
    return this.#live === undefined;
  }

  get kernels(): Kernels {
    return this.#checked('kernels').kernels;
  }

  get allocator(): Allocator {
    return this.#checked('memory').allocator;
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

  zeros<D extends DType = 'float32'>(shape: readonly number[], dtype: D = 'float32' as D): Tensor<D> {
    const tensor = this.empty(shape, dtype);
    tensor.data.fill(0);
    return tensor;
  }

  /** Copies `data` in; its length must be the product of `shape`. */
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

  /** Runs a kernel's tasks, with the scratch that it says it needs. */
  run(kernel: TaskKernel, params: number, tasks: number): void {
    const { kernels } = this;
    const bytes = kernels[`${kernel}ScratchBytes`](params);
    this.withScratch([bytes], (scratch) => {
      for (let task = 0; task < tasks; task++) kernels[kernel](params, task, scratch);
    });
  }

  checkLive(where: string): void {
    this.#checked(where);
  }

  /** Frees a tensor's memory; called by `tensor.dispose()`. */
  release(tensor: Tensor<DType>): void {
    const { allocator, leaks } = this.#checked('dispose');
    leaks?.forget(tensor);
    allocator.free(tensor.address);
  }

  /** Lets go of the memory and with it of every tensor. @throws Error when it is already disposed. */
  dispose(): void {
    this.checkLive('dispose');
    this.#live = undefined;
  }

  /** `dispose`, once: for `using`. */
  declare [Symbol.dispose]: () => void;

  #checked(where: string) {
    if (!this.#live) throw new Error(`${where}: the runtime was disposed`);
    return this.#live;
  }
}

defineDispose(Runtime, (runtime) => {
  if (!runtime.disposed) runtime.dispose();
});

function pagesOf(limits: NonNullable<RuntimeOptions['memory']>): { initial: number; maximum: number } {
  checkOptions('createRuntime', limits, memoryOptions);
  const { maximumBytes = LIMIT, initialBytes = Math.min(1 << 20, maximumBytes) } = limits;
  for (const [name, bytes] of Object.entries({ maximumBytes, initialBytes })) {
    if (!Number.isSafeInteger(bytes) || bytes < PAGE || bytes > LIMIT)
      throw wrongValue('createRuntime', `memory.${name}`, `is ${bytes}, not an integer from ${PAGE} to ${LIMIT}`);
  }
  if (initialBytes > maximumBytes)
    throw wrongValue(
      'createRuntime',
      'memory.initialBytes',
      `is ${initialBytes}, more than maximumBytes ${maximumBytes}`,
    );
  return { initial: Math.floor(initialBytes / PAGE), maximum: Math.floor(maximumBytes / PAGE) };
}

const memoryOptions = new Set(['initialBytes', 'maximumBytes']);
const runtimeOptions = new Set(['build', 'threads', 'memory', 'module', 'debug']);

function checkRuntimeOptions(options: RuntimeOptions): void {
  checkOptions('createRuntime', options, runtimeOptions);
  const { build = 'auto', threads = 'auto' } = options;
  if (!['auto', 'simd', 'relaxed'].includes(build))
    throw wrongKind('createRuntime', 'build', "'auto', 'simd' or 'relaxed'", build);
  if (threads !== 'auto' && threads !== 1) {
    throw wrongValue('createRuntime', 'threads', `is ${threads}, but this version runs on 1 thread`);
  }
}

/**
 * Makes a runtime: kernels and their linear memory.
 * @throws Error where the engine has no WebAssembly SIMD, or not the build that was asked for.
 */
export async function createRuntime(options: RuntimeOptions = {}): Promise<Runtime> {
  checkRuntimeOptions(options);
  if (options.module === undefined) return createRuntimeSync(options);
  return createRuntimeSync({ ...options, module: await compileSource(options.module) });
}

/** `createRuntime` without a promise; `module` must be compiled or be bytes. */
export function createRuntimeSync(options: RuntimeOptions = {}): Runtime {
  checkRuntimeOptions(options);
  const { build = 'auto', module } = options;
  if (module === undefined) {
    const chosen = compileBuild(build);
    return new Runtime(chosen.build, chosen.module, options);
  }
  const isBytes = ArrayBuffer.isView(module) || Object.prototype.toString.call(module) === '[object ArrayBuffer]';
  if (!isBytes && !isModule(module)) {
    throw wrongKind('createRuntimeSync', 'module', 'a WebAssembly.Module or its bytes', module);
  }
  return new Runtime(
    build === 'auto' ? 'simd' : build,
    isModule(module) ? (module as WebAssembly.Module) : new WebAssembly.Module(module as BufferSource),
    options,
  );
}
