import attention from '../../build/attention.json' with { type: 'json' };
import type { Build } from './builds.ts';
import { apply } from './edits.ts';
import { decode } from './text.ts';

/**
 * The bytes of a build's attention kernels: inside the JavaScript as text, so that there is no file to find at run time, whatever
 * bundles this package; the relaxed build as its few differences from the plain one.
 */
export function attentionBinary(build: Build): Uint8Array<ArrayBuffer> {
  const simd = decode(attention.simd);
  return build === 'simd' ? simd : apply(simd, attention.relaxed);
}
