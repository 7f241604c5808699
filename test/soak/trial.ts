import { Tensor } from 'wasm-attention';
import type { NdArray } from 'wasm-attention/reference';
import type { DType } from '../../src/check.ts';
import type { Runtime } from '../../src/index.ts';
import { count, random } from '../support.ts';
import type { Choice } from './choice.ts';

/** One call of a public function: its arguments are right, until something hostile takes the place of one of them. */
export type Trial = {
  args: readonly unknown[];
  // biome-ignore lint/suspicious/noExplicitAny: hostile arguments have any type
  call(...args: any[]): unknown;
  /** Throws where the result is wrong. */
  // biome-ignore lint/suspicious/noExplicitAny: each trial knows what its call returns
  check(result: any): void;
  /** Throws where a refused call has changed what is in no tensor. */
  unchanged?(): void;
  /** Tensors that the call may write. */
  writes?: readonly Tensor<DType>[];
  /** Frees what is no tensor. */
  after?(): void;
};

export type Operation = (inputs: Inputs, pick: Choice) => Trial;

/** The tensors of a trial, which end with it. */
export class Inputs {
  readonly made: Tensor<DType>[] = [];

  constructor(
    readonly runtime: Runtime,
    readonly pick: Choice,
  ) {}

  /** The values as a tensor, at times in the middle of a larger one and aligned to no more than an element. */
  upload<D extends DType = 'float32'>({ shape, data }: NdArray, dtype: D = 'float32' as D): Tensor<D> {
    const before = this.pick.integer(0, 3);
    if (before === 0) return this.track(this.runtime.tensor(shape, data, dtype));
    const size = count(shape);
    const whole = this.track(this.runtime.empty([before + size + 1], dtype));
    return whole.slice(before, size).view(shape).set(data);
  }

  /** Finds the tensors in `value` and lets them end with the trial. */
  track<T>(value: T): T {
    if (value instanceof Tensor) this.made.push(value as Tensor<DType>);
    else if (
      typeof value === 'object' &&
      value !== null &&
      [Object.prototype, Array.prototype].includes(Object.getPrototypeOf(value))
    )
      for (const part of Object.values(value)) this.track(part);
    return value;
  }

  random(shape: readonly number[], range = 1) {
    return random(shape, this.pick.seed(), range);
  }

  dispose(): void {
    for (const tensor of this.made) if (!tensor.disposed) tensor.dispose();
  }
}

/** A wrong element is far beyond this, of the largest value; how small rounding errors are other tests hold. */
const TOLERANCE = 1e-3;

/** Where the truth is finite the result is, and close to it. */
export function expectClose(
  actual: ArrayLike<number>,
  truth: ArrayLike<number>,
  name = 'output',
  tolerance = TOLERANCE,
) {
  if (actual.length !== truth.length) throw new Error(`${name} has ${actual.length} elements, not ${truth.length}`);
  let largest = 1;
  for (let i = 0; i < truth.length; i++) if (Number.isFinite(truth[i])) largest = Math.max(largest, Math.abs(truth[i]));
  for (let i = 0; i < truth.length; i++) {
    if (!Number.isFinite(truth[i]) && truth[i] !== -Infinity) continue;
    if (actual[i] === truth[i] || Math.abs(actual[i] - truth[i]) <= tolerance * largest) continue;
    throw new Error(`${name}[${i}] is ${actual[i]}, not ${truth[i]}`);
  }
}
