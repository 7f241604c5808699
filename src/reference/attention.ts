import type { Float64NdArray, Layout, NdArray, Precision } from './array.ts';
import { broadcast, dot, headsOf, headsShape, rounder, zeros } from './array.ts';
import { softmaxRow } from './softmax.ts';

/** As the options of the kernel, on arrays. */
export type AttentionOptions = {
  /** Factor of `QKᵀ`. Default `1/√headDim`. */
  scale?: number;
  /** Key `j` is visible iff `j ≤ queryOffset + i`. Default false. */
  causal?: boolean;
  /** What `queryOffset` is when it is not given: `'bottom-right'` (default) keyLength − queries, `'top-left'` 0. */
  causalAlignment?: 'bottom-right' | 'top-left';
  /** The position of query 0, one number or one per batch. */
  queryOffset?: number | ArrayLike<number>;
  /** `[left, right]`: key `j` is visible iff `p − left ≤ j ≤ p + right`, `p = queryOffset + i`. Infinity = unbounded. */
  window?: readonly [number, number];
  /** Per batch: keys from here on are not visible. */
  keyLengths?: ArrayLike<number>;
  /** True (or 1) = may attend. An array is broadcast to [batch, heads, queries, keys]. */
  mask?: NdArray | ((batch: number, head: number, query: number, key: number) => boolean);
  /** Added to the scores, broadcast to [batch, heads, queries, keys]. −Infinity = not visible. */
  bias?: NdArray;
  /** `c` of `c·tanh(S/c)`. Default none. */
  softcap?: number;
  /** Per query head: `−slope·|p − j|` is added. */
  alibiSlopes?: ArrayLike<number>;
  /** Per query head: a logit, not scaled, that joins the denominator. */
  sink?: ArrayLike<number>;
  /** Order of the axes of query, key, value and output. Default `'bhsd'`. */
  layout?: Layout;
  precision?: Precision;
};

/** The output and every intermediate. */
export type AttentionResult = {
  /** [batch, heads, queries, valueDim] in the order of `layout`. */
  output: Float64NdArray;
  /** `[batch, heads, queries]`: `ln Σ_j e^{S_j}`, sink included. */
  lse: Float64NdArray;
  /** `[batch, heads, queries, keys]`: `scale·QKᵀ`. */
  scores: Float64NdArray;
  /** The scores after the softcap. */
  capped: Float64NdArray;
  /** The scores after bias, ALiBi and mask: −Infinity where a key is not visible. */
  masked: Float64NdArray;
  /** The softmax of `masked`. */
  weights: Float64NdArray;
};

/**
 * Scaled dot-product attention with every intermediate.
 *
 * `S = scale·QKᵀ` → `c·tanh(S/c)` → `+ bias − slope·|p − j|` → mask → softmax (sink in the denominator) → `P·V`.
 *
 * A key that is not visible is skipped, so NaN in it reaches nothing. A row without a visible key gives output 0 and
 * lse −Infinity (or the sink). Query head `h` reads key/value head `⌊h / (heads/kvHeads)⌋`.
 *
 * Sources: Vaswani et al. 2017, eq. 1; grouped heads: Ainslie et al. 2023; softcap: Gemma 2 report 2024; ALiBi: Press et
 * al. 2022; sink: gpt-oss model card 2025, with sink 0 the softmax-plus-one of Miller 2023.
 *
 * @param query [batch, heads, queries, headDim]
 * @param key [batch, kvHeads, keys, headDim]
 * @param value [batch, kvHeads, keys, valueDim]
 */
export function attention(
  query: NdArray,
  key: NdArray,
  value: NdArray,
  options: AttentionOptions = {},
): AttentionResult {
  const round = rounder(options.precision);
  const q = headsOf(query, options.layout);
  const k = headsOf(key, options.layout);
  const v = headsOf(value, options.layout);
  const shape = [q.batch, q.heads, q.length, k.length];
  const group = q.heads / k.heads;
  const scale = round(options.scale ?? 1 / Math.sqrt(q.headDim));
  const offset = queryOffsets(options, q.length, k.length);
  const visible = visibility(options, shape);
  const bias = options.bias && broadcast(options.bias, shape);

  const output = zeros(headsShape(q.batch, q.heads, q.length, v.headDim, options.layout));
  const lse = zeros(shape.slice(0, 3));
  const scores = zeros(shape);
  const capped = zeros(shape);
  const masked = zeros(shape);
  const weights = zeros(shape);

  for (let b = 0; b < q.batch; b++) {
    for (let h = 0; h < q.heads; h++) {
      const kvHead = Math.floor(h / group);
      for (let i = 0; i < q.length; i++) {
        const row = (b * q.heads + h) * q.length + i;
        for (let j = 0; j < k.length; j++) {
          const at = row * k.length + j;
          const product = dot(query.data, q.start(b, h, i), key.data, k.start(b, kvHead, j), q.headDim, round);
          let score = round(scale * product);
          scores.data[at] = score;
          if (options.softcap !== undefined) {
            const cap = round(options.softcap);
            score = round(cap * round(Math.tanh(round(score / cap))));
          }
          capped.data[at] = score;
          const added = bias ? round(bias(b, h, i, j)) : 0;
          score = round(score + added);
          if (options.alibiSlopes) {
            score = round(score - round(round(options.alibiSlopes[h]) * Math.abs(offset(b) + i - j)));
          }
          masked.data[at] = visible(b, h, i, j) && added !== -Infinity ? score : -Infinity;
        }

        const rowScores = masked.data.subarray(row * k.length, (row + 1) * k.length);
        const softmax = softmaxRow(rowScores, round, options.sink && round(options.sink[h]));
        weights.data.set(softmax.weights, row * k.length);
        lse.data[row] = softmax.lse;

        const outputStart = headsOf(output, options.layout).start(b, h, i);
        for (let j = 0; j < k.length; j++) {
          if (rowScores[j] === -Infinity) continue;
          for (let d = 0; d < v.headDim; d++) {
            const term = round(softmax.weights[j] * value.data[v.start(b, kvHead, j) + d]);
            output.data[outputStart + d] = round(output.data[outputStart + d] + term);
          }
        }
      }
    }
  }
  return { output, lse, scores, capped, masked, weights };
}

/** The position of query 0 in each batch. */
function queryOffsets(options: AttentionOptions, queries: number, keys: number): (batch: number) => number {
  const { queryOffset, causalAlignment, keyLengths } = options;
  if (typeof queryOffset === 'number') return () => queryOffset;
  if (queryOffset) return (batch) => queryOffset[batch];
  if (causalAlignment === 'top-left') return () => 0;
  return (batch) => (keyLengths ? keyLengths[batch] : keys) - queries;
}

/** Everything but the bias that decides whether a query sees a key. */
function visibility(options: AttentionOptions, shape: readonly number[]) {
  const { causal = false, window: [left, right] = [Infinity, Infinity], keyLengths, mask } = options;
  const [, , queries, keys] = shape;
  const offset = queryOffsets(options, queries, keys);
  const allowed = typeof mask === 'object' ? broadcast(mask, shape) : mask;
  return (b: number, h: number, i: number, j: number): boolean => {
    const p = offset(b) + i;
    if (keyLengths && j >= keyLengths[b]) return false;
    if (causal && j > p) return false;
    if (j < p - left || j > p + right) return false;
    return !allowed || Boolean(allowed(b, h, i, j));
  };
}
