import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  type AsyncAttentionOptions,
  createRuntime,
  everyScore,
  KVCache,
  masks,
  type Runtime,
  scaledDotProductAttention,
  scaledDotProductAttentionAsync,
} from 'wasm-attention';
import { random, upload } from './support.ts';

/** Multiply-adds of a slice on each thread, at most. */
const MOST_WORK = 2 ** 28;
const TILE_PAIRS = 64 * 120;

/** On a clock that makes every slice too long, all are as small as they get: most tasks take many. */
function slowly(): void {
  let time = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => {
    time += 1000;
    return time;
  });
}

afterEach(() => vi.restoreAllMocks());

describe.each([1, 2])('%i threads', (threads) => {
  let runtime: Runtime;
  beforeEach(async () => {
    runtime = await createRuntime({ threads });
  });
  afterEach(() => runtime.dispose());

  /** How far each slice went, in pairs. */
  async function slicesOf(run: (options: AsyncAttentionOptions) => Promise<unknown>): Promise<number[]> {
    const slices: number[] = [];
    let before = 0;
    await run({
      onProgress: (done) => {
        slices.push(done - before);
        before = done;
      },
    });
    return slices;
  }

  it('no slice has more than 2²⁸ multiply-adds a thread, and a tile, however long a task is', async () => {
    const [queries, keys, dim] = [70, 9000, 512];
    const [query, key, value] = [queries, keys, keys].map((rows, seed) =>
      upload(runtime, random([1, 1, rows, dim], seed)),
    );
    const total = queries * keys;
    expect(64 * keys * 2 * dim).toBeGreaterThan(2 * MOST_WORK);
    const sync = scaledDotProductAttention(query, key, value);
    const slices = await slicesOf(async (options) => {
      const output = await scaledDotProductAttentionAsync(query, key, value, options);
      expect(output.data).toEqual(sync.data);
    });
    expect(slices.reduce((sum, pairs) => sum + pairs, 0)).toBe(total);
    expect(Math.max(...slices)).toBeLessThanOrEqual(threads * (MOST_WORK / (2 * dim) + TILE_PAIRS));
  });

  it('the smallest slice is a tile of keys', async () => {
    slowly();
    const [query, key] = [200, 1200].map((rows, seed) => upload(runtime, random([1, 1, rows, 64], seed)));
    for (const scoreMod of [undefined, everyScore((score) => score / 2)]) {
      const slices = await slicesOf((options) =>
        scaledDotProductAttentionAsync(query, key, key, { ...options, scoreMod }),
      );
      expect(Math.max(...slices)).toBeLessThanOrEqual(2 * threads * TILE_PAIRS);
      expect(slices.length).toBeGreaterThanOrEqual((200 * 1200) / (2 * threads * TILE_PAIRS));
    }
  });

  it.each<[string, AsyncAttentionOptions]>([
    ['nothing', {}],
    ['causal', { causal: true }],
    ['a window and global tokens', { mask: masks.longformer({ window: 100, globalTokens: [3, 500] }) }],
    ['bits', { mask: masks.fromPredicate((_b, h, i, j) => (i + h + 2 * j) % 7 < 4) }],
    ['keyLengths, a sink', { keyLengths: [700], sink: [1, 2, 3, 4] }],
    ['ALiBi, softcap', { alibiSlopes: [1, 0.5, 0.2, 0.1], softcap: 5 }],
    ['a scoreMod', { causal: true, scoreMod: everyScore((score, _b, h, i, j) => score - (h * (i - j)) / 100) }],
    ['a probMod', { window: [300, 20], probMod: everyScore((weight, _b, _h, i, j) => (i % 3 === j % 3 ? weight : 0)) }],
  ])('the smallest slices give the same bits, even if each is computed twice: %s', async (_name, options) => {
    const [query, key, value] = [4, 2, 2].map((heads, seed) =>
      upload(runtime, random([1, heads, 1000 - 10 * heads, 32], seed)),
    );
    using sync = scaledDotProductAttention(query, key, value, options);
    slowly();
    const { pool } = runtime;
    const run = pool.run.bind(pool);
    let jobs = 0;
    // As where a worker has died.
    pool.run = (...job) => {
      jobs++;
      for (let time = 0; time < 2; time++) run(...job);
    };
    using async = await scaledDotProductAttentionAsync(query, key, value, options);
    expect(async.data).toEqual(sync.data);
    if (!options.scoreMod && !options.probMod) expect(jobs).toBeGreaterThan(64 / threads);
  });

  it('a task with a masked NaN is computed again, and its progress never falls', async () => {
    const [query, key, value] = [1, 2, 3].map((seed) => upload(runtime, random([1, 1, 500, 32], seed)));
    key.data.fill(Number.NaN, 32 * 123, 32 * 124);
    value.data.fill(Number.POSITIVE_INFINITY, 32 * 123, 32 * 124);
    const mask = masks.fromPredicate((_b, _h, i, j) => j !== 123 && (i + j) % 3 > 0);
    for (const scoreMod of [undefined, everyScore((score) => score / 2)]) {
      using sync = scaledDotProductAttention(query, key, value, { mask, scoreMod });
      expect(sync.data.every(Number.isFinite)).toBe(true);
      slowly();
      const slices = await slicesOf(async (options) => {
        using output = await scaledDotProductAttentionAsync(query, key, value, { ...options, mask, scoreMod });
        expect(output.data).toEqual(sync.data);
      });
      expect(slices.every((pairs) => pairs >= 0)).toBe(true);
      vi.restoreAllMocks();
    }
  });

  it.each(['float32', 'float16', 'int8'] as const)('a cache of %s, with one query and with some', async (dtype) => {
    const options = { batch: 1, kvHeads: 2, headDim: 128, maxLength: 5000, pageSize: 256, dtype };
    using cache = new KVCache(runtime, options);
    const [key, value] = [0, 1].map((seed) => upload(runtime, random([1, 2, 5000, 128], seed)));
    cache.append(key, value);
    for (const queries of [1, 3, 70]) {
      const query = upload(runtime, random([1, 8, queries, 128], 9));
      using sync = scaledDotProductAttention(query, cache, { causal: true });
      slowly();
      using async = await scaledDotProductAttentionAsync(query, cache, { causal: true });
      expect(async.data).toEqual(sync.data);
      vi.restoreAllMocks();
    }
  });
});
