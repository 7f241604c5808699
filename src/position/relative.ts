import { checkFlag, checkInteger, checkOptions, checkTensor, wrongKind, wrongValue } from '../check.ts';
import { type RelativeBucketOptions, relativePositionBucket } from '../reference/relative.ts';
import { Tensor } from '../tensor.ts';

export type RelativeBiasOptions = Omit<RelativeBucketOptions, 'buckets'> & {
  queries: number;
  keys: number;
  /** Position of the first query; default keys − queries. */
  queryOffset?: number;
};

const biasOptions = new Set(['queries', 'keys', 'queryOffset', 'maxDistance', 'bidirectional']);

/**
 * The relative position bias of T5, for `bias` of `scaledDotProductAttention` (T5 has `scale: 1`).
 *
 * `bias[h, i, j] = table[bucket(j − (queryOffset + i)), h]`; buckets hold one distance each up to half of a direction's
 * buckets, then logarithmically more, up to `maxDistance` (default 128). `bidirectional` (default true) gives keys after the
 * query buckets of their own. Source: Raffel et al. 2020, 2.1.
 *
 * @param table float32 [buckets, heads]: `relative_attention_bias.weight`
 * @returns float32 [1, heads, queries, keys]
 * @throws as `scaledDotProductAttention`; RangeError where the buckets do not divide, or `maxDistance` is none of the last
 * @example
 * const bias = relativePositionBias(table, { queries: 512, keys: 512 });
 * scaledDotProductAttention(query, key, value, { bias, scale: 1 });
 */
export function relativePositionBias(table: Tensor, options: RelativeBiasOptions): Tensor {
  const where = 'relativePositionBias';
  if (!(table instanceof Tensor)) throw wrongKind(where, 'table', 'a Tensor', table);
  const { runtime } = table;
  checkTensor(where, 'table', table, runtime, { rank: 2 });
  checkOptions(where, options, biasOptions);
  const { queries, keys, queryOffset = keys - queries, maxDistance = 128, bidirectional = true } = options;
  checkInteger(where, 'queries', queries);
  checkInteger(where, 'keys', keys);
  checkInteger(where, 'queryOffset', queryOffset, -(2 ** 30));
  checkFlag(where, 'bidirectional', bidirectional);
  const [buckets, heads] = table.shape;
  const own = bidirectional ? buckets / 2 : buckets;
  if (!Number.isInteger(own) || own < 2)
    throw wrongValue(
      where,
      'table',
      `has ${buckets} buckets, but ${bidirectional ? 'an even number ≥ 4' : 'at least 2'} are needed`,
    );
  checkInteger(where, 'maxDistance', maxDistance, Math.floor(own / 2) + 1);
  return runtime.allOrNothing((make) => {
    const bias = make([1, heads, queries, keys]);
    const [from, to] = [table.data, bias.data];
    // Rows are stretches of one line of distances, from the last query's first key on.
    const least = -(queryOffset + queries - 1);
    const bucketOf = Int32Array.from({ length: Math.max(queries + keys - 1, 0) }, (_, d) =>
      relativePositionBucket(least + d, { buckets, maxDistance, bidirectional }),
    );
    const line = new Float32Array(bucketOf.length);
    for (let h = 0; h < heads; h++) {
      for (let d = 0; d < line.length; d++) line[d] = from[bucketOf[d] * heads + h];
      for (let i = 0; i < queries; i++) {
        const start = queries - 1 - i;
        to.set(line.subarray(start, start + keys), (h * queries + i) * keys);
      }
    }
    return bias;
  });
}
