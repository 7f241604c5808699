import { sizeOf, wrongKind } from './check.ts';
import { fromBfloat16, fromFloat16 } from './half.ts';

/** A tensor of a safetensors file. */
export type SafeTensor = {
  /** As in the file: `'F32'`, `'F16'`, `'BF16'`, `'I64'` … */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** In C order; F16 and BF16 as float32, F8 as its bytes. Where alignment allows it is a view on the file, else made when asked for. */
  readonly data:
    | Float32Array
    | Float64Array
    | Int8Array
    | Int16Array
    | Int32Array
    | Uint8Array
    | Uint16Array
    | Uint32Array
    | BigInt64Array
    | BigUint64Array;
};

const arrays = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  F8_E4M3: Uint8Array,
  F8_E5M2: Uint8Array,
  I64: BigInt64Array,
  U64: BigUint64Array,
  I32: Int32Array,
  U32: Uint32Array,
  I16: Int16Array,
  U16: Uint16Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
};
type FileDType = keyof typeof arrays;

/** What the reference implementation allows. */
const LONGEST_HEADER = 100_000_000;

/**
 * Reads the safetensors format: the tensors of a file by name, as `layer.load` takes them.
 *
 * @param bytes the whole file
 * @throws TypeError where `bytes` is no Uint8Array or ArrayBuffer; Error where the file is not well-formed: a header that is too
 * long or no JSON, a name twice, an unknown dtype, a shape that its bytes do not have, bytes outside of the file, of two tensors
 * or of none
 * @example
 * const layer = new MultiHeadAttention(runtime, { embedDim: 768, heads: 12 });
 * layer.load(readSafetensors(await readFile('model.safetensors')), { prefix: 'encoder.layers.0.self_attn.' });
 */
export function readSafetensors(bytes: Uint8Array | ArrayBuffer): Record<string, SafeTensor> {
  const file = bytesOf(bytes);
  if (file.length < 8) throw malformed(`has ${file.length} bytes, but its header's length alone takes 8`);
  const length = new DataView(file.buffer, file.byteOffset).getBigUint64(0, true);
  if (length > LONGEST_HEADER) throw malformed(`has a header of ${length} bytes, more than ${LONGEST_HEADER}`);
  const start = 8 + Number(length);
  if (start > file.length) throw malformed(`has a header of ${length} bytes, but ${file.length - 8} bytes follow`);
  const content = file.subarray(start);
  const { __metadata__: metadata = {}, ...entries } = parseHeader(file.subarray(8, start));
  if (typeof metadata !== 'object' || !Object.values(metadata ?? { '': 0 }).every((value) => typeof value === 'string'))
    throw malformed('has __metadata__ that does not map strings to strings');
  const tensors = Object.entries(entries).map(([name, entry]) => ({
    name,
    ...checkEntry(name, entry, content.length),
  }));
  let end = 0;
  for (const { name, from, to } of [...tensors].sort((a, b) => a.from - b.from || a.to - b.to)) {
    if (from !== end) throw malformed(`has "${name}" at byte ${from}, but the tensor before it ends at ${end}`);
    end = to;
  }
  if (end !== content.length) throw malformed(`has ${content.length} bytes of data, but its tensors take ${end}`);
  // Without a prototype, so that a tensor may be called __proto__.
  const result: Record<string, SafeTensor> = Object.create(null);
  for (const { name, dtype, shape, from, to } of tensors)
    result[name] = tensorOf(dtype, shape, content.subarray(from, to));
  return result;
}

function bytesOf(bytes: unknown): Uint8Array {
  if (ArrayBuffer.isView(bytes)) return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tag = Object.prototype.toString.call(bytes);
  if (tag === '[object ArrayBuffer]' || tag === '[object SharedArrayBuffer]')
    return new Uint8Array(bytes as ArrayBuffer);
  throw wrongKind('readSafetensors', 'bytes', 'a Uint8Array or an ArrayBuffer', bytes);
}

function malformed(problem: string): Error {
  return new Error(`readSafetensors: the file ${problem}`);
}

function parseHeader(bytes: Uint8Array): Record<string, unknown> {
  let header: unknown;
  let text: string;
  try {
    // A copy: TextDecoder refuses shared memory.
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.slice());
    header = JSON.parse(text);
  } catch (cause) {
    throw malformed(`has a header that is no JSON: ${(cause as Error).message}`);
  }
  if (text[0] !== '{') throw malformed('has a header that does not begin with {');
  checkKeys(text);
  return header as Record<string, unknown>;
}

/** JSON.parse keeps the last of two equal names. */
function checkKeys(text: string): void {
  const names: Set<string>[] = [];
  for (const [token, colon] of text.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?|[{}]/g)) {
    if (token === '{') names.push(new Set());
    else if (token === '}') names.pop();
    else if (colon) {
      const name = token.slice(0, token.length - colon.length);
      const own = names[names.length - 1];
      const value = JSON.parse(name);
      if (own.has(value)) throw malformed(`has the name ${name} twice`);
      own.add(value);
    }
  }
}

function checkEntry(name: string, entry: unknown, length: number) {
  const { dtype, shape, data_offsets: offsets } = (entry ?? {}) as Record<string, unknown>;
  if (typeof dtype !== 'string' || !Object.hasOwn(arrays, dtype))
    throw malformed(`has "${name}" of dtype ${JSON.stringify(dtype)}; known are ${Object.keys(arrays).join(', ')}`);
  const natural = (n: unknown) => Number.isSafeInteger(n) && (n as number) >= 0;
  if (!Array.isArray(shape) || !shape.every(natural) || !Number.isSafeInteger(sizeOf(shape)))
    throw malformed(`has "${name}" of shape ${JSON.stringify(shape)}, which is not a list of sizes`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(natural))
    throw malformed(`has "${name}" at ${JSON.stringify(offsets)}, which is not a pair of offsets`);
  const [from, to] = offsets as [number, number];
  if (from > to || to > length) throw malformed(`has "${name}" at [${from},${to}], but ${length} bytes of data`);
  const needed = sizeOf(shape) * arrays[dtype as FileDType].BYTES_PER_ELEMENT;
  if (to - from !== needed)
    throw malformed(`has ${to - from} bytes for "${name}", but ${dtype} [${shape}] takes ${needed}`);
  return { dtype: dtype as FileDType, shape: shape as number[], from, to };
}

function tensorOf(dtype: FileDType, shape: readonly number[], bytes: Uint8Array): SafeTensor {
  const View = arrays[dtype];
  return {
    dtype,
    shape,
    get data() {
      const aligned = bytes.byteOffset % View.BYTES_PER_ELEMENT === 0 ? bytes : bytes.slice();
      const values = new View(aligned.buffer as ArrayBuffer, aligned.byteOffset, sizeOf(shape));
      if (dtype === 'F16') return Float32Array.from(values as Uint16Array, fromFloat16);
      return dtype === 'BF16' ? Float32Array.from(values as Uint16Array, fromBfloat16) : values;
    },
  };
}
