import type { Layout } from '../attention/options.ts';
import {
  checkDim,
  checkFinite,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkPositive,
  wrongKind,
  wrongValue,
} from '../check.ts';
import { type XPosOptions, xposFactor } from '../reference/rope.ts';
import {
  type RotaryAxes,
  type RotaryScaling,
  rotaryAxisOf,
  rotaryFrequencies,
} from '../reference/rotaryFrequencies.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { whole } from '../runtime/whole.ts';
import type { Tensor } from '../tensor.ts';
import { writeAngles } from './angles.ts';
import { checkPositions, checkRotation, rotate } from './rotaryTables.ts';

/** Which dimensions of a vector turn, and how fast. */
export type RotaryEmbeddingOptions = {
  /** Size of a vector. */
  headDim: number;
  /** How many of the first dimensions turn, even; default headDim. The rest is copied. */
  rotaryDim?: number;
  /** Default 10000. */
  base?: number;
  /** Pair `k`: `'half'` (default; NeoX, Llama) dimensions k and k + rotaryDim/2, `'interleaved'` (GPT-J) 2k and 2k+1. */
  style?: 'half' | 'interleaved';
  /** How frequencies are stretched for sequences longer than the trained ones. Default none. */
  scaling?: RotaryScaling;
  /** Positions on several axes: M-RoPE (Qwen2-VL, Qwen3-VL) and the axial RoPE of vision transformers. */
  axes?: RotaryAxes;
  /** xPos: scores decay with the distance. `apply` then needs `role`. */
  xpos?: XPosOptions;
};

/** Positions of the vectors, and where the result goes. */
export type RotaryApplyOptions = {
  /** Position of the first vector, on every axis; default 0. */
  offset?: number;
  /**
   * Positions [sequence] or, one batch after the other, [batch · sequence]; in place of `offset + i`. With `axes` they are
   * given for each axis, one axis after the other: [axes · sequence] or [axes · batch · sequence].
   */
  positions?: ArrayLike<number>;
  /** With `xpos`, which it must say: what is rotated. */
  role?: 'query' | 'key';
  /** Axes of the vectors: `'bhsd'` (default) or `'bshd'`. */
  layout?: Layout;
  /** The tensor to write; default the input itself. */
  output?: Tensor;
};

const embeddingOptions = new Set(['headDim', 'rotaryDim', 'base', 'style', 'scaling', 'axes', 'xpos']);
const scalings = ['linear', 'ntk', 'dynamic', 'yarn', 'llama3', 'longrope'];
const xposOptions = new Set(['scaleBase', 'center', 'gamma']);
const applyOptions = new Set(['offset', 'positions', 'role', 'layout', 'output']);

/**
 * Rotary position embedding: at position `p`, pair `k` turns by the angle `p·θ_k`, `θ_k = base^{−2k/rotaryDim}`.
 *
 * Sources: Su et al. 2021 (RoFormer), eq. 34; the scalings and axes cite theirs at `RotaryScaling` and `RotaryAxes`; xPos:
 * Sun et al. 2022, Alg. 1.
 *
 * @throws RangeError where `rotaryDim` is odd or greater than `headDim`, or the sections of `axes` are not `rotaryDim/2`
 * @example
 * new RotaryEmbedding(runtime, { headDim: 64 }).apply(query, { offset: 10 });
 * @example
 * const rotary = new RotaryEmbedding(runtime, { headDim: 128, base: 1e6, axes: { sections: [16, 24, 24] } });
 * rotary.apply(query, { positions: [...times, ...rows, ...columns] });
 * @example
 * const axes = { sections: [16, 16], arrangement: 'axial' };
 * const rotary = new RotaryEmbedding(runtime, { headDim: 64, base: 100, style: 'interleaved', axes });
 * rotary.apply(query, { positions: [...rows, ...columns] });
 */
export class RotaryEmbedding {
  readonly headDim: number;
  readonly rotaryDim: number;
  readonly style: 'half' | 'interleaved';
  readonly #xpos: XPosOptions | undefined;
  readonly #axes: { count: number; of: Int32Array };
  readonly #frequencies: Float64Array;
  readonly #factor: number;

