import type { Runtime } from './runtime/runtime.ts';
import type { Tensor } from './tensor.ts';

/** Element types of tensors; `'boolean'` is a byte, 0 or 1. */
export type DType = 'float32' | 'int32' | 'boolean';

export const bytesPerElement: Record<DType, number> = { float32: 4, int32: 4, boolean: 1 };

/** `TypeError`: the wrong kind of argument. */
export function wrongKind(where: string, argument: string, expected: string, came: unknown): TypeError {
  return new TypeError(`${where}: "${argument}" must be ${expected}, but it is ${describe(came)}`);
}

/** `RangeError`: the wrong size or value. */
export function wrongValue(where: string, argument: string, problem: string): RangeError {
  return new RangeError(`${where}: "${argument}" ${problem}`);
}

function describe(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  if (typeof value === 'object' && value !== null) return `a ${value.constructor?.name ?? 'object'}`;
  return String(value);
}

/** Of anything: a template throws for a symbol, and for an object without a prototype. */
export function text(value: unknown): string {
  if (Array.isArray(value)) return value.map(text).join(',');
  return typeof value === 'object' && value !== null ? describe(value) : String(value);
}

export function checkShape(where: string, shape: unknown): asserts shape is readonly number[] {
  if (!Array.isArray(shape)) throw wrongKind(where, 'shape', 'an array of sizes', shape);
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0)
      throw wrongValue(where, 'shape', `has size ${text(size)}, not an integer ≥ 0`);
  }
  if (!Number.isSafeInteger(sizeOf(shape)))
    throw wrongValue(where, 'shape', `[${shape}] has more elements than a number can count`);
}

/** Elements of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

export function checkDType(where: string, dtype: unknown): asserts dtype is DType {
  if (typeof dtype !== 'string' || !Object.hasOwn(bytesPerElement, dtype)) {
    throw wrongKind(where, 'dtype', "'float32', 'int32' or 'boolean'", dtype);
  }
}

export function checkInteger(where: string, name: string, value: unknown, least = 0): asserts value is number {
  if (!Number.isSafeInteger(value) || (value as number) < least) {
    throw wrongValue(where, name, `is ${text(value)}, not an integer ≥ ${least}`);
  }
}

/** Kernels hold 256 bytes of scratch a dimension, which must stay far below what 32 bits address. */
export const LARGEST_DIM = 65536;

/** A size of vectors. */
export function checkDim(where: string, name: string, value: unknown): asserts value is number {
  checkInteger(where, name, value, 1);
  if (value > LARGEST_DIM) throw wrongValue(where, name, `is ${value}, but at most ${LARGEST_DIM} is possible`);
}

export function checkFlag(where: string, name: string, value: unknown): asserts value is boolean {
  if (typeof value !== 'boolean') throw wrongKind(where, name, 'true or false', value);
}

/** Heads of a list that is made for them: far more than any model has. */
const MOST_HEADS = 65536;

export function checkHeads(where: string, heads: unknown): asserts heads is number {
  checkInteger(where, 'heads', heads, 1);
  if (heads > MOST_HEADS) throw wrongValue(where, 'heads', `is ${heads}, but at most ${MOST_HEADS} are possible`);
}

export function checkFinite(where: string, name: string, value: unknown): asserts value is number {
  if (typeof value !== 'number') throw wrongKind(where, name, 'a number', value);
  if (!Number.isFinite(value)) throw wrongValue(where, name, `is ${value}, not a finite number`);
}

export function checkPositive(where: string, name: string, value: unknown): asserts value is number {
  checkFinite(where, name, value);
  if (value <= 0) throw wrongValue(where, name, `is ${value}, not greater than 0`);
}

/** A number that float32, which kernels compute in, can hold. */
export function checkFloat32(where: string, name: string, value: unknown): asserts value is number {
  checkFinite(where, name, value);
  if (!Number.isFinite(Math.fround(value))) throw wrongValue(where, name, `is ${value}, too large for float32`);
}

/** An array or a typed array. */
export function isList(value: unknown): value is ArrayLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as ArrayLike<unknown>).length === 'number';
}

/** Refuses options that do not exist: a misspelt one would be ignored. */
export function checkOptions(where: string, options: unknown, known: ReadonlySet<string>): void {
  if (typeof options !== 'object' || options === null) throw wrongKind(where, 'options', 'an object', options);
  for (const name of Object.keys(options)) {
    if (!known.has(name)) throw new TypeError(`${where}: unknown option "${name}"; there are ${[...known].join(', ')}`);
  }
}

export function checkOneOf(where: string, name: string, value: unknown, allowed: readonly string[]): void {
  if (!allowed.includes(value as string)) {
    const quoted = allowed.map((item) => `'${item}'`);
    throw wrongKind(where, name, `${quoted.slice(0, -1).join(', ')} or ${quoted.at(-1)}`, value);
  }
}

const float32: readonly DType[] = ['float32'];
const anyRank = {};

/** A live tensor of this runtime, of one of these dtypes and ranks. */
export function checkTensor(
  where: string,
  name: string,
  tensor: Tensor<DType>,
  runtime: Runtime,
  { rank, dtypes = float32 }: { rank?: number; dtypes?: readonly DType[] } = anyRank,
): void {
  if (typeof tensor !== 'object' || tensor === null || !('runtime' in tensor && 'shape' in tensor)) {
    throw wrongKind(where, name, 'a Tensor', tensor);
  }
  if (tensor.runtime.disposed) throw new Error(`${where}: the runtime of "${name}" was disposed`);
  if (tensor.disposed) throw new Error(`${where}: "${name}" was disposed`);
  if (tensor.runtime !== runtime) throw new Error(`${where}: "${name}" belongs to another runtime`);
  if (!dtypes.includes(tensor.dtype)) {
    throw new TypeError(`${where}: "${name}" has dtype ${tensor.dtype}, but ${dtypes.join(' or ')} is needed`);
  }
  if (rank !== undefined && tensor.shape.length !== rank) {
    throw wrongValue(
      where,
      name,
      `has rank ${tensor.shape.length} (shape [${tensor.shape}]), but rank ${rank} is needed`,
    );
  }
}

export function checkSameShape(
  where: string,
  name: string,
  shape: readonly number[],
  expected: readonly number[],
): void {
  if (!Array.isArray(shape)) throw wrongKind(where, `${name}.shape`, 'an array of sizes', shape);
  if (shape.length !== expected.length || shape.some((size, i) => size !== expected[i])) {
    throw wrongValue(where, name, `has shape [${text(shape)}], but [${expected}] is needed`);
  }
}
