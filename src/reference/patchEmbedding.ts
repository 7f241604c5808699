import { type Float64NdArray, type NdArray, type Precision, rounder, zeros } from './array.ts';
import type { State } from './gated.ts';
import { resizeGrid } from './resize.ts';

/**
 * Patches, projected by a convolution whose stride is its size, behind class and register tokens, plus positions.
 *
 * Sources: Dosovitskiy et al. 2021, eq. 1; timm's `VisionTransformer`, whose names `state` has.
 *
 * @param images [batch, channels, height, width]
 * @param options.grid [rows, columns] of patches that `pos_embed` is for; that of another image is interpolated
 * @param options.embedPrefix whether `pos_embed` has rows for the tokens before the patches; default true
 * @returns [batch, tokens, embedDim]
 */
export function patchEmbedding(
  images: NdArray,
  state: State,
  options: { grid: readonly number[]; embedPrefix?: boolean; antialias?: boolean; precision?: Precision },
): Float64NdArray {
  const { grid, embedPrefix = true, antialias, precision } = options;
  const round = rounder(precision);
  const [batch, channels, height, width] = images.shape;
  const weight = state['patch_embed.proj.weight'];
  const bias = state['patch_embed.proj.bias'];
  const [dim, , patch] = weight.shape;
  const [rows, columns] = [height / patch, width / patch];
  const tokens = [state.cls_token, state.reg_token].flatMap((token) => (token ? Array.from(token.data) : []));
  const prefix = tokens.length / dim;
  const own = embedPrefix ? prefix : 0;
  const table = Array.from(state.pos_embed.data);
  const resized = resizeGrid(
    { shape: [grid[0] * grid[1], dim], data: table.slice(own * dim) },
    grid,
    [rows, columns],
    antialias,
  );
  const positions = [...table.slice(0, own * dim), ...Array.from(resized.data, round)];
  const output = zeros([batch, prefix + rows * columns, dim]);
  output.data.forEach((_, at) => {
    const [d, token, b] = [at % dim, Math.floor(at / dim) % output.shape[1], Math.floor(at / dim / output.shape[1])];
    let x = tokens[token * dim + d];
    if (token >= prefix) {
      const [row, column] = [Math.floor((token - prefix) / columns), (token - prefix) % columns];
      x = 0;
      for (let k = 0; k < channels * patch * patch; k++) {
        const [c, i, j] = [Math.floor(k / patch / patch), Math.floor(k / patch) % patch, k % patch];
        const pixel = images.data[((b * channels + c) * height + row * patch + i) * width + column * patch + j];
        x = round(x + round(pixel * weight.data[d * channels * patch * patch + k]));
      }
      if (bias) x = round(x + bias.data[d]);
    }
    const place = token - (prefix - own);
    output.data[at] = place < 0 ? x : round(x + positions[place * dim + d]);
  });
  return output;
}
