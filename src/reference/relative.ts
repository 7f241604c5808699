import { type Float64NdArray, type NdArray, zeros } from './array.ts';

/** How distances are put into buckets. */
export type RelativeBucketOptions = {
  /** Default 32; even where `bidirectional`. */
  buckets?: number;
  /** From here on all distances share the last bucket. Default 128. */
  maxDistance?: number;
  /** Whether keys after the query have buckets of their own (encoders); otherwise they share bucket 0. Default true. */
  bidirectional?: boolean;
};

/**
 * The bucket of a key at distance `relative = key − query`: exact up to half of a direction's buckets, then logarithmic.
 *
 * Source: Raffel et al. 2020 (T5), section 2.1; `_relative_position_bucket` of the authors' code.
 */
export function relativePositionBucket(relative: number, options: RelativeBucketOptions = {}): number {
  const { buckets = 32, maxDistance = 128, bidirectional = true } = options;
  const own = bidirectional ? buckets / 2 : buckets;
  const first = bidirectional && relative > 0 ? own : 0;
  const distance = bidirectional ? Math.abs(relative) : Math.max(-relative, 0);
  const exact = Math.floor(own / 2);
  if (distance < exact) return first + distance;
  const ratio = Math.log(distance / exact) / Math.log(maxDistance / exact);
  return first + Math.min(own - 1, exact + Math.floor(ratio * (own - exact)));
}

/**
 * T5's bias: `bias[h, i, j] = table[bucket(j − (queryOffset + i)), h]`.
 *
 * @param table [buckets, heads]
 * @returns [1, heads, queries, keys]
 */
export function relativePositionBias(
  table: NdArray,
  options: Omit<RelativeBucketOptions, 'buckets'> & { queries: number; keys: number; queryOffset?: number },
): Float64NdArray {
  const { queries, keys, queryOffset = keys - queries } = options;
  const [buckets, heads] = table.shape;
  const bias = zeros([1, heads, queries, keys]);
  bias.data.forEach((_, at) => {
    const [j, i, h] = [at % keys, Math.floor(at / keys) % queries, Math.floor(at / keys / queries)];
    const bucket = relativePositionBucket(j - (queryOffset + i), { ...options, buckets });
    bias.data[at] = table.data[bucket * heads + h];
  });
  return bias;
}
