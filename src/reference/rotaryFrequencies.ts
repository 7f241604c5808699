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
      /** Default `m(mscale)/m(mscaleAllDim)` where both are given (DeepSeek), `m(1)` otherwise, `m(x) = 0.1·x·ln s + 1`. */
      attentionFactor?: number;
      mscale?: number;
      mscaleAllDim?: number;
      /** Whether the ends of the ramp are rounded to whole pairs; default true (gpt-oss: false). */
      truncate?: boolean;
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
      /** Default `√(1 + ln s/ln L₀)`, 1 without `factor`. */
      attentionFactor?: number;
      length?: number;
    };

/** Positions on several axes (time, row, column): each pair turns by the position on one of them. */
export type RotaryAxes = {
  /** How many pairs each axis has; together rotaryDim/2. */
  sections: readonly number[];
  /**
   * `'chunked'` (default): the first section of pairs is the first axis's, and so on (M-RoPE of Qwen2-VL).
   * `'interleaved'`: pair `k` is axis `k mod n`'s as far as that axis's section goes, else the first's (Qwen3-VL).
   * `'axial'`: chunks, each with frequencies of its own, `base^{−j/section}` (2-D RoPE of vision transformers).
   */
  arrangement?: 'chunked' | 'interleaved' | 'axial';
};

/** Which frequencies. */
export type RotaryFrequencyOptions = {
  /** How many dimensions are rotated, an even number. */
  rotaryDim: number;
  /** Default 10000. */
  base?: number;
  scaling?: RotaryScaling;
  axes?: RotaryAxes;
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
 * Axes: M-RoPE, Wang et al. 2024 (Qwen2-VL), section 2.1; axial, Heo et al. 2024 (rope-vit), eq. 6.
 *
 * @param math where the logarithms and powers come from; default the engine's own
 * @returns frequencies [rotaryDim/2] in float64, attentionFactor
 */
export function rotaryFrequencies(
  options: RotaryFrequencyOptions,
  math: Pick<Math, 'log' | 'pow'> = Math,
): {
  frequencies: Float64Array;
  attentionFactor: number;
} {
  const { rotaryDim: d, base = 10000, scaling, axes } = options;
  if (axes?.arrangement === 'axial') {
    const parts = axes.sections.map((pairs) => rotaryFrequencies({ rotaryDim: 2 * pairs, base, scaling }, math));
    return {
      frequencies: Float64Array.from(parts.flatMap(({ frequencies }) => [...frequencies])),
      attentionFactor: parts[0].attentionFactor,
    };
  }
  const powers = (b: number) => Float64Array.from({ length: d / 2 }, (_, k) => math.pow(b, (-2 * k) / d));
  const plain = powers(base);
  if (scaling === undefined) return { frequencies: plain, attentionFactor: 1 };

  switch (scaling.type) {
    case 'linear':
      return { frequencies: plain.map((theta) => theta / scaling.factor), attentionFactor: 1 };
    case 'ntk':
      return { frequencies: powers(base * math.pow(scaling.factor, d / (d - 2))), attentionFactor: 1 };
    case 'dynamic': {
      const { factor, originalMaxPosition } = scaling;
      const ratio = Math.max(scaling.length, originalMaxPosition) / originalMaxPosition;
      return { frequencies: powers(base * math.pow(factor * ratio - (factor - 1), d / (d - 2))), attentionFactor: 1 };
    }
    case 'yarn': {
      const { factor, originalMaxPosition, betaFast = 32, betaSlow = 1, truncate = true } = scaling;
      // The pair that turns `rotations` times within the original length.
      const pairOf = (rotations: number) =>
        (d * math.log(originalMaxPosition / (2 * Math.PI * rotations))) / (2 * math.log(base));
      const [first, last] = [pairOf(betaFast), pairOf(betaSlow)];
      const low = Math.max(truncate ? Math.floor(first) : first, 0);
      const high = Math.min(truncate ? Math.ceil(last) : last, d - 1);
      const width = high === low ? 0.001 : high - low;
      const ramp = (k: number) => Math.min(Math.max((k - low) / width, 0), 1);
      return {
        frequencies: plain.map((theta, k) => ramp(k) * (theta / factor) + (1 - ramp(k)) * theta),
        attentionFactor: scaling.attentionFactor ?? yarnFactor(scaling, math),
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
        attentionFactor:
          scaling.attentionFactor ?? (factor > 1 ? Math.sqrt(1 + math.log(factor) / math.log(originalMaxPosition)) : 1),
      };
    }
  }
}

function yarnFactor(
  { factor, mscale, mscaleAllDim }: Extract<RotaryScaling, { type: 'yarn' }>,
  math: Pick<Math, 'log'>,
): number {
  const m = (x: number) => (factor > 1 ? 0.1 * x * math.log(factor) + 1 : 1);
  return mscale && mscaleAllDim ? m(mscale) / m(mscaleAllDim) : m(1);
}

/** The axis of each pair. */
export function rotaryAxisOf({ sections, arrangement = 'chunked' }: RotaryAxes): Int32Array {
  const pairs = sections.reduce((sum, section) => sum + section, 0);
  if (arrangement !== 'interleaved')
    return Int32Array.from(sections.flatMap((section, axis) => Array(section).fill(axis)));
  return Int32Array.from({ length: pairs }, (_, k) => {
    const axis = k % sections.length;
    return k < sections.length * sections[axis] ? axis : 0;
  });
}
