import { describe, expect, it } from 'vitest';
import { attentionState, KVCache, RotaryEmbedding, type Runtime, scaledDotProductAttention } from 'wasm-attention';
import { dtypes } from './cacheModel.ts';
import { guardBlocks } from './guardBlocks.ts';
import { random, runtimeOf, testBuilds, upload } from './support.ts';

const DIMS = [1, 3, 16, 20, 59, 64];
const GROUPS = [1, 3, 5, 9];

describe.each(testBuilds)('%s', (build) => {
  it.each(dtypes)('%s: append and decode write nothing beside their blocks', (dtype) => {
    const runtime = runtimeOf(build);
    const checkGuards = guardBlocks(runtime);
    for (const headDim of DIMS) {
      for (const valueDim of [1, 7, 64]) {
        const rotary = new RotaryEmbedding(runtime, { headDim, rotaryDim: headDim - (headDim % 2) });
        const sizes = { batch: 2, kvHeads: 2, headDim, valueDim, dtype, rotary };
        for (const kind of [
          { maxLength: 40, pageSize: 8 },
          { window: 29, sinks: 3, pageSize: 8 },
          { maxLength: 40, valueDim: Math.min(valueDim, headDim), sharedValues: true, rotary: undefined },
        ]) {
          const cache = new KVCache(runtime, { ...sizes, ...kind });
          for (const tokens of [1, 7, 32]) {
            runtime.scope(() => {
              cache.append(
                upload(runtime, random([2, 2, tokens, headDim], tokens)),
                cache.sharedValues ? undefined : upload(runtime, random([2, 2, tokens, valueDim], tokens)),
                { lengths: [tokens, Math.ceil(tokens / 2)] },
              );
              for (const group of GROUPS) {
                const { output, lse } = attentionState(
                  upload(runtime, random([2, 2 * group, 1, headDim], group)),
                  cache,
                );
                expect([...output.data, ...lse.data].some(Number.isNaN)).toBe(false);
              }
            });
            checkGuards();
          }
          cache.dispose();
        }
      }
    }
    expect(runtime.memory.usedBytes).toBe(0);
  });
});

/** Makes `make`'s blocks end where all memory ends, then gives `use` room in front of them. */
function atTheEnd<T extends { dispose(): void }>(runtime: Runtime, make: () => T[], use: (made: T[]) => void): void {
  const hole = runtime.empty([1 << 17]);
  const before = runtime.memory.usedBytes;
  for (const part of make()) part.dispose();
  const parts = make();
  const bytes = runtime.memory.usedBytes - before;
  for (const part of parts) part.dispose();
  const probe = runtime.empty([0]);
  const top = probe.address;
  probe.dispose();
  const filler = runtime.empty([(runtime.allocator.maximumBytes - top - bytes - 16) / 4]);
  const last = make();
  expect(() => runtime.empty([0])).toThrow(/memory limit/);
  hole.dispose();
  expect(runtime.memory.capacityBytes).toBe(runtime.allocator.maximumBytes);
  use(last);
  for (const part of [...last, filler]) part.dispose();
}

describe.each(testBuilds)('%s at the end of memory', (build) => {
  const runtime = runtimeOf(build, { memory: { maximumBytes: 32 << 16 } });
  const lengths = [...Array(36).keys()].map((i) => i + 1);

  it.each(dtypes)('%s caches of all sizes', (dtype) => {
    for (const headDim of [1, 3, 16, 20, 64]) {
      for (const valueDim of [1, 16, 33]) {
        for (const maxLength of lengths) {
          const make = () => [new KVCache(runtime, { kvHeads: 1, headDim, valueDim, maxLength, dtype })];
          atTheEnd(runtime, make, ([cache]) => {
            runtime.scope(() => {
              cache.append(
                upload(runtime, random([1, 1, maxLength, headDim], 1)),
                upload(runtime, random([1, 1, maxLength, valueDim], 2)),
              );
              for (const group of GROUPS) {
                const query = upload(runtime, random([1, group, 1, headDim], 3));
                expect(scaledDotProductAttention(query, cache).data.every(Number.isFinite)).toBe(true);
                expect(scaledDotProductAttention(query, cache, { window: [3, 0] }).data.every(Number.isFinite)).toBe(
                  true,
                );
              }
            });
          });
        }
      }
    }
  });

  it('tensors of all sizes: query, key or value last', () => {
    for (const layout of ['bhsd', 'bshd'] as const) {
      for (const headDim of [1, 16, 20, 64]) {
        for (const keys of lengths) {
          for (const order of ['kvq', 'vqk', 'kqv']) {
            const shape = (heads: number, length: number) =>
              layout === 'bhsd' ? [1, heads, length, headDim] : [1, length, heads, headDim];
            const make = () => [...order].map((name) => runtime.zeros(name === 'q' ? shape(4, 2) : shape(2, keys)));
            atTheEnd(runtime, make, (made) => {
              const [q, k, v] = [...'qkv'].map((name) => made[order.indexOf(name)]);
              runtime.scope(() => scaledDotProductAttention(q, k, v, { layout }));
            });
          }
        }
      }
    }
  });
});
