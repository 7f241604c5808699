import { describe, expect, it } from 'vitest';
import {
  type AttentionOptions,
  alibiSlopes,
  attention,
  type Float64NdArray,
  linear,
  mergeStates,
  multiHeadAttention,
  type NdArray,
  rotaryEmbedding,
  rotaryFrequencies,
  rotaryTable,
  sinusoidalEncoding,
  softmax,
} from '../src/reference/index.ts';

const array = (shape: number[], data: number[]): NdArray => ({ shape, data });

const size = (shape: number[]) => shape.reduce((product, n) => product * n, 1);

/** Float32 values in [-2, 2), the same for the same seed. */
function random(shape: number[], seed: number): NdArray {
  let state = seed;
  const data = Float32Array.from({ length: size(shape) }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 30 - 2;
  });
  return { shape, data };
}

const filled = (shape: number[], value: number): NdArray => ({
  shape,
  data: new Float64Array(size(shape)).fill(value),
});

/** Copies an array with the last two axes' rows (axis 2 of 4) picked in the order of `index`. */
function takeRows(x: NdArray, index: number[]): NdArray {
  const [batch, heads, length, dim] = x.shape;
  const data: number[] = [];
  for (let head = 0; head < batch * heads; head++) {
    for (const i of index) for (let d = 0; d < dim; d++) data.push(x.data[(head * length + i) * dim + d]);
  }
  return array([batch, heads, index.length, dim], data);
}

/** [batch, heads, sequence, headDim] ↔ [batch, sequence, heads, headDim] */
function swapMiddle(x: NdArray): NdArray {
  const [a, b, c, d] = x.shape;
  const data = Array.from({ length: a * b * c * d }, (_, at) => {
    const [i3, i1, i2, i0] = [
      at % d,
      Math.floor(at / d) % b,
      Math.floor(at / (d * b)) % c,
      Math.floor(at / (d * b * c)),
    ];
    return x.data[((i0 * b + i1) * c + i2) * d + i3];
  });
  return array([a, c, b, d], data);
}

const largestDifference = (a: NdArray, b: NdArray): number => {
  expect(a.shape).toEqual(b.shape);
  let largest = 0;
  for (let at = 0; at < a.data.length; at++) {
    const difference = a.data[at] === b.data[at] ? 0 : Math.abs(a.data[at] - b.data[at]);
    if (!(difference <= largest)) largest = difference;
    if (Number.isNaN(largest)) return largest;
  }
  return largest;
};

const expectClose = (a: NdArray, b: NdArray, bound = 1e-12) =>
  expect(largestDifference(a, b)).toBeLessThanOrEqual(bound);

const expectValues = (actual: ArrayLike<number>, expected: number[], digits = 12) => {
  expect(actual.length).toBe(expected.length);
  for (const [at, value] of expected.entries()) expect(actual[at], `element ${at}`).toBeCloseTo(value, digits);
};

/** Which keys each query of one head sees, found with equal scores. */
function visibleKeys(queries: number, keys: number, options: AttentionOptions): string[] {
  const { weights } = attention(
    filled([1, 1, queries, 1], 0),
    filled([1, 1, keys, 1], 0),
    filled([1, 1, keys, 1], 0),
    options,
  );
  return Array.from({ length: queries }, (_, i) =>
    Array.from(weights.data.slice(i * keys, (i + 1) * keys), (w) => (w > 0 ? 'x' : '.')).join(''),
  );
}

describe('softmax', () => {
  it('gives the ratios of the exponentials', () => {
    const x = array([2, 3], [0, Math.log(2), Math.log(5), 7, 7, 7]);
    expectValues(softmax(x).data, [1 / 8, 2 / 8, 5 / 8, 1 / 3, 1 / 3, 1 / 3]);
  });

  it('is invariant to a shift and finite at ±1e4', () => {
    const x = random([4, 7], 1);
    expectClose(softmax({ shape: x.shape, data: Array.from(x.data, (v) => v + 64) }), softmax(x));
    expectValues(softmax(array([3], [1e4, -1e4, 1e4])).data, [0.5, 0, 0.5]);
  });

  it('gives zeros for a row of -Infinity and keeps NaN in its row', () => {
    const x = array([4, 2], [-Infinity, -Infinity, Number.NaN, 1, -Infinity, 3, -Infinity, Number.NaN]);
    expect(Array.from(softmax(x).data)).toEqual([0, 0, Number.NaN, Number.NaN, 0, 1, 0, Number.NaN]);
  });
});

