import { Tensor } from 'wasm-attention';
import type { DType } from '../../src/check.ts';
import type { Runtime } from '../../src/index.ts';
import type { Choice } from './choice.ts';
import type { Inputs } from './trial.ts';

/** What the hostile function throws: an error of the caller, which is passed on. */
export const THROWN = new Error('thrown by a function of the caller');

const boom = () => {
  throw THROWN;
};

const values: readonly unknown[] = [
  undefined,
  null,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  -1,
  -0,
  0,
  0.5,
  1,
  7,
  65537,
  2 ** 31,
  2 ** 32 + 1,
  2 ** 53,
  -(2 ** 31),
  1e300,
  1e-320,
  '',
  '1',
  'toString',
  '__proto__',
  true,
  10n,
  Symbol('symbol'),
  [],
  [1],
  [Number.NaN, -1],
  [[]],
  { length: -1 },
  { length: 3 },
  {},
  Object.create(null),
  new Float32Array(3),
  new Date(0),
  boom,
  () => undefined,
];

export type Others = { disposed: Tensor; foreign: Tensor; orphan: Tensor };

/** A tensor that does not fit where `tensor` does. */
function misfit(tensor: Tensor<DType>, inputs: Inputs, pick: Choice, others: Others): Tensor<DType> {
  const { runtime } = tensor;
  const { shape } = tensor;
  const make = (other: readonly number[], dtype = tensor.dtype) => inputs.track(runtime.zeros(other, dtype));
  const axis = pick.integer(0, Math.max(shape.length - 1, 0));
  const changed = (size: number) => shape.map((n, at) => (at === axis ? size : n));
  return pick.one<() => Tensor<DType>>(
    () => others.disposed,
    () => others.foreign,
    () => others.orphan,
    () => make(shape, tensor.dtype === 'float32' ? 'int32' : 'float32'),
    () => make(shape, tensor.dtype === 'boolean' ? 'int32' : 'boolean'),
    () => make(changed((shape[axis] ?? 0) + 1)),
    () => make(changed(0)),
    () => make([...shape, 1]),
    () => make(shape.slice(1)),
    () => make([]),
  )();
}

type Path = readonly (string | number)[];

const isPlain = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && [Object.prototype, null].includes(Object.getPrototypeOf(value));

/** Every part of the arguments, and in every object a name that it does not have. */
function places(value: unknown, path: Path = []): Path[] {
  if (path.length > 3) return [path];
  const own = path.length > 0 ? [path] : [];
  if (Array.isArray(value)) return [...own, ...value.slice(0, 4).flatMap((part, at) => places(part, [...path, at]))];
  if (!isPlain(value)) return own;
  const parts = Object.keys(value).flatMap((name) => places(value[name], [...path, name]));
  return [...own, ...parts, [...path, 'colour']];
}

function replaced(value: unknown, [first, ...rest]: Path, by: (old: unknown) => unknown): unknown {
  if (first === undefined) return by(value);
  if (Array.isArray(value)) return value.map((part, at) => (at === first ? replaced(part, rest, by) : part));
  const object = value as Record<string, unknown>;
  return { ...object, [first]: replaced(object[first], rest, by) };
}

/** The arguments with something hostile in the place of a part. Some of it turns out to be a right argument. */
export function corrupted(args: readonly unknown[], inputs: Inputs, pick: Choice, others: Others): unknown[] {
  if (args.length === 0) return [pick.one(...values)];
  const path = pick.one(...places(args));
  const by = (old: unknown) =>
    old instanceof Tensor && pick.integer(0, 3) > 0
      ? misfit(old as Tensor<DType>, inputs, pick, others)
      : pick.one(...values);
  return replaced(args, path, by) as unknown[];
}

export function othersOf(runtime: Runtime, foreign: Runtime, orphan: Tensor): Others {
  const disposed = runtime.zeros([1, 2, 3, 4]);
  disposed.dispose();
  return { disposed, foreign: foreign.zeros([1, 2, 3, 4]), orphan };
}
