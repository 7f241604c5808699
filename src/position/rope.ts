import { Rope } from '../../assembly/params.ts';
import { type Layout, overlap, stridesOf } from '../attention/options.ts';
import {
  checkFinite,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkPositive,
  checkSameShape,
  checkTensor,
  wrongKind,
  wrongValue,
} from '../check.ts';
import { type RotaryScaling, rotaryFrequencies } from '../reference/rope.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { Tensor } from '../tensor.ts';
import { writeAngles } from './angles.ts';

export type RotaryEmbeddingOptions = {
  headDim: number;
  /** How many of the first dimensions turn, even; default headDim. The rest is copied. */
  rotaryDim?: number;
  /** Default 10000. */
  base?: number;
  /** Pair `k`: `'half'` (default; NeoX, Llama) dimensions k and k + rotaryDim/2, `'interleaved'` (GPT-J) 2k and 2k+1. */
  style?: 'half' | 'interleaved';
  scaling?: RotaryScaling;
};

export type RotaryApplyOptions = {
  /** Position of the first vector; default 0. */
  offset?: number;
  /** Positions [sequence] or, one batch after the other, [batch · sequence]; in place of `offset + i`. */
  positions?: ArrayLike<number>;
  layout?: Layout;
  /** The tensor to write; default the input itself. */
  output?: Tensor;
};

const embeddingOptions = new Set(['headDim', 'rotaryDim', 'base', 'style', 'scaling']);
const scalings = ['linear', 'ntk', 'dynamic', 'yarn', 'llama3', 'longrope'];
const applyOptions = new Set(['offset', 'positions', 'layout', 'output']);
const tableOptions = new Set(['positions', 'layout', 'output', 'style']);

/** cos and sin, each float32 [rows, rotaryDim/2]. */
export type RotaryTables = { cos: Tensor; sin: Tensor };

/**
 * Rotary position embedding: at position `p`, pair `k` turns by the angle `p·θ_k`, `θ_k = base^{−2k/rotaryDim}`.
 *
 * Source: Su et al. 2021 (RoFormer), eq. 34; the scalings cite theirs at `RotaryScaling`.
 *
 * @throws RangeError where `rotaryDim` is odd or greater than `headDim`
 * @example
 * new RotaryEmbedding(runtime, { headDim: 64 }).apply(query, { offset: 10 });
 */
export class RotaryEmbedding {
  readonly headDim: number;
  readonly rotaryDim: number;
  readonly style: 'half' | 'interleaved';
  readonly #frequencies: Float64Array;
  readonly #factor: number;

  constructor(
    readonly runtime: Runtime,
    options: RotaryEmbeddingOptions,
  ) {
    const where = 'RotaryEmbedding';
    checkOptions(where, options, embeddingOptions);
    const { headDim, rotaryDim = headDim, base = 10000, style = 'half', scaling } = options;
    checkInteger(where, 'headDim', headDim, 1);
    checkInteger(where, 'rotaryDim', rotaryDim);
    if (rotaryDim % 2 === 1 || rotaryDim > headDim) {
      throw wrongValue(where, 'rotaryDim', `is ${rotaryDim}, not even or greater than headDim ${headDim}`);
    }
    checkPositive(where, 'base', base);
    checkOneOf(where, 'style', style, ['half', 'interleaved']);
    if (scaling !== undefined) checkOneOf(where, 'scaling.type', scaling?.type, scalings);
    this.headDim = headDim;
    this.rotaryDim = rotaryDim;
    this.style = style;
    const { frequencies, attentionFactor } = rotaryFrequencies({ rotaryDim, base, scaling });
    if (![...frequencies, attentionFactor].every(Number.isFinite)) {
      throw wrongValue(
        where,
        'scaling',
        `(${scaling?.type}) gives frequencies that are not finite: a part is missing or out of range`,
      );
    }
    this.#frequencies = frequencies;
    this.#factor = attentionFactor;
  }

  /**
   * Rotates `input` in place, or into `output`.
   *
   * @param input float32 [batch, heads, sequence, headDim], in the order of `layout`
   * @returns the tensor that was written
   */
  apply(input: Tensor, options: RotaryApplyOptions = {}): Tensor {
    const where = 'RotaryEmbedding.apply';
    checkOptions(where, options, applyOptions);
    const { layout = 'bhsd', output = input, offset = 0 } = options;
    const { batch, length } = checkRotation(where, this.runtime, input, output, layout, this.headDim);
    checkFinite(where, 'offset', offset);
    const { positions = Array.from({ length }, (_, i) => offset + i) } = options;
    const shared = positions.length === length;
    if (!shared && positions.length !== batch * length) {
      throw wrongValue(
        where,
        'positions',
        `has ${positions.length} entries, but ${length} or ${batch * length} are needed`,
      );
    }
    for (let i = 0; i < positions.length; i++) checkFinite(where, `positions[${i}]`, positions[i]);
    const pairs = this.rotaryDim / 2;
    const tableBytes = positions.length * pairs * 4;
    this.runtime.withScratch([tableBytes, tableBytes], (cos, sin) => {
      this.writeTables(cos, sin, positions);
      const rows = (b: number, i: number) => (shared ? i : b * length + i);
      rotate(this.runtime, input, output, { cos, sin, rows, layout, rotaryDim: this.rotaryDim, style: this.style });
    });
    return output;
  }

