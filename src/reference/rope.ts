import {
  broadcast,
  type Float64NdArray,
  headsOf,
  type Layout,
  type NdArray,
  type Precision,
  rounder,
  zeros,
} from './array.ts';
import { type RotaryFrequencyOptions, rotaryAxisOf, rotaryFrequencies } from './rotaryFrequencies.ts';

/** xPos (Sun et al. 2022): queries grow and keys shrink with the position, so that a score decays with the distance. */
export type XPosOptions = {
  /** Default 512. */
  scaleBase?: number;
  /** The position where neither grows. Default 0. */
  center?: number;
  /** `γ` of `ζ_k = (2k/d + γ)/(1 + γ)`. Default 0.4. */
  gamma?: number;
};

/** Frequencies of the tables, and what they are for. */
export type RotaryTableOptions = RotaryFrequencyOptions & {
  xpos?: XPosOptions;
  /** What the table is for; with `xpos` they differ. Default `'query'`. */
  role?: 'query' | 'key';
  precision?: Precision;
};

/** The factor of pair `k` of `pairs` at position `p`: `ζ_k^{±(p − center)/scaleBase}`, + for a query, − for a key. */
export function xposFactor(
  { scaleBase = 512, center = 0, gamma = 0.4 }: XPosOptions,
  role: 'query' | 'key',
  p: number,
  k: number,
  pairs: number,
  math: Pick<Math, 'pow'> = Math,
): number {
  return math.pow((k / pairs + gamma) / (1 + gamma), ((role === 'key' ? -1 : 1) * (p - center)) / scaleBase);
}

/**
 * `cos(p·θ_k)` and `sin(p·θ_k)`, times the attention factor and that of xPos, for each position `p`. In float32 each entry
 * is the float64 one rounded once.
 *
 * @param positions [rows]; with `axes` [axes · rows], one axis after the other
 * @returns cos and sin, each [rows, rotaryDim/2]
 */
export function rotaryTable(
  positions: ArrayLike<number>,
  options: RotaryTableOptions,
): { cos: Float64NdArray; sin: Float64NdArray } {
  const { axes, xpos, role = 'query', precision } = options;
  const round = rounder(precision);
  const { frequencies, attentionFactor } = rotaryFrequencies(options);
  const pairs = frequencies.length;
  const axisOf = axes ? rotaryAxisOf(axes) : new Int32Array(pairs);
  const rows = positions.length / (axes?.sections.length ?? 1);
  const cos = zeros([rows, pairs]);
  const sin = zeros(cos.shape);
  for (let at = 0; at < cos.data.length; at++) {
    const k = at % pairs;
    const position = positions[axisOf[k] * rows + Math.floor(at / pairs)];
    const factor = attentionFactor * (xpos ? xposFactor(xpos, role, position, k, pairs) : 1);
    cos.data[at] = round(factor * Math.cos(position * frequencies[k]));
    sin.data[at] = round(factor * Math.sin(position * frequencies[k]));
  }
  return { cos, sin };
}

/** Positions, pairs and frequencies. */
export type RotaryOptions = Partial<RotaryTableOptions> & {
  /** Default `'bhsd'`. */
  layout?: Layout;
  /** Which dimensions make pair `k`: `'half'` (default) k and k + rotaryDim/2, `'interleaved'` 2k and 2k+1. */
  style?: 'half' | 'interleaved';
  /** The position of the first vector. Default 0. */
  offset?: number;
  /** The positions, in place of `offset + i`: [sequence] or [batch, sequence], with `axes` [axes, batch or 1, sequence]. */
  positions?: NdArray;
};

/**
 * Rotary position embedding: pair `k` of a vector at position `p` turns by the angle `p·θ_k`.
 *
 * `(x, y) → (x·cos − y·sin, x·sin + y·cos)`; dimensions from `rotaryDim` (default headDim) on are copied.
 *
 * Source: Su et al. 2021 (RoFormer), eq. 34.
 *
 * @param input [batch, heads, sequence, headDim] in the order of `layout`
 * @returns the same shape
 */
export function rotaryEmbedding(input: NdArray, options: RotaryOptions = {}): Float64NdArray {
  const { style = 'half', offset = 0, positions, precision } = options;
  const round = rounder(precision);
  const { batch, heads, length, headDim, start } = headsOf(input, options.layout);
  const rotaryDim = options.rotaryDim ?? headDim;
  const pairs = rotaryDim / 2;
  const axes = options.axes?.sections.length ?? 1;
  const positionOf = positions
    ? broadcast(positions, [axes, batch, length])
    : (_a: number, _b: number, i: number) => offset + i;
  const output = zeros(input.shape);
  output.data.set(input.data);
  for (let b = 0; b < batch; b++) {
    const row = Float64Array.from({ length: axes * length }, (_, at) =>
      positionOf(Math.floor(at / length), b, at % length),
    );
    const { cos, sin } = rotaryTable(row, { ...options, rotaryDim });
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < length; i++) {
        for (let k = 0; k < pairs; k++) {
          const first = start(b, h, i) + (style === 'half' ? k : 2 * k);
          const second = style === 'half' ? first + pairs : first + 1;
          const [x, y] = [input.data[first], input.data[second]];
          const [c, s] = [cos.data[i * pairs + k], sin.data[i * pairs + k]];
          output.data[first] = round(round(x * c) - round(y * s));
          output.data[second] = round(round(x * s) + round(y * c));
        }
      }
    }
  }
  return output;
}
