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
  const power = 2 ** (31 - Math.clz32(heads));
  const slope = (n: number, k: number) => inverseExp2((8 * k) / n);
  return Float64Array.from({ length: heads }, (_, h) =>
    rounder(options.precision)(h < power ? slope(power, h + 1) : slope(2 * power, 2 * (h - power) + 1)),
  );
}

/** `2^{−x}` of a fraction in powers of two, by square roots, which all engines round alike: their `Math.pow` differ in the last bit. */
function inverseExp2(x: number): number {
  let result = 2 ** -Math.floor(x);
  let factor = 0.5;
  for (let rest = x - Math.floor(x); rest > 0; rest %= 1) {
    factor = Math.sqrt(factor);
    rest *= 2;
    if (rest >= 1) result *= factor;
  }
  return result;
}
