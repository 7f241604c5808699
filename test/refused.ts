import { expect, it } from 'vitest';
import { createRuntimeSync, scaledDotProductAttention, type Tensor } from 'wasm-attention';
import { random } from './support.ts';

// Rows: name, call, error class, message. Arguments are of wrong types on purpose.
// biome-ignore lint/suspicious/noExplicitAny: a caller without types
export type Loose = any;
export type Row = [name: string, call: () => unknown, kind: new (message: string) => Error, message: RegExp];

export const runtime = createRuntimeSync({ memory: { maximumBytes: 4 << 20 } });
const other = createRuntimeSync();
const made: Tensor[] = [];
/** A tensor that the row which makes it frees. */
export function float(...shape: number[]): Tensor {
  const tensor = runtime.tensor(shape, random(shape, shape.length).data);
  made.push(tensor);
  return tensor;
}
export const disposed = float(1, 2, 3, 4);
disposed.dispose();
export const foreign = other.zeros([1, 2, 3, 4]);
export const integers = runtime.zeros([1, 2, 3, 4], 'int32');
export const booleans = runtime.zeros([1, 2, 3, 4], 'boolean');
const orphan = createRuntimeSync().zeros([1, 2, 3, 4]);
orphan.runtime.dispose();

export const [query, key, value] = [float(1, 2, 3, 4), float(1, 2, 5, 4), float(1, 2, 5, 6)];
export const output = runtime.zeros([1, 2, 3, 6]);
const sentinel = Float32Array.from({ length: output.size }, (_, i) => 1000 + i);

/** What no operation on tensors may take for one. */
export const notTensors = (call: (tensor: Loose) => unknown, name: string): Row[] => [
  [
    `${name}: undefined`,
    () => call(undefined),
    TypeError,
    new RegExp(`"${name}" must be a Tensor, but it is undefined`),
  ],
  [`${name}: null`, () => call(null), TypeError, new RegExp(`"${name}" must be a Tensor, but it is null`)],
  [
    `${name}: array`,
    () => call(new Float32Array(24)),
    TypeError,
    new RegExp(`"${name}" must be a Tensor, .* Float32Array`),
  ],
  [`${name}: disposed`, () => call(disposed), Error, new RegExp(`"${name}" was disposed`)],
  [`${name}: of a disposed runtime`, () => call(orphan), Error, new RegExp(`the runtime of "${name}" was disposed`)],
  [`${name}: int32`, () => call(integers), TypeError, new RegExp(`"${name}" has dtype int32, but float32`)],
  [`${name}: boolean`, () => call(booleans), TypeError, new RegExp(`"${name}" has dtype boolean, but float32`)],
];

export const ofOther = (call: (tensor: Loose) => unknown, name: string): Row => [
  `${name}: of another runtime`,
  () => call(foreign),
  Error,
  new RegExp(`"${name}" belongs to another runtime`),
];

const good = runtime.scope(() => scaledDotProductAttention(query, key, value).toArray());

/** Each row throws its error, before anything is written or allocated, and the runtime goes on. */
export function refuses(rows: Row[]): void {
  it.each(rows)('%s', (_name, call, kind, message) => {
    output.set(sentinel);
    const before = runtime.memory.usedBytes;
    const own = made.length;
    let error: unknown;
    try {
      call();
    } catch (caught) {
      error = caught;
    }
    for (const tensor of made.splice(own)) tensor.dispose();
    expect(error).toBeInstanceOf(kind);
    // RangeError and TypeError are Errors too: the class must be this one.
    expect((error as Error).constructor).toBe(kind);
    expect((error as Error).message).toMatch(message);
    expect(runtime.memory.usedBytes).toBe(before);
    expect(output.data).toEqual(sentinel);
    expect(scaledDotProductAttention(query, key, value, { output }).data).toEqual(good);
  });
}
