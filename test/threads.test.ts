import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { Worker as NodeWorker } from 'node:worker_threads';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  attentionState,
  attentionWeights,
  createRuntime,
  createRuntimeSync,
  favorFeatures,
  KVCache,
  linear,
  linearAttentionState,
  masks,
  type Runtime,
  retentionDecay,
  scaledDotProductAttention,
} from 'wasm-attention';
import { Job, Kernel, Linear } from '../assembly/params.ts';
import { chooseThreads } from '../src/runtime/pool.ts';
import { whole } from '../src/runtime/whole.ts';
import type { WebWorker } from '../src/runtime/worker.ts';
import { builds, random, upload } from './support.ts';

const EVERYTHING = Number.POSITIVE_INFINITY;
const dist = new URL('../dist/index.js', import.meta.url).href;

/** Bits of what every task kernel computes, over equal and unequal tasks, more and fewer of them than threads. */
function results(runtime: Runtime): Float32Array[] {
  return runtime.scope(() => {
    const shapes = [
      [1, 3, 257, 64],
      [2, 2, 70, 40],
      [1, 1, 1, 128],
      [1, 2, 300, 59],
    ];
    const found = shapes.flatMap((shape) => {
      const [query, key, value] = [1, 2, 3].map((seed) => upload(runtime, random(shape, seed)));
      const documents = masks.fromPredicate((_b, _h, i, j) => (i + 2 * j) % 7 < 4);
      const causal = attentionState(query, key, value, { causal: true });
      return [
        scaledDotProductAttention(query, key, value),
        causal.output,
        causal.lse,
        scaledDotProductAttention(query, key, value, {
          mask: documents,
          alibiSlopes: shape.slice(0, 1).concat(1, 2).slice(0, shape[1]),
        }),
        attentionWeights(query, key, { window: [40, 3] }),
      ];
    });
    const [input, weight, bias] = [[500, 96], [200, 96], [200]].map((shape, i) => upload(runtime, random(shape, i)));
    found.push(linear(input, weight, bias));
    const [query, key, value] = [1, 2, 3].map((seed) => upload(runtime, random([2, 5, 70, 40], seed)));
    const favor = favorFeatures({ headDim: 40, features: 50 });
    for (const options of [
      { featureMap: favor, causal: true },
      { update: 'gated', decay: retentionDecay(5) },
    ] as const) {
      const { output, state } = linearAttentionState(query, key, value, options);
      found.push(output, state);
    }
    // One head, whose value columns are shared out.
    const [q, k, v] = [1, 2, 3].map((seed) => upload(runtime, random([1, 1, 700, 59], seed)));
    const decay = upload(runtime, random([1, 1, 700, 59], 4, 0.3));
    const beta = upload(runtime, random([1, 1, 700], 5, 0.3));
    for (const options of [
      { featureMap: favorFeatures({ headDim: 59, features: 50 }), causal: true },
      { featureMap: 'elu', causal: false },
      { update: 'gatedDelta', decay, beta, scale: 0.1 },
    ] as const) {
      const first = linearAttentionState(q, k, v, options);
      const second = linearAttentionState(q, k, v, { ...options, state: first.state });
      found.push(first.output, first.state, second.output, second.state);
    }
    // Decoding: a few queries, keys in parts.
    const [keys, values] = [8, 9].map((seed) => upload(runtime, random([1, 2, 4100, 64], seed)));
    const few = upload(runtime, random([1, 8, 2, 64], 7));
    for (const dtype of ['float32', 'float16', 'int8'] as const) {
      for (const sharedValues of [false, true]) {
        const cache = new KVCache(runtime, { kvHeads: 2, headDim: 64, maxLength: 4100, dtype, sharedValues });
        if (sharedValues) cache.append(keys);
        else cache.append(keys, values);
        found.push(scaledDotProductAttention(few, cache));
        cache.dispose();
      }
    }
    return found.map((tensor) => tensor.toArray());
  });
}

/** Bit for bit; `toEqual` takes 0.1 s for a megabyte. */
function expectEqual(actual: Float32Array, expected: Float32Array): void {
  expect(Buffer.compare(new Uint8Array(actual.buffer), new Uint8Array(expected.buffer))).toBe(0);
}

