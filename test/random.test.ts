import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AttentionOptions, attentionState, attentionWeights, masks } from 'wasm-attention';
import { attention, type AttentionOptions as ReferenceOptions } from 'wasm-attention/reference';
import { builds, expectAccurate, poisonedRuntime, random, upload } from './support.ts';

const size = (most: number) => fc.integer({ min: 1, max: most });
const maybe = <T>(one: fc.Arbitrary<T>) => fc.option(one, { nil: undefined });

const sizes = fc.record({
  batch: size(3),
  kvHeads: size(3),
  group: fc.oneof(size(3), fc.constantFrom(4, 8)),
  queries: fc.oneof(size(12), fc.integer({ min: 0, max: 80 })),
  keys: fc.oneof(size(12), fc.integer({ min: 0, max: 150 })),
  headDim: fc.oneof(size(9), size(70)),
  valueDim: fc.oneof(size(9), size(70)),
  seed: fc.nat(1000),
});

const options = fc.record({
  layout: fc.constantFrom('bhsd' as const, 'bshd' as const),
  causal: maybe(fc.boolean()),
  causalAlignment: maybe(fc.constantFrom('bottom-right' as const, 'top-left' as const)),
  scale: maybe(fc.constantFrom(0, 0.125, -0.5, 3)),
  softcap: maybe(fc.constantFrom(0.5, 5, 50)),
  window: maybe(fc.tuple(fc.constantFrom(0, 3, 40, Infinity), fc.constantFrom(0, 2, 70, Infinity))),
});

/** What takes its length from the sizes: kinds, and seeds of their values. */
const shaped = fc.record({
  keyLengths: maybe(fc.nat(1000)),
  queryOffset: maybe(fc.oneof(fc.integer({ min: -20, max: 200 }), fc.constant('per batch' as const))),
  mask: maybe(
    fc.record({
      kind: fc.constantFrom('predicate', 'tensor', 'added', 'not', 'or'),
      modulus: fc.integer({ min: 1, max: 7 }),
    }),
  ),
  bias: maybe(fc.tuple(fc.boolean(), fc.boolean(), fc.boolean(), fc.boolean())),
  alibiSlopes: fc.boolean(),
  sink: fc.boolean(),
});

type Sizes = { batch: number; heads: number; queries: number; keys: number; seed: number };
type Shaped = typeof shaped extends fc.Arbitrary<infer T> ? T : never;

/** The options that have values for each batch, head or pair, as the reference takes them. */
function fill({ batch, heads, queries, keys, seed }: Sizes, given: Shaped): ReferenceOptions {
  const { keyLengths, queryOffset, mask, bias } = given;
  const biasShape = [batch, heads, queries, keys].map((n, axis) => (bias?.[axis] ? n : 1));
  const perBatch = (value: (b: number) => number) => Array.from({ length: batch }, (_, b) => value(b));
  return {
    keyLengths: keyLengths === undefined ? undefined : perBatch((b) => (keyLengths + b * 31) % (keys + 1)),
    queryOffset: queryOffset === 'per batch' ? perBatch((b) => (seed % 90) - 10 + 7 * b) : queryOffset,
    mask: mask && ((b, h, i, j) => (i * 5 + j * 3 + b + 2 * h) % mask.modulus === 0),
    bias: bias && { shape: biasShape, data: random(biasShape, seed + 9).data.map((x) => (x > 1.7 ? -Infinity : x)) },
    alibiSlopes: given.alibiSlopes ? Array.from(random([heads], seed + 10, 0.5).data) : undefined,
    sink: given.sink ? Array.from(random([heads], seed + 11, 3).data) : undefined,
  };
}

function largest(values: ArrayLike<number>): number {
  let found = 0;
  for (let i = 0; i < values.length; i++) if (Number.isFinite(values[i])) found = Math.max(found, Math.abs(values[i]));
  return found;
}

