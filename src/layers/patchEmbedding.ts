import { checkFlag, checkInteger, checkOptions, checkSameShape, checkTensor, wrongValue } from '../check.ts';
import { checkGrid, resizePositions } from '../position/resize.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { whole } from '../runtime/whole.ts';
import type { Tensor } from '../tensor.ts';
import { Layer } from './layer.ts';
import { linear } from './linear.ts';

/** Sizes of a `PatchEmbedding`, as timm's Vision Transformers have them. */
export type PatchEmbeddingOptions = {
  /** Height and width, or both in one, of the images that the table of positions is for. */
  imageSize: number | readonly [number, number];
  /** Height and width of a patch; divides the images'. */
  patchSize: number;
  /** Channels of an image; default 3. */
  channels?: number;
  /** Size of a token. */
  embedDim: number;
  /** Whether a class token comes first; default true. */
  classToken?: boolean;
  /** How many register tokens come after it; default 0. */
  registerTokens?: number;
  /** Whether the table has rows for the class and register tokens too (timm: not `no_embed_class`); default true. */
  embedPrefix?: boolean;
  /** Whether the projection has a bias; default true. */
  bias?: boolean;
  /** Of `resizePositions`, for images of another size; default true. */
  antialias?: boolean;
};

const flags = ['classToken', 'embedPrefix', 'bias', 'antialias'] as const;
const layerOptions = new Set([
  'imageSize',
  'patchSize',
  'channels',
  'embedDim',
  'classToken',
  'registerTokens',
  'embedPrefix',
  'bias',
  'antialias',
]);

/**
 * The input layer of a vision transformer: patches of an image, projected, behind a class token and register tokens, with
 * learned positions added. `x = [class; registers; W·patch + b] + positions`.
 *
 * Its parameters have the names of timm's `VisionTransformer`: `patch_embed.proj.weight` [embedDim, channels, patch, patch],
 * `patch_embed.proj.bias`, `cls_token` [1, 1, embedDim], `reg_token` [1, registers, embedDim], `pos_embed` [1, tokens,
 * embedDim]; `load(state, { strict: false })` takes them out of a whole model. Images of another size than `imageSize` get an
 * interpolated table (`resizePositions`). Source: Dosovitskiy et al. 2021, eq. 1; registers: Darcet et al. 2024.
 *
 * @example
 * const embedding = new PatchEmbedding(runtime, { imageSize: 224, patchSize: 16, embedDim: 768 });
 * const tokens = embedding.load(stateDict, { strict: false }).forward(images);
 */
export class PatchEmbedding extends Layer {
  readonly patchSize: number;
  readonly channels: number;
  readonly embedDim: number;
  /** Patches down and across the images that the table of positions is for. */
  readonly grid: readonly [number, number];
  /** How many tokens come before the patches. */
  readonly prefixTokens: number;
  readonly #options: { embedPrefix: boolean; antialias: boolean };

  constructor(runtime: Runtime, options: PatchEmbeddingOptions) {
    const where = 'PatchEmbedding';
    checkOptions(where, options, layerOptions);
    const { imageSize, patchSize, channels = 3, embedDim, registerTokens = 0, bias = true } = options;
    const { classToken = true, embedPrefix = true, antialias = true } = options;
    for (const name of flags) if (options[name] !== undefined) checkFlag(where, name, options[name]);
    for (const [name, size] of Object.entries({ patchSize, channels, embedDim })) checkInteger(where, name, size, 1);
    checkInteger(where, 'registerTokens', registerTokens);
    const size = typeof imageSize === 'number' ? [imageSize, imageSize] : imageSize;
    checkGrid(where, 'imageSize', size);
    const grid = gridOf(where, 'imageSize', size, patchSize);
    const prefix = Number(classToken) + registerTokens;
    super(runtime, where, {
      'patch_embed.proj.weight': [embedDim, channels, patchSize, patchSize],
      ...(bias ? { 'patch_embed.proj.bias': [embedDim] } : {}),
      ...(classToken ? { cls_token: [1, 1, embedDim] } : {}),
      ...(registerTokens > 0 ? { reg_token: [1, registerTokens, embedDim] } : {}),
      pos_embed: [1, grid[0] * grid[1] + (embedPrefix ? prefix : 0), embedDim],
    });
    this.patchSize = patchSize;
    this.channels = channels;
    this.embedDim = embedDim;
    this.grid = grid;
    this.prefixTokens = prefix;
    this.#options = { embedPrefix, antialias };
  }

