import { describe, expect, it } from 'vitest';
import { linear, MultiHeadAttention, type MultiHeadForwardOptions } from 'wasm-attention';
import {
  type MultiHeadState,
  multiHeadAttention,
  type NdArray,
  linear as referenceLinear,
} from 'wasm-attention/reference';
import { expectAccurate, poisonedRuntime, random, testBuilds, upload } from './support.ts';

type Mask = NdArray & { data: Float32Array; dtype?: 'boolean' };
type Masks = { keyPaddingMask?: Mask; attnMask?: Mask; isCausal?: boolean };
type Sizes = {
  batch?: number;
  queries?: number;
  keys?: number;
  embedDim?: number;
  heads?: number;
  kdim?: number;
  vdim?: number;
  bias?: boolean;
};

/** 1 (ignore) for about a third of the entries. */
function ignore(shape: readonly number[], seed: number): Mask {
  return { shape, data: random(shape, seed).data.map((x) => (x > 0.6 ? 1 : 0)), dtype: 'boolean' };
}

/** Added scores, some of them −Infinity. */
function add(shape: readonly number[], seed: number): Mask {
  return { shape, data: random(shape, seed).data.map((x) => (x > 1.2 ? -Infinity : x)) };
}

function filled(shape: readonly number[], value: number, dtype?: 'boolean'): Mask {
  return { shape, data: new Float32Array(shape.reduce((size, n) => size * n, 1)).fill(value), dtype };
}

