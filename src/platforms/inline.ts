/**
 * Exact attention, and what models build on it, over tensors in a runtime's linear memory.
 * @module wasm-attention
 */

import { attentionBinary } from '../runtime/binaries.ts';
import { type Build, type Builds, compileBytes } from '../runtime/builds.ts';
import { create, createSync, type RuntimeOptions } from '../runtime/create.ts';
import type { Runtime } from '../runtime/runtime.ts';

export * from '../index.ts';

const compiled = new Map<string, WebAssembly.Module>();

function compile(build: Build, shared: boolean): WebAssembly.Module {
  const name = `${build}, ${shared ? 'shared' : 'unshared'}`;
  const module = compiled.get(name) ?? compileBytes(attentionBinary(build), shared);
  compiled.set(name, module);
  return module;
}

/** Everywhere but where a platform compiles modules only as it deploys. */
const builds: Builds = {
  compile: new Map([
    ['relaxed', (shared) => compile('relaxed', shared)],
    ['simd', (shared) => compile('simd', shared)],
  ]),
  attention: () => attentionBinary('simd'),
};

/**
 * Makes a runtime: kernels, their linear memory and their threads. With a number of threads it resolves when all are ready.
 * @throws Error where the engine has no WebAssembly SIMD, or not the build or the threads that were asked for; TypeError and
 * RangeError for wrong options.
 */
export function createRuntime(options?: RuntimeOptions): Promise<Runtime> {
  return create(builds, options);
}

/** `createRuntime` without a promise; `module` must be compiled or be bytes. Workers join when they are ready. */
export function createRuntimeSync(options?: RuntimeOptions): Runtime {
  return createSync(builds, options);
}
