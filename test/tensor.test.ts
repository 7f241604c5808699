import { afterEach, describe, expect, it } from 'vitest';
import { createRuntimeSync, type DType, scaledDotProductAttention, type Tensor } from 'wasm-attention';

const runtime = createRuntimeSync();
const used = () => runtime.memory.usedBytes;

/** `make` must throw this, and leave the memory as it was. */
function refused(make: () => unknown, kind: new (message: string) => Error, message: RegExp): void {
  const before = used();
  expect(make).toThrow(kind);
  expect(make).toThrow(message);
  expect(used()).toBe(before);
}

afterEach(() => expect(used()).toBe(0));

describe('Tensor', () => {
  it('has the typed array of its dtype', () => {
    runtime.scope(() => {
      const [float, int, boolean] = [
        runtime.tensor([2, 2], [1.5, -2, Number.NaN, Infinity]),
        runtime.tensor([3], [1, -2, 3], 'int32'),
        runtime.tensor([2], [true, false], 'boolean'),
      ] as const;
      const typed: [Float32Array, Int32Array, Uint8Array] = [float.data, int.data, boolean.data];
      expect(typed).toEqual([
        new Float32Array([1.5, -2, Number.NaN, Infinity]),
        new Int32Array([1, -2, 3]),
        new Uint8Array([1, 0]),
      ]);
      expect([float.dtype, int.dtype, boolean.dtype]).toEqual(['float32', 'int32', 'boolean']);
      expect([float.shape, float.size]).toEqual([[2, 2], 4]);
      expect(runtime.empty([]).size).toBe(1);
      expect(runtime.zeros([0, 7]).data.length).toBe(0);
      expect(Array.from(runtime.zeros([3], 'boolean').data)).toEqual([0, 0, 0]);
    });
  });

  it('stores every true value of a boolean tensor as 1', () => {
    runtime.scope(() => {
      const given = [0.5, 256, -1, Number.NaN, 0, 1];
      expect(Array.from(runtime.tensor([6], given, 'boolean').data)).toEqual([1, 1, 1, 0, 0, 1]);
      expect(Array.from(runtime.tensor([2], new Uint8Array([7, 0]), 'boolean').data)).toEqual([1, 0]);
    });
  });

  it('shows memory without a copy; set writes it, toArray copies it', () => {
    runtime.scope(() => {
      const tensor = runtime.tensor([3], [1, 2, 3]);
      const copy = tensor.toArray();
      tensor.data[0] = 7;
      expect(Array.from(tensor.data)).toEqual([7, 2, 3]);
      expect(tensor.set([4, 5, 6])).toBe(tensor);
      expect(Array.from(tensor.data)).toEqual([4, 5, 6]);
      expect(Array.from(copy)).toEqual([1, 2, 3]);
      const shape = [3];
      const other = runtime.zeros(shape);
      shape[0] = 100;
      expect(other.shape).toEqual([3]);
    });
  });

  it('gives fresh data after growth detached the old', () => {
    runtime.scope(() => {
      const tensor = runtime.tensor([2], [1, 2]);
      const stale = tensor.data;
      runtime.zeros([runtime.memory.capacityBytes]);
      expect(stale.length).toBe(0);
      expect(Array.from(tensor.data)).toEqual([1, 2]);
    });
  });

  it('copies from a view on its own memory, even where making room detaches it', () => {
    const own = createRuntimeSync({ memory: { initialBytes: 65536 } });
    const first = own.tensor(
      [10_000],
      Float32Array.from({ length: 10_000 }, (_, i) => i),
    );
    const capacity = own.memory.capacityBytes;
    const second = own.tensor([10_000], first.data);
    expect(own.memory.capacityBytes).toBeGreaterThan(capacity);
    expect(second.data).toEqual(first.data);
  });

  it('views and slices show the same memory', () => {
    runtime.scope(() => {
      const tensor = runtime.tensor([3, 2], [0, 1, 2, 3, 4, 5]);
      const [view, slice, bytes] = [tensor.view([6]), tensor.slice(1, 2), runtime.zeros([4, 3], 'boolean').slice(1, 1)];
      expect([view.shape, slice.shape, bytes.shape]).toEqual([[6], [2, 2], [1, 3]]);
      expect(Array.from(slice.data)).toEqual([2, 3, 4, 5]);
      slice.data[0] = 9;
      expect(Array.from(view.data)).toEqual([0, 1, 9, 3, 4, 5]);
      expect(Array.from(slice.slice(1, 1).view([2, 1]).data)).toEqual([4, 5]);
      expect(slice.slice(2, 0).size).toBe(0);
      expect(bytes.address % 64).toBe(3);
      expect(view.owner).toBe(tensor);
    });
  });

  it('works beyond 2 GiB, where an address is a negative int32', () => {
    const large = createRuntimeSync();
    large.empty([2 ** 29]);
    const data = Float32Array.from({ length: 64 }, (_, i) => Math.sin(i));
    const [q, k, v] = [1, 2, 3].map(() => large.tensor([1, 1, 4, 16], data));
    expect(q.address).toBeGreaterThan(2 ** 31);
    const [a, b, c] = [1, 2, 3].map(() => runtime.tensor([1, 1, 4, 16], data));
    const expected = scaledDotProductAttention(a, b, c, { causal: true });
    expect(scaledDotProductAttention(q, k, v, { causal: true }).data).toEqual(expected.data);
    for (const tensor of [a, b, c, expected]) tensor.dispose();
    large.dispose();
  });

  it.each<[string, unknown, new (message: string) => Error, RegExp]>([
    ['no array', 5, TypeError, /empty: "shape" must be an array of sizes, but it is 5/],
    ['a negative size', [2, -1], RangeError, /has size -1, not an integer ≥ 0/],
    ['half a size', [1.5], RangeError, /has size 1.5/],
    ['NaN', [Number.NaN], RangeError, /has size NaN/],
    ['a string', ['2'], RangeError, /has size 2, not an integer/],
    ['2³¹ elements', [2 ** 31], RangeError, /memory limit: 8589934592 bytes/],
    ['2³² · 2 elements', [2 ** 32, 2], RangeError, /memory limit/],
    ['more than 2⁵³ elements', [2 ** 30, 2 ** 30], RangeError, /more elements than a number can count/],
    ['Infinity elements times 0', [...Array(40).fill(2 ** 52), 0], RangeError, /more elements/],
  ])('refuses the shape of %s', (_name, shape, kind, message) => {
    refused(() => runtime.empty(shape as number[]), kind, message);
    refused(() => runtime.zeros(shape as number[]), kind, message);
    refused(() => runtime.tensor(shape as number[], []), kind, /"shape"|elements/);
  });

  it('refuses data that do not fit, and leaves the memory as it was', () => {
    refused(() => runtime.tensor([2], [1, 2, 3]), RangeError, /tensor: "data" has 3 elements, but shape \[2\] needs 2/);
    refused(() => runtime.tensor([2], 'ab' as never), TypeError, /"data" must be an array or a typed array/);
    refused(() => runtime.tensor([2], null as never), TypeError, /"data" must be an array/);
    refused(() => runtime.tensor([2], [1n, 2n] as never), TypeError, /BigInt/);
    refused(() => runtime.tensor([2], new BigInt64Array(2) as never), TypeError, /BigInt/);
    refused(() => runtime.tensor([1], [1], 'float64' as never), TypeError, /"dtype" must be 'float32', 'int32' or/);
    refused(() => runtime.empty([1], 'toString' as never), TypeError, /"dtype"/);
    runtime.scope(() => {
      const tensor = runtime.tensor([2], [1, 2]);
      refused(() => tensor.set([1]), RangeError, /set: "data" has 1 elements, but the tensor has 2/);
      refused(() => tensor.set(7 as never), TypeError, /set: "data" must be an array/);
      refused(() => tensor.view([3]), RangeError, /view: "shape" \[3\] has 3 elements, but the tensor has 2/);
      refused(() => tensor.view([-1, -2]), RangeError, /view: "shape" has size -1/);
      refused(() => tensor.slice(1, 2), RangeError, /slice: "start" 1 and "count" 2 leave the 2 entries/);
      refused(() => tensor.slice(0.5, 1), RangeError, /slice: "start" is 0.5/);
      refused(() => tensor.slice(0, -1), RangeError, /slice: "count" is -1/);
      const scalar = runtime.empty([]);
      refused(() => scalar.slice(0, 1), RangeError, /rank 0/);
      expect(Array.from(tensor.data)).toEqual([1, 2]);
    });
  });
});

describe('Tensor.dispose', () => {
  it('frees the memory once; a later use is an error', () => {
    const tensor = runtime.tensor([2], [1, 2]);
    const view = tensor.view([1, 2]);
    expect(() => view.dispose()).toThrow(/a view does not own its memory/);
    view[Symbol.dispose]();
    expect(tensor.disposed).toBe(false);
    tensor.dispose();
    expect([used(), tensor.disposed, view.disposed]).toEqual([0, true, true]);
    for (const dead of [tensor, view, tensor as Tensor<DType>]) {
      const uses: (() => unknown)[] = [
        () => dead.data,
        () => dead.set([1, 2]),
        () => dead.toArray(),
        () => dead.view([2]),
      ];
      uses.push(
        () => dead.slice(0, 1),
        () => dead.dispose(),
      );
      for (const use of uses) expect(use).toThrow(/the tensor was disposed/);
    }
    tensor[Symbol.dispose]();
    expect(used()).toBe(0);
  });

  it('is what `using` calls', () => {
    const tensor = runtime.zeros([1]);
    tensor[Symbol.dispose]();
    expect(tensor.disposed).toBe(true);
  });
});
