import { describe, expect, it } from 'vitest';
import { createRuntimeSync } from 'wasm-attention';
import { FlexAttention, type OnnxGraph, type OnnxNode, type OnnxTensor } from 'wasm-attention/onnx';
import { attention } from 'wasm-attention/reference';
import { elementOf } from '../src/onnx/graph.ts';
import type { Loose } from './refused.ts';
import { random } from './support.ts';

/** `y = Op(a, b) {axis: 0}` a line. */
function graph(lines: string[], constants: OnnxGraph['initializers'] = {}): OnnxGraph {
  const nodes = lines.map((line): OnnxNode => {
    const [, output, op, inputs, attributes] = line.match(/^(\w+) = (\w+)\(([\w, ]*)\)\s*(.*)$/)!;
    return { op, outputs: [output], inputs: inputs.split(', '), attributes: JSON.parse(attributes || '{}') };
  });
  return { inputs: [{ name: 'x' }], outputs: [{ name: 'y' }], initializers: constants, nodes };
}

const sizes = [2, 3, 5, 7] as const;
const number = (value: number | string) => ({ dtype: 'FLOAT', shape: [], value: [value] });
const integer = (...value: number[]) => ({ dtype: 'INT64', shape: value.length === 1 ? [] : [value.length], value });
const indices = [
  'shape = Shape(x)',
  ...['two', 'three'].flatMap((axis, at) => [
    `length${at} = Gather(shape, ${axis})`,
    `range${at} = Range(zero, length${at}, one)`,
    `index${at} = Reshape(range${at}, as${at})`,
  ]),
];
const positions = {
  ...{ zero: integer(0), one: integer(1), two: integer(2), three: integer(3) },
  ...{ as0: integer(1, 1, -1, 1), as1: integer(1, -1) },
};

describe('elementOf', () => {
  it.each<[string[], OnnxGraph['initializers'], (score: number, i: number, j: number) => number]>([
    [['y = Identity(x)'], {}, (s) => s],
    [['t = Abs(x)', 'u = Sqrt(t)', 'v = Neg(u)', 'w = Exp(v)', 'y = Sigmoid(w)'], {}, sigmoidOf],
    [
      ['t = Mul(x, a)', 'u = Pow(t, b)', 'y = Sub(u, a)'],
      { a: number(1.5), b: number(2) },
      (s) => (s * 1.5) ** 2 - 1.5,
    ],
    [['t = Max(x, a)', 'u = Min(t, b)', 'y = Mod(u, b)'], { a: number(-1), b: number(3) }, (s) => modulo(s)],
    [['y = Clip(x, a, b)'], { a: number(-0.5), b: number(0.5) }, (s) => Math.min(Math.max(s, -0.5), 0.5)],
    [
      [...indices, 'm = GreaterOrEqual(index0, index1)', 'y = Where(m, x, low)'],
      { ...positions, low: number('-Infinity') },
      (s, i, j) => (i >= j ? s : -Infinity),
    ],
    [
      [...indices, 'd = Sub(index0, index1)', 'q = Div(d, two)', 'f = Cast(q) {"to": 1}', 'y = Add(x, f)'],
      positions,
      (s, i, j) => s + Math.trunc((i - j) / 2),
    ],
    [
      [
        ...indices,
        'd = Less(index0, index1)',
        'e = Equal(index0, two)',
        'o = Or(d, e)',
        'n = Not(o)',
        'f = Cast(n) {"to": 1}',
        'y = Mul(x, f)',
      ],
      positions,
      (s, i, j) => (i < j || i === 2 ? 0 : s),
    ],
    [
      ['t = Unsqueeze(bias, axes)', 'y = Add(x, t)'],
      { bias: { shape: [7], value: [0, 1, 2, 3, 4, 5, 6] }, axes: integer(0, 1) },
      (s, _i, j) => s + j,
    ],
    [
      ['s = Add(a, b)', 'r = Reshape(s, as)', 'y = Add(x, r)'],
      {
        ...{ a: { shape: [5, 1], value: [0, 10, 20, 30, 40] }, b: { shape: [7], value: [0, 1, 2, 3, 4, 5, 6] } },
        as: integer(1, 5, 7),
      },
      (s, i, j) => s + 10 * i + j,
    ],
  ])('%j', (lines, constants, expected) => {
    const element = elementOf('test', 'score_mod', graph(lines, constants), sizes, Math);
    for (const score of [-3, -0.25, 0, 0.5, 4]) {
      for (let i = 0; i < 5; i++)
        for (let j = 0; j < 7; j++) expect(element(score, 1, 2, i, j)).toBeCloseTo(expected(score, i, j), 12);
    }
  });
});

