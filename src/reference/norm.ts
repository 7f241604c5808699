import { type Float64NdArray, type NdArray, type Precision, type Round, rounder, zeros } from './array.ts';

export type NormOptions = { epsilon?: number; precision?: Precision };

/**
 * `y = (x − μ)/√(σ² + ε)·weight + bias` over the last axis, `σ²` the mean of `(x − μ)²`; ε is 1e-5 by default.
 *
 * Source: Ba, Kiros, Hinton 2016, eq. 4; `torch.nn.functional.layer_norm`.
 *
 * @param input [..., dim]
 * @param weight [dim]
 * @param bias [dim]
 */
export function layerNorm(input: NdArray, weight: NdArray, bias?: NdArray, options: NormOptions = {}): Float64NdArray {
  return normalize(input, weight, bias, true, options.epsilon ?? 1e-5, rounder(options.precision));
}

/**
 * `y = x/√(mean(x²) + ε)·weight` over the last axis; ε is 1e-6 by default.
 *
 * Source: Zhang, Sennrich 2019, eq. 4.
 */
export function rmsNorm(input: NdArray, weight: NdArray, options: NormOptions = {}): Float64NdArray {
  return normalize(input, weight, undefined, false, options.epsilon ?? 1e-6, rounder(options.precision));
}

/**
 * Group normalisation with the channels last: `y = (x − μ)/√(σ² + ε)·weight + bias`, μ and σ² over a batch's rows and the channels of a
 * group; ε is 1e-5 by default.
 *
 * Source: Wu, He 2018, eq. 7; `torch.nn.functional.group_norm`.
 *
 * @param input [batch, ..., channels]
 * @param groups of `channels / groups` neighbouring channels
 */
export function groupNorm(
  input: NdArray,
  groups: number,
  weight: NdArray,
  bias?: NdArray,
  options: NormOptions = {},
): Float64NdArray {
  const { epsilon = 1e-5, precision } = options;
  const output = zeros(input.shape);
  const round = rounder(precision);
  const [channels] = weight.shape;
  const size = output.data.length / input.shape[0];
  for (let first = 0; first < output.data.length; first += size) {
    for (let group = 0; group < groups; group++) {
      const places: number[] = [];
      for (let at = first; at < first + size; at++)
        if (Math.floor(((at % channels) * groups) / channels) === group) places.push(at);
      const mean = round(places.reduce((sum, at) => round(sum + input.data[at]), 0) / places.length);
      const off = (at: number) => round(input.data[at] - mean);
      const variance = round(places.reduce((sum, at) => round(sum + round(off(at) ** 2)), 0) / places.length);
      const deviation = round(Math.sqrt(round(variance + epsilon)));
      for (const at of places) {
        const x = round(round(off(at) / deviation) * weight.data[at % channels]);
        output.data[at] = bias ? round(x + bias.data[at % channels]) : x;
      }
    }
  }
  return output;
}

function normalize(
  input: NdArray,
  weight: NdArray,
  bias: NdArray | undefined,
  centered: boolean,
  epsilon: number,
  round: Round,
): Float64NdArray {
  const output = zeros(input.shape);
  const [dim] = weight.shape;
  for (let start = 0; start < output.data.length; start += dim) {
    let sum = 0;
    for (let d = 0; centered && d < dim; d++) sum = round(sum + input.data[start + d]);
    const mean = round(sum / dim);
    let squares = 0;
    for (let d = 0; d < dim; d++) {
      const x = round(input.data[start + d] - mean);
      squares = round(squares + round(x * x));
    }
    const factor = round(1 / round(Math.sqrt(round(round(squares / dim) + epsilon))));
    for (let d = 0; d < dim; d++) {
      const x = round(round(round(input.data[start + d] - mean) * factor) * weight.data[d]);
      output.data[start + d] = bias ? round(x + bias.data[d]) : x;
    }
  }
  return output;
}

/** `1/(1 + e^{−x})` */
export function sigmoid(x: number, round: Round = (y) => y): number {
  return round(1 / round(1 + round(Math.exp(-x))));
}
