import { type Precision, rounder } from './array.ts';

/**
 * The slopes of ALiBi, one a head.
 *
 * For `n` a power of two: `2^{−8k/n}`, `k = 1..n`. Otherwise those of the largest power of two `p < n`, then every second
 * one of `2p`, from the first on, until there are `n`.
 *
 * Source: Press, Smith, Lewis 2022, section 3, and `get_slopes` of the authors' code.
 *
 * @returns [heads]
 */
export function alibiSlopes(heads: number, options: { precision?: Precision } = {}): Float64Array {
  const power = 2 ** Math.floor(Math.log2(heads));
  const slope = (n: number, k: number) => 2 ** ((-8 * k) / n);
  return Float64Array.from({ length: heads }, (_, h) =>
    rounder(options.precision)(h < power ? slope(power, h + 1) : slope(2 * power, 2 * (h - power) + 1)),
  );
}