  constructor(
    readonly runtime: Runtime,
    options: RotaryEmbeddingOptions,
  ) {
    const where = 'RotaryEmbedding';
    checkOptions(where, options, embeddingOptions);
    const { headDim, rotaryDim = headDim, base = 10000, style = 'half', scaling, axes, xpos } = options;
    checkDim(where, 'headDim', headDim);
    checkInteger(where, 'rotaryDim', rotaryDim);
    if (rotaryDim % 2 === 1 || rotaryDim > headDim) {
      throw wrongValue(where, 'rotaryDim', `is ${rotaryDim}, not even or greater than headDim ${headDim}`);
    }
    checkPositive(where, 'base', base);
    checkOneOf(where, 'style', style, ['half', 'interleaved']);
    if (scaling !== undefined) checkScaling(where, scaling);
    if (axes !== undefined) checkAxes(where, axes, rotaryDim / 2);
    if (xpos !== undefined) checkXPos(where, xpos, axes);
    this.headDim = headDim;
    this.rotaryDim = rotaryDim;
    this.style = style;
    this.#xpos = xpos;
    this.#axes = axes
      ? { count: axes.sections.length, of: rotaryAxisOf(axes) }
      : { count: 1, of: new Int32Array(rotaryDim / 2) };
    const { frequencies, attentionFactor } = rotaryFrequencies({ rotaryDim, base, scaling, axes }, whole(runtime).math);
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
    const { layout = 'bhsd', output = input, offset = 0, role } = options;
    const { batch, length } = checkRotation(where, this.runtime, input, output, layout, this.headDim);
    checkFinite(where, 'offset', offset);
    if (role !== undefined || this.#xpos) checkOneOf(where, 'role', role, ['query', 'key']);
    const axes = this.#axes;
    const { positions = Array.from({ length: axes.count * length }, (_, at) => offset + (at % length)) } = options;
    const shared = checkPositions(where, positions, axes.count, batch, length);
    const pairs = this.rotaryDim / 2;
    const tableBytes = (positions.length / axes.count) * pairs * 4;
    this.runtime.withScratch([tableBytes, tableBytes], (cos, sin) => {
      this.writeTables(cos, sin, positions, role);
      const rows = (b: number, i: number) => (shared ? i : b * length + i);
      rotate(this.runtime, input, output, { cos, sin, rows, layout, rotaryDim: this.rotaryDim, style: this.style });
    });
    return output;
  }

  /** How many positions a token has. */
  get axes(): number {
    return this.#axes.count;
  }

  /** Writes cos and sin, float32 [tokens, rotaryDim/2], to two addresses; `role` as in `apply`. */
  writeTables(cos: number, sin: number, positions: ArrayLike<number>, role?: 'query' | 'key'): void {
    const table = { sin, cos, rowStride: this.rotaryDim / 2, columnStride: 1, scale: this.#factor };
    writeAngles(this.runtime, table, positions, this.#frequencies, this.#axes);
    if (this.#xpos) this.#decay(this.#xpos, cos, sin, positions, role!);
  }

  #decay(xpos: XPosOptions, cos: number, sin: number, positions: ArrayLike<number>, role: 'query' | 'key'): void {
    const pairs = this.rotaryDim / 2;
    const { math } = whole(this.runtime);
    for (const address of [cos, sin]) {
      const table = new Float32Array(this.runtime.buffer, address, positions.length * pairs);
      for (let at = 0; at < table.length; at++) {
        table[at] *= xposFactor(xpos, role, positions[Math.floor(at / pairs)], at % pairs, pairs, math);
      }
    }
  }
}

function checkScaling(where: string, scaling: RotaryScaling): void {
  checkOneOf(where, 'scaling.type', scaling?.type, scalings);
  for (const [name, part] of Object.entries(scaling) as [string, unknown][]) {
    if (name === 'type' || name === 'truncate' || part === undefined) continue;
    const list = name === 'shortFactor' || name === 'longFactor';
    if (list && (typeof part !== 'object' || part === null))
      throw wrongKind(where, `scaling.${name}`, 'an array of numbers', part);
    for (const value of list ? Array.from(part as ArrayLike<number>) : [part])
      if (typeof value !== 'number') throw wrongKind(where, `scaling.${name}`, 'of numbers', value);
  }
}

function checkAxes(where: string, axes: RotaryAxes, pairs: number): void {
  checkOptions(where, axes, new Set(['sections', 'arrangement']));
  const { sections, arrangement = 'chunked' } = axes;
  if (!Array.isArray(sections)) throw wrongKind(where, 'axes.sections', 'an array of numbers of pairs', sections);
  checkOneOf(where, 'axes.arrangement', arrangement, ['chunked', 'interleaved', 'axial']);
  sections.forEach((section, axis) => {
    checkInteger(where, `axes.sections[${axis}]`, section, 1);
  });
  if (sections.reduce((sum, section) => sum + section, 0) !== pairs)
    throw wrongValue(where, 'axes.sections', `is [${sections}], but together they must be ${pairs} pairs`);
  const of = rotaryAxisOf(axes);
  sections.forEach((section, axis) => {
    if (of.filter((x) => x === axis).length !== section)
      throw wrongValue(where, 'axes.sections', `is [${sections}], which cannot be interleaved: the first is too short`);
  });
}

function checkXPos(where: string, xpos: XPosOptions, axes: RotaryAxes | undefined): void {
  checkOptions(where, xpos, xposOptions);
  const { scaleBase = 512, center = 0, gamma = 0.4 } = xpos;
  checkPositive(where, 'xpos.scaleBase', scaleBase);
  checkFinite(where, 'xpos.center', center);
  checkPositive(where, 'xpos.gamma', gamma);
  if (axes) throw wrongValue(where, 'xpos', 'is for one axis of positions, not for several');
}
