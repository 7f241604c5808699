import {
  type AttentionMask,
  attentionWeights,
  createRuntime,
  linear,
  type Runtime,
  scaledDotProductAttention,
} from 'wasm-attention';
import { maskChoices } from './choices.ts';
import type { MethodName, Order, Point, Report } from './measure.ts';
import { naiveAttention } from './naive.ts';

const DIM = 64;
/** A method ends before a call that would take longer. */
const LONGEST = 2000;
/** A call is repeated for so long, a slow one up to three times; the fastest counts. */
const REPEATED = 150;
const SLOW = 1000;

const report = (message: Report) => postMessage(message);

/** Runs one call and says how many bytes it took beside its inputs and output. */
type Call = () => number;
type Method = (runtime: Runtime, length: number, order: Order) => Call;

const methods: Record<MethodName, Method> = {
  tiles: (runtime, length) => flash(runtime, length),
  masked: (runtime, length, { mask, size }) => flash(runtime, length, maskChoices[mask].make(length, size)),
  weights(runtime, length) {
    const [query, key] = inputs(length).map((data) => runtime.tensor([1, 1, length, DIM], data));
    const transposed = runtime.tensor([DIM, length], inputs(length)[2]);
    const output = runtime.empty([length, DIM]);
    const before = runtime.memory.usedBytes;
    return () => {
      runtime.scope(() => {
        const weights = attentionWeights(query, key);
        output.set(linear(weights.view([length, length]), transposed).data);
      });
      return runtime.memory.peakBytes - before;
    };
  },
  naive(_, length) {
    const [query, key, value] = inputs(length);
    return () => naiveAttention(query, key, value, DIM).bytes;
  },
};

function flash(runtime: Runtime, length: number, mask?: AttentionMask): Call {
  const [query, key, value] = inputs(length).map((data) => runtime.tensor([1, 1, length, DIM], data));
  const output = runtime.empty([1, 1, length, DIM]);
  const before = runtime.memory.usedBytes;
  return () => {
    scaledDotProductAttention(query, key, value, { mask, output });
    return runtime.memory.peakBytes - before;
  };
}

function inputs(length: number): Float32Array[] {
  return [1, 2, 3].map((seed) => Float32Array.from({ length: length * DIM }, (_, at) => Math.sin(seed * 12.9898 * at)));
}

function measure(method: MethodName, length: number, call: Call): Point {
  let [fastest, bytes, calls, spent] = [Infinity, 0, 0, 0];
  while (spent < REPEATED || (calls < 3 && spent < SLOW)) {
    const start = performance.now();
    bytes = call();
    const milliseconds = performance.now() - start;
    fastest = Math.min(fastest, milliseconds);
    spent += milliseconds;
    calls++;
  }
  return { method, length, milliseconds: fastest, bytes };
}

/** Runs a method over the lengths, in a runtime of its own: as they grow, its peak is that of the last call. */
function run(method: MethodName, runtime: Runtime, order: Order): void {
  let last: Point | undefined;
  for (const length of order.lengths) {
    if (last && last.milliseconds * (length / last.length) ** 2 > LONGEST) {
      report({ kind: 'ended', method, length, why: 'a call would take more than 2 s' });
      return;
    }
    try {
      const point = runtime.scope(() => measure(method, length, methods[method](runtime, length, order)));
      report({ kind: 'point', point });
      last = point;
    } catch (error) {
      report({ kind: 'ended', method, length, why: (error as Error).message });
      return;
    }
  }
}

/** One thread: curves of cost against length are clearer, and no worker makes workers (Firefox hangs there, with a debugger attached). */
async function start(order: Order): Promise<void> {
  for (const method of Object.keys(methods) as MethodName[]) {
    const runtime = await createRuntime();
    run(method, runtime, order);
    runtime.dispose();
  }
  report({ kind: 'done' });
}

addEventListener('message', ({ data }: MessageEvent<Order>) =>
  start(data).catch((error: Error) => report({ kind: 'failed', why: error.message })),
);