  /**
   * @param images float32 [batch, channels, height, width]; height and width are multiples of the patch's
   * @returns [batch, prefixTokens + patches, embedDim]; patches row by row
   * @throws Error before `load`; otherwise as `scaledDotProductAttention`
   */
  forward(images: Tensor): Tensor {
    const where = 'PatchEmbedding.forward';
    this.checkLoaded(where);
    const { runtime, channels, patchSize, embedDim, prefixTokens } = this;
    checkTensor(where, 'images', images, runtime, { rank: 4 });
    const [batch, , height, width] = images.shape;
    checkSameShape(where, 'images', images.shape, [batch, channels, height, width]);
    const grid = gridOf(where, 'images', [height, width], patchSize);
    const count = grid[0] * grid[1];
    return runtime.scope(() => {
      const positions = this.#positions(grid);
      const weight = this.parameter('patch_embed.proj.weight').view([embedDim, channels * patchSize ** 2]);
      const patches = linear(unfold(images, patchSize), weight, this.find('patch_embed.proj.bias'));
      const output = runtime.empty([batch, prefixTokens + count, embedDim]);
      const [to, from, added] = [output.data, patches.data, positions.data];
      const tokens = ['cls_token', 'reg_token'].flatMap((name) => Array.from(this.find(name)?.data ?? []));
      const unplaced = tokens.length + count * embedDim - added.length;
      for (let b = 0; b < batch; b++) {
        const start = b * (tokens.length + count * embedDim);
        to.set(tokens, start);
        to.set(from.subarray(b * count * embedDim, (b + 1) * count * embedDim), start + tokens.length);
        for (let at = 0; at < added.length; at++) to[start + unplaced + at] += added[at];
      }
      return output;
    });
  }

  /** The table for a grid of patches. */
  #positions(grid: readonly [number, number]): Tensor {
    const table = this.parameter('pos_embed');
    if (grid[0] === this.grid[0] && grid[1] === this.grid[1]) return table;
    const { embedPrefix, antialias } = this.#options;
    return resizePositions(table.view([table.shape[1], this.embedDim]), {
      from: this.grid,
      to: grid,
      prefix: embedPrefix ? this.prefixTokens : 0,
      antialias,
    });
  }
}

function gridOf(where: string, name: string, size: readonly number[], patchSize: number): [number, number] {
  if (size.some((length) => length < 1 || length % patchSize !== 0))
    throw wrongValue(where, name, `is ${size[0]} by ${size[1]}, not multiples of the patch size ${patchSize}`);
  return [size[0] / patchSize, size[1] / patchSize];
}

/** [batch, channels, rows · patch, columns · patch] → [batch, rows · columns, channels · patch · patch] */
function unfold(images: Tensor, patch: number): Tensor {
  const [batch, channels, height, width] = images.shape;
  const [rows, columns] = [height / patch, width / patch];
  const size = channels * patch * patch;
  const patches = images.runtime.empty([batch, rows * columns, size]);
  const { kernels } = whole(images.runtime);
  for (let line = 0; line < batch * channels * height; line++) {
    const [y, c, b] = [line % height, Math.floor(line / height) % channels, Math.floor(line / height / channels)];
    const at = (b * rows + Math.floor(y / patch)) * columns * size + (c * patch + (y % patch)) * patch;
    const [to, from] = [patches.address + at * 4, images.address + line * width * 4];
    kernels.copyRows(to, from, columns, patch * 4, size * 4, patch * 4);
  }
  return patches;
}