describe('precision float32', () => {
  it('rounds every operation', () => {
    const x = array([1, 3], [1e8, 1, -1e8]);
    const ones = array([1, 3], [1, 1, 1]);
    expect(linear(x, ones).data[0]).toBe(1);
    expect(linear(x, ones, undefined, { precision: 'float32' }).data[0]).toBe(0);
    expect(softmax(array([3], [1, 1, 1]), { precision: 'float32' }).data[0]).toBe(Math.fround(1 / 3));
  });

  it('returns float32 values near, but not at, the float64 ones', () => {
    const [q, k, v] = [random([1, 2, 5, 40], 1), random([1, 2, 9, 40], 2), random([1, 2, 9, 6], 3)];
    const options: AttentionOptions = { softcap: 3, alibiSlopes: [0.3, 0.7], sink: [0.1, 0.2], causal: true };
    const exact = attention(q, k, v, options);
    const rounded = attention(q, k, v, { ...options, precision: 'float32' });
    for (const name of ['output', 'lse', 'scores', 'capped', 'masked', 'weights'] as const) {
      expect(Array.from(rounded[name].data)).toEqual(Array.from(Float32Array.from(rounded[name].data)));
      expect(largestDifference(exact[name], rounded[name])).toBeGreaterThan(0);
      expectClose(exact[name], rounded[name], 1e-5);
    }
  });
});

