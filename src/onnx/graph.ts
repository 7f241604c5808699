import { wrongKind, wrongValue } from '../check.ts';
import type { Elementary } from '../runtime/math.ts';

/** A node of a graph; attributes as ONNX has them, numbers and lists of numbers. */
export type OnnxNode = {
  op: string;
  inputs: readonly string[];
  outputs: readonly string[];
  attributes?: Readonly<Record<string, number | readonly number[]>>;
};

/** A constant; values in C order, infinities and NaN as they are or by name. */
export type OnnxInitializer = { dtype?: string; shape: readonly number[]; value: ArrayLike<number | string> };

/** A graph of one input and one output, as `score_mod` and `prob_mod` are. */
export type OnnxGraph = {
  inputs: readonly { name: string }[];
  outputs: readonly { name: string }[];
  initializers?: Readonly<Record<string, OnnxInitializer>>;
  nodes: readonly OnnxNode[];
};

/** The element at [batch, head, query, key] of a value broadcast to the scores, of which `score` is the one there. */
type Element = (score: number, b: number, h: number, i: number, j: number) => number;
type Sizes = readonly [number, number, number, number];

/** A value: its elements one by one. What does not depend on the scores is `constant`. */
type Value = { shape: readonly number[]; at: Element; constant: boolean; integer: boolean };

/** Elementary functions are those of the kernels: the engines' own differ in the last bit. */
const unary: Record<string, (x: number, math: Elementary) => number> = {
  Abs: Math.abs,
  Ceil: Math.ceil,
  Cos: (x, math) => math.cos(x),
  Exp: (x, math) => math.exp(x),
  Floor: Math.floor,
  Identity: (x) => x,
  Log: (x, math) => math.log(x),
  Neg: (x) => -x,
  Not: (x) => Number(!x),
  Reciprocal: (x) => 1 / x,
  Relu: (x) => Math.max(x, 0),
  Sigmoid: (x, math) => 1 / (1 + math.exp(-x)),
  Sign: Math.sign,
  Sin: (x, math) => math.sin(x),
  Sqrt: Math.sqrt,
  Tanh: tanh,
};

function tanh(x: number, math: Elementary): number {
  // Where the quotient would lose digits: the error of two terms of the series is 2x⁵/15.
  if (Math.abs(x) < 1e-3) return x - x ** 3 / 3;
  const decay = math.exp(-2 * Math.abs(x));
  return (Math.sign(x) * (1 - decay)) / (1 + decay);
}

const binary: Record<string, (x: number, y: number) => number> = {
  Add: (x, y) => x + y,
  Sub: (x, y) => x - y,
  Mul: (x, y) => x * y,
  Pow: (x, y) => x ** y,
  Max: (x, y) => Math.max(x, y),
  Min: (x, y) => Math.min(x, y),
  Mod: (x, y) => x - y * Math.floor(x / y),
  And: (x, y) => Number(x && y),
  Or: (x, y) => Number(x || y),
  Xor: (x, y) => Number(!x !== !y),
  Equal: (x, y) => Number(x === y),
  Greater: (x, y) => Number(x > y),
  GreaterOrEqual: (x, y) => Number(x >= y),
  Less: (x, y) => Number(x < y),
  LessOrEqual: (x, y) => Number(x <= y),
};

const INTEGERS = new Set([2, 3, 4, 5, 6, 7, 12, 13]);
const BOOLEAN = 9;
type Fail = (problem: string) => Error;

/**
 * A graph of element-wise operators on the scores [batch, heads, queries, keys] as a function of one score: no matrix is made, whatever
 * the graph's tensors of that size.
 * @throws RangeError for a graph that is not so, or that has an operator which is not known here
 */
export function elementOf(where: string, name: string, graph: OnnxGraph, sizes: Sizes, math: Elementary): Element {
  if (!Array.isArray(graph?.nodes) || graph.inputs?.length !== 1 || graph.outputs?.length !== 1)
    throw wrongKind(where, name, 'a graph of one input and one output', graph);
  const values = new Map<string, Value>([
    [graph.inputs[0].name, { shape: sizes, at: (score) => score, constant: false, integer: false }],
  ]);
  for (const [key, { shape, value, dtype = '' }] of Object.entries(graph.initializers ?? {}))
    values.set(key, constant(shape, Array.from(value, Number), dtype.startsWith('INT')));
  const fail: Fail = (problem) => wrongValue(where, name, problem);
  const find = (key: string): Value => {
    const value = values.get(key);
    if (!value) throw fail(`reads "${key}", which nothing has made`);
    return value;
  };
  for (const node of graph.nodes as readonly OnnxNode[])
    values.set(node.outputs[0], evaluate(node, node.inputs.map(find), fail, math));
  return find(graph.outputs[0].name).at;
}

