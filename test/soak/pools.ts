import { readdirSync } from 'node:fs';
import { createRuntime, linear, type Runtime } from 'wasm-attention';
import { random, upload } from '../support.ts';

/** Files and threads of this process, where the system tells; resident memory in MiB. */
export type Held = { pools: number; files: number; threads: number; rss: number };

function held(pools: number): Held {
  globalThis.gc?.();
  const count = (folder: string) => {
    try {
      return readdirSync(folder).length;
    } catch {
      return 0;
    }
  };
  const rss = Math.round(process.memoryUsage().rss / 2 ** 20);
  return { pools, files: count('/proc/self/fd'), threads: count('/proc/self/task'), rss };
}

function compute(runtime: Runtime): Float32Array {
  return runtime.scope(() => {
    const [input, weight] = [random([1024, 64], 1), random([64, 64], 2)];
    return linear(upload(runtime, input), upload(runtime, weight)).toArray();
  });
}

/** The threads of a worker that was told to end are there for a moment more. */
async function settled(pools: number, most: Held): Promise<Held> {
  let now = held(pools);
  for (let i = 0; i < 100 && (now.threads > most.threads || now.files > most.files); i++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    now = held(pools);
  }
  return now;
}

/**
 * Makes runtimes of two threads, one after the other, computes, and disposes them: at once, or, every third, while their workers start.
 * @throws where a result is wrong, or files, threads or memory are not given back
 */
export async function churn(pools: number): Promise<Held[]> {
  const alone = await createRuntime({ build: 'simd' });
  const expected = compute(alone);
  alone.dispose();
  const samples: Held[] = [];
  for (let i = 1; i <= pools; i++) {
    const starting = createRuntime({
      build: 'simd',
      threads: i % 3 === 0 ? 'auto' : 2,
      memory: { maximumBytes: 64 << 20 },
    });
    const runtime = await starting;
    if (Buffer.compare(bytes(compute(runtime)), bytes(expected)) !== 0) throw new Error(`pool ${i} computes wrongly`);
    runtime.dispose();
    // The first ones bring what stays: V8's own threads and code.
    if (i % Math.ceil(pools / 10) === 0) samples.push(await settled(i, samples[0] ?? held(i)));
  }
  const [first, last] = [samples[0], samples[samples.length - 1]];
  if (last.threads > first.threads) throw new Error(`threads are left: ${first.threads} have become ${last.threads}`);
  if (last.files > first.files) throw new Error(`files are left open: ${first.files} have become ${last.files}`);
  // A worker that stays takes some 5 MiB.
  if (last.rss > first.rss + Math.max(256, pools / 2))
    throw new Error(`memory grew from ${first.rss} to ${last.rss} MiB`);
  return samples;
}

const bytes = ({ buffer, byteOffset, byteLength }: Float32Array) => new Uint8Array(buffer, byteOffset, byteLength);
