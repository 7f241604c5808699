import kernels from '../../build/kernels.json' with { type: 'json' };
import type { Build } from './builds.ts';

/** Of a binary made of another: new bytes in hexadecimal, then how far on from the last copied byte to copy, and how many. */
export type Edit = [added: string, skipped: number, copied: number];

/**
 * A build's bytes: inside the JavaScript as text, so that there is no file to find at run time, whatever bundles this package.
 * Hexadecimal, because gzip makes less of it than of base64; the relaxed build as its few differences from the plain one.
 */
export function binary(build: Build): Uint8Array<ArrayBuffer> {
  const simd = decode(kernels.simd);
  return build === 'simd' ? simd : apply(simd, kernels.relaxed as unknown as Edit[]);
}

function apply(base: Uint8Array, edits: Edit[]): Uint8Array<ArrayBuffer> {
  const length = edits.reduce((sum, [added, , copied]) => sum + added.length / 2 + copied, 0);
  const bytes = new Uint8Array(length);
  let to = 0;
  let from = 0;
  for (const [added, skipped, copied] of edits) {
    bytes.set(decode(added), to);
    to += added.length / 2;
    from += skipped;
    bytes.set(base.subarray(from, from + copied), to);
    to += copied;
    from += copied;
  }
  return bytes;
}

type Decoders = {
  Uint8Array: { fromHex?(hex: string): Uint8Array<ArrayBuffer> };
  Buffer?: { from(hex: string, encoding: 'hex'): Uint8Array<ArrayBuffer> };
};

/** By the engine where it can. As a property: a bundler would bring a polyfill for the plain name `Buffer`. */
function decode(hex: string): Uint8Array<ArrayBuffer> {
  const { Uint8Array: Bytes, Buffer } = globalThis as unknown as Decoders;
  if (Bytes.fromHex) return Bytes.fromHex(hex);
  if (Buffer) return Buffer.from(hex, 'hex');
  const bytes = new Uint8Array(hex.length / 2);
  for (let at = 0; at < bytes.length; at++) bytes[at] = digit(hex, 2 * at) * 16 + digit(hex, 2 * at + 1);
  return bytes;
}

function digit(hex: string, at: number): number {
  const code = hex.charCodeAt(at);
  return code < 58 ? code - 48 : code - 87;
}