function sigmoidOf(score: number): number {
  return 1 / (1 + Math.exp(-Math.exp(-Math.sqrt(Math.abs(score)))));
}

function modulo(score: number): number {
  const clipped = Math.min(Math.max(score, -1), 3);
  return clipped - 3 * Math.floor(clipped / 3);
}

describe('FlexAttention', () => {
  const runtime = createRuntimeSync();
  const tensor = (...shape: number[]): OnnxTensor => ({ dtype: 'float32', ...random(shape, shape[2]) });
  const given = { Q: tensor(1, 4, 30, 6), K: tensor(1, 2, 40, 6), V: tensor(1, 2, 40, 5) };

  it('computes what its graphs say', () => {
    const slopes = { slopes: { shape: [4, 1, 1], value: [0.5, 0.25, 0.125, 0] }, half: number(0.5) };
    const score_mod = graph(
      [...indices, 'd = Sub(index1, index0)', 'f = Cast(d) {"to": 1}', 'b = Mul(f, slopes)', 'y = Add(x, b)'],
      { ...positions, ...slopes },
    );
    const prob_mod = graph(['y = Mul(x, half)'], slopes);
    const { Y } = FlexAttention(runtime, given, { scale: 0.3, score_mod, prob_mod });
    const values = slopes.slopes.value.flatMap((slope) =>
      Array.from({ length: 30 * 40 }, (_, at) => slope * ((at % 40) - Math.floor(at / 40))),
    );
    const bias = { shape: [1, 4, 30, 40], data: values };
    const { output } = attention(given.Q as Loose, given.K as Loose, given.V as Loose, { scale: 0.3, bias });
    output.data.forEach((x, at) => {
      expect(Math.abs(Number(Y.data[at]) - x / 2)).toBeLessThan(1e-5);
    });
  });

  it.each<[string, () => unknown, new (message: string) => Error, RegExp]>([
    ['no Q', () => FlexAttention(runtime, { ...given, Q: undefined as Loose }), TypeError, /"Q" must be an OnnxTensor/],
    ['rank 3', () => FlexAttention(runtime, { ...given, K: tensor(2, 40, 6) }), RangeError, /"K" has rank 3, not 4/],
    ['head_size', () => FlexAttention(runtime, { ...given, K: tensor(1, 2, 40, 7) }), RangeError, /headDim 7/],
    ['attribute', () => FlexAttention(runtime, given, { causal: 1 } as Loose), TypeError, /unknown option "causal"/],
    ['graph', () => mod({} as Loose), TypeError, /"score_mod" must be a graph of one input and one output/],
    ['operator', () => mod(graph(['y = Softmax(x)'])), RangeError, /"score_mod" has Softmax, which is not/],
    ['order', () => mod(graph(['y = Add(x, z)'])), RangeError, /"score_mod" reads "z", which nothing has made/],
    ['output', () => mod(graph(['z = Neg(x)'])), RangeError, /"score_mod" reads "y"/],
    ['reshape', () => mod(graph(['y = Reshape(x, s)'], { s: integer(1, -1) })), RangeError, /depends on the scores/],
  ])('refuses: %s', (_name, call, kind, message) => {
    const used = runtime.memory.usedBytes;
    expect(call).toThrow(kind);
    expect(call).toThrow(message);
    expect(runtime.memory.usedBytes).toBe(used);
  });

  function mod(score_mod: OnnxGraph) {
    return FlexAttention(runtime, given, { score_mod });
  }
});
