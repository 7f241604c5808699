/** The nearest float16 (IEEE 754 binary16), ties to even; from 65520 on it is infinite. */
export function roundToHalf(x: number): number {
  if (!Number.isFinite(x) || x === 0) return x;
  // Steps between numbers: 2⁻²⁴ below 2⁻¹⁴, otherwise 2^(exponent − 10).
  let exponent = Math.floor(Math.log2(Math.abs(x)));
  if (2 ** exponent > Math.abs(x)) exponent--;
  const step = 2 ** (Math.max(exponent, -14) - 10);
  const rounded = roundToEven(x / step) * step;
  return Math.abs(rounded) >= 65536 ? Math.sign(x) * Infinity : rounded;
}

/** The nearest integer, ties to even. */
export function roundToEven(x: number): number {
  const below = Math.floor(x);
  const rest = x - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}
