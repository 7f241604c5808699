import { wrongKind } from '../check.ts';
import type { Tensor } from '../tensor.ts';
import type { KVCache } from './cache.ts';
import { Call } from './launch.ts';
import type { AttentionOptions } from './options.ts';
import { outputShape, problem } from './problem.ts';
import { type Rest, splitRest } from './scaledDotProduct.ts';
import { Slices } from './slices.ts';

/** `AttentionOptions`, and how a long call is watched and ended. */
export type AsyncAttentionOptions = AttentionOptions & {
  /** Told after every slice how many of the call's pairs of a query and a key are done; the last time `done` is `total`. */
  onProgress?: (done: number, total: number) => void;
  /** Ends the call, at the next slice, with its reason. */
  signal?: AbortSignal;
};

/** A slice takes about so long; at least it is a tile of 64 queries by 120 keys. */
const SLICE_MILLISECONDS = 8;
/** Multiply-adds of the first slice a thread, about one tile, and the most of any: 8 ms at 67 GFLOP/s. */
const FIRST_WORK = 2 ** 20;
const MOST_WORK = 2 ** 28;

/**
 * `scaledDotProductAttention` in slices of some milliseconds, between which other work of this thread gets its turn: a page stays
 * responsive. The same result, bit for bit. The inputs must stay as they are until then. A slice is some blocks of 64 queries, or,
 * where there are many keys, a part of one. A mask is planned before the first slice.
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
    await runSlices(call, onProgress, () => {
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
  onProgress: AsyncAttentionOptions['onProgress'],
  check: () => void,
): Promise<void> {
  const slices = new Slices(call);
  const { runtime, headDim, valueDim } = call.problem;
  const [first, most] = [FIRST_WORK, MOST_WORK].map((work) => work / (headDim + valueDim));
  let size = first;
  let done = 0;
  while (!slices.finished) {
    const [began, before] = [performance.now(), done];
    // A task that is begun again, minding NaN, does not undo what was told.
    done = Math.max(before, slices.next(size));
    const rate = (done - before) / runtime.threads / Math.max(performance.now() - began, 0.1);
    size = Math.max(Math.min(rate * SLICE_MILLISECONDS, 4 * size, most), first);
    if (slices.finished) call.finish();
    onProgress?.(done, slices.total);
    if (slices.finished) return;
    await turn();
    check();
  }
}

/**
 * Lets the event loop go round once: timers, input and painting. `setTimeout` alone would wait 4 ms each time in a browser, and
 * what comes back from `scheduler.yield` goes before all timers, messages and fetches, which then wait for the whole call (Chromium).
 */
function turn(): Promise<void> {
  const { setImmediate } = globalThis as { setImmediate?: (callback: () => void) => unknown };
  if (setImmediate) return new Promise((resolve) => void setImmediate(resolve));
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