/** The largest norm of a row. */
function norm(values: Float32Array, dim: number): number {
  let found = 0;
  for (let at = 0; at < values.length; at += dim) found = Math.max(found, Math.hypot(...values.subarray(at, at + dim)));
  return found;
}

describe.each(builds)('%s', (build) => {
  const runtime = poisonedRuntime(build);

  /** The predicate of the reference as one of the kinds of mask that mean the same. */
  function maskOf(
    kind: string,
    visible: ReferenceOptions['mask'],
    { batch, heads, queries, keys }: Sizes,
  ): AttentionOptions['mask'] {
    if (typeof visible !== 'function') return undefined;
    if (kind === 'predicate') return masks.fromPredicate(visible);
    if (kind === 'not') return masks.fromPredicate((...pair) => !visible(...pair)).not();
    if (kind === 'or') {
      const half = (parity: number) => masks.fromPredicate((b, h, i, j) => j % 2 === parity && visible(b, h, i, j));
      return half(0).or(half(1));
    }
    const data = Uint8Array.from({ length: batch * heads * queries * keys }, (_, at) => {
      const [head, i, j] = [Math.floor(at / keys / queries), Math.floor(at / keys) % queries, at % keys];
      return visible(Math.floor(head / heads), head % heads, i, j) ? 1 : 0;
    });
    const shape = [batch, heads, queries, keys];
    if (kind === 'tensor') return runtime.tensor(shape, data, 'boolean');
    return runtime.tensor(
      shape,
      Array.from(data, (x) => (x ? 0 : -Infinity)),
    );
  }

  it('attention of any sizes, strides and options is that of the reference', () => {
    fc.assert(
      fc.property(sizes, options, shaped, ({ kvHeads, group, headDim, valueDim, ...rest }, plain, given) => {
        const dims = { ...rest, heads: kvHeads * group };
        const { batch, heads, queries, keys, seed } = dims;
        const shape = (h: number, n: number, d: number) =>
          plain.layout === 'bhsd' ? [batch, h, n, d] : [batch, n, h, d];
        const [q, k, v] = [
          shape(heads, queries, headDim),
          shape(kvHeads, keys, headDim),
          shape(kvHeads, keys, valueDim),
        ];
        const [query, key, value] = [random(q, seed), random(k, seed + 1), random(v, seed + 2)];
        const full = { ...plain, ...fill(dims, given) };
        const truth = attention(query, key, value, full);
        const float32 = attention(query, key, value, { ...full, precision: 'float32' });
        const used = runtime.memory.usedBytes;
        runtime.scope(() => {
          const ours: AttentionOptions = {
            ...full,
            mask: given.mask && maskOf(given.mask.kind, full.mask, dims),
            bias: full.bias && upload(runtime, full.bias),
          };
          const tensors = [query, key, value].map((array) => upload(runtime, array));
          const { output, lse } = attentionState(tensors[0], tensors[1], tensors[2], ours);
          const weights = attentionWeights(tensors[0], tensors[1], ours);
          // What four roundings of the largest score or lse, or of a sum on the way to it do to an exponential.
          const sums =
            Math.abs(plain.scale ?? 1 / Math.sqrt(headDim)) * norm(query.data, headDim) * norm(key.data, headDim);
          const least =
            2 ** -22 *
            (1 + sums + Math.max(...[truth.capped, truth.masked, truth.lse].map(({ data }) => largest(data))));
          expectAccurate(output.data, truth.output.data, float32.output.data, 'output', least * largest(value.data));
          expectAccurate(lse.data, truth.lse.data, float32.lse.data, 'lse', least);
          expectAccurate(weights.data, truth.weights.data, float32.weights.data, 'weights', least);
        });
        expect(runtime.memory.usedBytes).toBe(used);
      }),
      {
        numRuns: Number(process.env.RANDOM_RUNS ?? 100),
        seed: process.env.RANDOM_SEED ? Number(process.env.RANDOM_SEED) : 1,
      },
    );
  });
});