/** A job of 64 tasks that are heavy enough for workers to have their part; checks the result. */
function compute(runtime: Runtime): void {
  const [input, weight] = [
    [4096, 64],
    [64, 64],
  ].map((shape, i) => random(shape, i));
  const alone = createRuntimeSync({ build: runtime.build });
  const [expected, output] = [alone, runtime].map((where) =>
    where.scope(() => linear(upload(where, input), upload(where, weight)).toArray()),
  );
  expectEqual(output, expected);
  alone.dispose();
}

/** Calls `call` until a worker has written into the scratch of its own. */
function expectShared(runtime: Runtime, call = () => compute(runtime)): void {
  const { pool, allocator } = runtime;
  const run = pool.run.bind(pool);
  let written = false;
  pool.run = (kernel, params, tasks, scratch, bytes, threads) => {
    const words = new Int32Array(allocator.memory.buffer, scratch, (bytes * threads) / 4).fill(-1);
    run(kernel, params, tasks, scratch, bytes, threads);
    written ||= words.subarray(bytes / 4).some((word) => word !== -1);
  };
  for (let i = 0; i < 200 && !written; i++) call();
  pool.run = run;
  expect(written).toBe(true);
}

/** A job made by hand: `linear` over 4096 rows, whose output is read back. */
function withJob(runtime: Runtime, fn: (params: number, output: () => Float32Array) => void): void {
  runtime.scope(() => {
    const [input, weight, output] = [
      [4096, 8],
      [8, 8],
      [4096, 8],
    ].map((shape, i) => upload(runtime, random(shape, i)));
    whole(runtime);
    runtime.withScratch([Linear.words * 4], (params) => {
      const words = [output.address, input.address, weight.address, 0, 4096, 8, 8];
      new Int32Array(runtime.buffer, params, Linear.words).set(words);
      fn(params, () => output.toArray());
    });
  });
}

const jobWords = (runtime: Runtime) =>
  new Int32Array(runtime.buffer, runtime.kernels.heapBase.value - Job.words * 4, Job.words);

async function eventually(condition: () => boolean): Promise<void> {
  await vi.waitFor(() => expect(condition()).toBe(true), { timeout: 30_000 });
}

afterEach(() => vi.unstubAllGlobals());

describe.each(builds)('%s', (build) => {
  it('has the same bits for any number of threads', async () => {
    const alone = createRuntimeSync({ build });
    const expected = results(alone);
    for (const threads of [2, 3, 4]) {
      const runtime = await createRuntime({ build, threads });
      expect(runtime.threads).toBe(threads);
      expect(runtime.threadsReason).toBeUndefined();
      for (let repeat = 0; repeat < 5; repeat++) {
        for (const [i, array] of results(runtime).entries()) expectEqual(array, expected[i]);
      }
      expect(runtime.memory.usedBytes).toBe(0);
      runtime.dispose();
    }
    alone.dispose();
  });

  it('shares the work with its workers, which join a runtime made synchronously too', async () => {
    const runtime = createRuntimeSync({ build, threads: 2 });
    compute(runtime);
    await runtime.pool.started();
    expectShared(runtime);
    runtime.dispose();
  });
});

