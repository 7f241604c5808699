import { checkInteger, checkOneOf, checkOptions, text, wrongKind, wrongValue } from '../check.ts';
import { Allocator } from './allocator.ts';
import { type Build, type Builds, compileBuild, compileBytes } from './builds.ts';
import { bytesOf, fetchModule, instantiate, isModule, type ModuleSource } from './load.ts';
import { chooseThreads, Pool } from './pool.ts';
import { Runtime } from './runtime.ts';
import type { WebWorker } from './worker.ts';

/** What `createRuntime` makes. */
export type RuntimeOptions = {
  /** `'auto'` (default): relaxed SIMD where the engine has it, plain SIMD otherwise. */
  build?: Build | 'auto';
  /**
   * Threads that compute, the caller's among them; default 1. `'auto'`: one a core, at most 8, and 1 where there can be no more
   * (`runtime.threadsReason` tells why); its workers start in the background. With more than 1 thread, linear memory is a
   * SharedArrayBuffer, which some functions of the platform refuse (TextDecoder, for one): `tensor.toArray()` copies out of it.
   */
  threads?: number | 'auto';
  /**
   * Makes the workers, from `wasm-attention/worker`, where a content security policy forbids blob: workers. They compile WebAssembly
   * too: their own policy, if any, needs `'wasm-unsafe-eval'`.
   */
  createWorker?: () => WebWorker;
  /** Linear memory in bytes: default 1 MiB to begin with, at most 4 GiB (shared: as much of it as the engine reserves). */
  memory?: { initialBytes?: number; maximumBytes?: number };
  /** A module of one's own instead of the ones inside the package; `build` then names what it is. */
  module?: ModuleSource;
  /** Whether tensors that are garbage collected before `dispose` are reported (`console.warn`); default false. */
  debug?: boolean;
};

const PAGE = 65536;
const LIMIT = 65536 * PAGE;
const MOST_THREADS = 256;
/** Below it is what the modules keep for themselves, that of all kernels too (asconfig.json: memoryBase). */
const HEAP = 4096;

/** `createRuntime` of a platform. */
export async function create(builds: Builds, options: RuntimeOptions = {}): Promise<Runtime> {
  checkRuntimeOptions(options);
  const { module, threads = 1 } = options;
  const runtime = createSync(
    builds,
    module === undefined ? options : { ...options, module: await fetchModule(module) },
  );
  if (threads === 'auto' || threads === 1) return runtime;
  await runtime.pool.started();
  if (runtime.threads === threads) return runtime;
  const reason = runtime.threadsReason;
  runtime.dispose();
  throw noThreads(threads, reason);
}

/** `createRuntimeSync` of a platform. */
export function createSync(builds: Builds, options: RuntimeOptions = {}): Runtime {
  checkRuntimeOptions(options);
  const { threads = 1 } = options;
  const chosen = chooseThreads(threads, options.createWorker, builds.noThreads);
  if (chosen.threads === 1 && threads !== 'auto' && threads > 1) throw noThreads(threads, chosen.reason);
  if (chosen.threads > 1) {
    try {
      return assemble(builds, options, chosen);
    } catch (error) {
      const unshared = error instanceof WebAssembly.LinkError && isModule(options.module);
      const reason = unshared ? 'the module was compiled for unshared memory: give its bytes instead' : String(error);
      if (threads !== 'auto') throw noThreads(threads, reason, error);
      return assemble(builds, options, { threads: 1, reason });
    }
  }
  return assemble(builds, options, chosen);
}

function assemble(builds: Builds, options: RuntimeOptions, chosen: { threads: number; reason?: string }): Runtime {
  const shared = chosen.threads > 1;
  const { build, module } = compile(builds, options, shared);
  const { memory, maximumBytes } = createMemory(shared, options.memory);
  const kernels = instantiate(module, memory);
  if (kernels.heapBase === undefined)
    throw new Error('createRuntime: "module" has no kernels of this package (the export heapBase is missing)');
  const allocator = new Allocator(memory, Math.max(kernels.heapBase.value, HEAP), maximumBytes);
  const pool = new Pool(kernels, { module, memory }, chosen, options.createWorker);
  const attention = options.module === undefined ? builds.attention : undefined;
  return new Runtime(build, { kernels, allocator, pool, attention, debug: options.debug ?? false });
}

function compile(
  builds: Builds,
  { build = 'auto', module }: RuntimeOptions,
  shared: boolean,
): { build: Build; module: WebAssembly.Module } {
  if (module === undefined) return compileBuild(builds, build, shared);
  const name = build === 'auto' ? 'simd' : build;
  if (isModule(module)) return { build: name, module: module as WebAssembly.Module };
  if (ArrayBuffer.isView(module) || Object.prototype.toString.call(module) === '[object ArrayBuffer]')
    return { build: name, module: compileBytes(bytesOf(module as BufferSource), shared) };
  throw wrongKind('createRuntimeSync', 'module', 'a WebAssembly.Module or its bytes', module);
}

function createMemory(shared: boolean, { initialBytes, maximumBytes }: RuntimeOptions['memory'] = {}) {
  let maximum = Math.floor((maximumBytes ?? LIMIT) / PAGE);
  const initial = Math.floor((initialBytes ?? Math.min(1 << 20, maximum * PAGE)) / PAGE);
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

const memoryOptions = new Set(['initialBytes', 'maximumBytes']);
const runtimeOptions = new Set(['build', 'threads', 'createWorker', 'memory', 'module', 'debug']);

function checkRuntimeOptions(options: RuntimeOptions): void {
  const where = 'createRuntime';
  checkOptions(where, options, runtimeOptions);
  const { build = 'auto', threads = 1, createWorker, memory = {} } = options;
  checkOneOf(where, 'build', build, ['auto', 'simd', 'relaxed']);
  if (threads !== 'auto') {
    if (typeof threads !== 'number') throw wrongKind(where, 'threads', "a number or 'auto'", threads);
    checkInteger(where, 'threads', threads, 1);
    if (threads > MOST_THREADS) throw wrongValue(where, 'threads', `is ${threads}, more than ${MOST_THREADS}`);
  }
  if (createWorker !== undefined && typeof createWorker !== 'function')
    throw wrongKind(where, 'createWorker', 'a function', createWorker);
  checkOptions(where, memory, memoryOptions);
  const { maximumBytes = LIMIT, initialBytes = Math.min(1 << 20, maximumBytes) } = memory;
  for (const [name, bytes] of Object.entries({ maximumBytes, initialBytes })) {
    if (!Number.isSafeInteger(bytes) || bytes < PAGE || bytes > LIMIT)
      throw wrongValue(where, `memory.${name}`, `is ${text(bytes)}, not an integer from ${PAGE} to ${LIMIT}`);
  }
  if (initialBytes > maximumBytes)
    throw wrongValue(where, 'memory.initialBytes', `is ${initialBytes}, more than maximumBytes ${maximumBytes}`);
}

function noThreads(threads: number, reason: string | undefined, cause?: unknown): Error {
  return new Error(`createRuntime: ${threads} threads cannot be had: ${reason}`, { cause });
}
