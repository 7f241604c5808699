import simd from '../../build/simd.wasm?module';
import type { Builds } from '../runtime/builds.ts';
import { create, createSync, type RuntimeOptions } from '../runtime/create.ts';

export * from '../index.ts';

/** Vercel's edge, and Next's: it compiles every file as it starts and fails where the engine lacks relaxed SIMD, so that one stays out. */
const builds: Builds = {
  compile: new Map([['simd', () => simd]]),
  noThreads: 'edge functions have no threads',
};

export const createRuntime = (options?: RuntimeOptions) => create(builds, options);
export const createRuntimeSync = (options?: RuntimeOptions) => createSync(builds, options);
