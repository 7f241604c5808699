import { checkFlag, checkInteger, checkOptions, checkSameShape, checkTensor, wrongKind } from '../check.ts';
import { resizeGrid } from '../reference/resize.ts';
import { Tensor } from '../tensor.ts';

export type ResizePositionsOptions = {
  /** [height, width] of the grid that the table is for, and of the one to be made. */
  from: readonly [number, number];
  to: readonly [number, number];
  /** How many rows before the grid's (class and register tokens) are copied; default 0. */
  prefix?: number;
  /** Whether a shrinking grid is smoothed; default true, as in timm. */
  antialias?: boolean;
};

const resizeOptions = new Set(['from', 'to', 'prefix', 'antialias']);

/**
 * A table of positions for images of another size: bicubic interpolation of its grid, as `resample_abs_pos_embed` of timm.
 *
 * `y[i, j] = Σ_kl w_i[k]·w_j[l]·x[k, l]`, weights of `torch.nn.functional.interpolate(mode='bicubic', align_corners=False)`.
 * Source: Keys 1981, `a = −0.75`, antialiased −0.5.
 *
 * @param table float32 [prefix + height · width, dim]
 * @returns float32 [prefix + toHeight · toWidth, dim]
 * @throws as `scaledDotProductAttention`
 */
export function resizePositions(table: Tensor, options: ResizePositionsOptions): Tensor {
  const where = 'resizePositions';
  if (!(table instanceof Tensor)) throw wrongKind(where, 'table', 'a Tensor', table);
  const { runtime } = table;
  checkOptions(where, options, resizeOptions);
  const { from, to, prefix = 0, antialias = true } = options;
  checkGrid(where, 'from', from);
  checkGrid(where, 'to', to);
  checkInteger(where, 'prefix', prefix);
  checkFlag(where, 'antialias', antialias);
  checkTensor(where, 'table', table, runtime, { rank: 2 });
  const dim = table.shape[1];
  checkSameShape(where, 'table', table.shape, [prefix + from[0] * from[1], dim]);
  return runtime.allOrNothing((make) => {
    const output = make([prefix + to[0] * to[1], dim]);
    const { data } = table;
    const grid = { shape: [from[0] * from[1], dim], data: data.subarray(prefix * dim) };
    output.data.set(data.subarray(0, prefix * dim));
    output.data.set(resizeGrid(grid, from, to, antialias).data, prefix * dim);
    return output;
  });
}

export function checkGrid(where: string, name: string, grid: unknown): asserts grid is readonly [number, number] {
  if (!Array.isArray(grid) || grid.length !== 2) throw wrongKind(where, name, 'a pair [height, width]', grid);
  for (const [i, size] of grid.entries()) checkInteger(where, `${name}[${i}]`, size, 1);
}
