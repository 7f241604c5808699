import { describe, expect, it } from 'vitest';
import {
  attention,
  favorFeatures,
  type LinearAttentionOptions,
  linearAttention,
  type NdArray,
  retentionDecay,
} from '../src/reference/index.ts';
import { random } from './support.ts';

/** One batch, one head: rows of vectors. */
const head = (...rows: number[][]): NdArray => ({ shape: [1, 1, rows.length, rows[0].length], data: rows.flat() });
const values = (...data: number[]): NdArray => ({ shape: [1, 1, data.length], data });

function expectValues(actual: ArrayLike<number>, expected: number[]) {
  expect(actual.length).toBe(expected.length);
  for (const [i, x] of expected.entries()) expect(actual[i], `element ${i}`).toBeCloseTo(x, 12);
}

const [q, k, v] = [head([1, 0], [0, 1]), head([2, 0], [1, 3]), head([1, 2], [3, 4])];

describe('update rules, by hand', () => {
  const run = (options: LinearAttentionOptions) => linearAttention(q, k, v, { scale: 1, ...options });

  it('linear', () => {
    // S₁ = [[2, 4], [0, 0]], S₂ = S₁ + [[3, 4], [9, 12]].
    expectValues(run({ causal: true }).output.data, [2, 4, 9, 12]);
    expectValues(run({}).output.data, [5, 8, 9, 12]);
    expectValues(run({}).state.data, [5, 8, 9, 12]);
    expectValues(
      run({ scale: undefined }).output.data,
      [5, 8, 9, 12].map((x) => x / Math.SQRT2),
    );
  });

  it('gated, by a head, a token and a feature', () => {
    const half = Math.log(0.5);
    expectValues(run({ update: 'gated', decay: [half] }).state.data, [4, 6, 9, 12]);
    expectValues(run({ update: 'gated', decay: values(-9, half) }).state.data, [4, 6, 9, 12]);
    expectValues(run({ update: 'gated', decay: head([0, 0], [half, 5]) }).output.data, [2, 4, 9, 12]);
    expectValues(run({ update: 'gated', decay: head([0, 0], [half, 5]) }).state.data, [4, 6, 9, 12]);
  });

  it('delta', () => {
    // Token 2 reads Sᵀk = [2, 4], so its value becomes ½·([3, 4] − [2, 4]) = [½, 0].
    const { output, state } = run({ update: 'delta', beta: values(1, 0.5) });
    expectValues(output.data, [2, 4, 1.5, 0]);
    expectValues(state.data, [2.5, 4, 1.5, 0]);
  });

  it('gated delta: the decay comes first', () => {
    // S = [[1, 2], [0, 0]] after the decay, Sᵀk = [1, 2], ½·([3, 4] − [1, 2]) = [1, 1].
    const { state } = run({ update: 'gatedDelta', beta: values(1, 0.5), decay: values(0, Math.log(0.5)) });
    expectValues(state.data, [2, 3, 3, 3]);
  });

  it('a unit key with β 1 replaces what the delta rule knew of it', () => {
    const keys = head([1, 0], [0.6, 0.8], [1, 0]);
    const beta = values(1, 1, 1);
    const { output } = linearAttention(keys, keys, head([1], [2], [3]), { update: 'delta', beta, scale: 1 });
    expectValues(output.data, [1, 2, 3]);
  });

  it('goes on from a state, skips keys past the length, shares KV heads', () => {
    const first = run({ causal: true, keyLengths: [1] });
    expectValues(first.state.data, [2, 4, 0, 0]);
    expectValues(first.output.data, [2, 4, 0, 0]);
    expectValues(
      linearAttention(head([1, 1]), head([1, 3]), head([3, 4]), { scale: 1, state: first.state }).output.data,
      [14, 20],
    );
    const two = { shape: [1, 2, 2, 2], data: [1, 0, 0, 1, 0, 1, 1, 0] };
    expectValues(linearAttention(two, k, v, { scale: 1 }).output.data, [5, 8, 9, 12, 9, 12, 5, 8]);
    const swapped = { shape: [1, 2, 2, 2], data: [1, 0, 0, 1, 0, 1, 1, 0] };
    const [keys, vals] = [k, v].map((x) => ({ shape: [1, 2, 1, 2], data: x.data }));
    expectValues(
      linearAttention(swapped, keys, vals, { scale: 1, layout: 'bshd' }).output.data,
      [5, 8, 9, 12, 9, 12, 5, 8],
    );
  });
});

