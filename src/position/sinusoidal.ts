import { checkFinite, checkInteger, checkOneOf, checkOptions, checkPositive } from '../check.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { whole } from '../runtime/whole.ts';
import type { Tensor } from '../tensor.ts';
import { writeAngles } from './angles.ts';

/**
 * Sinusoidal position encoding; position `p = offset + row`.
 *
 * `'interleaved'` (default): column `2k` is `sin(p·base^{−2k/dim})`, column `2k+1` its cosine (Vaswani et al. 2017, 3.5).
 * `'concatenated'`: all sines, then all cosines, of `p·base^{−k/(⌊dim/2⌋−1)}`; the last column of an odd `dim` is 0
 * (tensor2tensor, `get_timing_signal_1d`).
 *
 * @returns float32 [length, dim]
 * @throws RangeError sizes that are no integers ≥ 0, `base` or `offset` not finite, `base` not positive; the memory limit
 */
export function sinusoidalEncoding(
  runtime: Runtime,
  options: { length: number; dim: number; layout?: 'interleaved' | 'concatenated'; base?: number; offset?: number },
): Tensor {
  const where = 'sinusoidalEncoding';
  runtime.checkLive(where);
  checkOptions(where, options, new Set(['length', 'dim', 'layout', 'base', 'offset']));
  const { length, dim, layout = 'interleaved', base = 10000, offset = 0 } = options;
  checkInteger(where, 'length', length);
  checkInteger(where, 'dim', dim, 1);
  checkOneOf(where, 'layout', layout, ['interleaved', 'concatenated']);
  checkPositive(where, 'base', base);
  checkFinite(where, 'offset', offset);
  const half = Math.floor(dim / 2);
  const concatenated = layout === 'concatenated';
  const { math } = whole(runtime);
  return runtime.allOrNothing((make) => {
    const table = make([length, dim]);
    if (length === 0) return table;
    const positions = Float64Array.from({ length }, (_, i) => offset + i);
    const frequencies = Float64Array.from({ length: half }, (_, k) =>
      concatenated ? math.exp((-k * math.log(base)) / Math.max(half - 1, 1)) : math.pow(base, (-2 * k) / dim),
    );
    if (dim % 2 === 1)
      lastColumn(table, concatenated ? () => 0 : (i) => math.sin(positions[i] * math.pow(base, (-2 * half) / dim)));
    const sin = table.address;
    const cos = sin + (concatenated ? half : 1) * 4;
    writeAngles(runtime, { sin, cos, rowStride: dim, columnStride: concatenated ? 1 : 2 }, positions, frequencies);
    return table;
  });
}

/** An odd `dim` has a column without a partner. */
function lastColumn(table: Tensor, value: (row: number) => number): void {
  const [length, dim] = table.shape;
  const { data } = table;
  for (let i = 0; i < length; i++) data[i * dim + dim - 1] = value(i);
}
