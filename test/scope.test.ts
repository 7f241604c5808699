import { describe, expect, it } from 'vitest';
import { createRuntimeSync } from 'wasm-attention';

describe('Runtime.scope', () => {
  const runtime = createRuntimeSync();
  const used = () => runtime.memory.usedBytes;

  it('frees what is made in it and not returned', () => {
    const before = used();
    const kept = runtime.scope(() => {
      runtime.zeros([100]);
      return runtime.tensor([2], [1, 2]);
    });
    expect(Array.from(kept.data)).toEqual([1, 2]);
    kept.dispose();
    expect(used()).toBe(before);
  });

  it('keeps tensors in arrays and plain objects, at any depth', () => {
    const before = used();
    const make = () => runtime.zeros([3]);
    const { list, deep } = runtime.scope(() => {
      make();
      const deep: { a: { b: unknown } } = { a: { b: make() } };
      deep.a = { ...deep.a };
      return { list: [make(), [make()]] as const, deep, cycle: deep };
    });
    const tensors = [list[0], list[1][0], deep.a.b as (typeof list)[0]];
    expect(tensors.map((tensor) => tensor.disposed)).toEqual([false, false, false]);
    for (const tensor of tensors) tensor.dispose();
    expect(used()).toBe(before);
  });

  it('hands over to the scope around it', () => {
    const before = used();
    let inner = runtime.zeros([1]);
    inner.dispose();
    runtime.scope(() => {
      inner = runtime.scope(() => runtime.zeros([1]));
      expect(inner.disposed).toBe(false);
    });
    expect(inner.disposed).toBe(true);
    expect(used()).toBe(before);
  });

  it('frees everything when its function throws, and throws it on', () => {
    const before = used();
    const thrown = new Error('mine');
    expect(() =>
      runtime.scope(() => {
        runtime.zeros([1]);
        throw thrown;
      }),
    ).toThrow(thrown);
    expect(used()).toBe(before);
    runtime.scope(() => expect(runtime.tensor([1], [3]).data[0]).toBe(3));
  });

  it('keeps the tensor whose view is returned', () => {
    const outer = runtime.scope(() => {
      const view = runtime.scope(() => runtime.tensor([4], [1, 2, 3, 4]).view([2, 2]));
      expect(view.disposed).toBe(false);
      return view.toArray();
    });
    expect(Array.from(outer)).toEqual([1, 2, 3, 4]);
  });

  it('leaves tensors alone that were made before it or disposed in it', () => {
    const older = runtime.zeros([1]);
    runtime.scope(() => {
      runtime.zeros([1]).dispose();
      return older;
    });
    expect(older.disposed).toBe(false);
    older.dispose();
  });

  it('refuses an async function, and frees what it made', () => {
    const before = used();
    expect(() => runtime.scope(async () => runtime.zeros([1]))).toThrow(/"fn" must be a function without a promise/);
    expect(used()).toBe(before);
  });
});