  /** Writes cos and sin, float32 [positions, rotaryDim/2], to two addresses. */
  writeTables(cos: number, sin: number, positions: ArrayLike<number>): void {
    const table = { sin, cos, rowStride: this.rotaryDim / 2, columnStride: 1, scale: this.#factor };
    writeAngles(this.runtime, table, positions, this.#frequencies);
  }
}

/**
 * Rotates by given tables: the vector at (batch, i) turns by row `positions[batch · sequence + i]` of them.
 *
 * @param tables cos and sin, float32 [rows, rotaryDim/2]
 * @param positions [batch · sequence] row numbers; default row `i`
 */
export function applyRotaryTables(
  input: Tensor,
  { cos, sin }: RotaryTables,
  options: Omit<RotaryApplyOptions, 'offset'> & { style?: 'half' | 'interleaved' } = {},
): Tensor {
  const where = 'applyRotaryTables';
  if (!(input instanceof Tensor)) throw wrongKind(where, 'input', 'a Tensor', input);
  checkOptions(where, options, tableOptions);
  const { layout = 'bhsd', output = input, style = 'half', positions } = options;
  const { runtime } = input;
  const { batch, length } = checkRotation(where, runtime, input, output, layout, input.shape[3]);
  checkTensor(where, 'cos', cos, runtime, { rank: 2 });
  checkTensor(where, 'sin', sin, runtime, { rank: 2 });
  checkSameShape(where, 'sin', sin.shape, cos.shape);
  checkOneOf(where, 'style', style, ['half', 'interleaved']);
  const [count, pairs] = cos.shape;
  if (2 * pairs > input.shape[3])
    throw wrongValue(where, 'cos', `has ${pairs} columns, too many for headDim ${input.shape[3]}`);
  if (positions && positions.length !== batch * length) {
    throw wrongValue(where, 'positions', `has ${positions.length} entries, but ${batch * length} are needed`);
  }
  const rows = (b: number, i: number) => (positions ? positions[b * length + i] : i);
  for (let at = 0; at < batch * length; at++) {
    const row = rows(Math.floor(at / length), at % length);
    if (!Number.isInteger(row) || row < 0 || row >= count)
      throw wrongValue(where, `positions[${at}]`, `is ${row}, not a row of the tables (${count})`);
  }
  rotate(runtime, input, output, { cos: cos.address, sin: sin.address, rows, layout, rotaryDim: 2 * pairs, style });
  return output;
}

function checkRotation(
  where: string,
  runtime: Runtime,
  input: Tensor,
  output: Tensor,
  layout: Layout,
  headDim: number,
) {
  checkTensor(where, 'input', input, runtime, { rank: 4 });
  checkOneOf(where, 'layout', layout, ['bhsd', 'bshd']);
  if (input.shape[3] !== headDim)
    throw wrongValue(where, 'input', `has headDim ${input.shape[3]}, but ${headDim} is needed`);
  checkTensor(where, 'output', output, runtime);
  checkSameShape(where, 'output', output.shape, input.shape);
  if (output.address !== input.address && overlap(input, output))
    throw wrongValue(where, 'output', 'overlaps "input" without being the same');
  return { batch: input.shape[0], length: input.shape[layout === 'bhsd' ? 2 : 1] };
}

type Rotation = {
  cos: number;
  sin: number;
  rows: (batch: number, i: number) => number;
  layout: Layout;
  rotaryDim: number;
  style: 'half' | 'interleaved';
};

function rotate(runtime: Runtime, input: Tensor, output: Tensor, rotation: Rotation): void {
  const { cos, sin, rows, layout, rotaryDim, style } = rotation;
  const [batch, second, third, headDim] = input.shape;
  const [heads, length] = layout === 'bhsd' ? [second, third] : [third, second];
  runtime.withScratch([Rope.words * 4, batch * length * 4], (params, rowOf) => {
    const table = new Int32Array(runtime.buffer, rowOf, batch * length);
    table.forEach((_, at) => {
      table[at] = rows(Math.floor(at / length), at % length);
    });
    const strides = stridesOf(input.shape, layout);
    const words = [output.address, input.address, cos, sin, rowOf, batch, heads, length, headDim, rotaryDim];
    words.push(style === 'interleaved' ? 1 : 0, ...strides, ...strides);
    new Int32Array(runtime.buffer, params, Rope.words).set(words);
    for (let task = 0; task < batch * heads; task++) runtime.kernels.rope(params, task);
  });
}
