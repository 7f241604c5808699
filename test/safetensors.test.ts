import { describe, expect, it } from 'vitest';
import { createRuntimeSync, MultiHeadAttention, readSafetensors, type StateEntry } from 'wasm-attention';
import { random } from './support.ts';

type Entry = { dtype: string; shape: number[]; data_offsets: number[] };

function file(header: unknown, data: Uint8Array | number = 0, length?: bigint): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const content = typeof data === 'number' ? new Uint8Array(data) : data;
  const bytes = new Uint8Array(8 + json.length + content.length);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
  bytes.set(json, 8);
  bytes.set(content, 8 + json.length);
  return bytes;
}

const bytesOf = (array: ArrayBufferView) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** A file of these arrays, one after the other. */
function pack(
  arrays: Record<string, [dtype: string, shape: number[], data: ArrayBufferView]>,
  padding = '',
): Uint8Array {
  const header: Record<string, Entry> = {};
  const data: number[] = [];
  for (const [name, [dtype, shape, array]] of Object.entries(arrays)) {
    header[name] = { dtype, shape, data_offsets: [data.length, data.length + array.byteLength] };
    data.push(...bytesOf(array));
  }
  return file(JSON.stringify(header) + padding, Uint8Array.from(data));
}

describe('readSafetensors', () => {
  it('reads every dtype, aligned or not', () => {
    const floats = Float32Array.of(1.5, -2, Infinity, 3e-40);
    const arrays: Parameters<typeof pack>[0] = {
      a: ['BOOL', [3], Uint8Array.of(1, 0, 1)],
      f32: ['F32', [2, 2], floats],
      f64: ['F64', [1], Float64Array.of(Math.PI)],
      f16: ['F16', [5], Uint16Array.of(0x3c00, 0xc000, 0x7c00, 1, 0x7bff)],
      bf16: ['BF16', [3], Uint16Array.of(0x3fc0, 0xc000, 0x7f80)],
      i64: ['I64', [1], BigInt64Array.of(-5n)],
      u64: ['U64', [1], BigUint64Array.of(5n)],
      i32: ['I32', [1], Int32Array.of(-7)],
      u32: ['U32', [1], Uint32Array.of(7)],
      i16: ['I16', [1], Int16Array.of(-9)],
      u16: ['U16', [1], Uint16Array.of(9)],
      i8: ['I8', [1], Int8Array.of(-3)],
      u8: ['U8', [], Uint8Array.of(200)],
      f8: ['F8_E4M3', [2], Uint8Array.of(1, 2)],
      empty: ['F32', [0, 4], new Float32Array(0)],
    };
    for (const padding of ['', ' ', '  ', '   ', '    ']) {
      const tensors = readSafetensors(pack(arrays, padding));
      expect(Object.keys(tensors)).toEqual(Object.keys(arrays));
      for (const [name, [dtype, shape, data]] of Object.entries(arrays)) {
        expect(tensors[name].shape).toEqual(shape);
        expect(tensors[name].dtype).toBe(dtype);
        if (!dtype.includes('F16')) expect(tensors[name].data).toEqual(data);
      }
      expect(tensors.f16.data).toEqual(Float32Array.of(1, -2, Infinity, 2 ** -24, 65504));
      expect(tensors.bf16.data).toEqual(Float32Array.of(1.5, -2, Infinity));
    }
  });

  it('reads an ArrayBuffer, a part of one, shared memory, metadata, and names that objects have', () => {
    const metadata = { __metadata__: { format: 'pt' } };
    const header = `{"__metadata__":{"format":"pt"},"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`;
    const bytes = file(header, Uint8Array.of(7));
    const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
    shared.set(bytes);
    const part = new Uint8Array(bytes.length + 3).subarray(3);
    part.set(bytes);
    for (const given of [bytes, bytes.buffer as ArrayBuffer, shared, part]) {
      const tensors = readSafetensors(given);
      expect(Object.keys(tensors)).toEqual(['__proto__']);
      expect(Array.from(Object.values(tensors)[0].data as Uint8Array)).toEqual([7]);
    }
    expect(Object.keys(readSafetensors(file(metadata)))).toEqual([]);
  });

  it('loads into a layer, by prefix, out of float32 and float16', () => {
    const runtime = createRuntimeSync();
    const options = { embedDim: 4, heads: 2 };
    const layer = new MultiHeadAttention(runtime, options);
    const values = Object.fromEntries(
      Object.entries(layer.shapes).map(([name, shape], i) => [name, random(shape, i).data]),
    );
    const halves = Uint16Array.of(0x3c00, 0xc000, 0x3800, 0);
    values['out_proj.bias'] = Float32Array.of(1, -2, 0.5, 0);
    const bytes = pack(
      Object.fromEntries([
        ...Object.entries(layer.shapes).map(([name, shape]) => {
          const isHalf = name === 'out_proj.bias';
          return [`encoder.attn.${name}`, [isHalf ? 'F16' : 'F32', [...shape], isHalf ? halves : values[name]]];
        }),
        ['encoder.norm.weight', ['F32', [1], Float32Array.of(1)]],
      ]),
    );
    const plain = new MultiHeadAttention(runtime, options).load(values);
    const prefix = 'encoder.attn.';
    layer.load(readSafetensors(bytes), { prefix });
    runtime.scope(() => {
      const x = runtime.tensor([1, 3, 4], random([1, 3, 4], 9).data);
      expect(layer.forward(x, x, x).output.data).toEqual(plain.forward(x, x, x).output.data);
    });
    const load = (name: string, entry: StateEntry) => () =>
      layer.load({ ...readSafetensors(bytes), [prefix + name]: entry }, { prefix });
    const counts = { shape: [12], data: new BigInt64Array(12) };
    expect(load('in_proj_bias', counts)).toThrow(/in_proj_bias" must be of numbers, not of bigint/);
    const turned = { shape: [4, 12], data: new Float32Array(48) };
    expect(load('in_proj_weight', turned)).toThrow(/has shape \[4,12\], but \[12,4\] is needed/);
    layer.dispose();
    plain.dispose();
    expect(runtime.memory.usedBytes).toBe(0);
  });

  const entry = (shape: unknown, offsets: unknown, dtype: unknown = 'F32') => ({ dtype, shape, data_offsets: offsets });
  const good = { x: entry([2], [0, 8]) };
  const rows: [string, Uint8Array, RegExp][] = [
    ['nothing', new Uint8Array(0), /has 0 bytes, but its header's length alone takes 8/],
    ['7 bytes', new Uint8Array(7), /has 7 bytes/],
    ['a header of no bytes', new Uint8Array(8), /has a header that is no JSON/],
    ['a header longer than the file', file(good, 8, 10_000n), /has a header of 10000 bytes, but \d+ bytes follow/],
    ['a header of 2⁶⁴ − 1', file(good, 8, 2n ** 64n - 1n), /has a header of 18446744073709551615 bytes, more than/],
    ['a header cut short', file(good, 8, 20n), /no JSON/],
    ['a header with bytes that are no UTF-8', file('{"\u00e9"', 0, 3n), /no JSON/],
    ['a list', file([good]), /does not begin with \{/],
    ['null', file('null'), /does not begin with \{/],
    ['a space before the header', file(` ${JSON.stringify(good)}`, 8), /does not begin with \{/],
    ['a name twice', file('{"x":1,"x":2}'), /has the name "x" twice/],
    ['a name twice, written differently', file('{"x":1,"\\u0078" :2}'), /has the name "\\u0078" twice/],
    ['a field twice', file('{"x":{"dtype":"F32","dtype":"U8"}}'), /has the name "dtype" twice/],
    ['an entry that is a number', file({ x: 1 }), /has "x" of dtype undefined; known are F64/],
    ['an entry that is null', file({ x: null }), /has "x" of dtype undefined/],
    ['a dtype', file({ x: entry([2], [0, 8], 'F4') }, 8), /has "x" of dtype "F4"/],
    ['a dtype of Object', file({ x: entry([2], [0, 8], 'toString') }, 8), /of dtype "toString"/],
    ['no shape', file({ x: { dtype: 'F32', data_offsets: [0, 8] } }, 8), /of shape undefined, which is not a list/],
    ['a negative size', file({ x: entry([-2], [0, 8]) }, 8), /of shape \[-2\]/],
    ['a fraction', file({ x: entry([0.5, 4], [0, 8]) }, 8), /of shape \[0.5,4\]/],
    ['sizes beyond numbers', file({ x: entry([2 ** 52, 2 ** 52], [0, 8]) }, 8), /which is not a list of sizes/],
    ['no offsets', file({ x: { dtype: 'F32', shape: [2] } }, 8), /at undefined, which is not a pair/],
    ['three offsets', file({ x: entry([2], [0, 4, 8]) }, 8), /at \[0,4,8\], which is not a pair/],
    ['offsets that are text', file({ x: entry([2], ['0', '8']) }, 8), /which is not a pair of offsets/],
    ['offsets in reverse', file({ x: entry([2], [8, 0]) }, 8), /at \[8,0\], but 8 bytes of data/],
    ['offsets beyond the file', file({ x: entry([2], [0, 8]) }, 7), /at \[0,8\], but 7 bytes of data/],
    ['too few bytes for the shape', file({ x: entry([3], [0, 8]) }, 8), /has 8 bytes for "x", but F32 \[3\] takes 12/],
    ['bytes of none before', file({ x: entry([2], [4, 12]) }, 12), /has "x" at byte 4, but .* before it ends at 0/],
    ['bytes of none between', file({ x: entry([1], [0, 4]), y: entry([1], [8, 12]) }, 12), /has "y" at byte 8/],
    ['bytes of two', file({ x: entry([2], [0, 8]), y: entry([2], [4, 12]) }, 12), /has "y" at byte 4, .* ends at 8/],
    ['bytes of none behind', file(good, 9), /has 9 bytes of data, but its tensors take 8/],
    ['metadata of numbers', file({ __metadata__: { step: 1 } }), /__metadata__ that does not map strings to strings/],
    ['metadata null', file({ __metadata__: null }), /__metadata__/],
  ];
  it.each(rows)('refuses %s', (_name, bytes, message) => {
    expect(() => readSafetensors(bytes)).toThrow(Error);
    expect(() => readSafetensors(bytes)).toThrow(message);
    expect(() => readSafetensors(bytes)).toThrow(/^readSafetensors: the file has /);
  });

  it.each([undefined, null, 'text', 5, {}, [1, 2]])('refuses %o', (given) => {
    expect(() => readSafetensors(given as never)).toThrow(TypeError);
    expect(() => readSafetensors(given as never)).toThrow(/"bytes" must be a Uint8Array or an ArrayBuffer/);
  });
});
