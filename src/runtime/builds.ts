import { withShared } from './shared.ts';

/** `'relaxed'`: with relaxed SIMD, whose multiply-add is fused where the machine has one; `'simd'`: the same bits on every engine. */
export type Build = 'simd' | 'relaxed';

/** The builds that a platform has, the best first, and why it has no threads, if so. */
export type Builds = {
  compile: Map<Build, (shared: boolean) => WebAssembly.Module>;
  /** Where they have the kernels of attention only: the plain build's bytes. */
  attention?: () => Uint8Array;
  noThreads?: string;
};

/** The best build that this engine compiles: the module itself is the feature test, so that all that it uses is tested. */
export function compileBuild(
  { compile }: Builds,
  build: Build | 'auto',
  shared: boolean,
): { build: Build; module: WebAssembly.Module } {
  const candidates = build === 'auto' ? [...compile.keys()] : [build];
  let reason: unknown;
  for (const candidate of candidates) {
    const compileCandidate = compile.get(candidate);
    if (!compileCandidate)
      throw new Error(`createRuntime: the build '${candidate}' is not in the package for this platform`);
    try {
      return { build: candidate, module: compileCandidate(shared) };
    } catch (error) {
      reason = error;
    }
  }
  throw new Error(`createRuntime: this engine cannot run the build '${build}': ${whyNot(build)}`, { cause: reason });
}

function whyNot(build: Build | 'auto'): string {
  try {
    // A module of nothing.
    new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
  } catch (error) {
    return `WebAssembly may not be compiled here (a content security policy without 'wasm-unsafe-eval'?): ${error}`;
  }
  return `WebAssembly ${build === 'relaxed' ? 'relaxed SIMD' : '128-bit SIMD'} is missing`;
}

export function compileBytes(bytes: Uint8Array, shared: boolean): WebAssembly.Module {
  return new WebAssembly.Module(withShared(bytes, shared));
}
