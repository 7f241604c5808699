import pieces from '../../build/kernels.json' with { type: 'json' };
import type { Build } from './builds.ts';

/** The builds take turns in the pieces (scripts/build.ts). */
const order: Build[] = ['simd', 'relaxed'];

/** A build's bytes: inside the JavaScript as text, so that there is no file to find at run time, whatever bundles this package. */
export function binary(build: Build): Uint8Array<ArrayBuffer> {
  return decode(pieces.filter((_, at) => order[at % order.length] === build).join(''));
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
