import { bytesPerElement, checkDType, checkShape, type DType, wrongKind, wrongValue } from '../check.ts';
import { Tensor } from '../tensor.ts';
import { Allocator } from './allocator.ts';
import { type Build, compileBuild, compileSource, instantiate, type Kernels, type ModuleSource } from './load.ts';

export type RuntimeOptions = {
  /** `'auto'` (default): relaxed SIMD where the engine has it, plain SIMD otherwise. */
  build?: Build | 'auto';
  /** Threads; only 1 for now, and `'auto'` means 1. */
  threads?: number | 'auto';
  /** Linear memory in bytes: default 1 MiB to begin with, at most 4 GiB. */
  memory?: { initialBytes?: number; maximumBytes?: number };
  /** A module of one's own instead of the ones inside the package; `build` then names what it is. */
  module?: ModuleSource;
};

/** Kernels that compute one task a call. */
export type TaskKernel = 'flash' | 'scores' | 'linear';

const PAGE = 65536;
const LIMIT = 65536 * PAGE;

/** One instance of the kernels with its linear memory. */
export class Runtime {
  readonly threads = 1;
  readonly kernels: Kernels;
  readonly allocator: Allocator;
  #scopes: Set<Tensor>[] = [];
  #disposed = false;

  constructor(
    readonly build: Build,
    module: WebAssembly.Module,
    { initialBytes = 1 << 20, maximumBytes = LIMIT }: { initialBytes?: number; maximumBytes?: number } = {},
  ) {
    const pages = (name: string, bytes: number) => {
      if (!(bytes >= PAGE && bytes <= LIMIT))
        throw wrongValue('createRuntime', name, `is ${bytes}, not from ${PAGE} to ${LIMIT}`);
      return Math.floor(bytes / PAGE);
    };
    const maximum = pages('memory.maximumBytes', maximumBytes);
    const initial = Math.min(pages('memory.initialBytes', initialBytes), maximum);
    const memory = new WebAssembly.Memory({ initial, maximum });
    this.kernels = instantiate(module, memory);
    this.allocator = new Allocator(memory, this.kernels.heapBase.value, maximum * PAGE);
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

  /** Runs a kernel's tasks, with the scratch that it says it needs. */
  run(kernel: TaskKernel, params: number, tasks: number): void {
    const bytes = this.kernels[`${kernel}ScratchBytes`](params);
    this.withScratch([bytes], (scratch) => {
      for (let task = 0; task < tasks; task++) this.kernels[kernel](params, task, scratch);
    });
  }

  checkLive(where: string): void {
    if (this.#disposed) throw new Error(`${where}: the runtime was disposed`);
  }

  dispose(): void {
    this.checkLive('dispose');
    this.#disposed = true;
  }

  [Symbol.dispose](): void {
    if (!this.#disposed) this.dispose();
  }
}

function checkOptions({ build = 'auto', threads = 'auto' }: RuntimeOptions): void {
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
  checkOptions(options);
  if (options.module === undefined) return createRuntimeSync(options);
  return createRuntimeSync({ ...options, module: await compileSource(options.module) });
}

/** `createRuntime` without a promise; `module` must be compiled or be bytes. */
export function createRuntimeSync(options: RuntimeOptions = {}): Runtime {
  checkOptions(options);
  const { build = 'auto', module, memory } = options;
  if (module === undefined) {
    const chosen = compileBuild(build);
    return new Runtime(chosen.build, chosen.module, memory);
  }
  const isBytes = module instanceof ArrayBuffer || ArrayBuffer.isView(module);
  if (!isBytes && !(module instanceof WebAssembly.Module)) {
    throw wrongKind('createRuntimeSync', 'module', 'a WebAssembly.Module or its bytes', module);
  }
  return new Runtime(
    build === 'auto' ? 'simd' : build,
    isBytes ? new WebAssembly.Module(module as BufferSource) : module,
    memory,
  );
}
