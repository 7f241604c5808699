import { createRuntime, type Runtime } from 'wasm-attention';
import { runtimeOf, type TestBuild, testBuilds } from '../support.ts';

/** Sizes that no memory has are refused as long as there is a limit. */
const memory = { maximumBytes: 64 << 20 };

/** Two threads that share even the smallest job. */
async function twoThreads(): Promise<Runtime> {
  const runtime = await createRuntime({ threads: 2, memory });
  const { pool } = runtime;
  pool.threadsFor = (tasks) => (tasks > 1 ? 1 + pool.workers.length : 1);
  return runtime;
}

export const kinds: readonly (TestBuild | 'two threads')[] = [...testBuilds, 'two threads'];

export const runtimeFor = async (kind: (typeof kinds)[number]): Promise<Runtime> =>
  kind === 'two threads' ? twoThreads() : runtimeOf(kind, { memory });
