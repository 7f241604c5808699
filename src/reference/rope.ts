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

/** How the frequencies are stretched beyond the length a model was trained on. `length` is the sequence at hand. */
export type RotaryScaling =
  | { type: 'linear'; factor: number }
  | { type: 'ntk'; factor: number }
  | { type: 'dynamic'; factor: number; originalMaxPosition: number; length: number }
  | {
      type: 'yarn';
      factor: number;
      originalMaxPosition: number;
      betaFast?: number;
      betaSlow?: number;
      attentionFactor?: number;
    }
  | {
      type: 'llama3';
      factor: number;
      lowFrequencyFactor: number;
      highFrequencyFactor: number;
      originalMaxPosition: number;
    }
  | {
      type: 'longrope';
      shortFactor: ArrayLike<number>;
      longFactor: ArrayLike<number>;
      originalMaxPosition: number;
      factor?: number;
      length?: number;
    };

export type RotaryFrequencyOptions = {
  /** How many dimensions are rotated, an even number. */
  rotaryDim: number;
  /** Default 10000. */
  base?: number;
  scaling?: RotaryScaling;
};

/**
 * The angle of each pair per position, `θ_k = base^{−2k/d}` unless scaled, and the factor on cosine and sine.
 *
 * | scaling | θ'_k |
 * |---|---|
 * | linear (Chen et al. 2023) | `θ_k/s` |
 * | ntk (bloc97 2023) | `θ_k` of base `base·s^{d/(d−2)}` |
 * | dynamic (emozilla 2023) | `θ_k` of base `base·(s·L/L₀ − (s−1))^{d/(d−2)}`, `L = max(length, L₀)` |
 * | yarn (Peng et al. 2023, section 3.2–3.4) | `γ_k·θ_k/s + (1−γ_k)·θ_k`, `γ` a ramp between two pairs; factor `0.1·ln s + 1` |
 * | llama3 (Llama 3.1 reference code) | by wavelength `λ = 2π/θ_k`: long `θ_k/s`, short `θ_k`, between them interpolated |
 * | longrope (Ding et al. 2024) | `θ_k/e_k`, `e` the short or long list; factor `√(1 + ln s/ln L₀)`, 1 without `factor` |
 *
 * @returns frequencies [rotaryDim/2] in float64, attentionFactor
 */
export function rotaryFrequencies(options: RotaryFrequencyOptions): {
  frequencies: Float64Array;
  attentionFactor: number;
} {
  const { rotaryDim: d, base = 10000, scaling } = options;
  const powers = (b: number) => Float64Array.from({ length: d / 2 }, (_, k) => b ** ((-2 * k) / d));
  const plain = powers(base);
  if (scaling === undefined) return { frequencies: plain, attentionFactor: 1 };

  switch (scaling.type) {
    case 'linear':
      return { frequencies: plain.map((theta) => theta / scaling.factor), attentionFactor: 1 };
    case 'ntk':
      return { frequencies: powers(base * scaling.factor ** (d / (d - 2))), attentionFactor: 1 };
    case 'dynamic': {
      const { factor, originalMaxPosition } = scaling;
      const ratio = Math.max(scaling.length, originalMaxPosition) / originalMaxPosition;
      return { frequencies: powers(base * (factor * ratio - (factor - 1)) ** (d / (d - 2))), attentionFactor: 1 };
    }
    case 'yarn': {
      const { factor, originalMaxPosition, betaFast = 32, betaSlow = 1 } = scaling;
      // The pair that turns `rotations` times within the original length.
      const pairOf = (rotations: number) =>
        (d * Math.log(originalMaxPosition / (2 * Math.PI * rotations))) / (2 * Math.log(base));
      const low = Math.max(Math.floor(pairOf(betaFast)), 0);
      const high = Math.min(Math.ceil(pairOf(betaSlow)), d - 1);
      const width = high === low ? 0.001 : high - low;
      const ramp = (k: number) => Math.min(Math.max((k - low) / width, 0), 1);
      return {
        frequencies: plain.map((theta, k) => ramp(k) * (theta / factor) + (1 - ramp(k)) * theta),
        attentionFactor: scaling.attentionFactor ?? (factor > 1 ? 0.1 * Math.log(factor) + 1 : 1),
      };
    }
    case 'llama3': {
      const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalMaxPosition } = scaling;
      const frequencies = plain.map((theta) => {
        const turns = (originalMaxPosition * theta) / (2 * Math.PI);
        if (turns < low) return theta / factor;
        if (turns > high) return theta;
        const g = (turns - low) / (high - low);
        return ((1 - g) * theta) / factor + g * theta;
      });
      return { frequencies, attentionFactor: 1 };
    }
    case 'longrope': {
      const { originalMaxPosition, factor = 1, length = originalMaxPosition } = scaling;
      const factors = length > originalMaxPosition ? scaling.longFactor : scaling.shortFactor;
      return {
        frequencies: plain.map((theta, k) => theta / factors[k]),
        attentionFactor: factor > 1 ? Math.sqrt(1 + Math.log(factor) / Math.log(originalMaxPosition)) : 1,
      };
    }
  }
}

/**
 * `cos(p·θ_k)` and `sin(p·θ_k)`, times the attention factor, for each position `p`. In float32 each entry is the float64
 * one rounded once.
 *
 * @returns cos and sin, each [positions.length, rotaryDim/2]
 */
export function rotaryTable(
  positions: ArrayLike<number>,
  options: RotaryFrequencyOptions & { precision?: Precision },
): { cos: Float64NdArray; sin: Float64NdArray } {
  const round = rounder(options.precision);
  const { frequencies, attentionFactor } = rotaryFrequencies(options);
  const cos = zeros([positions.length, frequencies.length]);
  const sin = zeros(cos.shape);
  for (let at = 0; at < cos.data.length; at++) {
    const angle = positions[Math.floor(at / frequencies.length)] * frequencies[at % frequencies.length];
    cos.data[at] = round(attentionFactor * Math.cos(angle));
    sin.data[at] = round(attentionFactor * Math.sin(angle));
  }
  return { cos, sin };
}

export type RotaryOptions = Partial<RotaryFrequencyOptions> & {
  /** Default `'bhsd'`. */
  layout?: Layout;
  /** Which dimensions make pair `k`: `'half'` (default) k and k + rotaryDim/2, `'interleaved'` 2k and 2k+1. */
  style?: 'half' | 'interleaved';
  /** The position of the first vector. Default 0. */
  offset?: number;
  /** [sequence] or [batch, sequence]: the positions, in place of `offset + i`. */
  positions?: NdArray;
  precision?: Precision;
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
  const positionOf = positions ? broadcast(positions, [batch, length]) : (_: number, i: number) => offset + i;
  const output = zeros(input.shape);
  output.data.set(input.data);
  for (let b = 0; b < batch; b++) {
    const row = Float64Array.from({ length }, (_, i) => positionOf(b, i));
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