describe('asking for threads', () => {
  it('is 1 thread on unshared memory unless more are asked for', () => {
    const runtime = createRuntimeSync();
    expect([runtime.threads, runtime.threadsReason]).toEqual([1, '1 thread was asked for']);
    expect(runtime.buffer).toBeInstanceOf(ArrayBuffer);
    runtime.dispose();
  });

  it.each([0, -1, 1.5, 1e6, Number.NaN, EVERYTHING])('refuses %d', async (threads) => {
    await expect(createRuntime({ threads })).rejects.toThrow(RangeError);
  });

  it('refuses what is no number', async () => {
    await expect(createRuntime({ threads: '2' as never })).rejects.toThrow(TypeError);
    await expect(createRuntime({ createWorker: 'worker.js' as never })).rejects.toThrow(TypeError);
  });

  const missing: [string, () => void, RegExp][] = [
    ['SharedArrayBuffer', () => vi.stubGlobal('SharedArrayBuffer', undefined), /SharedArrayBuffer is missing/],
    ['isolation', () => vi.stubGlobal('crossOriginIsolated', false), /COOP and COEP/],
    ['workers', () => vi.stubGlobal('process', { ...process, getBuiltinModule: undefined }), /no workers/],
  ];
  it.each(missing)("without %s 'auto' is 1 and a number an error, with the reason", async (_, remove, reason) => {
    remove();
    const runtime = await createRuntime({ threads: 'auto' });
    expect(runtime.threads).toBe(1);
    expect(runtime.threadsReason).toMatch(reason);
    runtime.dispose();
    await expect(createRuntime({ threads: 2 })).rejects.toThrow(reason);
    expect(() => createRuntimeSync({ threads: 2 })).toThrow(/^createRuntime: 2 threads cannot be had: /);
  });

  it.each([
    [1, { threads: 1, reason: 'this machine has 1 core' }],
    [6, { threads: 6, reason: undefined }],
    [64, { threads: 8, reason: undefined }],
  ])("'auto' on %d cores is %o", (cores, chosen) => {
    const os = { availableParallelism: () => cores };
    const real = process.getBuiltinModule;
    const getBuiltinModule = (name: string) => (name === 'node:os' ? os : real(name));
    vi.stubGlobal('process', { getBuiltinModule });
    expect(chooseThreads('auto')).toEqual(chosen);
  });

  it('needs the bytes of a module that was compiled for unshared memory', async () => {
    const bytes = readFileSync(new URL('../dist/simd.wasm', import.meta.url));
    const module = new WebAssembly.Module(bytes);
    const alone = await createRuntime({ threads: 'auto', module });
    expect([alone.threads, alone.threadsReason]).toEqual([1, expect.stringContaining('unshared')]);
    alone.dispose();
    await expect(createRuntime({ threads: 2, module })).rejects.toThrow(/2 threads cannot be had.*unshared/);
    const runtime = await createRuntime({ threads: 2, module: bytes });
    compute(runtime);
    runtime.dispose();
  });

  it('reports workers that fail to start', async () => {
    const createWorker = () => fakeWebWorker('throw new Error("refused by a policy")');
    await expect(createRuntime({ threads: 3, createWorker })).rejects.toThrow(/3 threads cannot be had.*refused/);
    const silent = createRuntimeSync({ threads: 2, createWorker: () => fakeWebWorker('') });
    await silent.pool.started(100);
    expect([silent.threads, silent.threadsReason]).toEqual([1, expect.stringContaining('not start')]);
    silent.dispose();
    let made = 0;
    const late = createRuntimeSync({
      threads: 3,
      createWorker: () => fakeWebWorker(made++ === 0 ? '' : READY),
    });
    await late.pool.started(3000);
    expect([late.threads, late.threadsReason]).toEqual([2, expect.stringContaining('not start')]);
    compute(late);
    late.dispose();
    const throwing = () => {
      throw new Error('SecurityError');
    };
    await expect(createRuntime({ threads: 2, createWorker: throwing })).rejects.toThrow(/SecurityError/);
    const runtime = createRuntimeSync({ threads: 'auto', createWorker });
    await eventually(() => runtime.threads === 1);
    expect(runtime.threadsReason).toMatch(/refused/);
    compute(runtime);
    runtime.dispose();
  });
});

