import { type Float64NdArray, type NdArray, type Precision, rounder, zeros } from './array.ts';

/**
 * A causal depthwise convolution that goes on from a state: `y[t] = bias + Σ_k weight[k]·x[t + k − (size − 1)]`, `silu: y·σ(y)`.
 *
 * Source: ONNX `CausalConvWithState`.
 *
 * @param input [batch, channels, length]
 * @param weight [channels, 1, size]
 * @param options bias [channels]; state [batch, channels, size − 1], what comes before the input, by default zeros
 * @returns output [batch, channels, length]; state, the last `size − 1` of state and input
 */
export function causalConv(
  input: NdArray,
  weight: NdArray,
  options: { bias?: NdArray; state?: NdArray; silu?: boolean; precision?: Precision } = {},
): { output: Float64NdArray; state: Float64NdArray } {
  const round = rounder(options.precision);
  const [batch, channels, length] = input.shape;
  const size = weight.shape[2];
  const past = size - 1;
  const output = zeros(input.shape);
  const state = zeros([batch, channels, past]);
  for (let row = 0; row < batch * channels; row++) {
    const channel = row % channels;
    const x = (t: number) =>
      t < past ? (options.state?.data[row * past + t] ?? 0) : input.data[row * length + t - past];
    for (let t = 0; t < length; t++) {
      let y = options.bias?.data[channel] ?? 0;
      for (let k = 0; k < size; k++) y = round(y + round(weight.data[channel * size + k] * x(t + k)));
      output.data[row * length + t] = options.silu ? round(y / round(1 + round(Math.exp(-y)))) : y;
    }
    for (let t = 0; t < past; t++) state.data[row * past + t] = x(length + t);
  }
  return { output, state };
}
