import { wrongKind } from '../check.ts';
import type { Tensor } from '../tensor.ts';
import type { KVCache } from './cache.ts';
import { Call } from './launch.ts';
import type { AttentionOptions } from './options.ts';
import { outputShape, problem } from './problem.ts';
import { type Rest, splitRest } from './scaledDotProduct.ts';

/** `AttentionOptions`, and how a long call is watched and ended. */
export type AsyncAttentionOptions = AttentionOptions & {
  /** Told after every slice how many of the call's tasks are done; the last time `done` is `total`. */
  onProgress?: (done: number, total: number) => void;
  /** Ends the call, at the next slice, with its reason. */
  signal?: AbortSignal;
};

/** A slice takes about so long; a single task, 64 queries of one head, may take longer. */
const SLICE_MILLISECONDS = 8;

/**
 * `scaledDotProductAttention` in slices of some milliseconds, between which other work of this thread gets its turn: a page stays
 * responsive. The same result, bit for bit. The inputs must stay as they are until then.
 *
 * @param options also `onProgress`, and `signal` to give up: nothing is kept then, and `output` holds parts of a result
 * @returns a promise of the output; it is rejected with what `scaledDotProductAttention` throws, with the reason of `signal`, with
 * what `onProgress` throws, and with an Error where a tensor or the runtime is disposed in the meantime
 * @example
 * const controller = new AbortController();
 * const output = await scaledDotProductAttentionAsync(query, key, value, { causal: true, signal: controller.signal });
 */
export function scaledDotProductAttentionAsync(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  options?: AsyncAttentionOptions,
): Promise<Tensor>;
/** The same over the tokens of a `KVCache`. */
export function scaledDotProductAttentionAsync(
  query: Tensor,
  cache: KVCache,
  options?: AsyncAttentionOptions,
): Promise<Tensor>;
export async function scaledDotProductAttentionAsync(
  query: Tensor,
  key: Tensor | KVCache,
  ...rest: Rest<AsyncAttentionOptions>
): Promise<Tensor> {
  const where = 'scaledDotProductAttentionAsync';
  const { value, options } = splitRest(where, key, rest);
  if (typeof options !== 'object' || options === null) throw wrongKind(where, 'options', 'an object', options);
  const { onProgress, signal, ...plain } = options;
  if (onProgress !== undefined && typeof onProgress !== 'function')
    throw wrongKind(where, 'onProgress', 'a function', onProgress);
  if (signal !== undefined && typeof signal?.throwIfAborted !== 'function')
    throw wrongKind(where, 'signal', 'an AbortSignal', signal);
  const checked = problem(where, query, key, value, plain);
  signal?.throwIfAborted();
  const { runtime } = checked;
  const { output, call } = runtime.allOrNothing((make) => {
    const output = plain.output ?? make(outputShape(checked));
    return { output, call: new Call('flash', checked, output) };
  });
  // A boolean mask is in the plan by now.
  const [first, second] = checked.biases;
  const used = { query, key, value, output, mask: second && first, bias: second ?? first };
  try {
    await runSlices(call, runtime.threads, onProgress, () => {
      signal?.throwIfAborted();
      if (runtime.disposed) throw new Error(`${where}: the runtime was disposed during the call`);
      for (const [name, part] of Object.entries(used))
        if (part?.disposed) throw new Error(`${where}: "${name}" was disposed during the call`);
    });
    return output;
  } catch (error) {
    if (!plain.output && !output.disposed) output.dispose();
    throw error;
  } finally {
    if (!runtime.disposed) call.free();
  }
}

/** @param check throws where the call cannot or shall not go on */
async function runSlices(
  call: Call,
  threads: number,
  onProgress: AsyncAttentionOptions['onProgress'],
  check: () => void,
): Promise<void> {
  const { tasks } = call;
  let size = threads;
  for (let left = tasks; left > 0; ) {
    const count = Math.min(size, left);
    const began = performance.now();
    // Sync calls take the last tasks first too.
    call.run(left - count, count);
    left -= count;
    const rate = SLICE_MILLISECONDS / Math.max(performance.now() - began, 0.1);
    size = Math.max(threads, Math.min(Math.floor(count * rate), 4 * size));
    if (left === 0) call.finish();
    onProgress?.(tasks - left, tasks);
    if (left === 0) break;
    await turn();
    check();
  }
}

type Scheduling = {
  setImmediate?: (callback: () => void) => unknown;
  scheduler?: { yield?: () => Promise<void> };
};

/** Lets the event loop go round once: timers, input and painting. `setTimeout` alone would wait 4 ms each time in a browser. */
function turn(): Promise<void> {
  const { setImmediate, scheduler } = globalThis as Scheduling;
  if (setImmediate) return new Promise((resolve) => void setImmediate(resolve));
  if (scheduler?.yield) return scheduler.yield();
  if (typeof MessageChannel !== 'function') return new Promise((resolve) => setTimeout(resolve));
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}