describe.each(testBuilds)('%s', (build) => {
  const runtime = poisonedRuntime(build);

  function checkLinear(shape: number[], outFeatures: number, withBias: boolean): void {
    const results: Record<'actual' | 'truth' | 'float32', number[]> = { actual: [], truth: [], float32: [] };
    // The largest of a few errors is luck: small cases are repeated.
    for (let seed = 0; seed < 40 && results.truth.length < 800; seed++) {
      const [x, w] = [random(shape, seed), random([outFeatures, shape.at(-1)!], seed + 200)];
      const b = withBias ? random([outFeatures], seed + 400) : undefined;
      runtime.scope(() => {
        const actual = linear(upload(runtime, x), upload(runtime, w), b && upload(runtime, b));
        expect(actual.shape).toEqual([...shape.slice(0, -1), outFeatures]);
        results.actual.push(...actual.data);
        results.truth.push(...referenceLinear(x, w, b).data);
        results.float32.push(...referenceLinear(x, w, b, { precision: 'float32' }).data);
      });
    }
    expectAccurate(results.actual, results.truth, results.float32);
  }

  it.each([1, 3, 40, 59, 63, 64, 80, 96, 111, 128, 256])('linear of %i features', (inFeatures) => {
    for (const outFeatures of [1, 3, 4, 37]) {
      checkLinear([33, inFeatures], outFeatures, true);
      checkLinear([2, 16, inFeatures], outFeatures, false);
    }
  });

  it('linear around the edges of a group of 8 rows, a block of 64 and a tile of 128', () => {
    for (const rows of [0, 1, 7, 8, 9, 63, 64, 65, 129]) checkLinear([rows, 48], 20, true);
    for (const rows of [1, 2, 3, 4])
      for (const features of [479, 480, 481, 1001]) checkLinear([rows, 7], features, true);
    for (const out of [0, 127, 128, 129, 257]) checkLinear([10, 48], out, true);
    checkLinear([48], 5, true);
    checkLinear([2, 3, 2, 48], 5, false);
  });

  function check(sizes: Sizes, given: Masks = {}, averageWeights = true, seed = 1): void {
    const { queries = 11, keys = 19, embedDim = 24, heads = 3, bias = true } = sizes;
    const { batch = Math.max(3, Math.min(64, Math.ceil(700 / (queries * embedDim + 1)))) } = sizes;
    const { kdim = embedDim, vdim = embedDim } = sizes;
    const layer = new MultiHeadAttention(runtime, { embedDim, heads, kdim, vdim, bias });
    const state = Object.fromEntries(
      Object.entries(layer.shapes).map(([name, shape], i) => [name, random(shape, seed + i, 0.6)]),
    );
    layer.load(Object.fromEntries(Object.entries(state).map(([name, { data }]) => [name, data])));
    const [query, key, value] = [
      [queries, embedDim],
      [keys, kdim],
      [keys, vdim],
    ].map(([n, dim], i) => random([batch, n, dim], seed + 50 + i));
    const reference = (precision: 'float64' | 'float32') =>
      multiHeadAttention(query, key, value, heads, state as unknown as MultiHeadState, {
        ...asReference(given, { batch, heads, queries, keys }),
        averageWeights,
        precision,
      });
    const [truth, float32] = [reference('float64'), reference('float32')];
    const mask = (one?: Mask) => one && runtime.tensor(one.shape, one.data, one.dtype ?? 'float32');
    runtime.scope(() => {
      const options: MultiHeadForwardOptions = {
        keyPaddingMask: mask(given.keyPaddingMask),
        attnMask: mask(given.attnMask),
        isCausal: given.isCausal,
      };
      const [q, k, v] = [query, key, value].map((array) => upload(runtime, array));
      const { output, weights } = layer.forward(q, k, v, { ...options, needWeights: true, averageWeights });
      expect(output.shape).toEqual([batch, queries, embedDim]);
      expect(weights!.shape).toEqual(averageWeights ? [batch, queries, keys] : [batch, heads, queries, keys]);
      expectAccurate(output.data, truth.output.data, float32.output.data);
      expectAccurate(weights!.data, truth.weights.data, float32.weights.data, 'weights');
      const alone = layer.forward(q, k, v, options);
      expect(alone.weights).toBeUndefined();
      expect(alone.output.data).toEqual(output.data);
    });
    layer.dispose();
    expect(runtime.memory.usedBytes).toBe(0);
  }

  it('multi-head attention of many sizes', () => {
    for (const [embedDim, heads] of [
      [1, 1],
      [6, 2],
      [15, 5],
      [64, 1],
      [96, 4],
      [118, 2],
    ])
      check({ embedDim, heads });
    for (const queries of [0, 1, 8, 65]) check({ queries });
    for (const keys of [1, 64, 129]) check({ keys });
    check({ batch: 1, queries: 70, keys: 70, embedDim: 64, heads: 8 }, { isCausal: true }, false);
  });

  it('separate projections, without biases', () => {
    check({ kdim: 7, vdim: 30 });
    check({ kdim: 7 });
    check({ vdim: 5, bias: false });
    check({ bias: false });
  });

  it('masks, alone and together', () => {
    const [batch, heads, queries, keys] = [3, 3, 11, 19];
    const padding = ignore([batch, keys], 8);
    for (const keyPaddingMask of [undefined, padding, add([batch, keys], 9)]) {
      for (const make of [ignore, add]) {
        check({}, { keyPaddingMask, attnMask: make([queries, keys], 4) });
        check({}, { keyPaddingMask, attnMask: make([batch * heads, queries, keys], 5), isCausal: true }, false);
      }
      check({}, { keyPaddingMask, isCausal: true });
    }
  });

  it('rows that see no key give the bias of the output projection and weights 0', () => {
    const keyPaddingMask = ignore([3, 19], 8);
    keyPaddingMask.data.fill(1, 19, 38);
    check({}, { keyPaddingMask });
    check({}, { attnMask: filled([11, 19], 1, 'boolean') }, false);
    check({}, { attnMask: filled([11, 19], -Infinity) });
  });

  it('loads again, from tensors too', () => {
    const layer = new MultiHeadAttention(runtime, { embedDim: 2, heads: 1, bias: false });
    const zeros = { in_proj_weight: new Float32Array(12), 'out_proj.weight': [1, 0, 0, 1] };
    const x = runtime.tensor([1, 1, 2], [3, 4]);
    layer.load(zeros);
    expect(Array.from(runtime.scope(() => layer.forward(x, x, x).output.toArray()))).toEqual([0, 0]);
    const weight = runtime.tensor([6, 2], [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0]);
    runtime.scope(() => layer.load({ ...zeros, in_proj_weight: weight }));
    expect(Array.from(runtime.scope(() => layer.forward(x, x, x).output.toArray()))).toEqual([4, 3]);
    layer.dispose();
    for (const tensor of [x, weight]) tensor.dispose();
    expect(runtime.memory.usedBytes).toBe(0);
  });
});

/** The reference knows one float mask: a float padding mask becomes part of it, and a boolean one beside it −Infinity. */
function asReference(
  { keyPaddingMask, attnMask, isCausal }: Masks,
  { batch, heads, queries, keys }: { batch: number; heads: number; queries: number; keys: number },
): Masks {
  if (!keyPaddingMask || keyPaddingMask.dtype === 'boolean') return { keyPaddingMask, attnMask, isCausal };
  const data = new Float32Array(batch * heads * queries * keys).map((_, at) => {
    const [j, i] = [at % keys, Math.floor(at / keys) % queries];
    const [head, b] = [Math.floor(at / keys / queries), Math.floor(at / keys / queries / heads)];
    const padding = keyPaddingMask.data[b * keys + j];
    if (!attnMask) return padding;
    const own = attnMask.data[(attnMask.shape.length === 3 ? head * queries * keys : 0) + i * keys + j];
    if (attnMask.dtype === 'boolean') return own ? -Infinity : padding;
    return padding + own;
  });
  return { attnMask: { shape: [batch * heads, queries, keys], data }, isCausal };
}
