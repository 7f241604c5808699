import { createRuntime, type Runtime } from 'wasm-attention';
import { runtimeOf, type TestBuild, testBuilds } from '../support.ts';

/** Sizes that no memory has are refused as long as there is a limit. */
export const MOST_BYTES = 64 << 20;

/** Two threads that share even the smallest job. */
async function twoThreads(maximumBytes: number): Promise<Runtime> {
  const runtime = await createRuntime({ threads: 2, memory: { maximumBytes } });
  const { pool } = runtime;
  pool.threadsFor = (tasks) => (tasks > 1 ? 1 + pool.workers.length : 1);
  return runtime;
}

export const kinds: readonly (TestBuild | 'two threads')[] = [...testBuilds, 'two threads'];

export const runtimeFor = async (kind: (typeof kinds)[number], maximumBytes = MOST_BYTES): Promise<Runtime> =>
  kind === 'two threads' ? twoThreads(maximumBytes) : runtimeOf(kind, { memory: { maximumBytes } });
