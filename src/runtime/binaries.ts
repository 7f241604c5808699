import kernels from '../../build/kernels.json' with { type: 'json' };
import type { Build } from './builds.ts';
import { decode } from './text.ts';

/** Of a binary made of another: new bytes as text, then how far on from the last copied byte to copy, and how many. */
export type Edit = [added: string, skipped: number, copied: number];

/**
 * A build's bytes: inside the JavaScript as text, so that there is no file to find at run time, whatever bundles this package; the
 * relaxed build as its few differences from the plain one.
 */
export function binary(build: Build): Uint8Array<ArrayBuffer> {
  const simd = decode(kernels.simd);
  return build === 'simd' ? simd : apply(simd, kernels.relaxed as unknown as Edit[]);
}

function apply(base: Uint8Array, edits: Edit[]): Uint8Array<ArrayBuffer> {
  let from = 0;
  const parts = edits.flatMap(([added, skipped, copied]) => {
    from += skipped + copied;
    return [decode(added), base.subarray(from - copied, from)];
  });
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let to = 0;
  for (const part of parts) {
    bytes.set(part, to);
    to += part.length;
  }
  return bytes;
}
