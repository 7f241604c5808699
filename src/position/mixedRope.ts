import type { Layout } from '../attention/options.ts';
import { checkFinite, checkInteger, checkOneOf, checkOptions, wrongValue } from '../check.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Tensor } from '../tensor.ts';
import { writeAngles } from './angles.ts';
import { checkPositions, checkRotation, rotate } from './rotaryTables.ts';

/** Sizes and frequencies of a `MixedRotaryEmbedding`. */
export type MixedRotaryOptions = {
  headDim: number;
  heads: number;
  /** [axes, heads, headDim/2], in C order: `freqs` of one layer, the frequencies of x, then those of y. */
  frequencies: ArrayLike<number>;
  /** Pair `k`: `'interleaved'` (default; rope-vit) dimensions 2k and 2k+1, `'half'` k and k + headDim/2. */
  style?: 'half' | 'interleaved';
};

/** Positions of the vectors, and where the result goes. */
export type MixedRotaryApplyOptions = {
  /** [axes · sequence] or [axes · batch · sequence], one axis after the other; where all are 0, as of a class token, nothing turns. */
  positions: ArrayLike<number>;
  layout?: Layout;
  /** The tensor to write; default the input itself. */
  output?: Tensor;
};

const embeddingOptions = new Set(['headDim', 'heads', 'frequencies', 'style']);
const applyOptions = new Set(['positions', 'layout', 'output']);

/**
 * RoPE-Mixed, the rotary embedding of images with learned frequencies: at position (x, y), pair `k` of head `h` turns by the angle
 * `x·θx_hk + y·θy_hk`. Any number of axes is possible.
 *
 * Source: Heo et al. 2024 (Rotary Position Embedding for Vision Transformer), eq. 13 and 14; rope-vit.
 *
 * @throws RangeError where `headDim` is odd, or `frequencies` are not whole axes of finite numbers
 * @example
 * const rotary = new MixedRotaryEmbedding(runtime, { headDim: 64, heads: 6, frequencies });
 * rotary.apply(query, { positions: [...columns, ...rows] });
 */
export class MixedRotaryEmbedding {
  readonly headDim: number;
  readonly heads: number;
  readonly axes: number;
  readonly style: 'half' | 'interleaved';
  /** [axes][heads · headDim/2] */
  readonly #frequencies: Float64Array[];

  constructor(
    readonly runtime: Runtime,
    options: MixedRotaryOptions,
  ) {
    const where = 'MixedRotaryEmbedding';
    checkOptions(where, options, embeddingOptions);
    const { headDim, heads, frequencies, style = 'interleaved' } = options;
    checkInteger(where, 'headDim', headDim, 2);
    if (headDim % 2 === 1) throw wrongValue(where, 'headDim', `is ${headDim}, not even`);
    checkInteger(where, 'heads', heads, 1);
    checkOneOf(where, 'style', style, ['half', 'interleaved']);
    const size = heads * (headDim / 2);
    const axes = frequencies?.length / size;
    if (!Number.isInteger(axes) || axes < 1)
      throw wrongValue(where, 'frequencies', `has ${frequencies?.length} entries, but ${size} an axis are needed`);
    for (let at = 0; at < frequencies.length; at++) checkFinite(where, `frequencies[${at}]`, frequencies[at]);
    this.headDim = headDim;
    this.heads = heads;
    this.axes = axes;
    this.style = style;
    this.#frequencies = Array.from({ length: axes }, (_, axis) =>
      Float64Array.from({ length: size }, (_, at) => frequencies[axis * size + at]),
    );
  }

  /**
   * Rotates `input` in place, or into `output`.
   *
   * @param input float32 [batch, heads, sequence, headDim], in the order of `layout`
   * @returns the tensor that was written
   */
  apply(input: Tensor, options: MixedRotaryApplyOptions): Tensor {
    const where = 'MixedRotaryEmbedding.apply';
    checkOptions(where, options, applyOptions);
    const { positions, layout = 'bhsd', output = input } = options;
    const { runtime, headDim, heads, axes, style } = this;
    const { batch, length } = checkRotation(where, runtime, input, output, layout, headDim);
    const found = input.shape[layout === 'bhsd' ? 1 : 2];
    if (found !== heads) throw wrongValue(where, 'input', `has ${found} heads, but there are frequencies for ${heads}`);
    const shared = checkPositions(where, positions, axes, batch, length);
    const angles = this.#angles(positions);
    // Each head has rows of its own, [tokens, heads], as if it were a batch or a token.
    const shape = layout === 'bhsd' ? [batch * heads, 1, length, headDim] : [batch, length * heads, 1, headDim];
    const rows = (b: number, i: number) => {
      if (layout === 'bshd') return (shared ? 0 : b * length * heads) + i;
      return ((shared ? 0 : Math.floor(b / heads) * length) + i) * heads + (b % heads);
    };
    runtime.withScratch([angles.length * 4, angles.length * 4], (cos, sin) => {
      writeAngles(runtime, { cos, sin, rowStride: 1, columnStride: 1 }, angles, [1]);
      rotate(runtime, input.view(shape), output.view(shape), { cos, sin, rows, layout, rotaryDim: headDim, style });
    });
    return output;
  }

  /** [tokens, heads, headDim/2] */
  #angles(positions: ArrayLike<number>): Float64Array {
    const size = this.#frequencies[0].length;
    const tokens = positions.length / this.axes;
    const angles = new Float64Array(tokens * size);
    this.#frequencies.forEach((frequencies, axis) => {
      for (let at = 0; at < angles.length; at++)
        angles[at] += positions[axis * tokens + Math.floor(at / size)] * frequencies[at % size];
    });
    return angles;
  }
}