describe('memory', () => {
  it('grows under the workers, and is copied out of the SharedArrayBuffer by toArray', async () => {
    const runtime = await createRuntime({ threads: 2, memory: { initialBytes: 1 << 17 } });
    expectShared(runtime);
    const before = runtime.memory.capacityBytes;
    const big = runtime.zeros([1 << 22]);
    expect(runtime.memory.capacityBytes).toBeGreaterThan(before);
    expectShared(runtime);
    expect(big.data.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(big.toArray().buffer).toBeInstanceOf(ArrayBuffer);
    runtime.dispose();
  });

  it('keeps to the maximum that was asked for', () => {
    const runtime = createRuntimeSync({ threads: 2, memory: { maximumBytes: 1 << 21 } });
    expect(() => runtime.empty([1 << 20])).toThrow(/2097152 allowed/);
    runtime.dispose();
  });
});

describe('the kernels beside attention', () => {
  it('are brought in where they are needed, and workers follow', async () => {
    const runtime = await createRuntime({ threads: 3 });
    const x = upload(runtime, random([1, 4, 512, 64], 1));
    const attend = () => runtime.scope(() => scaledDotProductAttention(x, x, x, { causal: true }).toArray());
    const expected = attend();
    expectShared(runtime, () => expectEqual(attend(), expected));
    expect(runtime.kernels).not.toHaveProperty('normalize');
    compute(runtime);
    expect(runtime.kernels).toHaveProperty('normalize');
    expectShared(runtime);
    expectShared(runtime, () => expectEqual(attend(), expected));
    expect(runtime.threads).toBe(3);
    expect(runtime.memory.usedBytes).toBe(4 * 512 * 64 * 4 + 64);
    runtime.dispose();
  });

  it('are there from the beginning in a module of the caller', () => {
    const runtime = createRuntimeSync({ module: readFileSync(new URL('../build/simd.wasm', import.meta.url)) });
    const { kernels } = runtime;
    compute(runtime);
    expect(runtime.kernels).toBe(kernels);
    runtime.dispose();
  });

  it('keep below the first byte of the allocator', () => {
    const runtime = createRuntimeSync();
    expect(whole(runtime).kernels.heapBase.value).toBeLessThanOrEqual(4096);
    const { kernels } = createRuntimeSync();
    expect(kernels.heapBase.value).toBeLessThanOrEqual(2048);
    runtime.dispose();
  });
});

describe('small jobs', () => {
  it('wake nobody', async () => {
    const runtime = await createRuntime({ threads: 2 });
    withJob(runtime, (params) => {
      runtime.run(Kernel.linear, params, 64, 1000);
      expect(jobWords(runtime)[Job.generation]).toBe(0);
      runtime.run(Kernel.linear, params, 64, EVERYTHING);
      expect(jobWords(runtime)[Job.generation]).toBe(1);
    });
    runtime.dispose();
  });
});

describe('a worker that dies', () => {
  it('between calls leaves its part to the others', async () => {
    for (let repeat = 0; repeat < 5; repeat++) {
      const runtime = await createRuntime({ threads: 3 });
      runtime.pool.patience = 3;
      compute(runtime);
      runtime.pool.workers[0]!.terminate();
      // It may die in the middle of one of these.
      for (let call = 0; call < 3; call++) compute(runtime);
      await eventually(() => runtime.threads < 3);
      expect(runtime.threadsReason).toBeDefined();
      compute(runtime);
      if (runtime.threads > 1) expectShared(runtime);
      runtime.dispose();
    }
  });

  it('in the middle of a call has its task done again', async () => {
    // Takes a task and ends with it.
    const thief = `
      const { module, memory } = job;
      const { heapBase } = new WebAssembly.Instance(module, { env: { memory } }).exports;
      const words = new Int32Array(memory.buffer, heapBase.value - ${Job.words * 4}, ${Job.words});
      post('ready');
      Atomics.wait(words, ${Job.generation}, 0);
      while (Atomics.load(words, ${Job.remaining}) <= 0 || Atomics.sub(words, ${Job.remaining}, 1) <= 0);
      process.exit();`;
    const module = readFileSync(new URL('../build/simd.wasm', import.meta.url));
    const runtime = await createRuntime({ module, threads: 2, createWorker: () => fakeWebWorker(thief) });
    runtime.pool.patience = 3;
    let stolen = false;
    for (const end = performance.now() + 30_000; performance.now() < end && !stolen; ) {
      withJob(runtime, (params, output) => {
        runtime.kernels.run(Kernel.linear, params, 64, ...scratchFor(runtime, params), 0, false);
        const expected = output();
        new Float32Array(runtime.buffer, new Int32Array(runtime.buffer, params)[Linear.output], 4096 * 8).fill(
          Number.NaN,
        );
        runtime.run(Kernel.linear, params, 64, EVERYTHING);
        expectEqual(output(), expected);
        stolen = runtime.threads === 1;
      });
    }
    expect(runtime.threadsReason).toBe('a worker died during a call');
    compute(runtime);
    expect(runtime.memory.usedBytes).toBe(0);
    runtime.dispose();
  });

  it('by a trap of its own has the job done by the caller', async () => {
    const runtime = await createRuntime({ threads: 2 });
    withJob(runtime, (params, output) => {
      const [scratch, bytes] = scratchFor(runtime, params);
      runtime.kernels.run(Kernel.linear, params, 64, scratch, bytes, 0, false);
      const expected = output();
      const failed = () => jobWords(runtime)[Job.failed] === 1;
      // The second thread's scratch is outside of the memory.
      for (const end = performance.now() + 30_000; performance.now() < end && !failed(); )
        runtime.pool.run(Kernel.linear, params, 64, scratch, 0x7fff0000, 2);
      expect(failed()).toBe(true);
      expectEqual(output(), expected);
    });
    await eventually(() => runtime.threads === 1);
    expect(runtime.threadsReason).toMatch(/RuntimeError/);
    compute(runtime);
    runtime.dispose();
  });

  it("by a trap in everybody's tasks throws, and waits until nobody uses the job's memory", async () => {
    const runtime = await createRuntime({ threads: 3 });
    withJob(runtime, (params) => {
      new Int32Array(runtime.buffer, params)[Linear.weight] = -4096;
      for (let i = 0; i < 10; i++) {
        expect(() => runtime.run(Kernel.linear, params, 64, EVERYTHING)).toThrow(WebAssembly.RuntimeError);
        expect(jobWords(runtime)[Job.unfinished]).toBe(0);
      }
    });
    compute(runtime);
    expect(runtime.memory.usedBytes).toBe(0);
    runtime.dispose();
  });
});

describe('the end', () => {
  it('sends workers home, even if nothing ends their threads', async () => {
    let ended = 0;
    const createWorker = () => {
      const worker = fakeWebWorker(`${READY} post('home');`);
      worker.addEventListener('message', ({ data }: { data: string }) => {
        if (data === 'home') ended++;
      });
      return { ...worker, terminate() {} };
    };
    const runtime = await createRuntime({ threads: 3, createWorker });
    compute(runtime);
    runtime.dispose();
    await eventually(() => ended === 2);
  });

  it('may come while the workers start', async () => {
    const runtime = createRuntimeSync({ threads: 4 });
    const { pool } = runtime;
    compute(runtime);
    runtime.dispose();
    expect(pool.threads).toBe(1);
    expect(pool.reason).toBe('the runtime was disposed');
    expect(() => runtime.zeros([1])).toThrow(/disposed/);
  });

  const programs: [string, string, number][] = [
    ['with an idle pool', 'globalThis.kept = await createRuntime({ threads: 3 }); compute(kept);', 0],
    [
      'while the workers start',
      "globalThis.kept = createRuntimeSync({ threads: 3 }); compute(kept); createRuntime({ threads: 'auto' });",
      0,
    ],
    ['after dispose', 'const runtime = await createRuntime({ threads: 2 }); compute(runtime); runtime.dispose();', 0],
    ['by process.exit', 'compute(await createRuntime({ threads: 2 })); process.exit(3);', 3],
    ['by an exception', 'compute(await createRuntime({ threads: 2 })); throw new Error("end");', 1],
  ];
  it.each(programs)('of a program comes %s', async (_, body, code) => {
    const source = `
      import { createRuntime, createRuntimeSync, scaledDotProductAttention } from '${dist}';
      function compute(runtime) {
        const x = runtime.zeros([1, 4, 256, 64]);
        for (let i = 0; i < 10; i++) scaledDotProductAttention(x, x, x).dispose();
        console.log('computed');
      }
      ${body}`;
    const ended = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', source], {
      timeout: 30_000,
    }).then(
      ({ stdout }) => ({ stdout, code: 0, killed: false }),
      (error) => error as { stdout: string; code: number; killed: boolean },
    );
    expect(ended.killed).toBe(false);
    expect(ended.stdout).toContain('computed');
    expect(ended.code).toBe(code);
  });
});

/** What a real worker does. */
const READY = `
  const kernels = new WebAssembly.Instance(job.module, { env: { memory: job.memory } }).exports;
  post('ready');
  kernels.poolWorker(job.thread);`;

function scratchFor(runtime: Runtime, params: number): [scratch: number, bytes: number] {
  const bytes = runtime.kernels.scratchBytes(Kernel.linear, params);
  const tensor = runtime.empty([Math.ceil(bytes / 4)]);
  return [tensor.address, bytes];
}

/** A Web Worker, as `createWorker` returns them, made of a worker thread that runs `body` with its `job`. */
function fakeWebWorker(body: string): WebWorker {
  const thread = new NodeWorker(
    `const { parentPort } = require('node:worker_threads');
     const post = (message) => parentPort.postMessage(message);
     parentPort.once('message', (job) => { ${body} });`,
    { eval: true },
  );
  const wrap = { message: (data: unknown) => ({ data }), error: (error: Error) => error, messageerror: () => ({}) };
  return {
    postMessage: (job) => thread.postMessage(job),
    terminate: () => thread.terminate(),
    addEventListener: (type, listener) => {
      thread.on(type, (value) => listener(wrap[type as keyof typeof wrap](value)));
    },
  };
}
