import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type AsyncAttentionOptions,
  createRuntime,
  everyScore,
  KVCache,
  masks,
  type Runtime,
  scaledDotProductAttention,
  scaledDotProductAttentionAsync,
  type Tensor,
} from 'wasm-attention';
import type { Loose } from './refused.ts';
import { random, upload } from './support.ts';

describe.each([1, 2])('%i threads', (threads) => {
  let runtime: Runtime;
  let [query, key, value]: Tensor[] = [];
  const sizes = (heads: number) => [1, heads, 1000, 32];

  beforeAll(async () => {
    runtime = await createRuntime({ threads });
    [query, key, value] = [4, 2, 2].map((heads, seed) => upload(runtime, random(sizes(heads), seed)));
  });
  afterAll(() => runtime.dispose());

  const run = (options: AsyncAttentionOptions = {}) => scaledDotProductAttentionAsync(query, key, value, options);
  /** Runs a call that is to fail, and looks after what it leaves behind. */
  async function fails(options: AsyncAttentionOptions): Promise<unknown> {
    const used = runtime.memory.usedBytes;
    const error = await run(options).then(
      () => undefined,
      (reason) => reason,
    );
    expect(runtime.memory.usedBytes).toBe(used);
    using again = scaledDotProductAttention(query, key, value);
    expect(again.data.every(Number.isFinite)).toBe(true);
    return error;
  }

  it.each<[string, AsyncAttentionOptions]>([
    ['nothing', {}],
    ['a mask', { causal: true, mask: masks.longformer({ window: 100, globalTokens: [3] }) }],
    ['a scoreMod', { scoreMod: everyScore((score, _b, h, i, j) => score - (h * Math.abs(i - j)) / 100) }],
    ['keyLengths, a sink', { keyLengths: [700], sink: [1, 2, 3, 4] }],
  ])('gives what the other form gives: %s', async (_name, options) => {
    using sync = scaledDotProductAttention(query, key, value, options);
    using async = await run(options);
    expect(async.data).toEqual(sync.data);
  });

  it('few queries, none, and a cache', async () => {
    using one = upload(runtime, random([1, 4, 1, 32], 9));
    using none = runtime.zeros([1, 4, 0, 32]);
    using cache = new KVCache(runtime, { batch: 1, kvHeads: 2, headDim: 32, maxLength: 1000 });
    cache.append(key, value);
    using sync = scaledDotProductAttention(one, cache, {});
    using fromCache = await scaledDotProductAttentionAsync(one, cache);
    using fromTensors = await scaledDotProductAttentionAsync(one, key, value);
    using empty = await scaledDotProductAttentionAsync(none, key, value);
    expect(fromCache.data).toEqual(sync.data);
    expect(fromTensors.data).toEqual(sync.data);
    expect(empty.shape).toEqual([1, 4, 0, 32]);
  });

  it('tells its progress, and lets others have their turn', async () => {
    const steps: number[] = [];
    let turns = 0;
    let running = true;
    const count = () => {
      turns++;
      if (running) setImmediate(count);
    };
    setImmediate(count);
    using output = await run({
      onProgress: (done, total) => {
        expect(total).toBe(4 * 1000 * 1000);
        steps.push(done);
      },
    });
    running = false;
    expect(steps).toEqual([...steps].sort((a, b) => a - b));
    expect(new Set(steps).size).toBe(steps.length);
    expect(steps.at(-1)).toBe(4 * 1000 * 1000);
    expect(steps.length).toBeGreaterThan(2);
    expect(turns).toBeGreaterThanOrEqual(steps.length - 1);
    expect(output.size).toBe(query.size);
  });

  it('two calls at once and others between their slices do not disturb each other', async () => {
    using causal = scaledDotProductAttention(query, key, value, { causal: true });
    using plain = scaledDotProductAttention(query, key, value);
    const between = (done: number, total: number) => {
      using large = runtime.empty([1 << 18]);
      large.data.fill(Number.NaN);
      if (done === total) return;
      using other = scaledDotProductAttention(query, key, value, { window: [9, 9] });
      expect(other.size).toBe(query.size);
    };
    const outputs = await Promise.all([run({ causal: true, onProgress: between }), run({ onProgress: between })]);
    expect(outputs.map((output) => output.toArray())).toEqual([causal.toArray(), plain.toArray()]);
    for (const output of outputs) output.dispose();
  });

  it('ends with the reason of its signal', async () => {
    const controller = new AbortController();
    let share = 0;
    const onProgress = (done: number, total: number) => {
      share = done / total;
      if (share > 0.1) controller.abort(new Error('enough'));
    };
    expect(await fails({ signal: controller.signal, onProgress })).toEqual(new Error('enough'));
    expect(share).toBeLessThan(1);
    expect(await fails({ signal: controller.signal, onProgress: () => expect.unreachable() })).toEqual(
      new Error('enough'),
    );
    const timed = await fails({ signal: AbortSignal.timeout(0), scoreMod: everyScore((score) => Math.sin(score)) });
    expect((timed as Error).name).toBe('TimeoutError');
  });

  it('is rejected with what its functions throw', async () => {
    const boom = () => {
      throw new RangeError('boom');
    };
    for (const options of [{ onProgress: boom }, { scoreMod: boom }, { mask: masks.fromPredicate(boom as Loose) }]) {
      expect(await fails(options)).toEqual(new RangeError('boom'));
    }
  });

  it('is rejected where a tensor is disposed in the meantime', async () => {
    const used = runtime.memory.usedBytes;
    const copy = upload(runtime, random(sizes(4), 0));
    const onProgress = () => copy[Symbol.dispose]();
    await expect(scaledDotProductAttentionAsync(copy, key, value, { onProgress })).rejects.toThrow(
      'scaledDotProductAttentionAsync: "query" was disposed during the call',
    );
    expect(runtime.memory.usedBytes).toBe(used);
    const output = runtime.empty(query.shape);
    const pending = run({ output });
    output.dispose();
    await expect(pending).rejects.toThrow('scaledDotProductAttentionAsync: "output" was disposed during the call');
    const bias = runtime.zeros([1000]);
    const other = run({ bias });
    bias.dispose();
    await expect(other).rejects.toThrow('"bias" was disposed during the call');
  });

  it('is rejected where the runtime is disposed in the meantime', async () => {
    const own = await createRuntime({ threads });
    const q = upload(own, random(sizes(2), 0));
    const pending = scaledDotProductAttentionAsync(q, q, q);
    own.dispose();
    await expect(pending).rejects.toThrow('scaledDotProductAttentionAsync: the runtime was disposed during the call');
  });

  it.each<[string, () => Promise<unknown>, new (message: string) => Error, RegExp]>([
    ['query', () => scaledDotProductAttentionAsync(null as Loose, key, value), TypeError, /Async: "query" must be a/],
    ['value', () => scaledDotProductAttentionAsync(query, key, undefined as Loose), TypeError, /"value" must be a/],
    ['options', () => run(null as Loose), TypeError, /"options" must be an object/],
    ['option', () => run({ progress: () => {} } as Loose), TypeError, /unknown option "progress"/],
    ['softcap', () => run({ softcap: -1 }), RangeError, /"softcap" is -1/],
    ['onProgress', () => run({ onProgress: 3 as Loose }), TypeError, /"onProgress" must be a function, but it is 3/],
    ['signal', () => run({ signal: {} as Loose }), TypeError, /"signal" must be an AbortSignal/],
    ['null signal', () => run({ signal: null as Loose }), TypeError, /"signal" must be an AbortSignal/],
  ])('refuses a wrong argument by a rejection: %s', async (_name, call, kind, message) => {
    const used = runtime.memory.usedBytes;
    const error = (await call().catch((reason) => reason)) as Error;
    expect(error.constructor).toBe(kind);
    expect(error.message).toMatch(message);
    expect(runtime.memory.usedBytes).toBe(used);
  });
});
