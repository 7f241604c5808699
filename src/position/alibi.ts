import { checkHeads } from '../check.ts';
import { alibiSlopes as slopes } from '../reference/alibi.ts';

/**
 * The slope of each head for `alibiSlopes` of `scaledDotProductAttention`: `2^{−8k/n}` for a power of two (Press et al. 2022).
 *
 * @returns [heads]
 * @throws RangeError unless `heads` is an integer ≥ 1
 */
export function alibiSlopes(heads: number): Float32Array {
  checkHeads('alibiSlopes', heads);
  return Float32Array.from(slopes(heads));
}
