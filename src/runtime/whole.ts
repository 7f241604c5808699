import edits from '../../build/whole.json' with { type: 'json' };
import type { Build } from './builds.ts';
import { apply } from './edits.ts';
import type { Kernels } from './load.ts';
import { type Elementary, mathOf } from './math.ts';
import type { Runtime } from './runtime.ts';

/** All kernels of a runtime, and what runs them. */
export type Whole = { kernels: Kernels; math: Elementary; run: Runtime['run'] };

/**
 * A runtime with all its kernels. It begins with those of attention alone (where it can: not with a module that was compiled beforehand),
 * so that an app which only attends downloads no others; whoever needs more asks here, each time.
 */
export function whole(runtime: Runtime): Whole {
  const kernels = runtime.extended(wholeBinary);
  return { kernels, math: mathOf(kernels), run: (...job) => runtime.run(...job) };
}

/** @param attention the plain build's bytes */
export function wholeBinary(attention: Uint8Array, build: Build): Uint8Array<ArrayBuffer> {
  const simd = apply(attention, edits.simd);
  return build === 'simd' ? simd : apply(simd, edits.relaxed);
}
