import { describe, expect, it } from 'vitest';
import { attentionState, createRuntime, KVCache, type Runtime, scaledDotProductAttention } from 'wasm-attention';
import { dtypes, Model } from './cacheModel.ts';
import { builds, random, runtimeOf, upload } from './support.ts';

/** Output of one query a head, as numbers. */
function decode(runtime: Runtime, cache: KVCache, seed = 5): Float32Array {
  return runtime.scope(() => {
    const query = upload(runtime, random([cache.batch, cache.kvHeads, 1, cache.headDim], seed));
    return scaledDotProductAttention(query, cache).toArray();
  });
}

describe.each(builds)('%s', (build) => {
  const runtime = runtimeOf(build);

  it('an empty cache gives output 0 and lse −∞, or the sink', () => {
    const cache = new KVCache(runtime, { batch: 2, kvHeads: 1, headDim: 3, valueDim: 2, maxLength: 4 });
    expect([cache.length, cache.lengths, cache.positions, cache.freePages]).toEqual([0, [0, 0], [0, 0], 2]);
    runtime.scope(() => {
      const query = upload(runtime, random([2, 1, 1, 3], 1));
      const none = attentionState(query, cache);
      expect([...none.output.data, ...none.lse.data]).toEqual([0, 0, 0, 0, -Infinity, -Infinity]);
      expect([...attentionState(query, cache, { sink: [2] }).lse.data]).toEqual([2, 2]);
    });
    cache.dispose();
  });

  it.each(dtypes)('%s: tokens one by one or at once, in any layout, are the same bits', (dtype) => {
    const [headDim, valueDim, tokens] = [20, 33, 9];
    const [key, value] = [random([2, 3, tokens, headDim], 1), random([2, 3, tokens, valueDim], 2)];
    const outputs = [1, 4, tokens].flatMap((chunk) =>
      (['bhsd', 'bshd'] as const).map((layout) => {
        const cache = new KVCache(runtime, { batch: 2, kvHeads: 3, headDim, valueDim, maxLength: tokens, dtype });
        for (let start = 0; start < tokens; start += chunk) {
          const count = Math.min(chunk, tokens - start);
          const part = ({ data }: { data: Float32Array }, dim: number) => {
            const rows = [...Array(6 * count).keys()].map((row) => {
              // Row of the result → batch, head, token.
              const [b, x, y] = [
                Math.floor(row / 3 / count),
                ...(layout === 'bhsd'
                  ? [Math.floor(row / count) % 3, row % count]
                  : [row % 3, Math.floor(row / 3) % count]),
              ];
              const at = ((b * 3 + x) * tokens + start + y) * dim;
              return [...data.subarray(at, at + dim)];
            });
            return runtime.tensor(layout === 'bhsd' ? [2, 3, count, dim] : [2, count, 3, dim], rows.flat());
          };
          runtime.scope(() => void cache.append(part(key, headDim), part(value, valueDim), { layout }));
        }
        const output = decode(runtime, cache);
        cache.dispose();
        return output;
      }),
    );
    for (const output of outputs) expect(output).toEqual(outputs[0]);
  });

  it('sequences that begin alike share pages until one of them writes', () => {
    const model = new Model(runtime, { batch: 3, kvHeads: 2, headDim: 8, maxLength: 16, pageSize: 4, pages: 5 });
    const { cache } = model;
    model.append(6, [6, 0, 0]);
    expect(cache.freePages).toBe(3);
    for (const target of [1, 2]) {
      cache.fork(0, target);
      model.reference.fork(0, target);
    }
    expect([cache.lengths, cache.freePages]).toEqual([[6, 6, 6], 3]);
    // Two of three leave the shared page; the last has it to itself.
    model.append(2);
    expect(cache.freePages).toBe(1);
    for (let i = 0; i < 3; i++) model.attend(model.query(2, 1));
    const used = runtime.memory.usedBytes;
    const before = decode(runtime, cache);
    expect(() => model.append(1)).toThrow(/KVCache.append: 3 pages are needed, but 1 are free/);
    expect([cache.lengths, cache.freePages, runtime.memory.usedBytes]).toEqual([[8, 8, 8], 1, used]);
    expect(decode(runtime, cache)).toEqual(before);
    // The first page is all three's, and stays while one of them has it.
    cache.truncate([0, 8, 0]);
    expect(cache.freePages).toBe(3);
    cache.reset();
    expect([cache.freePages, cache.positions]).toEqual([5, [0, 0, 0]]);
    cache.dispose();
  });

  it('leaves everything as it was where the memory limit stops an append', () => {
    const limited = runtimeOf(build, { memory: { maximumBytes: 8 << 16 } });
    const rotary = { style: 'half' as const };
    for (const options of [
      { batch: 2, maxLength: 40, pageSize: 8, pages: 9 },
      { batch: 2, window: 9, sinks: 2 },
    ]) {
      const model = new Model(limited, { kvHeads: 1, headDim: 8, valueDim: 100, rotary, ...options });
      model.append(12, [12, 4]);
      if (options.maxLength) {
        model.cache.fork(0, 1);
        model.reference.fork(0, 1);
      }
      const before = decode(limited, model.cache);
      const [key, value] = [limited.zeros([2, 1, 3, 8]), limited.zeros([2, 1, 3, 100])];
      const state = () => [model.cache.lengths, model.cache.positions, model.cache.freePages];
      const was = state();
      const refusals = failures(
        limited,
        () => model.cache.append(key, value),
        () => {
          expect(state()).toEqual(was);
          expect(decode(limited, model.cache)).toEqual(before);
        },
      );
      expect(refusals).toBeGreaterThan(4);
      for (const tensor of [key, value]) tensor.dispose();
      model.cache.dispose();
    }
    expect(limited.memory.usedBytes).toBe(0);
  });

  it('leaks nothing where the memory limit stops its making', () => {
    const limited = runtimeOf(build, { memory: { maximumBytes: 8 << 16 } });
    const refusals = failures(
      limited,
      () =>
        new Model(limited, { kvHeads: 1, headDim: 8, window: 20, sinks: 2, dtype: 'int8', rotary: {} }).cache.dispose(),
      () => expect(limited.memory.usedBytes).toBe(0),
    );
    expect(refusals).toBe(5);
    expect(() => new KVCache(limited, { kvHeads: 1, headDim: 64, maxLength: 2 ** 29, pageSize: 1 })).toThrow(
      /memory limit/,
    );
    expect(limited.memory.usedBytes).toBe(0);
  });

  it('lives until it is disposed, in a scope too', () => {
    const used = runtime.memory.usedBytes;
    let cache: KVCache | undefined;
    runtime.scope(() => {
      cache = new KVCache(runtime, { kvHeads: 1, headDim: 4, maxLength: 3, dtype: 'int8' });
    });
    expect(cache?.disposed).toBe(false);
    expect(runtime.memory.usedBytes).toBeGreaterThan(used);
    cache?.dispose();
    expect(cache?.disposed).toBe(true);
    expect(runtime.memory.usedBytes).toBe(used);
  });

  it('the same bits with any number of threads', async () => {
    const run = (on: Runtime) =>
      on.scope(() =>
        dtypes.flatMap((dtype) => {
          const cache = new KVCache(on, { batch: 2, kvHeads: 2, headDim: 128, maxLength: 3000, pageSize: 256, dtype });
          cache.append(upload(on, random([2, 2, 3000, 128], 1)), upload(on, random([2, 2, 3000, 128], 2)), {
            lengths: [3000, 1700],
          });
          const outputs = [1, 3, 12].flatMap((group) => {
            const { output, lse } = attentionState(upload(on, random([2, 2 * group, 1, 128], 3)), cache);
            return [output.toArray(), lse.toArray()];
          });
          cache.dispose();
          return outputs;
        }),
      );
    const expected = run(runtime);
    for (const threads of [2, 3]) {
      const on = await createRuntime({ build, threads });
      expect(on.threads).toBe(threads);
      const found = run(on);
      found.forEach((data, i) => {
        expect(Buffer.compare(Buffer.from(data.buffer), Buffer.from(expected[i].buffer))).toBe(0);
      });
      on.dispose();
    }
  });
});

/**
 * Calls `call` with its first allocation refused, then with its second, … until it needs no more; after each refusal `check`.
 * @returns how often it was refused
 */
function failures(runtime: Runtime, call: () => unknown, check: () => void): number {
  const { allocator } = runtime;
  const allocate = allocator.allocate.bind(allocator);
  for (let allowed = 0; ; allowed++) {
    let left = allowed;
    allocator.allocate = (bytes) => {
      if (left-- === 0) throw new RangeError('memory limit: refused');
      return allocate(bytes);
    };
    try {
      call();
      return allowed;
    } catch (error) {
      expect((error as Error).message).toBe('memory limit: refused');
    } finally {
      allocator.allocate = allocate;
    }
    check();
  }
}
