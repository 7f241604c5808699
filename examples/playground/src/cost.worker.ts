import { attentionWeights, createRuntime, linear, type Runtime, scaledDotProductAttention } from 'wasm-attention';
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
type Method = { call: (runtime: Runtime, length: number, order: Order) => Call };

const methods: Record<MethodName, Method> = {
  tiles: { call: (runtime, length) => flash(runtime, length) },
  masked: {
    call: (runtime, length, { mask, size }) => flash(runtime, length, maskChoices[mask].make(length, size)),
  },
  weights: {
    call(runtime, length) {
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
  },
  naive: {
    call(_, length) {
      const [query, key, value] = inputs(length);
      return () => naiveAttention(query, key, value, DIM).bytes;
    },
  },
};

function flash(runtime: Runtime, length: number, mask?: ReturnType<(typeof maskChoices)['full']['make']>): Call {
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

/** How many threads there can be here. */
async function probe(): Promise<number> {
  const runtime = await createRuntime({ threads: 'auto' });
  const { build, threads, threadsReason: reason } = runtime;
  runtime.dispose();
  report({ kind: 'engine', build, threads, reason });
  return threads;
}

async function run(order: Order): Promise<void> {
  const threads = await probe();
  for (const method of Object.keys(methods) as MethodName[]) {
    let last: Point | undefined;
    for (const length of order.lengths) {
      if (last && last.milliseconds * (length / last.length) ** 2 > LONGEST) {
        report({ kind: 'ended', method, length, why: 'a call would take more than 2 s' });
        break;
      }
      // Of its own: its peak is this call's.
      const runtime = await createRuntime({ threads });
      try {
        last = measure(method, length, methods[method].call(runtime, length, order));
        report({ kind: 'point', point: last });
      } catch (error) {
        report({ kind: 'ended', method, length, why: (error as Error).message });
        break;
      } finally {
        runtime.dispose();
      }
    }
  }
  report({ kind: 'done' });
}

addEventListener('message', ({ data }: MessageEvent<Order>) => run(data));
