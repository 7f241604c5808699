import { type Float64NdArray, type Precision, rounder, zeros } from './array.ts';

/**
 * Sinusoidal position encoding; position `p = offset + row`.
 *
 * `'interleaved'`: column `2k` is `sin(p·base^{−2k/dim})`, column `2k+1` its cosine (Vaswani et al. 2017, section 3.5).
 *
 * `'concatenated'`: `[sin(p·t_k)…, cos(p·t_k)…]` with `t_k = e^{−k·ln(base)/(half − 1)}`, `half = ⌊dim/2⌋`; the last
 * column of an odd `dim` is 0 (tensor2tensor, `get_timing_signal_1d`, which is not what the paper prints).
 *
 * In float32 each entry is the float64 one rounded once.
 *
 * @returns [length, dim]
 */
export function sinusoidalEncoding(options: {
  length: number;
  dim: number;
  /** Default `'interleaved'`. */
  layout?: 'interleaved' | 'concatenated';
  /** Default 10000. */
  base?: number;
  /** Default 0. */
  offset?: number;
  precision?: Precision;
}): Float64NdArray {
  const { length, dim, layout = 'interleaved', base = 10000, offset = 0, precision } = options;
  const half = Math.floor(dim / 2);
  const entry = (position: number, column: number): number => {
    if (layout === 'interleaved') {
      const angle = position * base ** ((-2 * Math.floor(column / 2)) / dim);
      return column % 2 === 0 ? Math.sin(angle) : Math.cos(angle);
    }
    if (column === 2 * half) return 0;
    const angle = position * Math.exp((-(column % half) * Math.log(base)) / Math.max(half - 1, 1));
    return column < half ? Math.sin(angle) : Math.cos(angle);
  };
  const table = zeros([length, dim]);
  table.data.forEach((_, at) => {
    table.data[at] = rounder(precision)(entry(offset + Math.floor(at / dim), at % dim));
  });
  return table;
}