describe('attention', () => {
  it('matches a case computed by hand', () => {
    // scale 1/2; scores of query 0 are 0, ln 3; of query 1 ln 3, 0.
    const ln9 = 2 * Math.log(3);
    const q = array([1, 1, 2, 4], [1, 0, 0, 0, 0, 1, 0, 0]);
    const k = array([1, 1, 2, 4], [0, ln9, 0, 0, ln9, 0, 0, 0]);
    const v = array([1, 1, 2, 1], [4, 8]);
    const { output, lse, scores, weights } = attention(q, k, v);
    expect(output.shape).toEqual([1, 1, 2, 1]);
    expectValues(output.data, [7, 5]);
    expectValues(lse.data, [Math.log(4), Math.log(4)]);
    expectValues(scores.data, [0, Math.log(3), Math.log(3), 0]);
    expectValues(weights.data, [1 / 4, 3 / 4, 3 / 4, 1 / 4]);
  });

  it('has rows of weights that sum to 1 and an lse that normalises the scores', () => {
    const [q, k, v] = [random([2, 4, 5, 8], 1), random([2, 2, 7, 8], 2), random([2, 2, 7, 3], 3)];
    const { weights, lse, scores } = attention(q, k, v);
    for (let row = 0; row < 2 * 4 * 5; row++) {
      const at = row * 7;
      expect(weights.data.slice(at, at + 7).reduce((a, b) => a + b)).toBeCloseTo(1, 12);
      for (let j = at; j < at + 7; j++)
        expect(weights.data[j]).toBeCloseTo(Math.exp(scores.data[j] - lse.data[row]), 12);
    }
  });

  it('does not depend on the order of keys', () => {
    const [q, k, v] = [random([1, 2, 3, 8], 1), random([1, 2, 6, 8], 2), random([1, 2, 6, 5], 3)];
    const order = [4, 0, 5, 2, 1, 3];
    expectClose(attention(q, takeRows(k, order), takeRows(v, order)).output, attention(q, k, v).output);
  });

  it('reads and writes bshd as the transposed bhsd', () => {
    const [q, k, v] = [random([2, 4, 3, 8], 1), random([2, 2, 5, 8], 2), random([2, 2, 5, 6], 3)];
    const options: AttentionOptions = { causal: true, bias: random([4, 3, 5], 4) };
    const plain = attention(q, k, v, options);
    const swapped = attention(swapMiddle(q), swapMiddle(k), swapMiddle(v), { ...options, layout: 'bshd' });
    expect(swapped.output.shape).toEqual([2, 3, 4, 6]);
    expectClose(swapMiddle(swapped.output), plain.output, 0);
    expectClose(swapped.weights, plain.weights, 0);
    expectClose(swapped.lse, plain.lse, 0);
  });

  it('lets query head h read key/value head floor(h / (heads / kvHeads))', () => {
    const { output } = attention(filled([1, 6, 1, 2], 1), filled([1, 3, 1, 2], 1), array([1, 3, 1, 1], [10, 20, 30]));
    expect(Array.from(output.data)).toEqual([10, 10, 20, 20, 30, 30]);
  });

  it('aligns causal attention at the bottom right, at the top left or at queryOffset', () => {
    expect(visibleKeys(2, 4, { causal: true })).toEqual(['xxx.', 'xxxx']);
    expect(visibleKeys(2, 4, { causal: true, causalAlignment: 'top-left' })).toEqual(['x...', 'xx..']);
    expect(visibleKeys(2, 4, { causal: true, queryOffset: 1 })).toEqual(['xx..', 'xxx.']);
    expect(visibleKeys(4, 2, { causal: true })).toEqual(['..', '..', 'x.', 'xx']);
    expect(visibleKeys(2, 4, { causal: true, keyLengths: [3] })).toEqual(['xx..', 'xxx.']);
  });

  it('takes queryOffset and keyLengths per batch', () => {
    const zero = (length: number) => filled([2, 1, length, 1], 0);
    const { weights } = attention(zero(1), zero(4), zero(4), { causal: true, queryOffset: [0, 3], keyLengths: [4, 3] });
    expectValues(weights.data, [1, 0, 0, 0, 1 / 3, 1 / 3, 1 / 3, 0]);
  });

  it('counts both ends of a window, self included', () => {
    const row = (window: [number, number]) => visibleKeys(1, 8, { window, queryOffset: 4 })[0];
    expect(row([0, 0])).toBe('....x...');
    expect(row([2, 0])).toBe('..xxx...');
    expect(row([2, 1])).toBe('..xxxx..');
    expect(row([0, 2])).toBe('....xxx.');
    expect(row([Infinity, 0])).toBe('xxxxx...');
    expect(row([0, Infinity])).toBe('....xxxx');
    expect(row([Infinity, Infinity])).toBe('xxxxxxxx');
    expect(visibleKeys(3, 5, { window: [1, Infinity], causal: true })).toEqual(['.xx..', '..xx.', '...xx']);
  });

  it('takes a mask as a predicate or as an array that broadcasts', () => {
    const [q, k, v] = [random([2, 2, 3, 4], 1), random([2, 2, 4, 4], 2), random([2, 2, 4, 4], 3)];
    const perKey = [1, 0, 1, 1, 0, 1, 1, 0];
    const predicate = attention(q, k, v, { mask: (b, _h, _i, j) => perKey[b * 4 + j] === 1 });
    expectClose(predicate.output, attention(q, k, v, { mask: array([2, 1, 1, 4], perKey) }).output, 0);
    const perQuery = attention(q, k, v, { mask: array([3, 1], [1, 0, 1]) });
    expect(Array.from(perQuery.lse.data, (x) => x === -Infinity)).toEqual(
      Array.from({ length: 12 }, (_, row) => row % 3 === 1),
    );
    expect(() => attention(q, k, v, { mask: array([3], [1, 0, 1]) })).toThrow(RangeError);
  });

  it('drops masked keys as if they were not there', () => {
    const [q, k, v] = [random([1, 2, 3, 4], 1), random([1, 2, 6, 4], 2), random([1, 2, 6, 4], 3)];
    const kept = [0, 2, 5];
    const short = attention(q, takeRows(k, kept), takeRows(v, kept));
    const mask = attention(q, k, v, { mask: (_b, _h, _i, j) => kept.includes(j) });
    const bias = attention(q, k, v, { bias: array([6], [0, -Infinity, 0, -Infinity, -Infinity, 0]) });
    for (const result of [mask, bias]) {
      expectClose(result.output, short.output);
      expectClose(result.lse, short.lse);
    }
  });

  it('adds a bias after the softcap: equal to the logarithm of a weight', () => {
    const [zero, value] = [filled([1, 1, 2, 1], 0), array([1, 1, 2, 1], [0, 1])];
    const { output } = attention(zero, zero, value, { softcap: 0.5, bias: array([2], [0, Math.log(3)]) });
    expectValues(output.data, [3 / 4, 3 / 4]);
  });

  it('caps the scaled scores at c·tanh(S/c)', () => {
    const q = array([1, 1, 1, 1], [1]);
    const k = array([1, 1, 3, 1], [1, -2, 1000]);
    const { scores, capped, masked } = attention(q, k, k, { scale: 2, softcap: 4, causal: true, queryOffset: 1 });
    expectValues(scores.data, [2, -4, 2000]);
    expectValues(capped.data, [4 * Math.tanh(0.5), -4 * Math.tanh(1), 4]);
    expect(Array.from(masked.data)).toEqual([capped.data[0], capped.data[1], -Infinity]);
  });

  it('adds -slope·|p - j| with p = queryOffset + i', () => {
    const zero = (heads: number, length: number) => filled([1, heads, length, 1], 0);
    const { masked } = attention(zero(2, 2), zero(2, 3), zero(2, 3), { alibiSlopes: [1, 0.5] });
    expectValues(masked.data, [-1, 0, -1, -2, -1, 0, -0.5, 0, -0.5, -1, -0.5, 0]);
  });

  it('lets a sink join the denominator, unscaled and per head', () => {
    const zero = (heads: number, length: number) => filled([1, heads, length, 1], 0);
    const plusOne = attention(zero(1, 1), zero(1, 4), zero(1, 4), { sink: [0] });
    expectValues(plusOne.weights.data, [1 / 5, 1 / 5, 1 / 5, 1 / 5]);
    expectValues(plusOne.lse.data, [Math.log(5)]);

    const scaled = attention(zero(2, 1), zero(1, 1), filled([1, 1, 1, 1], 3), { scale: 100, sink: [0.5, -Infinity] });
    expectValues(scaled.weights.data, [1 / (1 + Math.exp(0.5)), 1]);
    expectValues(scaled.output.data, [3 / (1 + Math.exp(0.5)), 3]);

    const [q, k, v] = [random([1, 1, 2, 4], 1), random([1, 1, 5, 4], 2), random([1, 1, 5, 4], 3)];
    const extraKey = { shape: [1, 1, 6, 4], data: [...Array.from(k.data), 0, 0, 0, 0] };
    const extraValue = { shape: [1, 1, 6, 4], data: [...Array.from(v.data), 0, 0, 0, 0] };
    const zeroKey = attention(q, extraKey, extraValue);
    const sink = attention(q, k, v, { sink: [0] });
    expectClose(sink.output, zeroKey.output);
    expectClose(sink.lse, zeroKey.lse);
  });

  it('gives 0 and -Infinity, or the sink, for a row without a visible key', () => {
    const [q, k, v] = [random([1, 1, 3, 4], 1), random([1, 1, 1, 4], 2), random([1, 1, 1, 2], 3)];
    const plain = attention(q, k, v, { causal: true });
    expect(Array.from(plain.output.data.slice(0, 4))).toEqual([0, 0, 0, 0]);
    expect(Array.from(plain.lse.data.slice(0, 2))).toEqual([-Infinity, -Infinity]);
    expect(Array.from(plain.output.data.slice(4))).toEqual(Array.from(v.data));
    const sink = attention(q, k, v, { causal: true, sink: [0.75] });
    expect(Array.from(sink.output.data.slice(0, 4))).toEqual([0, 0, 0, 0]);
    expect(Array.from(sink.lse.data.slice(0, 2))).toEqual([0.75, 0.75]);
    const empty = attention(q, filled([1, 1, 0, 4], 0), filled([1, 1, 0, 2], 0));
    expect(Array.from(empty.output.data)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(Array.from(empty.lse.data)).toEqual([-Infinity, -Infinity, -Infinity]);
  });

  it('keeps NaN and Infinity of masked keys and values out, and lets visible NaN through', () => {
    const [q, k, v] = [random([1, 1, 2, 4], 1), random([1, 1, 3, 4], 2), random([1, 1, 3, 4], 3)];
    const poison = (x: NdArray, value: number) => ({
      shape: x.shape,
      data: [...Array.from(x.data).slice(0, 8), ...Array(4).fill(value)],
    });
    const hidden: AttentionOptions[] = [
      { mask: array([3], [1, 1, 0]) },
      { bias: array([3], [0, 0, -Infinity]) },
      { keyLengths: [2] },
      { window: [Infinity, 0], queryOffset: 0 },
    ];
    for (const options of hidden) {
      const clean = attention(q, k, v, options);
      for (const bad of [Number.NaN, Infinity, -Infinity]) {
        const { output, lse, weights } = attention(q, poison(k, bad), poison(v, bad), options);
        expectClose(output, clean.output, 0);
        expectClose(lse, clean.lse, 0);
        expectClose(weights, clean.weights, 0);
      }
    }
    expect(attention(q, poison(k, Number.NaN), v).output.data.every(Number.isNaN)).toBe(true);
    expect(attention(q, poison(k, Number.NaN), v).lse.data.every(Number.isNaN)).toBe(true);
    expect(attention(q, k, poison(v, Number.NaN)).output.data.every(Number.isNaN)).toBe(true);
  });
});

describe('mergeStates', () => {
  const [q, k, v] = [random([2, 4, 5, 8], 1), random([2, 2, 9, 8], 2), random([2, 2, 9, 6], 3)];
  const part = (from: number, to: number, options: AttentionOptions = {}) => {
    const index = Array.from({ length: to - from }, (_, i) => from + i);
    return attention(q, takeRows(k, index), takeRows(v, index), options);
  };

  it('puts attention over split keys together, a sink in one part', () => {
    const sink = [0.1, -1, 2, 0.5];
    const whole = attention(q, k, v, { sink });
    const merged = mergeStates([part(0, 2, { sink }), part(2, 3), part(3, 9)]);
    expectClose(merged.output, whole.output);
    expectClose(merged.lse, whole.lse);
    const swapped = mergeStates(
      [part(0, 2, { sink }), part(2, 9)].map(({ output, lse }) => ({ output: swapMiddle(output), lse })),
      { layout: 'bshd' },
    );
    expectClose(swapMiddle(swapped.output), whole.output);
  });

  it('weighs by e^lse', () => {
    const state = (value: number, lse: number) => ({
      output: array([1, 1, 1, 1], [value]),
      lse: array([1, 1, 1], [lse]),
    });
    const merged = mergeStates([state(4, 500), state(8, 500 + Math.log(3))]);
    expectValues(merged.output.data, [7]);
    expectValues(merged.lse.data, [500 + Math.log(4)]);
  });

  it('takes -Infinity as the identity, without reading its output', () => {
    const some = part(0, 4);
    const none = { output: filled([2, 4, 5, 6], Number.NaN), lse: filled([2, 4, 5], -Infinity) };
    expectClose(mergeStates([none, some, none]).output, some.output);
    expectClose(mergeStates([none, some]).lse, some.lse);
    expectClose(mergeStates([none, none]).output, filled([2, 4, 5, 6], 0), 0);
    expectClose(mergeStates([none, none]).lse, none.lse, 0);
  });
});

describe('linear', () => {
  it('is x·Wᵀ + b', () => {
    const x = array([2, 1, 3], [1, 2, 3, 4, 5, 6]);
    const w = array([2, 3], [1, 0, -1, 0.5, 0.5, 0.5]);
    expect(linear(x, w)).toEqual({ shape: [2, 1, 2], data: new Float64Array([-2, 3, -2, 7.5]) });
    expect(Array.from(linear(x, w, array([2], [10, 20])).data)).toEqual([8, 23, 8, 27.5]);
  });
});

describe('alibiSlopes', () => {
  it('gives the published slopes', () => {
    const eight = [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 256];
    expectValues(alibiSlopes(8), eight, 15);
    expectValues(alibiSlopes(12), [...eight, 2 ** -0.5, 2 ** -1.5, 2 ** -2.5, 2 ** -3.5], 15);
    expectValues(alibiSlopes(1), [2 ** -8], 15);
    expectValues(alibiSlopes(3), [2 ** -4, 2 ** -8, 2 ** -2], 15);
  });
});

describe('sinusoidalEncoding', () => {
  it('interleaves sine and cosine of p·10000^(-2k/dim)', () => {
    const { shape, data } = sinusoidalEncoding({ length: 3, dim: 4 });
    expect(shape).toEqual([3, 4]);
    expectValues(data.slice(0, 4), [0, 1, 0, 1]);
    expectValues(data.slice(4, 8), [0.8414709848, 0.5403023059, 0.0099998333, 0.9999500004], 10);
    expectValues(data.slice(8), [0.9092974268, -0.4161468365, 0.0199986667, 0.9998000067], 10);
    expectValues(sinusoidalEncoding({ length: 1, dim: 3, offset: 2 }).data, [
      Math.sin(2),
      Math.cos(2),
      Math.sin(2 * 10000 ** (-2 / 3)),
    ]);
  });

  it('concatenates them with the last timescale at 1/10000', () => {
    const options = { length: 1, layout: 'concatenated', offset: 5 } as const;
    const [a, b, c] = [5, 5 / 100, 5 / 10000];
    const even = [Math.sin(a), Math.sin(b), Math.sin(c), Math.cos(a), Math.cos(b), Math.cos(c)];
    expectValues(sinusoidalEncoding({ ...options, dim: 6 }).data, even);
    expectValues(sinusoidalEncoding({ ...options, dim: 7 }).data, [...even, 0]);
    expectValues(sinusoidalEncoding({ ...options, dim: 2 }).data, [Math.sin(5), Math.cos(5)]);
  });

  it('starts at offset', () => {
    for (const layout of ['interleaved', 'concatenated'] as const) {
      const whole = sinusoidalEncoding({ length: 9, dim: 10, layout, base: 500 }).data.slice(40);
      expectValues(sinusoidalEncoding({ length: 5, dim: 10, layout, base: 500, offset: 4 }).data, Array.from(whole));
    }
  });
});

describe('rotaryEmbedding', () => {
  const inner = (a: Float64NdArray, b: Float64NdArray) => a.data.reduce((sum, x, at) => sum + x * b.data[at], 0);

  it('turns pair k by p·base^(-2k/d)', () => {
    const x = array([1, 1, 1, 4], [1, 2, 3, 4]);
    const [c0, s0, c1, s1] = [Math.cos(5), Math.sin(5), Math.cos(0.05), Math.sin(0.05)];
    expectValues(rotaryEmbedding(x, { offset: 5 }).data, [c0 - 3 * s0, 2 * c1 - 4 * s1, s0 + 3 * c0, 2 * s1 + 4 * c1]);
    expectValues(rotaryEmbedding(x, { offset: 5, style: 'interleaved' }).data, [
      c0 - 2 * s0,
      s0 + 2 * c0,
      3 * c1 - 4 * s1,
      3 * s1 + 4 * c1,
    ]);
    expectValues(rotaryEmbedding(x, { offset: 5, rotaryDim: 2 }).data, [c0 - 2 * s0, s0 + 2 * c0, 3, 4]);
  });

  it('makes inner products depend on the distance of positions only, and keeps the norm', () => {
    const [q, k] = [random([1, 1, 1, 16], 1), random([1, 1, 1, 16], 2)];
    for (const style of ['half', 'interleaved'] as const) {
      const at = (m: number, n: number) =>
        inner(rotaryEmbedding(q, { offset: m, style }), rotaryEmbedding(k, { offset: n, style }));
      expect(at(107, 104)).toBeCloseTo(at(3, 0), 10);
      expect(at(7, 4)).toBeCloseTo(at(3, 0), 10);
      expect(Math.abs(at(4, 0) - at(3, 0))).toBeGreaterThan(1e-3);
      const turned = rotaryEmbedding(q, { offset: 11, style });
      const plain = rotaryEmbedding(q, { style });
      expect(inner(turned, turned)).toBeCloseTo(inner(plain, plain), 10);
    }
  });

  it('takes positions per sequence and per batch, in both layouts', () => {
    const x = random([2, 3, 4, 8], 1);
    const counted = rotaryEmbedding(x, { offset: 2 });
    expectClose(rotaryEmbedding(x, { positions: array([4], [2, 3, 4, 5]) }), counted, 0);
    expectClose(swapMiddle(rotaryEmbedding(swapMiddle(x), { layout: 'bshd', offset: 2 })), counted, 0);
    const perBatch = rotaryEmbedding(x, { positions: array([2, 4], [2, 3, 4, 5, 0, 0, 0, 0]) });
    expect(Array.from(perBatch.data.slice(0, 96))).toEqual(Array.from(counted.data.slice(0, 96)));
    expect(Array.from(perBatch.data.slice(96))).toEqual(Array.from(x.data).slice(96));
  });

  it('rounds table entries once in float32', () => {
    const exact = rotaryTable([0, 1, 1000], { rotaryDim: 6 });
    const rounded = rotaryTable([0, 1, 1000], { rotaryDim: 6, precision: 'float32' });
    expect(exact.cos.shape).toEqual([3, 3]);
    expect(Array.from(rounded.cos.data)).toEqual(Array.from(Float32Array.from(exact.cos.data)));
    expect(Array.from(rounded.sin.data)).toEqual(Array.from(Float32Array.from(exact.sin.data)));
  });
});

describe('rotaryFrequencies', () => {
  const frequencies = (options: Parameters<typeof rotaryFrequencies>[0]) => rotaryFrequencies(options).frequencies;
  const plain = frequencies({ rotaryDim: 128 });

  it('linear divides; ntk keeps the first and divides the last', () => {
    expectValues(frequencies({ rotaryDim: 4, scaling: { type: 'linear', factor: 4 } }), [1 / 4, 1 / 400], 15);
    const ntk = frequencies({ rotaryDim: 128, scaling: { type: 'ntk', factor: 4 } });
    expect(ntk[0]).toBe(1);
    expect(ntk[63] / plain[63]).toBeCloseTo(1 / 4, 12);
  });

  it('dynamic is plain up to the original length, then ntk of a growing factor', () => {
    const dynamic = (length: number) =>
      frequencies({ rotaryDim: 128, scaling: { type: 'dynamic', factor: 2, originalMaxPosition: 1024, length } });
    expect(dynamic(1000)).toEqual(plain);
    expectValues(dynamic(2048), Array.from(frequencies({ rotaryDim: 128, scaling: { type: 'ntk', factor: 3 } })), 14);
  });

  it('yarn ramps from pair 20 to pair 46 for Llama 2', () => {
    const scaling = { type: 'yarn', factor: 16, originalMaxPosition: 4096 } as const;
    const { frequencies: yarn, attentionFactor } = rotaryFrequencies({ rotaryDim: 128, scaling });
    const ratio = (k: number) => yarn[k] / plain[k];
    expectValues([0, 20, 33, 46, 63].map(ratio), [1, 1, (1 + 1 / 16) / 2, 1 / 16, 1 / 16]);
    expect(ratio(21)).toBeLessThan(1);
    expect(ratio(45)).toBeGreaterThan(1 / 16);
    expect(attentionFactor).toBeCloseTo(1.2772588722, 10);
    const table = rotaryTable([0], { rotaryDim: 128, scaling: { ...scaling, attentionFactor: 1.5 } });
    expect(table.cos.data.every((c) => c === 1.5)).toBe(true);
  });

  it('llama3 keeps short wavelengths, divides long ones and interpolates between', () => {
    const at = (turns: number) =>
      frequencies({
        rotaryDim: 2,
        scaling: {
          type: 'llama3',
          factor: 8,
          lowFrequencyFactor: 1,
          highFrequencyFactor: 4,
          originalMaxPosition: 2 * Math.PI * turns,
        },
      })[0];
    expectValues([0.9, 1, 2.5, 4, 5].map(at), [1 / 8, 1 / 8, 0.5625, 1, 1]);
  });

  it('longrope takes the short list up to the original length, then the long one', () => {
    const longrope = (length: number) =>
      rotaryFrequencies({
        rotaryDim: 4,
        scaling: {
          type: 'longrope',
          shortFactor: [1, 2],
          longFactor: [4, 5],
          originalMaxPosition: 4096,
          factor: 32,
          length,
        },
      });
    expectValues(longrope(4096).frequencies, [1, 1 / 200], 15);
    expectValues(longrope(4097).frequencies, [1 / 4, 1 / 500], 15);
    expect(longrope(1).attentionFactor).toBeCloseTo(1.1902380714, 10);
  });
});

describe('multiHeadAttention', () => {
  const identity = [1, 0, 0, 1];
  const state = {
    in_proj_weight: array([6, 2], [...identity, ...identity, 2, 0, 0, 1]),
    in_proj_bias: array([6], [1, 1, 0, 0, 0, 8]),
    'out_proj.weight': array([2, 2], [0, 1, 1, 0]),
    'out_proj.bias': array([2], [10, 20]),
  };
  // Head 0: q = 1, scores 0 and ln 3, values 4 and 8. Head 1: q = 0, equal scores, values 8 and 16.
  const query = array([1, 1, 2], [0, -1]);
  const key = array([1, 2, 2], [0, 5, Math.log(3), -5]);
  const value = array([1, 2, 2], [2, 0, 4, 8]);

  it('matches a case computed by hand', () => {
    const { output, weights } = multiHeadAttention(query, key, value, 2, state);
    expect(output.shape).toEqual([1, 1, 2]);
    expectValues(output.data, [22, 27]);
    expect(weights.shape).toEqual([1, 1, 2]);
    expectValues(weights.data, [0.375, 0.625]);
    const perHead = multiHeadAttention(query, key, value, 2, state, { averageWeights: false }).weights;
    expect(perHead.shape).toEqual([1, 2, 1, 2]);
    expectValues(perHead.data, [1 / 4, 3 / 4, 1 / 2, 1 / 2]);
  });

  it('ignores where a boolean mask is 1 and adds a float mask', () => {
    const run = (options: Parameters<typeof multiHeadAttention>[5]) =>
      multiHeadAttention(query, key, value, 2, state, options).output.data;
    const firstOnly = [8 + 10, 4 + 20];
    expectValues(run({ keyPaddingMask: array([1, 2], [0, 1]) }), firstOnly);
    expectValues(run({ attnMask: { ...array([1, 2], [0, 1]), dtype: 'boolean' } }), firstOnly);
    expectValues(run({ isCausal: true }), firstOnly);
    expectValues(run({ attnMask: array([1, 2], [Math.log(3), 0]) }), [10 + 10, 6 + 20]);
    expectValues(run({ attnMask: array([2, 1, 2], [0, 0, 0, -Infinity]) }), [8 + 10, 7 + 20]);
    expectValues(run({ keyPaddingMask: array([1, 2], [1, 1]) }), [10, 20]);
  });

  it('takes separate projections of other widths', () => {
    const { in_proj_weight: _, ...rest } = state;
    const separate = {
      ...rest,
      q_proj_weight: array([2, 2], identity),
      k_proj_weight: array([2, 3], [1, 0, 0, 0, 0, 1]),
      v_proj_weight: array([2, 1], [2, 3]),
    };
    const wideKey = array([1, 2, 3], [0, 9, 5, Math.log(3), 9, -5]);
    const { output } = multiHeadAttention(query, wideKey, array([1, 2, 1], [2, 4]), 2, separate);
    expectValues(output.data, [(14 + 20) / 2 + 10, 7 + 20]);
    expect(() => multiHeadAttention(query, key, value, 2, rest)).toThrow(TypeError);
  });
});
