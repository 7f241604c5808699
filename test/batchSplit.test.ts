import { describe, expect, it } from 'vitest';
import {
  type AttentionOptions,
  alibiSlopes,
  attentionState,
  createRuntime,
  KVCache,
  linear,
  linearAttention,
  masks,
  type Runtime,
  type Tensor,
} from 'wasm-attention';
import { builds, random, upload } from './support.ts';

const [BATCH, HEADS, KV] = [4, 4, 2];

type Arrays = ReturnType<typeof random>[];

/** Entries `from` to `to` of the batch, and of the heads those of one KV head or all. */
function part({ shape, data }: Arrays[number], from: number, to: number, group?: number): Arrays[number] {
  const [, heads, length, dim] = shape;
  const own = group === undefined ? heads : heads / KV;
  const first = group === undefined ? 0 : group * own;
  const rows = Array.from({ length: to - from }, (_, b) => {
    const start = ((from + b) * heads + first) * length * dim;
    return Array.from(data.subarray(start, start + own * length * dim));
  });
  return { shape: [to - from, own, length, dim], data: Float32Array.from(rows.flat()) };
}

/** Prefill, decoding of short and long keys, masks: what runs by different kernels and in different tasks. */
const cases: [string, { queries: number; keys: number; dim: number }, AttentionOptions][] = [
  ['plain', { queries: 70, keys: 70, dim: 32 }, {}],
  ['causal', { queries: 130, keys: 130, dim: 40 }, { causal: true, softcap: 20 }],
  ['sparse', { queries: 130, keys: 130, dim: 16 }, { mask: masks.longformer({ window: 9, globalTokens: [0, 70] }) }],
  ['decoding', { queries: 1, keys: 300, dim: 64 }, {}],
  ['decoding, long', { queries: 1, keys: 5000, dim: 16 }, {}],
  ['three queries, long', { queries: 3, keys: 5000, dim: 16 }, { causal: true }],
];

describe.each(builds)('%s: the same bits', (build) => {
  describe.each([1, 2, 3])('of %i threads', (threads) => {
    const withRuntime = async (test: (runtime: Runtime) => void) => {
      const runtime = await createRuntime({ build, threads });
      test(runtime);
      runtime.dispose();
    };

    it.each(cases)(
      'in one call and in one for each batch or KV head: %s',
      async (_name, { queries, keys, dim }, options) => {
        const arrays = [
          random([BATCH, HEADS, queries, dim], 1),
          random([BATCH, KV, keys, dim], 2),
          random([BATCH, KV, keys, dim], 3),
        ];
        const slopes = Array.from(alibiSlopes(HEADS));
        await withRuntime((runtime) => {
          const compute = (given: Arrays, alibi: number[]) =>
            runtime.scope(() => {
              const [query, key, value] = given.map((array) => upload(runtime, array));
              const { output, lse } = attentionState(query, key, value, { ...options, alibiSlopes: alibi });
              return [...output.data, ...lse.data];
            });
          const whole = (from: number, to: number, group?: number) =>
            compute(
              arrays.map((array) => part(array, from, to, group)),
              group === undefined ? slopes : slopes.slice(group * (HEADS / KV), (group + 1) * (HEADS / KV)),
            );
          const all = whole(0, BATCH);
          const outputs = BATCH * HEADS * queries * dim;
          const row = (b: number, h: number) => {
            const at = b * HEADS + h;
            const lse = outputs + at * queries;
            return [...all.slice(at * queries * dim, (at + 1) * queries * dim), ...all.slice(lse, lse + queries)];
          };
          for (let b = 0; b < BATCH; b++) {
            for (let group = 0; group < KV; group++) {
              const alone = whole(b, b + 1, group);
              const own = HEADS / KV;
              const expected = Array.from({ length: own }, (_, h) => row(b, group * own + h));
              const size = queries * dim;
              expect(alone).toEqual([
                ...expected.flatMap((one) => one.slice(0, size)),
                ...expected.flatMap((one) => one.slice(size)),
              ]);
            }
          }
        });
      },
    );

    it('of caches, linear attention and projections', async () => {
      const arrays = [
        random([BATCH, HEADS, 1, 32], 1),
        random([BATCH, KV, 2100, 32], 2),
        random([BATCH, KV, 2100, 32], 3),
      ];
      const [q, k, v] = [4, 5, 6].map((seed) => random([BATCH, KV, 70, 24], seed));
      const weight = random([40, 24], 7);
      await withRuntime((runtime) => {
        const uploaded = (given: Arrays, from: number, to: number) =>
          given.map((array) => upload(runtime, part(array, from, to))) as [Tensor, Tensor, Tensor];
        const compute = (from: number, to: number): number[][] =>
          runtime.scope(() => {
            const [query, key, value] = uploaded(arrays, from, to);
            const cached = (['float32', 'float16', 'int8'] as const).map((dtype) => {
              const cache = new KVCache(runtime, {
                batch: to - from,
                kvHeads: KV,
                headDim: 32,
                maxLength: 2100,
                dtype,
              });
              const { output } = attentionState(query, cache.append(key, value));
              cache.dispose();
              return output;
            });
            const inputs = uploaded([q, k, v], from, to);
            const sums = linearAttention(...inputs, { featureMap: 'elu', causal: true });
            const projected = linear(inputs[0], upload(runtime, weight));
            return [...cached, sums, projected].map((tensor) => Array.from(tensor.data));
          });
        const parts = Array.from({ length: BATCH }, (_, b) => compute(b, b + 1));
        compute(0, BATCH).forEach((whole, i) => {
          expect(parts.flatMap((one) => one[i])).toEqual(whole);
        });
      });
    });
  });
});
