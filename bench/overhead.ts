import { getHeapStatistics } from 'node:v8';
import { type Build, createRuntime, scaledDotProductAttention } from 'wasm-attention';
import { stopwatch } from './clock.ts';
import { type Estimate, estimate } from './statistics.ts';

const ROUNDS = 15;
const CALLS = 2000;
/** Few enough that no collection of garbage falls into the count: a young heap may be 1 MiB. */
const COUNTED_CALLS = 20;

/** A call whose kernel has next to nothing to do, warm: its time is what a call costs, and its garbage what a call leaves. */
export async function callOverhead(build: Build): Promise<{ microseconds: Estimate; heapBytes: Estimate }> {
  const runtime = await createRuntime({ build });
  const [query, key, value, output] = [1, 2, 3, 4].map(() => runtime.zeros([1, 1, 1, 1]));
  const options = { output };
  const call = (times: number) => {
    for (let n = 0; n < times; n++) scaledDotProductAttention(query, key, value, options);
  };
  for (let warmUp = 0; warmUp < 10; warmUp++) call(CALLS);
  const microseconds: number[] = [];
  const heapBytes: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const elapsed = stopwatch();
    call(CALLS);
    microseconds.push((elapsed() * 1e6) / CALLS);
    heapBytes.push((growth(() => call(COUNTED_CALLS)) - growth(() => call(0))) / COUNTED_CALLS);
  }
  runtime.dispose();
  return { microseconds: estimate(microseconds), heapBytes: estimate(heapBytes) };
}

/** Bytes of JavaScript heap that `run` takes, with those of looking. */
function growth(run: () => void): number {
  if (!globalThis.gc) throw new Error('overhead: needs --expose-gc');
  globalThis.gc();
  const before = getHeapStatistics().used_heap_size;
  run();
  return getHeapStatistics().used_heap_size - before;
}
