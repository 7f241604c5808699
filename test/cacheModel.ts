import { expect } from 'vitest';
import { attentionState, KVCache, type KVCacheOptions, RotaryEmbedding, type Runtime } from 'wasm-attention';
import {
  type AttentionOptions,
  type AttentionResult,
  headsOf,
  type NdArray,
  KVCache as ReferenceCache,
  type KVCacheOptions as ReferenceCacheOptions,
} from 'wasm-attention/reference';
import { count, expectAccurate, random, upload } from './support.ts';

export type Options = ReferenceCacheOptions & Pick<KVCacheOptions, 'pageSize' | 'pages'>;
/** Queries and heads a KV head: 1, 2, 3, 4, 5, 8, 9, 16 rows of a task. */
export const ROWS = [
  [1, 1],
  [1, 2],
  [1, 3],
  [2, 2],
  [5, 1],
  [1, 8],
  [4, 2],
  [3, 3],
  [2, 8],
];

export const dtypes = ['float32', 'float16', 'int8'] as const;

/** Queries × grouped heads up to which an int8 cache is read in integers. */
export const FEW = 8;

/** A cache and the lists that it must be equal to; what is done to one is done to both. */
export class Model {
  readonly cache: KVCache;
  readonly reference: ReferenceCache;
  #seed = 0;

  constructor(
    readonly runtime: Runtime,
    readonly options: Options,
  ) {
    const { rotary, ...rest } = options;
    const { headDim } = options;
    this.cache = new KVCache(runtime, {
      ...rest,
      rotary: rotary && new RotaryEmbedding(runtime, { headDim, ...rotary }),
    });
    this.reference = new ReferenceCache(options);
  }

  /** New keys and values, of which `range` is the largest. */
  tokens(tokens: number, range = 2): { key: NdArray; value: NdArray } {
    const { batch = 1, kvHeads, headDim, valueDim = headDim } = this.options;
    const shape = [batch, kvHeads, tokens];
    return { key: random([...shape, headDim], ++this.#seed, range), value: random([...shape, valueDim], ++this.#seed) };
  }

  append(tokens: number, lengths?: number[], given = this.tokens(tokens)): this {
    this.runtime.scope(() => {
      const value = this.options.sharedValues ? undefined : upload(this.runtime, given.value);
      this.cache.append(upload(this.runtime, given.key), value, lengths && { lengths });
    });
    this.reference.append(given.key, given.value, { lengths });
    return this;
  }

  query(heads: number, queries: number, range = 2): NdArray {
    return random([this.options.batch ?? 1, heads, queries, this.options.headDim], ++this.#seed, range);
  }

  /** Holds output and lse of the cache to the reference's over the rows as they are stored. */
  attend(query: NdArray, options: AttentionOptions = {}, ours: object = options): AttentionResult {
    const { runtime, cache, reference } = this;
    const { kvHeads, dtype } = this.options;
    const truth = reference.attend(query, options);
    const float32 = reference.attend(query, { ...options, precision: 'float32' });
    const { key, value } = reference.keyValues();
    const { heads, length, headDim } = headsOf(query);
    const score = Math.abs(options.scale ?? 1 / Math.sqrt(headDim)) * largest(query.data) * norm(key);
    // What four roundings of the largest score, or of a sum on the way to it, do to an exponential.
    const beyond =
      1 + score + Math.max(largest(truth.capped.data), largest(truth.masked.data), largest(truth.lse.data));
    let [least, leastLse] = [2 ** -22 * beyond * largest(value.data), 2 ** -22 * beyond];
    // A mask that differs from head to head makes each head a task of its own.
    const rows = typeof options.mask === 'function' ? length : length * (heads / kvHeads);
    if (dtype === 'int8' && rows <= FEW) {
      const error = int8Error(score, headDim, value.shape[3]);
      least += error.output * largest(value.data);
      leastLse += error.lse;
    }
    const used = runtime.memory.usedBytes;
    runtime.scope(() => {
      const { output, lse } = attentionState(upload(runtime, query), cache, ours);
      expectAccurate(output.data, truth.output.data, float32.output.data, 'output', least);
      expectAccurate(lse.data, truth.lse.data, float32.lse.data, 'lse', leastLse);
    });
    expect(runtime.memory.usedBytes).toBe(used);
    return truth;
  }

  expectSame(): void {
    expect(this.cache.lengths).toEqual(this.reference.lengths);
    expect(this.cache.positions).toEqual(this.reference.positions);
    expect(this.cache.length).toBe(Math.max(...this.reference.lengths));
  }
}

/** Runs a test on a model whose cache is then disposed. */
export function using(runtime: Runtime, options: Options, test: (model: Model) => void): void {
  const model = new Model(runtime, options);
  test(model);
  model.cache.dispose();
}

/**
 * What 16-bit integers may add to the error of up to `FEW` rows over an int8 cache, the output's relative to the largest value: half a
 * step of each weight, of which there are 32767 in a tile's largest, and half a step of each of a query's elements.
 * @param score `scale · max|q| · max‖k‖₁`
 */
export function int8Error(score: number, headDim: number, valueDim: number): { output: number; lse: number } {
  const tile = Math.min(Math.max(Math.round(3072 / Math.max(headDim, valueDim) / 4) * 4, 4), 120);
  return { output: (tile + 2 * score) / 65534, lse: score / 65534 };
}

export function largest(values: ArrayLike<number>): number {
  let found = 0;
  for (let i = 0; i < values.length; i++) if (Number.isFinite(values[i])) found = Math.max(found, Math.abs(values[i]));
  return found;
}

/** max ‖row‖₁ */
function norm({ shape, data }: NdArray): number {
  const dim = shape[3];
  let found = 0;
  for (let at = 0; at < count(shape); at += dim) {
    let sum = 0;
    for (let d = 0; d < dim; d++) sum += Math.abs(data[at + d]);
    if (Number.isFinite(sum)) found = Math.max(found, sum);
  }
  return found;
}
