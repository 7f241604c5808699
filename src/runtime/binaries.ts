import relaxed from '../../build/relaxed.wasm';
import simd from '../../build/simd.wasm';

/** Both builds as base64: no file to find at run time, whatever bundles this package. */
export const binaries = { simd, relaxed };
