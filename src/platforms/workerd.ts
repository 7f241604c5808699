import relaxed from '../../build/relaxed.wasm';
import simd from '../../build/simd.wasm';
import type { Builds } from '../runtime/builds.ts';
import { create, createSync, type RuntimeOptions } from '../runtime/create.ts';

export * from '../index.ts';

/** Cloudflare Workers: code may not be compiled at run time; an imported file is a module. */
const builds: Builds = {
  compile: new Map([
    ['relaxed', () => relaxed],
    ['simd', () => simd],
  ]),
  noThreads: 'Cloudflare Workers have no threads',
};

export const createRuntime = (options?: RuntimeOptions) => create(builds, options);
export const createRuntimeSync = (options?: RuntimeOptions) => createSync(builds, options);