function evaluate({ op, attributes = {} }: OnnxNode, inputs: Value[], fail: Fail, math: Elementary): Value {
  const [x, y, z] = inputs;
  if (Object.hasOwn(unary, op)) {
    const f = unary[op];
    return elementwise([x], (s, b, h, i, j) => f(x.at(s, b, h, i, j), math));
  }
  if (Object.hasOwn(binary, op) && inputs.length === 2) {
    const f = binary[op];
    return elementwise([x, y], (s, b, h, i, j) => f(x.at(s, b, h, i, j), y.at(s, b, h, i, j)));
  }
  switch (op) {
    case 'Div': {
      const round = x.integer && y.integer ? Math.trunc : (value: number) => value;
      return elementwise([x, y], (s, b, h, i, j) => round(x.at(s, b, h, i, j) / y.at(s, b, h, i, j)));
    }
    case 'Where':
      return elementwise([y, z, x], (s, b, h, i, j) => (x.at(s, b, h, i, j) ? y : z).at(s, b, h, i, j));
    case 'Clip':
      return elementwise(inputs, (s, b, h, i, j) => {
        const low = y ? y.at(s, b, h, i, j) : -Infinity;
        return Math.min(Math.max(x.at(s, b, h, i, j), low), z ? z.at(s, b, h, i, j) : Infinity);
      });
    case 'Cast': {
      const to = Number(attributes.to);
      const integer = INTEGERS.has(to);
      const convert = to === BOOLEAN ? (v: number) => Number(v !== 0) : integer ? Math.trunc : (v: number) => v;
      return { ...elementwise([x], (s, b, h, i, j) => convert(x.at(s, b, h, i, j))), integer };
    }
    default:
      return rearrange(op, inputs, fail);
  }
}

/** The operators that make constants of shapes and positions. */
function rearrange(op: string, inputs: Value[], fail: Fail): Value {
  const numbers = (value: Value): number[] => {
    if (!value?.constant || value.shape.length > 4) throw fail(`has ${op} of what depends on the scores`);
    return elementsOf(value);
  };
  const [x, y] = inputs;
  switch (op) {
    case 'Shape':
      return constant([x.shape.length], x.shape, true);
    case 'Gather': {
      if (x.shape.length !== 1) throw fail('has Gather of what is not a vector');
      const from = numbers(x);
      return constant(
        y.shape,
        numbers(y).map((at) => from.at(at)!),
        x.integer,
      );
    }
    case 'Range': {
      const [start, limit, delta] = inputs.map((input) => numbers(input)[0]);
      const length = Math.max(Math.ceil((limit - start) / delta), 0);
      const data = Array.from({ length }, (_, at) => start + at * delta);
      return constant([length], data, x.integer);
    }
    case 'Reshape': {
      const data = numbers(x);
      const wanted = numbers(y).map((size, axis) => (size === 0 ? x.shape[axis] : size));
      const known = wanted.reduce((product, size) => (size < 0 ? product : product * size), 1);
      return constant(
        wanted.map((size) => (size < 0 ? data.length / known : size)),
        data,
        x.integer,
      );
    }
    case 'Unsqueeze': {
      const shape = [...x.shape];
      const rank = shape.length + numbers(y).length;
      const axes = numbers(y).map((axis) => (axis < 0 ? axis + rank : axis));
      for (const axis of axes.sort((a, b) => a - b)) shape.splice(axis, 0, 1);
      return constant(shape, numbers(x), x.integer);
    }
    default:
      throw fail(`has ${op}, which is not an element-wise operator that is known here`);
  }
}

function elementwise(inputs: Value[], at: Element): Value {
  const rank = Math.max(...inputs.map(({ shape }) => shape.length));
  // A size of 1 is broadcast, to 0 as well.
  const sizeAt = (axis: number) => inputs.map(({ shape }) => shape.at(-axis) ?? 1).find((size) => size !== 1) ?? 1;
  return {
    shape: Array.from({ length: rank }, (_, axis) => sizeAt(rank - axis)),
    at,
    constant: inputs.every((input) => input.constant),
    integer: inputs.slice(0, 2).every((input) => input.integer),
  };
}

/** Aligned at the last axis with the scores; an axis of 1 repeats. */
function constant(shape: readonly number[], data: ArrayLike<number>, integer: boolean): Value {
  const [B, H, I, J] = stridesOf(shape).map((stride, axis) => (sizesOf(shape)[axis] === 1 ? 0 : stride));
  return { shape, constant: true, integer, at: (_score, b, h, i, j) => data[b * B + h * H + i * I + j * J] };
}

function elementsOf({ shape, at }: Value): number[] {
  const [sizes, strides] = [sizesOf(shape), stridesOf(shape)];
  const length = sizes.reduce((product, size) => product * size, 1);
  return Array.from({ length }, (_, index) => {
    const [b, h, i, j] = strides.map((stride, axis) => Math.floor(index / stride) % sizes[axis]);
    return at(0, b, h, i, j);
  });
}

/** The last four axes, where there are fewer with a size of 1. */
function sizesOf(shape: readonly number[]): number[] {
  return [4, 3, 2, 1].map((axis) => shape.at(-axis) ?? 1);
}

function stridesOf(shape: readonly number[]): number[] {
  const [, h, i, j] = sizesOf(shape);
  return [h * i * j, i * j, j, 1];
}
