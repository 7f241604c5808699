import type { GeneratorValue } from 'fast-check';
import { createRuntimeSync, KVCache, type Runtime, scaledDotProductAttention, Tensor } from 'wasm-attention';
import type { DType } from '../../src/check.ts';
import { tensorsIn } from '../../src/tensor.ts';
import { guardBlocks } from '../guardBlocks.ts';
import { random, upload } from '../support.ts';
import { Choice } from './choice.ts';
import { corrupted, type Others, othersOf, THROWN } from './hostile.ts';
import { operations } from './operations.ts';
import { Inputs, type Trial } from './trial.ts';

export type Counts = { valid: number; refused: number; accepted: number };

type Subject = { runtime: Runtime; checkGuards: () => void; others: Others; stillWorks: () => void };

/** Calls functions of the package at random, on runtimes whose memory it guards. */
export class Tester {
  readonly counts = new Map<string, Counts>();
  /** The call that took longest. */
  slowest = { milliseconds: 0, call: '' };
  readonly #subjects: Subject[];

  constructor(runtimes: readonly Runtime[]) {
    const foreign = createRuntimeSync();
    const orphan = createRuntimeSync().zeros([1, 2, 3, 4]);
    orphan.runtime.dispose();
    this.#subjects = runtimes.map((runtime) => {
      const checkGuards = guardBlocks(runtime);
      return { runtime, checkGuards, others: othersOf(runtime, foreign, orphan), stillWorks: canary(runtime) };
    });
  }

  get runtimes(): Runtime[] {
    return this.#subjects.map(({ runtime }) => runtime);
  }

  /** One call: half of them are right and are held to the reference, half have something hostile among their arguments. */
  async call(draw: GeneratorValue): Promise<void> {
    const pick = new Choice(draw);
    const subject = pick.one(...this.#subjects);
    const name = pick.one(...Object.keys(operations));
    const hostile = pick.chance();
    const inputs = new Inputs(subject.runtime, pick);
    const used = subject.runtime.memory.usedBytes;
    const trial = operations[name](inputs, pick);
    let args = trial.args;
    const began = performance.now();
    try {
      if (hostile) args = corrupted(args, inputs, pick, subject.others);
      const outcome = await attempt(subject, inputs, trial, args, hostile);
      const counts = this.counts.get(name) ?? { valid: 0, refused: 0, accepted: 0 };
      counts[hostile ? outcome : 'valid']++;
      this.counts.set(name, counts);
      const milliseconds = performance.now() - began;
      if (milliseconds > this.slowest.milliseconds) this.slowest = { milliseconds, call: `${name} ${shown(args)}` };
    } catch (cause) {
      const { build, threads } = subject.runtime;
      const problem = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`${name}, ${build}, ${threads} threads: ${problem}\n${shown(args)}`, { cause });
    } finally {
      trial.after?.();
      inputs.dispose();
    }
    if (subject.runtime.memory.usedBytes !== used) throw new Error(`${name}: memory was not freed\n${shown(args)}`);
  }
}

async function attempt(
  { runtime, checkGuards, stillWorks }: Subject,
  inputs: Inputs,
  trial: Trial,
  args: readonly unknown[],
  hostile: boolean,
): Promise<'refused' | 'accepted'> {
  const before = inputs.made.map((tensor) => ({ tensor, bytes: bytesOf(tensor).slice() }));
  const expectUnwritten = (but: readonly Tensor<DType>[] = []) => {
    checkGuards();
    const written = but.map(({ owner }) => owner);
    for (const { tensor, bytes } of before) {
      if (!written.includes(tensor.owner) && Buffer.compare(bytesOf(tensor), bytes) !== 0)
        throw new Error(`a tensor [${tensor.shape}] that was only to be read has changed`);
    }
  };
  const used = runtime.memory.usedBytes;
  let result: unknown;
  try {
    result = await trial.call(...args);
  } catch (error) {
    if (!hostile) throw error;
    // What the caller's own function throws may come in the middle of a call.
    if (error !== THROWN) expectRefusal(error);
    expectUnwritten(error === THROWN ? trial.writes : []);
    if (error !== THROWN) trial.unchanged?.();
    if (runtime.memory.usedBytes !== used) throw new Error(`refused: ${error}, but not all memory was freed`);
    stillWorks();
    return 'refused';
  }
  // What is hostile may be a right argument, such as another tensor to write.
  const taken = hostile ? inputs.made : trial.writes;
  expectUnwritten(taken);
  if (!hostile) trial.check(result);
  free(result, inputs);
  if (!trial.unchanged && runtime.memory.usedBytes !== used) throw new Error('the call did not free all that it took');
  return 'accepted';
}

const bytesOf = (tensor: Tensor<DType>) => {
  const { data } = tensor;
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
};

export function free(result: unknown, inputs: Inputs): void {
  if (result instanceof KVCache) result.dispose();
  const own = inputs.made.map(({ owner }) => owner) as unknown[];
  for (const tensor of tensorsIn(result))
    if (tensor instanceof Tensor && !own.includes(tensor) && !tensor.disposed) tensor.dispose();
}

/** An error of this package: of one of three classes, with the function in front. Those of the engine are of the same classes. */
function expectRefusal(error: unknown): void {
  const { message, stack } = error as Error;
  const own = [Error, TypeError, RangeError].includes((error as Error).constructor as ErrorConstructor);
  if (!own || !/^([\w.]+|memory limit): /.test(message)) throw new Error(`refused, but not clearly: ${stack}`);
}

/** A call that gives the same bits as ever. */
function canary(runtime: Runtime): () => void {
  const compute = () =>
    runtime.scope(() => {
      const [query, key, value] = [1, 2, 3].map((seed) => upload(runtime, random([1, 2, 9, 6], seed)));
      return scaledDotProductAttention(query, key, value, { causal: true }).toArray();
    });
  const good = compute();
  return () => {
    if (compute().some((x, i) => x !== good[i])) throw new Error('the runtime computes wrongly after a refused call');
  };
}

function shown(value: unknown, depth = 0): string {
  if (value instanceof Tensor) return `${value.dtype} [${value.shape}]`;
  if (ArrayBuffer.isView(value)) return `${value.constructor.name}(${(value as Uint8Array).length})`;
  if (Array.isArray(value)) return `[${value.slice(0, 8).map((part) => shown(part, depth + 1))}]`;
  if (typeof value === 'object' && value !== null && depth < 5)
    return `{ ${Object.entries(value).map(([name, part]) => `${name}: ${shown(part, depth + 1)}`)} }`;
  return String(value);
}