describe('feature maps, by hand', () => {
  it('elu + 1, with the divisor and its state', () => {
    const { output, state } = linearAttention(head([-1]), head([2], [-3]), head([10], [20]), {
      featureMap: 'elu',
      epsilon: 0,
    });
    expectValues(output.data, [(3 * 10 + Math.exp(-3) * 20) / (3 + Math.exp(-3))]);
    expectValues(state.data, [3 * 10 + Math.exp(-3) * 20, 3 + Math.exp(-3)]);
    const [sum, divisor] = [Math.exp(-1) * 30, Math.exp(-1) * 3];
    expectValues(linearAttention(head([-1]), head([2]), head([10]), { featureMap: 'elu' }).output.data, [
      sum / (divisor + 1e-6),
    ]);
  });

  it('relu, and 0 where no key has a feature of the query', () => {
    const call = (query: number[]) =>
      linearAttention(head(query), head([2, -1], [1, -5]), head([3], [6]), { featureMap: 'relu', epsilon: 0.5 }).output
        .data;
    expectValues(call([1, 4]), [12 / 3.5]);
    expectValues(call([-1, 4]), [0]);
  });

  it('cosFormer weighs by cos(π/2·(i − j)/M)', () => {
    const { output } = linearAttention(head([1], [1], [1]), head([1], [2], [1]), head([1], [10], [100]), {
      featureMap: 'cosformer',
    });
    const w = [0, 1, 2].map((d) => Math.cos((Math.PI / 2) * (d / 3)));
    const row = (a: number, b: number, c: number) => (a + 20 * b + 100 * c) / (a + 2 * b + c);
    expectValues(output.data, [row(w[0], w[1], w[2]), row(w[1], w[0], w[1]), row(w[2], w[1], w[0])]);
    const last = linearAttention(head([1]), head([1]), head([5]), {
      featureMap: { type: 'cosformer', maxLength: 9, offset: 8 },
    });
    expectValues(last.output.data, [5]);
  });

  it('FAVOR+ is the quotient of its features, causal or not', () => {
    const featureMap = favorFeatures({ headDim: 3, features: 4, seed: 5 });
    const [query, key, value] = [1, 2, 3].map((seed) => random([1, 1, 6, 3], seed));
    const scale = 0.7;
    const phi = (x: number[]) => {
      const scaled = x.map((e) => e * Math.sqrt(scale));
      const half = scaled.reduce((sum, e) => sum + e * e, 0) / 2;
      return Array.from({ length: 4 }, (_, f) =>
        Math.exp(scaled.reduce((sum, e, d) => sum + e * featureMap.projection[3 * f + d], 0) - half),
      );
    };
    const rows = (array: NdArray) =>
      Array.from({ length: 6 }, (_, t) => Array.from(array.data).slice(3 * t, 3 * t + 3));
    for (const causal of [true, false]) {
      const expected = rows(query).flatMap((x, i) => {
        const keys = rows(key).slice(0, causal ? i + 1 : 6);
        const weights = keys.map((y) => phi(x).reduce((sum, p, f) => sum + p * phi(y)[f], 0));
        const sum = weights.reduce((a, b) => a + b, 0);
        return [0, 1, 2].map((d) => weights.reduce((o, w, j) => o + (w / sum) * value.data[3 * j + d], 0));
      });
      expectValues(linearAttention(query, key, value, { featureMap, causal, scale }).output.data, expected);
    }
  });
});

describe('FAVOR+ features', () => {
  it('are the same for the same seed, others for another', () => {
    const make = (seed: number) => favorFeatures({ headDim: 8, features: 20, seed }).projection;
    expect(make(1)).toEqual(make(1));
    expect(make(1)).not.toEqual(make(2));
    expect(favorFeatures({ headDim: 64 }).features).toBe(266);
    expect(favorFeatures({ headDim: 1 }).features).toBe(1);
  });

  it('are orthogonal within a block, and N(0, I) otherwise', () => {
    const dim = 8;
    const rowsOf = (orthogonal: boolean) => {
      const { projection, features } = favorFeatures({ headDim: dim, features: 4000, seed: 1, orthogonal });
      return Array.from({ length: features }, (_, i) => projection.subarray(i * dim, (i + 1) * dim));
    };
    const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, d) => sum + x * b[d], 0);
    for (const orthogonal of [true, false]) {
      const rows = rowsOf(orthogonal);
      const all = rows.flatMap((row) => [...row]);
      const moment = (n: number) => all.reduce((sum, x) => sum + x ** n, 0) / all.length;
      expect(Math.abs(moment(1))).toBeLessThan(0.03);
      expect(Math.abs(moment(2) - 1)).toBeLessThan(0.05);
      expect(Math.abs(moment(4) - 3)).toBeLessThan(0.3);
      // ‖ω‖² is χ² with 8 degrees of freedom: mean 8, variance 16.
      const squares = rows.map((row) => dot(row, row));
      const mean = squares.reduce((a, b) => a + b, 0) / squares.length;
      const variance = squares.reduce((sum, x) => sum + (x - mean) ** 2, 0) / squares.length;
      expect(Math.abs(mean - 8)).toBeLessThan(0.3);
      expect(Math.abs(variance - 16)).toBeLessThan(2);
      let largest = 0;
      for (let i = 0; i < rows.length; i++) {
        for (let j = i - (i % dim); j < i; j++) largest = Math.max(largest, Math.abs(dot(rows[i], rows[j])));
      }
      if (orthogonal) expect(largest).toBeLessThan(1e-5);
      else expect(largest).toBeGreaterThan(1);
    }
  });

  it('approximate softmax attention', () => {
    const [query, key, value] = [1, 2, 3].map((seed) => random([1, 1, 12, 4], seed, 1));
    const exact = attention(query, key, value).output.data;
    const error = (features: number) => {
      const featureMap = favorFeatures({ headDim: 4, features });
      const { data } = linearAttention(query, key, value, { featureMap }).output;
      return Math.hypot(...data.map((x, i) => x - exact[i])) / Math.hypot(...exact);
    };
    expect(error(4096)).toBeLessThan(0.05);
    expect(error(4096)).toBeLessThan(error(16) / 2);
  });
});

describe('retentionDecay', () => {
  it('is ln(1 − 2^{−5−h})', () =>
    expectValues(retentionDecay(3), [Math.log(31 / 32), Math.log(63 / 64), Math.log(127 / 128)]));
});
